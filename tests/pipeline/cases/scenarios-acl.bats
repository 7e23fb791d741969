# The numbered fault scenario of access control: what a token may read is taken away, in all ways
# that there are. (See scenarios.bats for the others.)
# shellcheck disable=SC2030,SC2031,SC2154 # every test is a process of its own
load scenarios

agent_rule='agent_prefix "" { policy = "read" }'
node_rule='node_prefix "" { policy = "read" }'
service_rule='service_prefix "" { policy = "read" }'
all_rules="$agent_rule $node_rule $service_rule"

set_policy() { # RULES: of the watcher's token, from now on
	consul_api PUT "/v1/acl/policy${policy_id:+/$policy_id}" \
		"$(jq -n --arg rules "$1" '{Name: "watch", Rules: $rules}')" | jq -r .ID
}

new_token() {
	consul_api PUT /v1/acl/token "$(jq -n --arg id "$policy_id" '{Policies: [{ID: $id}]}')" >"$T/token.json"
	jq -r .SecretID "$T/token.json" >"$T/token.new"
	mv "$T/token.new" "$T/token"
}

# A server with access control, web on two nodes and api on one, and a token that sees them.
start_acl() {
	own_consul --acl
	policy_id=
	policy_id=$(set_policy "${1:-$all_rules}")
	new_token
	web 1
	register_instance vm-3 10.10.0.13 web 2 status=passing
	api 3
}

# The master's token stays with the test.
follow_with_token() {
	CONSUL_HTTP_TOKEN_FILE=$T/token follow --wait 1s
}

new_warning() {
	new_log | grep -q level=warn
}

# What was said last is that all is well.
nothing_hidden() {
	records 'select(.type == "status")' | tail -n 1 | jq -e '.state == "connected" and .error == null'
}

@test "14: a policy is narrowed, one node, one service, or all: nothing is gone, it is said, and ends" {
	local rules
	start_acl
	follow_with_token
	for rules in "$all_rules node \"vm-3\" { policy = \"deny\" }" \
		"$all_rules service \"api\" { policy = \"deny\" }" \
		"$agent_rule $node_rule service \"web\" { policy = \"read\" }" \
		"$agent_rule $service_rule" "$agent_rule"; do
		echo "# $rules"
		mark
		set_policy "$rules" >/dev/null
		# Longer than a wait and the one after it, on which it shows.
		stays 3.5 nothing_lost
		ports_are web '[1,2]'
		ports_are api '[3]'
		wait_for 20 new_warning || fail "nothing was said"
		assert_equal "$(said_services)" ''
		set_policy "$all_rules" >/dev/null
		wait_for 40 nothing_hidden
	done
	register_instance vm-3 10.10.0.13 web 5 status=passing
	wait_for 40 ports_are web '[1,5]'
	deregister_service api
	gone_is api 40
	wrote 1 '.type == "gone"'
}

@test "14: the token is deleted: unauthorized, and the new one in its file is found without a signal" {
	start_acl
	follow_with_token
	consul_api DELETE "/v1/acl/token/$(jq -r .AccessorID "$T/token.json")" >/dev/null
	lost_state unauthorized
	web 6
	stays 1 nothing_lost
	new_token
	wait_for 40 ports_are web '[6,2]'
	is_connected
	warnings_are 1
}

@test "14: a token that never sees everything is as good as any, for deletions too" {
	start_acl "$agent_rule $node_rule service \"consul\" { policy = \"read\" } service_prefix \"w\" { policy = \"read\" }
		node \"vm-1\" { policy = \"deny\" }"
	register_instance vm-3 10.10.0.13 web-2 4 status=passing
	register_instance vm-3 10.10.0.13 web 7 id=more status=passing
	follow_with_token
	wrote 1 '.type == "synced" and .services == 2'
	wait_for 5 ports_are web '[7,2]'
	deregister_instance vm-3 web more
	wait_for 10 ports_are web '[2]'
	deregister_service web-2
	gone_is web-2
	warnings_are 0
}
