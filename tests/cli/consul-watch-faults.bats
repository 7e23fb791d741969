#!/usr/bin/env bats
# consul-watch: answers that are wrong, late or missing. Nothing is lost, one line says so, and
# what Consul says when it is well again arrives.

load ../lib
load ../peers/fake-consul

# A watcher that has said everything: web, api and the services that are named.
start() {
	local name
	fake_start
	for name in web api "$@"; do fake_service "$name" '[{"port": 1}]'; done
	watch --wait 1s --gone-after 0
	wait_for 10 synced
	wait_for 5 fake_is ".blocked == $(($# + 3))"
}

# changes NAME PORT: that arrives. (A service of its own for each change: the pace of one is
# two changes at once and then one a second.)
changes() {
	fake_service "$1" "[{\"port\": $2}]"
	wait_for 15 ports_are "$1" "[$2]"
}

# Nothing but what the mark was followed by first was warned of; nothing is gone.
one_warning() {
	assert_equal "$(new_log | grep -cE 'level=(warn|error)')" 1
	nothing_lost
	synced 1
}

@test "a list of services that is no data changes nothing" {
	local rule state expected n=0
	start web-{1..16}
	while IFS='|' read -r rule state expected; do
		echo "# $rule"
		n=$((n + 1))
		mark
		fake_rule "{\"path\": \"catalog/services\", $rule}"
		wait_for 10 logged "level=warn .*$expected" || fail "$(new_log)"
		said ".type == \"status\" and .state == \"$state\" and (.error | length > 0)"
		fake_heal
		changes "web-$n" 2
		wait_for 5 is_connected
		one_warning
	done <<-'END'
		"status": 500, "body": "No cluster leader"|disconnected|cannot reach consul.*HTTP 500: No cluster leader
		"status": 429, "body": "rate limit exceeded"|disconnected|consul limits our requests: HTTP 429: rate limit
		"status": 403, "body": "ACL not found"|unauthorized|refuses the token: HTTP 403: ACL not found
		"status": 302, "headers": {"Location": "/login"}|disconnected|HTTP 302
		"body": "<html>Login</html>"|disconnected|the answer is damaged
		"body": "{\"consul\": []} {\"web\": []}"|disconnected|the answer is damaged
		"body": "[]"|disconnected|the list of services is no object
		"cut": 9|disconnected|cannot reach consul
		"drop": true|disconnected|cannot reach consul
		"headers": {"X-Consul-Index": null}|disconnected|the answer has no index
		"headers": {"X-Consul-Index": "12abc"}|disconnected|the answer has no index
		"headers": {"X-Consul-Index": "18446744073709551616"}|disconnected|the answer has no index
		"headers": {"X-Consul-Knownleader": "false"}|disconnected|have no leader
		"body": "{}"|unauthorized|consul hides its services.*the list of services is empty
		"body": "{\"web\": [], \"api\": []}"|unauthorized|has lost 'consul'
	END
	[ "$n" -eq 15 ]
}

@test "a service that is no data keeps its last state, and the others go on" {
	local table rule expected n=0
	table=$(
		cat <<-'END'
			"status": 500, "body": "rpc error"|cannot read a service.*HTTP 500: rpc error
			"status": 403, "body": "Permission denied"|cannot read a service.*HTTP 403: Permission denied
			"status": 404, "body": "404 page not found"|cannot read a service.*HTTP 404
			"status": 400, "body": "bad"|cannot read a service.*HTTP 400: bad
			"status": 302, "headers": {"Location": "/login"}|cannot read a service.*HTTP 302
			"body": "<html>Login</html>"|cannot read a service.*the answer is damaged
			"body": "{}"|cannot read a service.*the answer is no list of instances
			"body": "[1]"|cannot read a service.*entry without node or service
			"body": "[{\"Node\": {}, \"Service\": null}]"|cannot read a service.*entry without node or service
			"status": 503, "body": ""|cannot read a service.*HTTP 503: no text
			"status": 401, "body": "who are you"|cannot read a service.*HTTP 401: who are you
			"body": ""|cannot read a service.*the answer is damaged
			"body": "null"|cannot read a service.*the answer is no list of instances
			"body": "[{\"Node\": {\"Node\": \"n\"}}]"|cannot read a service.*entry without node or service
			"headers": {"X-Consul-Index": ""}|cannot read a service.*no index
			"headers": {"X-Consul-Index": "-1"}|cannot read a service.*no index
			"cut": 9|cannot read a service
			"drop": true|cannot read a service
			"headers": {"X-Consul-Index": null}|cannot read a service.*no index
			"headers": {"X-Consul-Index": "18446744073709551616"}|cannot read a service.*no index
			"body": "[]", "headers": {"X-Consul-Index": "1", "X-Consul-Query-Backend": "streaming"}|not heard from a server yet
		END
	)
	start web-{1..21}
	mark
	while IFS='|' read -r rule _; do
		n=$((n + 1))
		fake_rule "{\"path\": \"service/web-$n(\\\\?|$)\", $rule}"
	done <<<"$table"
	n=0
	while IFS='|' read -r rule expected; do
		n=$((n + 1))
		echo "# $rule"
		wait_for 10 logged "level=warn .*$expected"
		wait_for 10 logged "level=warn .* service=web-$n( |$)"
	done <<<"$table"
	changes api 2
	fake_heal
	for n in {1..23}; do changes "web-$n" 3; done
	assert_equal "$(new_log | grep -cE 'level=(warn|error)')" 21
	refute_match "$(new_records)" disconnected
	nothing_lost
}

@test "indexes that are odd but numbers do not stop it" {
	local index n=0
	start web-{1..6}
	for index in 0 1 18446744073709551615 @next; do
		n=$((n + 1))
		fake_rule "{\"path\": \"service/web-$n\", \"headers\": {\"X-Consul-Index\": \"$index\"}}"
	done
	for n in {1..4}; do fake_service "web-$n" '[{"port": 2}]'; done
	for n in {1..4}; do wait_for 10 ports_are "web-$n" '[2]'; done
	fake_heal
	for n in {1..4}; do changes "web-$n" 3; done
	for index in 0 18446744073709551615; do
		n=$((n + 1))
		fake_rule "{\"path\": \"services\", \"headers\": {\"X-Consul-Index\": \"$index\"}}"
		changes "web-$n" 2
		changes "new-$n" 1
		fake_heal
	done
	changes new-7 1
	nothing_lost
}

# Each of the five services may ask four times at once and then four times a second, and the
# list once a second; where an answer is doubtful there are two queries for one.
@test "whatever the answers, queries are few" {
	local rule most requests
	fake_start
	fake POST /many '{"count": 5}'
	watch
	wait_for 10 synced
	while IFS='|' read -r most rule; do
		fake_rule "$rule"
		fake POST /stats >/dev/null
		sleep 1.5
		requests=$(fake GET /stats | jq .requests)
		echo "# $requests of at most $most: $rule"
		[ "$requests" -le "$most" ]
		fake_heal
	done <<-'END'
		70|{"path": "health", "headers": {"X-Consul-Index": "@next"}}
		120|{"path": "health", "headers": {"X-Consul-Index": "3"}}
		60|{"path": "health", "status": 500}
		120|{"path": "health.*index=", "status": 504}
		60|{"path": "health", "body": "[]"}
		40|{"path": "services", "headers": {"X-Consul-Index": "@next"}}
		70|{"path": "services", "headers": {"X-Consul-Index": "3"}}
		40|{"path": ".", "drop": true}
		40|{"path": "services", "body": "{}"}
	END
}

all_failed_twice() {
	[ "$(fake_targets | grep -c health)" -gt 100 ]
}

@test "many services that fail do not have the list read over and over" {
	fake_start
	fake POST /many '{"count": 50}'
	watch
	wait_for 10 synced
	wait_for 5 fake_is '.blocked == 51'
	: >"$T/fake/requests"
	SECONDS=0
	fake_rule '{"path": "health", "status": 500}'
	sleep 2
	wait_for 20 all_failed_twice
	# One a second after a burst of four, and those of the query that stands.
	[ "$(fake_targets | grep -c services)" -le $((6 + 2 * SECONDS)) ]
}

@test "a long outage is said once, and queries get rare" {
	start
	mark
	fake_rule '{"path": ".", "drop": true}'
	wait_for 5 logged 'cannot reach consul'
	# Growing pauses: 0.25, 0.5, 1, 2 s, less up to a half.
	fake POST /stats >/dev/null
	sleep 2
	fake_is '.requests <= 8'
	one_warning
	fake_heal
	changes web 2
}

@test "a service that consul may not show is neither gone nor in a whole snapshot" {
	fake_start
	fake_service web '[{"port": 1}]'
	fake_service secret '[{"port": 2}]'
	fake_rule '{"path": "service/secret", "body": "[]"}'
	watch --gone-after 0
	wait_for 10 warned 'no instance that may be read.*service=secret'
	ports_are web '[1]'
	stays 2 synced 0
	nothing_lost
	fake_heal
	wait_for 10 synced
	ports_are secret '[2]'
}

@test "a consistent read that fails once is not an outage of a minute" {
	fake_start
	fake_service web '[{"port": 1}]'
	fake_service api '[{"port": 2}]'
	watch --wait 60s
	wait_for 10 synced
	wait_for 5 fake_is '.blocked == 3'
	mark
	# The list loses api; what would confirm that fails, while the next query on the list stands.
	fake_rule '{"path": "services\\?consistent$", "status": 500, "body": "leader lost", "delay_ms": 300, "times": 1}'
	fake_gone api
	wait_for 5 logged 'leader lost'
	wait_for 5 said '.type == "status" and .state == "connected"'
	wait_for 5 ports_are api '[]'
	fake_service web '[{"port": 3}]'
	wait_for 5 ports_are web '[3]'
}

@test "a slow answer is waited for and holds up nothing else" {
	start
	fake_rule '{"path": "service/web", "delay_ms": 2000}'
	fake_service web '[{"port": 5}]'
	changes api 6
	changes api 7
	ports_are web '[1]'
	wait_for 15 ports_are web '[5]'
	refute_match "$(cat "$T/watch.err")" 'level=(warn|error)'
}

@test "a lost token in the middle of it all deletes nothing, also when all is to be said again" {
	start
	fake_rule '{"path": "services", "body": "{}"}'
	fake_rule '{"path": "health", "body": "[]"}'
	wait_for 5 warned 'list of services is empty'
	stays 1 nothing_lost
	kill -HUP "$(watch_pid)"
	stays 1 synced 1
	fake_heal
	wait_for 10 synced 2
	nothing_lost
	wrote 2 '.type == "synced" and .services == 2'
}

@test "that a service is gone is not believed before a consistent list agrees" {
	start
	# A server that lags has lost api from its list, and its instances are hidden at the moment.
	fake_rule '{"path": "service/api", "body": "[]"}'
	fake_rule '{"path": "services\\?stale", "body": "{\"consul\": [], \"web\": []}", "headers": {"X-Consul-Index": "@next"}}'
	wait_for 5 has_line "$T/fake/requests" 'services\?consistent'
	stays 1 nothing_lost
	fake_heal
	changes api 4
	nothing_lost
}

@test "an agent that comes back with an older catalogue is not believed until it is sure" {
	local half
	start
	fake_service web '[{"port": 1}, {"port": 2}]'
	wait_for 5 ports_are web '[1,2]'
	half=$(curl -s "$CONSUL_HTTP_ADDR/v1/health/service/web" | jq '[.[0]]')
	fake_rule '{"path": ".", "drop": true}'
	wait_for 5 warned 'cannot reach consul'
	# It replays its log: it has half of web and no api yet, and says so to who does not insist.
	fake_rule "$(jq -n --arg body "$half" '{path: "service/web\\?(stale)?(&|$)", body: $body,
		headers: {"X-Consul-Index": "5"}}')"
	fake_rule '{"path": "services\\?(stale)?(&|$)", "body": "{\"consul\": [], \"web\": []}", "headers": {"X-Consul-Index": "5"}}'
	fake_rule '{"path": "service/api\\?(stale)?(&|$)", "body": "[]", "headers": {"X-Consul-Index": "5"}}'
	mark
	fake DELETE /rules?first >/dev/null
	wait_for 5 is_connected
	stays 1 nothing_lost
	[ -z "$(new_records | jq -c 'select(.service == "web" and (.instances | length) < 2)')" ]
	fake_heal
	changes web 3
	changes api 4
	nothing_lost
}

@test "an ordinary name that is refused is not left out of a snapshot" {
	# A login page in front of Consul, say, when the watcher starts.
	fake_start
	fake_service web '[{"port": 1}]'
	fake_service api '[{"port": 2}]'
	fake_rule '{"path": "health/service/web", "status": 302, "headers": {"Location": "/login"}}'
	watch
	wait_for 10 warned 'cannot read a service.*service=web.*HTTP 302'
	stays 1 synced 0
	fake_heal
	wait_for 10 synced
	ports_are web '[1]'
	wrote 1 '.type == "synced" and .services == 2'
}
