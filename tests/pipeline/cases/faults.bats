# What goes wrong around the pipe: whatever it is, nothing that Consul still has is deleted on the
# way, and when it is over the directory is what Consul says.
# shellcheck disable=SC2154 # some variables come from pipe.bash
load pipe

# Three services of two instances that nobody touches: what must never be missing, whatever happens
# to other instances in the same files.
register_steady() {
	local n
	for n in 1 2 3; do
		register_instance vm-steady-1 10.40.0.1 "steady-$n" 8080 status=passing address="10.40.$n.1"
		register_instance vm-steady-2 10.40.0.2 "steady-$n" 8080 status=passing address="10.40.$n.2"
		audit "dc1/steady-$n.yaml" 'kind: ServiceEntry' "address: \"10.40.$n.1\"" "address: \"10.40.$n.2\""
	done
}

# One change of something else after another, without end: nodes, ports, tags, meta, checks come and
# go. Consul may be away meanwhile.
churn() { # SERVICES SEED
	local service node
	RANDOM=$2
	while :; do
		service=churn-$((RANDOM % $1 + 1)) node=$((RANDOM % 5 + 1))
		[ $((RANDOM % 4)) -gt 0 ] || service=steady-$((RANDOM % 3 + 1))
		case $((RANDOM % 10)) in
		[0-4]) register_instance "churn-$node" "10.50.0.$node" "$service" $((8080 + RANDOM % 3)) \
			tag=version=v$((RANDOM % 4)) meta.owner=$((RANDOM % 3)) status=passing ;;
		[5-6]) set_check "churn-$node" "$service" critical ;;
		7) set_check "churn-$node" "$service" passing ;;
		8) deregister_instance "churn-$node" "$service" ;;
		9) set_node_check "churn-$node" "$([ $((RANDOM % 3)) -eq 0 ] && echo critical || echo passing)" ;;
		esac || :
	done 2>/dev/null
}

# Ends it, and gives every service an instance: one without would be there until --gone-after.
end_churn() { # SERVICES
	local n
	kill "$(<"$T/churn.pid")"
	wait_exit churn
	for ((n = 1; n <= $1; n++)); do
		register_instance churn-1 10.50.0.1 "churn-$n" 8080 status=passing
	done
}

# kill_one PROGRAM: and all are there again.
kill_one() {
	local synced
	synced=$(count_synced)
	kill -KILL "$(pid_of "$1")"
	wait_for 30 synced_again "$synced"
	all_run >/dev/null
}

# What was said last of the connection.
last_said() { # REGEX
	grep -E 'msg=connected|cannot reach consul' "$T/meshpipe.err" | tail -n 1 | grep -qE -- "$1"
}

is_replaced() { # PROGRAM PID
	all_run && [ "$(pid_of "$1")" != "$2" ]
}

@test "each program killed, Consul stopped, killed and frozen, while the catalogue changes" {
	register_steady
	register_students
	start_pipe --wait 5s
	right
	start_audit
	spawn churn churn 6 1
	for program in consul-watch mesh-map k8s-apply; do
		kill_one "$program"
		assert_match "$(grep -E '^meshpipe:' "$T/meshpipe.err" | tail -n 1)" "ended=$program status=137 signal=KILL"
	done
	for end in stop kill; do
		consul_do "$end"
		wait_for 20 last_said 'cannot reach consul, everything keeps its last state'
		consul_do start
		wait_for 30 last_said 'msg=connected'
		register_instance vm-1 10.10.0.11 student-service 9098 tag="version=$end" status=passing
		wait_for 30 grep -q "version: $end" "$D/dc1/student-service.yaml"
	done
	agent=$(<"$CONSUL_DIR/pid")
	kill -STOP "$agent"
	killed=$(pid_of mesh-map)
	kill -KILL "$killed"
	wait_for 20 is_replaced mesh-map "$killed"
	kill -CONT "$agent"
	end_churn 6
	right
	stop_audit
	stop_pipe
}

@test "the supervisor itself killed: nobody is left, and the next one takes over" {
	register_students
	start_pipe
	right
	kill -KILL "$(<"$T/meshpipe.pid")"
	wait_for 20 nobody_left
	deregister_instance vm-3 student-service
	take_picture before
	start_pipe
	right
	take_picture after
	assert_equal "$(differences before after)" 'deleted student-service WorkloadEntry 10.10.0.13'
	stop_pipe
}

@test "twenty services at random, with restarts: in the end it is what Consul says" {
	register_steady
	start_pipe --wait 5s
	start_audit
	spawn churn-1 churn 20 1
	spawn churn-2 churn 20 2
	deadline 15
	limit=$REPLY
	while [ "${EPOCHREALTIME/[.,]/}" -lt "$limit" ]; do
		for program in k8s-apply consul-watch mesh-map; do
			stays 2 all_run
			kill_one "$program"
		done
	done
	kill "$(<"$T/churn-2.pid")"
	ln -f "$T/churn-1.pid" "$T/churn.pid"
	end_churn 20
	right
	stop_audit
	stop_pipe
}

@test "a restored snapshot is followed, although its index is an older one" {
	register_students
	start_pipe
	right
	curl -sSf -m 60 "$CONSUL_HTTP_ADDR/v1/snapshot" >"$T/snapshot"
	changes 'created student-service WorkloadEntry 10.10.0.14' 'deleted student-service WorkloadEntry 10.10.0.11' \
		'changed student-service WorkloadEntry 10.10.0.12' -- later_changes
	changes 'deleted student-service WorkloadEntry 10.10.0.14' 'created student-service WorkloadEntry 10.10.0.11' \
		'changed student-service WorkloadEntry 10.10.0.12' -- \
		curl -sSf -m 60 -X PUT --data-binary "@$T/snapshot" "$CONSUL_HTTP_ADDR/v1/snapshot"
	changes 'deleted student-service WorkloadEntry 10.10.0.13' -- deregister_instance vm-3 student-service
	stop_pipe
}

later_changes() {
	register_instance vm-4 10.10.0.14 student-service 9098 status=passing
	deregister_instance vm-1 student-service
	register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v9 status=passing
}

@test "behind a client agent the servers go: errors delete nothing, one line says so" {
	local server=$CONSUL_HTTP_ADDR
	register_steady
	CONSUL_HTTP_ADDR=$("$REPO/tests/peers/consul" start "$T/client" --version "$consul_version" \
		--join "$CONSUL_DIR" --owner "$$" 3>&-)
	start_pipe --wait 1s
	right
	start_audit
	take_picture before
	mark
	consul_do kill
	wait_for 20 said 1 'level=warn .*cannot reach consul, everything keeps its last state.*HTTP 500'
	stays 2 untouched
	said 1 'level=(warn|error)' || fail "more than one line:" "$(logged_since)"

	# Who starts now knows nothing, and does nothing.
	kill -KILL "$(pid_of consul-watch)"
	wait_for 20 said 2 'cannot reach consul, everything keeps its last state'
	run --separate-stderr timeout 30 consul-watch --once
	assert_status 69
	assert_equal "$output" ''
	untouched

	consul_do start
	CONSUL_HTTP_ADDR=$server register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	CONSUL_HTTP_ADDR=$server register_instance vm-4 10.10.0.14 steady-2 8080 status=passing
	right
	stop_audit
	stop_pipe
}

# --- access control

agent_rule='agent_prefix "" { policy = "read" }'
node_rule='node_prefix "" { policy = "read" }'
service_rule='service_prefix "" { policy = "read" }'

# What the token of the pipe may read, from now on.
set_policy() { # RULES
	consul_api PUT "/v1/acl/policy${policy_id:+/$policy_id}" \
		"$(jq -n --arg rules "$1" '{Name: "pipe", Rules: $rules}')" | jq -r .ID
}

# A token with that policy; prints its accessor.
new_token() {
	consul_api PUT /v1/acl/token "$(jq -n --arg id "$policy_id" '{Policies: [{ID: $id}]}')" >"$T/token.json"
	jq -r .SecretID "$T/token.json" >"$T/token"
	jq -r .AccessorID "$T/token.json"
}

# All that was hidden is seen again: what still is would be nothing new the next time.
nothing_hidden() {
	local regex
	for regex in 'hides its services from us|refuses the token|msg=connected' \
		'hides services from us now|no service is hidden any more'; do
		! grep -E "$regex" "$T/meshpipe.err" | tail -n 1 | grep -q level=warn || return
	done
}

# loses COUNT REGEX COMMAND...: the command takes from the token what it may read. Nothing of the
# directory is touched for more than a whole wait, nor by a change of the catalogue that can not be
# seen, and so many lines say why, and nothing else. When the policy is as before the change
# arrives.
loses() {
	local count=$1 regex=$2
	shift 2
	right
	wait_for 40 nothing_hidden
	take_picture before
	mark
	"$@" >/dev/null
	wait_for 20 said "$count" "level=warn .*$regex"
	n=$((n + 1))
	register_instance vm-4 10.10.0.14 course-service 8080 tag="version=v$n" status=passing
	stays 1.5 untouched
	said "$count" 'level=(warn|error)' || fail "not $count lines:" "$(logged_since)"
}

@test "what a token may read is taken away: nothing is deleted, one line says so" {
	CONSUL_DIR=$T/consul
	consul_start "$consul_version" --acl
	n=0 policy_id=
	policy_id=$(set_policy "$agent_rule $node_rule $service_rule")
	accessor=$(new_token)
	register_steady
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe --wait 1s --consul-watch=--token-file="$T/token"
	right
	start_audit

	loses 1 "consul hides its services from us.*the list of services is empty" set_policy "$agent_rule"
	set_policy "$agent_rule $node_rule $service_rule"

	# On newer ones the list is hidden with the nodes, and that is as above.
	if [ "$consul_version" = 1.8.7 ]; then
		loses 1 "consul hides services from us now" set_policy "$agent_rule $service_rule"
		set_policy "$agent_rule $node_rule $service_rule"
	fi

	loses 1 "consul hides its services from us.*lost 'consul'" \
		set_policy "$agent_rule $node_rule service \"steady-1\" { policy = \"read\" }"
	set_policy "$agent_rule $node_rule $service_rule"

	loses 1 "consul hides services from us now" set_policy "$agent_rule $node_rule
		service \"consul\" { policy = \"read\" } service \"steady-1\" { policy = \"read\" }"
	set_policy "$agent_rule $node_rule $service_rule"

	loses 1 "consul refuses the token: HTTP 403" consul_api DELETE "/v1/acl/token/$accessor"
	run --separate-stderr meshpipe once --dir "$T/other" --consul-watch=--token-file="$T/token"
	assert_status 77
	assert_one_line "$(grep 'level=error' <<<"$stderr")"
	untouched
	new_token
	kill -HUP "$(<"$T/meshpipe.pid")"
	right
	stop_audit
	stop_pipe
}
