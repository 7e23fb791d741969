# The numbered fault scenarios of names, identities and changes: what a reader of consul-watch's
# output sees. (See scenarios.bats for the others.)
# shellcheck disable=SC2154 # some variables come from pipe.bash
load scenarios

# --- names and identities

addresses_are() { # SERVICE JSON
	[ "$(jq -c --arg name "$1" 'select(.service == $name) | [.instances[].address]' "$T/watch.out" | tail -n 1)" = "$2" ]
}

last_says() { # SERVICE CONDITION
	jq -c --arg name "$1" 'select(.service == $name)' "$T/watch.out" | tail -n 1 | jq -e "$2"
}

@test "22: one service ID on several nodes, and under several names: all are there" {
	register_instance vm-1 10.10.0.11 web 1 id=same status=passing
	register_instance vm-2 10.10.0.12 web 2 id=same status=passing
	register_instance vm-3 10.10.0.13 api 3 id=same status=passing
	follow --wait 10s
	assert_equal "$(records 'select(.service == "web") | [.instances[].port] | sort')" '[1,2]'
	assert_equal "$(records '.instances[]?.uid' | sort -u | wc -l)" 3
	deregister_instance vm-1 web same
	wait_for 10 ports_are web '[2]'
	deregister_instance vm-3 api same
	gone_is api
	assert_equal "$(said_services)" 'api web '
}

@test "23: an instance gets another name: it leaves the old service and is in the new one" {
	web 1
	register_instance vm-3 10.10.0.13 web 2 id=moves status=passing
	api 3
	follow --wait 60s
	# Not the last one of web; the index of web stays.
	register_instance vm-3 10.10.0.13 api 2 id=moves status=passing
	wait_for 10 ports_are web '[1]'
	wait_for 10 last_says api '[.instances[].port] | sort == [2, 3]'
	# The last one of web.
	register_instance vm-1 10.10.0.11 new 1 id=web-vm-1 status=passing
	wait_for 10 ports_are new '[1]'
	gone_is web
	# And back.
	register_instance vm-1 10.10.0.11 web 1 status=passing
	web_is 1
	gone_is new
	warnings_are 0
}

@test "23: a check that has the old name of its instance goes: that is seen" {
	https_consul
	register_instance vm-1 10.10.0.11 web 1 id=moves status=critical
	# Over HTTP/2 queries stand for so long from the start.
	follow --wait 120s --http-addr "$https" --ca-file "$T/cert"
	# Without its check, which stays as it is: the index of the old name moves with it.
	consul_api PUT /v1/catalog/register '{"Node": "vm-1", "SkipNodeUpdate": true,
		"Service": {"ID": "moves", "Service": "new", "Address": "10.10.0.11", "Port": 2}}' >/dev/null
	wait_for 10 last_says new '[.instances[].status] == ["critical"]'
	consul_api GET /v1/health/service/new |
		jq -c '.[0].Checks[] | select(.ServiceName == "web") | {Node, CheckID}' >"$T/check"
	consul_api PUT /v1/catalog/deregister "$(<"$T/check")" >/dev/null
	wait_for 20 last_says new '[.instances[].status] == ["passing"]'
	warnings_are 0
}

@test "24: Web and web are one, and no back and forth" {
	register_instance vm-1 10.10.0.11 Web 1 status=passing
	register_instance vm-2 10.10.0.12 web 2 status=passing
	follow --wait 1s
	wrote 1 '.type == "synced" and .services == 1'
	wrote 1 '.type == "service" and ([.instances[].port] | sort) == [1, 2]'
	sleep 3
	assert_equal "$(said_services)" ''
	deregister_instance vm-1 Web
	wait_for 10 said '.type == "service" and [.instances[].port] == [2]'
	stays 1.5 nothing_lost
	register_instance vm-1 10.10.0.11 WEB 3 status=passing
	wait_for 10 said '.type == "service" and ([.instances[].port] | sort) == [2, 3]'
	assert_equal "$(new_records | grep -c '"type":"service"')" 2
	deregister_instance vm-2 web
	deregister_instance vm-1 WEB
	wait_for 10 wrote 1 '.type == "gone"'
	wrote 1 '.type == "gone"'
}

@test "26: names of any kind are served, or left out with one line; no redirect is followed" {
	local name listed served=('with space' '100%' '%2F' 'a/b' 'q?x=1' '#frag' 'a+b&c;d' 'say "hi"' 'back\slash'
		'<b>' "it's" 'straße' '日本' '🚀' "$(printf 'x%.0s' {1..300})") odd=('.' '..' $'tab\tname' $'new\nline' $'\xe2\x80\xae')
	# An old agent's router cleans these too, though they are escaped.
	local slashes=('a//b' '/x' 'a/../b')
	if [ "$consul_version" = 1.8.7 ]; then odd+=("${slashes[@]}"); else served+=("${slashes[@]}"); fi
	for name in "${served[@]}" "${odd[@]}" b x; do register_instance vm-1 10.10.0.11 "$name" 80; done
	follow --wait 2s
	assert_equal "$(records '.service // empty' | LC_ALL=C sort)" \
		"$(printf '%s\n' "${served[@]}" b x | jq -Rc . | LC_ALL=C sort)"
	# Each is one instance: none is another's by a redirect.
	assert_equal "$(records 'select(.type == "service") | .instances | length' | sort -u)" 1
	assert_equal "$(records '.instances[]?.id' | sort -u | wc -l)" $((${#served[@]} + 2))
	assert_equal "$(grep -c 'is left out' "$T/watch.err")" ${#odd[@]}
	listed=$(answered v1_health_service_) SECONDS=0
	for name in "${served[@]}"; do register_instance vm-1 10.10.0.11 "$name" 81; done
	for name in "${served[@]}"; do wait_for 10 ports_are "$name" '[81]'; done
	sleep 2
	# Waits end once a second at most, and every one was changed once.
	echo "# $(($(answered v1_health_service_) - listed)) queries in $SECONDS s"
	[ $(($(answered v1_health_service_) - listed)) -le $((${#served[@]} * (SECONDS + 3))) ]
	assert_equal "$(grep -cE 'level=(warn|error)' "$T/watch.err")" ${#odd[@]}
}

# --- what is a change, and what is none

put_output() { # TEXT: what the check of web says
	consul_api PUT /v1/catalog/register "$(jq -n --arg text "$1" '{Node: "vm-1", SkipNodeUpdate: true, Check: {
		Node: "vm-1", CheckID: "service:web-vm-1", Name: "http", Status: "passing", Output: $text,
		ServiceID: "web-vm-1", ServiceName: "web"}}')" >/dev/null
}

@test "27: the order of tags, the output of a check, the same again: nothing is said" {
	local n
	register_instance vm-1 10.10.0.11 web 1 tag=x tag=y tag=z meta.k=1 meta.l=2 status=passing
	api 1
	follow --wait 1s
	for n in 1 2 3; do
		register_instance vm-1 10.10.0.11 web 1 tag=z tag=x tag=y meta.l=2 meta.k=1 status=passing
		put_output "checked $n times"
		put_output "checked $n times"
		register_instance vm-1 10.10.0.11 web 1 tag=y tag=z tag=x meta.k=1 meta.l=2 status=passing
		api $((n + 1))
		api_is $((n + 1))
	done
	sleep 1.5
	assert_equal "$(said_services)" 'api '
	assert_equal "$(records_of api)" 3
}

# Writes web 64 times at once, for so long and so many times at least; the last port is written last.
storm() { # SECONDS TIMES
	local n=0
	deadline "$1"
	while [ "${EPOCHREALTIME/[.,]/}" -lt "$REPLY" ] || [ "$n" -lt "$2" ]; do
		n=$((n + 1))
		consul_api PUT /v1/txn "$(jq -nc --argjson n "$n" '[range(64) as $i | {Service: {Verb: "set", Node: "vm-1",
			Service: {ID: "web-vm-1", Service: "web", Port: (($n * 64 + $i) % 60000 + 1)}}}]')" >/dev/null
		echo "$n"
	done
	web 60001
	echo ended
}

@test "28: one service changes all the time: few queries, nobody starves, the last state arrives" {
	local before queries
	web 1
	api 2
	follow --wait 10s
	before=$(answered v1_health_service_) SECONDS=0
	spawn storm storm 4 20
	api 3
	api_is 3 3
	register_instance vm-3 10.10.0.13 new 4
	wait_for 3 ports_are new '[4]'
	api 5
	api_is 5 3
	wait_for 60 has_line "$T/storm.out" ended
	web_is 60001 5
	queries=$(($(answered v1_health_service_) - before))
	echo "# $(wc -l <"$T/storm.out") times 64 writes in $SECONDS s, $queries queries"
	# Four a second after a burst of as many, each maybe confirmed; and those on the others.
	[ "$queries" -le $((8 * (SECONDS + 2) + 20)) ]
}

all_are() { # COUNT TAG
	[ "$(jq -r --arg tag "$2" 'select(.instances[0].tags? == [$tag]).service' "$T/watch.out" | sort -u | wc -l)" -eq "$1" ]
}

@test "28: a thousand services change all the time: the last state of each arrives" {
	local before n
	bulk 1000 1 v0
	follow --wait 10s
	before=$(answered v1_health_service_) SECONDS=0
	for n in 1 2 3 4; do bulk 1000 1 "v$n"; done
	wait_for 30 all_are 1000 v4
	echo "# $SECONDS s, $(($(answered v1_health_service_) - before)) queries"
	[ $(($(answered v1_health_service_) - before)) -le $((2000 * (SECONDS + 2))) ]
	nothing_lost
}

come_and_go() {
	while :; do
		api $((RANDOM + 1))
		deregister_service api
	done
}

@test "29: a service that is not there costs nothing while others change" {
	local n
	web 1
	deregister_service web
	follow --wait 10s --service web
	wrote 1 '.type == "synced" and .services == 0'
	spawn churn come_and_go
	n=$(answered_in 4 'v1_(health_service_|catalog_services)')
	echo "# $n queries"
	# (deregister_service asks /v1/catalog/service.)
	[ "$n" -le 12 ]
	web 2
	web_is 2
	deregister_service web
	gone_is web
	n=$(answered_in 3 v1_health_service_)
	echo "# $n queries"
	[ "$n" -le 6 ]
	kill "$(<"$T/churn.pid")"
}

maintain() { # PATH true|false
	consul_api PUT "/v1/agent/$1?enable=$2&reason=test" >/dev/null
}

@test "30: a node's address, meta, check, maintenance and end show on all its services" {
	local name
	web 1
	register_instance vm-1 10.10.0.11 api 2 status=passing
	consul_api PUT /v1/agent/service/register '{"Name": "local", "Port": 3, "Address": "10.9.9.9"}' >/dev/null
	follow --wait 60s
	register_instance vm-1 10.10.0.99 other 4
	for name in web api; do wait_for 10 addresses_are "$name" '["10.10.0.99"]'; done
	register_instance vm-1 10.10.0.99 other 4 nodemeta.rack=r7
	for name in web api; do wait_for 10 last_says "$name" '.instances[0].nodeMeta.rack == "r7"'; done
	set_node_check vm-1 critical
	for name in web api; do wait_for 10 last_says "$name" '.instances[0].status == "critical"'; done
	set_node_check vm-1 passing
	for name in web api; do wait_for 10 last_says "$name" '.instances[0].status == "passing"'; done
	for name in maintenance service/maintenance/local; do
		maintain "$name" true
		wait_for 10 last_says local '.instances[0].status == "maintenance"'
		maintain "$name" false
		wait_for 10 last_says local '.instances[0].status == "passing"'
	done
	deregister_node vm-1
	for name in web api other; do gone_is "$name"; done
	consul_api PUT /v1/agent/service/deregister/local >/dev/null
	gone_is local
	warnings_are 0
}
