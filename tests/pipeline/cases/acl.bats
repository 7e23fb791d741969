# consul-watch alone, with a token of the least rights, in more services than it has connections
# for and in fewer: it sees what it may see, deletions included, and what is taken from it or hidden
# from it is no deletion.
# shellcheck disable=SC2154 # some variables come from pipe.bash
load pipe

node_rule='node_prefix "" { policy = "read" }'
all_rule='service_prefix "" { policy = "read" }'
web_rule='service_prefix "web" { policy = "read" }'

setup_file() {
	need_consul "$consul_version"
	export CONSUL_DIR=$BATS_FILE_TMPDIR/consul
	consul_start "$consul_version" --acl
}

setup() {
	CONSUL_HTTP_TOKEN=$(<"$CONSUL_DIR/token")
	export CONSUL_HTTP_TOKEN
	pipe_setup
	register_instance vm-1 10.10.0.1 web 8080 status=passing
	register_instance vm-2 10.10.0.2 web 8080 status=passing
	register_instance vm-1 10.10.0.1 web-shop 8080 status=passing
	register_instance vm-1 10.10.0.1 other 8080 status=passing
}

# --- the token

# A policy of this test's own: what the token of the watcher may, from now on.
set_policy() { # RULES
	consul_api PUT "/v1/acl/policy${policy_id:+/$policy_id}" \
		"$(jq -n --arg name "watch-$BATS_TEST_NUMBER" --arg rules "$1" '{Name: $name, Rules: $rules}')" >"$T/policy"
	policy_id=$(jq -r .ID "$T/policy")
}

# A new token with that policy, in the file of the watcher; sets $accessor.
new_token() {
	consul_api PUT /v1/acl/token "$(jq -n --arg id "$policy_id" '{Policies: [{ID: $id}]}')" >"$T/token.json"
	accessor=$(jq -r .AccessorID "$T/token.json")
	jq -r .SecretID "$T/token.json" >"$T/token.new"
	mv "$T/token.new" "$T/token"
}

delete_token() {
	consul_api DELETE "/v1/acl/token/$accessor" >/dev/null
}

# --- the watcher

# start_watch RULES [OPTION...]: with a token that may no more than that.
start_watch() {
	set_policy "$1"
	new_token
	spawn watch env -u CONSUL_HTTP_TOKEN consul-watch --token-file "$T/token" --gone-after 1s "${@:2}"
	wait_for 10 has_line "$T/watch.out" '"type":"synced"'
}

# With a place for one blocking query of a service or none, as it is with thousands of services.
scarce=(--max-conns 4)

stop_watch() {
	kill "$(<"$T/watch.pid")"
	wait_exit watch
	assert_status 0
}

records() { # SERVICE
	jq -c --arg service "$1" 'select(.service == $service)' "$T/watch.out"
}

# The last record of the service: `gone`, or NODE=TAG,TAG of each instance.
last() { # SERVICE
	records "$1" | jq -rs 'last // {} | if .type == "gone" then "gone"
		else [.instances[]? | "\(.node)=\(.tags | join(","))"] | join(" ") end'
}

is_last() { # SERVICE TEXT
	[ "$(last "$1")" = "$2" ]
}

# follows SERVICE TEXT: that is the last record of it, now or soon.
follows() {
	wait_for 20 is_last "$1" "$2" || fail "the last record of $1 is: $(last "$1")"
}

# Records that say that a service is gone or has no instance.
losses() {
	jq -c 'select(.type == "gone" or .instances == [])' "$T/watch.out"
}

state_is() { # STATE
	[ "$(jq -rs 'map(select(.type == "status")) | last.state' "$T/watch.out")" = "$1" ]
}

nothing_hidden() {
	jq -es 'map(select(.type == "status")) | last | .state == "connected" and .error == null' "$T/watch.out"
}

complained() { # REGEX: since the mark
	tail -n "+$((marked + 1))" "$T/watch.err" | grep -qE "level=(warn|error) .*$1"
}

# It says that something is wrong, by its status or to the operator.
says_so() {
	state_is unauthorized || complained 'hides|may be read|403'
}

# --- what every token of enough rights must see

follows_all_changes() {
	assert_equal "$(last web)" 'vm-1= vm-2='
	assert_equal "$(last web-shop)" 'vm-1='
	register_instance vm-3 10.10.0.3 web 8080 tag=new status=passing
	follows web 'vm-1= vm-2= vm-3=new'
	register_instance vm-1 10.10.0.1 web 8080 tag=changed status=passing
	follows web 'vm-1=changed vm-2= vm-3=new'
	register_instance vm-3 10.10.0.3 web-new 9090 status=passing
	follows web-new vm-3=
	set_check vm-2 web critical
	wait_for 20 has_status web vm-2 critical
	assert_equal "$(losses)" ''

	deregister_instance vm-3 web
	follows web 'vm-1=changed vm-2='
	assert_equal "$(losses)" ''
	deregister_service web-shop
	wait_for 20 is_last web-shop gone
	deregister_service web
	wait_for 20 is_last web gone
	assert_equal "$(losses | jq -r .service | sort -u)" $'web\nweb-shop'
	register_instance vm-1 10.10.0.1 web 8080 tag=back status=passing
	follows web vm-1=back
	deregister_node vm-1
	wait_for 20 is_last web gone
	deregister_node vm-3
	wait_for 20 is_last web-new gone
	state_is connected
	assert_equal "$(grep -E 'level=(warn|error)' "$T/watch.err" | grep -v 'more services than')" ''
}

has_status() { # SERVICE NODE STATUS
	records "$1" | jq -es --arg node "$2" --arg status "$3" \
		'last.instances | any(.node == $node and .status == $status)'
}

@test "services and nodes may be read, and nothing else: every change is seen, and every deletion" {
	start_watch "$node_rule $all_rule"
	assert_equal "$(last other)" 'vm-1='
	follows_all_changes
	wait_for 20 is_last other gone
	stop_watch
}

@test "services of a prefix and nodes: the same, and nothing is said of what may not be read" {
	start_watch "$node_rule $web_rule"
	follows_all_changes
	assert_equal "$(records other)" ''
	stop_watch
}

@test "the same with fewer connections than services" {
	start_watch "$node_rule $web_rule" "${scarce[@]}"
	follows_all_changes
	assert_equal "$(records other)" ''
	stop_watch
}

@test "such a token is enough for one run too" {
	set_policy "$node_rule $web_rule"
	new_token
	run --separate-stderr env -u CONSUL_HTTP_TOKEN timeout 20 consul-watch --once --token-file "$T/token"
	assert_status 0
	assert_equal "$(jq -r 'select(.type == "service") | .service' <<<"$output" | sort)" $'web\nweb-shop'
	assert_equal "$(jq -r 'select(.type == "synced") | .services' <<<"$output")" 2
}

# --- rights that are taken away, and given back

# narrowed RULES: whatever else happens meanwhile, nothing is lost; given back, all goes on.
narrowed() {
	local before enough=$1 rules=$2
	n=$((n + 1))
	before=$(losses)
	marked=$(wc -l <"$T/watch.err")
	set_policy "$rules"
	# Something that wakes all that stands on the catalogue, and each of the services.
	register_instance vm-9 10.10.0.9 noise 8080 tag="t$n"
	set_check vm-1 web warning
	wait_for 30 says_so || fail "nothing is said of: $rules" "lost: $(losses)"
	set_check vm-1 web passing
	stays 3 nothing_lost "$before" || fail "lost: $(losses)"
	set_policy "$enough"
	register_instance vm-2 10.10.0.2 web 8080 tag="v$n" status=passing
	follows web "vm-1= vm-2=v$n"
	# All of it: what is hidden still would be nothing new the next time.
	wait_for 40 nothing_hidden
	nothing_lost "$before" || fail "lost: $(losses)"
}

nothing_lost() { # BEFORE
	[ "$(losses)" = "$1" ]
}

goes_through_narrowing() { # ENOUGH [OPTION...]
	n=0
	start_watch "$1" --wait 2s "${@:2}"
	narrowed "$1" 'key_prefix "" { policy = "read" }'
	narrowed "$1" "$node_rule"
	narrowed "$1" "$web_rule"
	narrowed "$1" "$node_rule service \"web-shop\" { policy = \"read\" }"
	[ "$1" = "$node_rule $web_rule" ] || narrowed "$1" "$node_rule $web_rule"
	narrowed "$1" "$web_rule node \"vm-2\" { policy = \"read\" }"
	# Afterwards a deletion is one again.
	deregister_instance vm-1 web
	follows web "vm-2=v$n"
	deregister_service web-shop
	wait_for 20 is_last web-shop gone
	stop_watch
}

@test "a policy is narrowed and widened again: nothing is lost" {
	goes_through_narrowing "$node_rule $all_rule"
}

@test "a policy of a prefix is narrowed and widened again: nothing is lost" {
	goes_through_narrowing "$node_rule $web_rule"
}

@test "the same with fewer connections than services: nothing is lost" {
	goes_through_narrowing "$node_rule $web_rule" "${scarce[@]}"
}

@test "what is deregistered while it may not be read is gone when it may be read again" {
	start_watch "$node_rule $web_rule" --wait 2s
	marked=0
	set_policy "$node_rule"
	wait_for 30 says_so
	deregister_service web-shop
	deregister_instance vm-1 web
	stays 3 is_last web 'vm-1= vm-2='
	set_policy "$node_rule $web_rule"
	follows web 'vm-2='
	wait_for 20 is_last web-shop gone
	assert_equal "$(losses | jq -r .service | sort -u)" web-shop
	stop_watch
}

@test "several that end while they may not be read are gone when they may be read again" {
	local name
	# Until some service has ended, up to 1.10 an index tells nothing of it.
	register_instance vm-5 10.10.0.5 web-0 8080 status=passing
	deregister_node vm-5
	for name in web-1 web-2 web-3; do
		register_instance vm-5 10.10.0.5 "$name" 8080 status=passing
	done
	start_watch "$node_rule $web_rule" --wait 2s
	marked=0
	set_policy "$node_rule service \"web\" { policy = \"read\" }"
	wait_for 30 says_so
	# All with the same index, and nothing else ends that could move it on.
	deregister_node vm-5
	sleep 2
	set_policy "$node_rule $web_rule"
	for name in web-1 web-2 web-3; do
		wait_for 60 is_last "$name" gone
	done
	wait_for 40 nothing_hidden
	register_instance vm-1 10.10.0.1 web-shop 8080 tag=still status=passing
	follows web-shop vm-1=still
	assert_equal "$(losses | jq -r .service | sort -u)" $'web-1\nweb-2\nweb-3'
	stop_watch
}

@test "a service that ends while another one is hidden is gone" {
	register_instance vm-1 10.10.0.1 web-1 8080 status=passing
	start_watch "$node_rule $web_rule" --wait 2s
	marked=0
	set_policy "$node_rule service \"web\" { policy = \"read\" } service \"web-1\" { policy = \"read\" }"
	wait_for 30 says_so
	deregister_service web-1
	# Up to 1.10 an answer does not tell of what is hidden; that the next one ends settles it.
	[[ $consul_version != 1.8.* ]] || { sleep 2 && deregister_service other; }
	wait_for 40 is_last web-1 gone
	assert_equal "$(losses | jq -r .service | sort -u)" web-1
	assert_equal "$(last web-shop)" vm-1=
	stop_watch
}

@test "an instance that got another name and ended there unseen has left the old one; one whose node is hidden has not" {
	local rules="$node_rule service_prefix \"\" { policy = \"read\" }"
	consul_api PUT /v1/catalog/register '{"Node": "vm-3", "Address": "10.10.0.3",
		"Service": {"ID": "moves", "Service": "web", "Address": "10.10.0.3", "Port": 8080}}' >/dev/null
	start_watch "$rules" --wait 2s
	follows web 'vm-1= vm-2= vm-3='
	delete_token
	wait_for 30 state_is unauthorized
	# Up to 1.9 the index of web stays as it was.
	consul_api PUT /v1/catalog/register '{"Node": "vm-3", "SkipNodeUpdate": true,
		"Service": {"ID": "moves", "Service": "other", "Address": "10.10.0.3", "Port": 8080}}' >/dev/null
	consul_api PUT /v1/catalog/deregister '{"Node": "vm-3", "ServiceID": "moves"}' >/dev/null
	new_token
	wait_for 30 state_is connected
	follows web 'vm-1= vm-2='
	assert_equal "$(losses)" ''
	marked=0
	set_policy "$rules node \"vm-2\" { policy = \"deny\" }"
	wait_for 30 says_so
	stays 3 is_last web 'vm-1= vm-2='
	set_policy "$rules"
	wait_for 40 nothing_hidden
	stop_watch
}

@test "a deleted token: unauthorized; another one in its file: it goes on, nothing was lost" {
	start_watch "$node_rule $web_rule" --wait 2s
	for again in 1 2; do
		delete_token
		register_instance vm-2 10.10.0.2 web 8080 tag="unseen$again" status=passing
		wait_for 30 state_is unauthorized
		assert_match "$(jq -c 'select(.type == "status")' "$T/watch.out" | tail -n 1)" '"error":".*403'
		stays 2 nothing_lost ''
		new_token
		wait_for 30 state_is connected
		follows web "vm-1= vm-2=unseen$again"
		register_instance vm-2 10.10.0.2 web 8080 tag="after$again" status=passing
		follows web "vm-1= vm-2=after$again"
	done
	deregister_service web-shop
	wait_for 20 is_last web-shop gone
	assert_equal "$(losses | jq -r .service | sort -u)" web-shop
	assert_equal "$(jq -r .type "$T/watch.out" | grep -c start)" 1
	stop_watch
}
