# The numbered fault scenarios for which servers are started, limited and lost: what a reader of
# consul-watch's output sees. (See scenarios.bats for the others.)
# shellcheck disable=SC2030,SC2031,SC2154 # every test is a process of its own
load scenarios

@test "3: an agent comes back with an empty catalogue and low indexes: that is believed when sure" {
	own_consul
	web 1
	api 2
	bulk 20 1
	follow --wait 5s
	consul_do kill
	lost_state disconnected
	stays 1 nothing_lost
	rm -rf "$CONSUL_DIR/data"
	consul_do start
	gone_is web 30
	gone_is api
	gone_is many-20
	web 5
	web_is 5
	register_instance vm-1 10.10.0.11 web 6 id=second status=passing
	wait_for 10 ports_are web '[6,5]'
	# It may be seen before it has registered itself, and then it is not believed: that is said, too.
	warnings_are "$((1 + $(new_log | grep -c "the list of services is empty, even 'consul' is missing")))"
}

# Sets $servers: the folders of three servers, the leader first.
start_three() {
	local name join=() leader n=1
	for name in a b c; do
		"$REPO/tests/peers/consul" start "$T/$name" --version "$consul_version" --owner "$$" -- \
			-node="$name" -bootstrap-expect=3 -retry-interval=1s "${join[@]}" >/dev/null 3>&- &
		wait_for 10 jq -e .ports "$T/a/config.json"
		join=(-retry-join="127.0.0.1:$(jq .ports.serf_lan "$T/a/config.json")")
	done
	wait
	leader=$(curl -sS -m 5 "$(<"$T/a/addr")/v1/status/leader" | jq -r 'split(":")[1]')
	servers=()
	for name in a b c; do
		if [ "$(jq .ports.server "$T/$name/config.json")" = "$leader" ]; then
			servers[0]=$T/$name
		else
			servers[n++]=$T/$name
		fi
	done
}

server_do() { # start|kill DIR
	"$REPO/tests/peers/consul" "$1" "$2" >/dev/null 3>&-
}

@test "8, 9: the leader is killed under load, then there is none: nothing is lost, and it ends" {
	local servers
	start_three
	[ ${#servers[@]} -eq 3 ]
	CONSUL_HTTP_ADDR=$(<"${servers[1]}/addr")
	web 1
	api 2
	bulk 30 1
	follow --wait 5s
	server_do kill "${servers[0]}"
	wait_for 20 web 3
	# Sooner than the longest pause between two tries.
	web_is 3 20
	nothing_lost
	mark
	server_do kill "${servers[2]}"
	lost_state disconnected 20
	assert_match "$(new_records)" 'leader'
	stays 8 nothing_lost
	assert_equal "$(said_services)" ''
	warnings_are 1
	server_do start "${servers[2]}"
	wait_for 20 api 4
	api_is 4 20
	wait_for 10 is_connected
	nothing_lost
}

# Somebody else's connections to the agent.
hog() { # COUNT
	spawn hog python3 -c 'if True:
		import socket, sys, time
		port, count = int(sys.argv[1]), int(sys.argv[2])
		held = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
		print("held", flush=True)
		time.sleep(600)' "${CONSUL_HTTP_ADDR##*:}" "$1"
	wait_for 5 has_line "$T/hog.out" held
}

@test "11: the agent's limit of connections is used up: fewer do, one line says it" {
	local n
	own_consul -- -hcl 'limits { http_max_conns_per_client = 20 }'
	# The test itself comes from another address, which is counted apart.
	echo 'interface = 127.0.0.2' >"$T/.curlrc"
	export CURL_HOME=$T
	bulk 15 1
	hog 12
	watch --wait 2s --gone-after 0
	mark
	wait_for 30 synced
	wrote 1 '.type == "synced" and .services == 15'
	for n in 1 8 15; do
		register_instance vm-many 10.20.0.1 "many-$n" 9090 id="many-$n-1"
		wait_for 15 ports_are "many-$n" '[9090]'
	done
	[ "$(new_log | grep -cE 'level=(warn|error)')" -le 1 ] || fail "more than one warning:" "$(new_log)"
	kill "$(<"$T/hog.pid")"
	register_instance vm-many 10.20.0.1 many-15 9091 id=many-15-1
	wait_for 15 ports_are many-15 '[9091]'
	nothing_lost
}

@test "13: the agent limits our requests: slower, one line at most, and all of it" {
	local server=$CONSUL_HTTP_ADDR
	bulk 40 1
	CONSUL_HTTP_ADDR=$("$REPO/tests/peers/consul" start "$T/client" --version "$consul_version" \
		--join "$CONSUL_DIR" --owner "$$" -- -hcl 'limits { rpc_rate = 10, rpc_max_burst = 15 }' 3>&-)
	watch --wait 30s --gone-after 0
	mark
	wait_for 30 synced
	wrote 1 '.type == "synced" and .services == 40'
	CONSUL_HTTP_ADDR=$server register_instance vm-many 10.20.0.1 many-7 9090 id=many-7-1
	wait_for 20 ports_are many-7 '[9090]'
	nothing_lost
	[ "$(new_log | grep -cE 'level=(warn|error)')" -le 1 ] || fail "more than one warning:" "$(new_log)"
}

@test "17: an agent that stands still, over HTTP/2: noticed, said once, and all goes on" {
	https_consul
	web 1
	bulk 100 1
	follow --wait 1s --http-addr "$https" --ca-file "$T/cert"
	kill -STOP "$(<"$CONSUL_DIR/pid")"
	lost_state disconnected 25
	kill -CONT "$(<"$CONSUL_DIR/pid")"
	web 2
	web_is 2 20
	warnings_are 1
	assert_equal "$(said_services)" 'web '
	nothing_lost
}

# Sets $dc2 to the address of a second datacenter's server.
start_two_datacenters() {
	local wan
	wan=$(python3 -c 'import socket
s = [socket.socket() for _ in range(2)]
for each in s: each.bind(("127.0.0.1", 0))
print(*[each.getsockname()[1] for each in s])')
	own_consul -- -hcl "ports { serf_wan = ${wan% *} }"
	dc2=$("$REPO/tests/peers/consul" start "$T/dc2" --version "$consul_version" --owner "$$" -- \
		-datacenter=dc2 -hcl "ports { serf_wan = ${wan#* } }" -retry-join-wan="127.0.0.1:${wan% *}" \
		-retry-interval-wan=1s 3>&-)
	wait_for 20 eval 'consul_api GET "/v1/catalog/services?dc=dc2"'
}

said_of() { # SOURCE CONDITION
	said ".source == \"$1\" and ($2)"
}

@test "25: one name in two datacenters: two services, and one that is down is no matter to the other" {
	local dc2 n
	start_two_datacenters
	web 1
	CONSUL_HTTP_ADDR=$dc2 web 2
	touch "$T/watch.out" "$T/watch.err"
	mark
	watch --gone-after 0 --wait 2s --datacenter dc1 --datacenter dc2
	wait_for 20 synced 2
	for n in 1 2; do
		said_of "dc$n" '.type == "start"'
		said_of "dc$n" '.type == "synced" and .services == 1'
		said_of "dc$n" ".service == \"web\" and .instances[0].port == $n and .instances[0].datacenter == \"dc$n\""
	done
	# The same node and ID, and nevertheless another instance.
	assert_equal "$(records '.instances[]?.uid' | sort -u | wc -l)" 2
	mark
	server_do kill "$T/dc2"
	wait_for 30 said_of dc2 '.type == "status" and .state == "disconnected" and .error != ""'
	web 3
	wait_for 10 said_of dc1 '.instances[0].port? == 3'
	stays 2 nothing_lost
	assert_equal "$(new_records | jq -r 'select(.source == "dc1" and .type == "status").state' | grep -v '^connected$' || :)" ''
	server_do start "$T/dc2"
	CONSUL_HTTP_ADDR=$dc2 web 4
	wait_for 30 said_of dc2 '.instances[0].port? == 4'
	warnings_are 1
	nothing_lost
}

@test "32: a server that waits less than it is asked to is not asked twice as often for ever" {
	local n
	own_consul -- -hcl 'max_query_time = "1200ms"'
	bulk 10 1
	follow --wait 30s
	sleep 7
	n=$(answered_in 5 v1_health_service_)
	echo "# $n queries"
	# Ten services every 1.05 s or more; twice every 1.2 s would be 80.
	[ "$n" -le 60 ]
	[ "$(answered_in 3 v1_catalog_services)" -le 4 ]
	assert_equal "$(said_services)" ''
	warnings_are 0
	register_instance vm-many 10.20.0.1 many-7 9090 id=many-7-1
	wait_for 5 ports_are many-7 '[9090]'
}

# An agent looks for servers that it lost every 30 s, and not always with success.
agent_has_web() { # PORT
	consul_api GET /v1/health/service/web | jq -e ".[].Service.Port == $1"
}

@test "33b, 33c: behind a client agent the servers are gone, or stand still while it starts: all is kept" {
	local server
	own_consul
	server=$CONSUL_HTTP_ADDR
	web 1
	api 2
	bulk 10 1
	CONSUL_HTTP_ADDR=$("$REPO/tests/peers/consul" start "$T/client" --version "$consul_version" \
		--join "$CONSUL_DIR" --owner "$$" 3>&-)
	follow --wait 2s
	consul_do kill
	lost_state disconnected 25
	stays 3 nothing_lost
	warnings_are 1
	consul_do start
	CONSUL_HTTP_ADDR=$server web 3
	wait_for 100 agent_has_web 3
	# The watcher pauses for up to 30 s by then.
	web_is 3 45
	wait_for 10 is_connected

	mark
	kill -STOP "$(<"$CONSUL_DIR/pid")"
	server_do kill "$T/client"
	# It does not get ready before the server goes on.
	server_do start "$T/client" &
	stays 6 nothing_lost
	warnings_are 1
	kill -CONT "$(<"$CONSUL_DIR/pid")"
	wait $!
	CONSUL_HTTP_ADDR=$server web 4
	wait_for 100 agent_has_web 4
	web_is 4 30
	wait_for 10 is_connected
	nothing_lost
	assert_equal "$(said_services)" 'web '
}
