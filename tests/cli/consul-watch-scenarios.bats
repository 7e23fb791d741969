#!/usr/bin/env bats
# The numbered fault scenarios that a real Consul does not produce on demand: each number with what
# consul-watch does then, against the stand-in fake-consul. Those that the real server can show are
# in ../pipeline/cases/scenarios*.bats; the last test sees that no number is missing.

load scenarios

# 50 services and the list, a query that waits for each.
start_with_many() {
	fake_start
	fake POST /many '{"count": 50}'
	watch --wait 60s
	wait_for 10 synced
	wait_for 10 fake_is '.blocked == 51'
	mark
	fake POST /stats >/dev/null
}

# One request for each connection that was cut, then one query with growing pauses.
no_storm() {
	local requests
	wait_for 5 said '.type == "status" and .state == "disconnected"'
	sleep 3
	requests=$(fake GET /stats | jq .requests)
	echo "# $requests requests"
	[ "$requests" -le 70 ]
	fake_heal
	changes many-0050 2
	no_more_warnings_than 1
	nothing_lost
}

@test "2: fake: no storm of retries while the agent is away, however many services" {
	start_with_many
	fake_rule '{"path": ".", "drop": true}'
	no_storm
}

@test "2: fake: nor while it takes its time to be away" {
	start_with_many
	# Whether it is there at all is known when the services would have asked again.
	fake_rule '{"path": "catalog/services", "drop": true, "delay_ms": 600}'
	fake_rule '{"path": ".", "drop": true}'
	no_storm
}

@test "6: fake: an index that goes backwards on an ordinary answer: what is new is said, once" {
	start_with 2
	fake_service web-1 '[{"port": 2}]'
	wait_for 5 ports_are web-1 '[2]'
	mark
	# Twice: an answer with a lower index, with the body as it was and with a new one.
	fake_rule '{"path": "service/web-1", "headers": {"X-Consul-Index": "4"}}'
	stays 1.5 ports_are web-1 '[2]'
	fake_service web-1 '[{"port": 3}]'
	wait_for 5 ports_are web-1 '[3]'
	fake_heal
	changes web-1 4
	changes web-2 5
	assert_equal "$(new_records | jq -c 'select(.service == "web-1") | .instances[].port')" $'3\n4'
	no_more_warnings_than 0
	nothing_lost
}

@test "10: fake: a follower that starts, or lags, takes nothing away" {
	local half
	start_with 2 --wait 2s
	fake_service web-1 '[{"port": 1}, {"port": 2}]'
	wait_for 5 ports_are web-1 '[1,2]'
	half=$(curl -s "$CONSUL_HTTP_ADDR/v1/health/service/web-1" | jq '[.[0]]')
	mark
	# Starting: 200 and nothing, from an empty store; only a consistent read is answered by the leader.
	fake_rule '{"path": "services\\?stale", "body": "{}", "headers": {"X-Consul-Index": "1"}, "times": 2}'
	fake_rule '{"path": "service/.*\\?stale", "body": "[]", "headers": {"X-Consul-Index": "1"}, "times": 4}'
	stays 2 nothing_lost
	fake_heal
	wait_for 10 is_connected
	changes web-2 3
	# Lagging: a past catalogue with its lower index.
	fake_rule '{"path": "services\\?stale", "body": "{\"consul\": [], \"web-1\": []}", "headers": {"X-Consul-Index": "5"}}'
	fake_rule "$(jq -n --arg body "$half" '{path: "service/web-1\\?stale", body: $body, headers: {"X-Consul-Index": "5"}}')"
	fake_rule '{"path": "service/web-2\\?stale", "body": "[]", "headers": {"X-Consul-Index": "5"}}'
	stays 2 nothing_lost
	ports_are web-1 '[1,2]'
	fake_heal
	changes web-1 6
	changes web-2 7
	nothing_lost
}

@test "11: fake: connections over the agent's limit are refused: fewer are used, one line, no loop" {
	local refusal refused
	for refusal in 429 reset; do
		fake_start
		fake POST /set "{\"max_conns\": 10, \"refusal\": \"$refusal\"}" >/dev/null
		fake POST /many '{"count": 30}' >/dev/null
		watch --wait 2s --gone-after 0
		mark
		wait_for 20 synced
		wrote 1 '.type == "synced" and .services == 30'
		fake POST /stats >/dev/null
		sleep 3
		refused=$(fake GET /stats | jq .refused)
		echo "# $refusal: $refused refused in 3 s; $(fake GET /stats)"
		[ "$refused" -le 15 ]
		changes many-0001 2
		changes many-0030 3
		changes one-more 4
		no_more_warnings_than 1
		fake POST /set '{"max_conns": null}' >/dev/null
		changes many-0002 5
		wrote 0 '.type == "gone"'
		for name in watch fake; do kill "$(<"$T/$name.pid")" && wait_exit "$name"; done
		rm -r "$T/fake" "$T/watch.out" "$T/watch.err"
	done
}

@test "13: fake: 429 without a text, 503, and Retry-After: growing pauses, no less than asked for" {
	local rule requests
	start_with 3
	for rule in '"status": 429, "body": ""' '"status": 503, "body": "try again later"'; do
		mark
		fake_rule "{\"path\": \".\", $rule}"
		wait_for 5 said '.type == "status" and .state == "disconnected"'
		requests=$(requests_in 2)
		echo "# $rule: $requests requests"
		[ "$requests" -le 12 ]
		no_more_warnings_than 1
		fake_heal
		wait_for 15 is_connected
	done
	mark
	fake_rule '{"path": ".", "status": 429, "body": "", "headers": {"Retry-After": "4"}}'
	wait_for 5 said '.type == "status" and .state == "disconnected"'
	sleep 0.5
	assert_equal "$(requests_in 2.5)" 0
	fake_heal
	changes web-1 2
	nothing_lost
}

@test "17: fake: a connection on which nothing comes any more: noticed, said once, and begun anew" {
	start_with 3
	fake_rule '{"path": ".", "hold": true}'
	wait_for 25 said '.type == "status" and .state == "disconnected" and .error != ""'
	nothing_lost
	fake_heal
	wait_for 15 is_connected
	changes web-1 2
	changes web-3 3
	no_more_warnings_than 1
	synced 1
}

@test "18: fake: what stands between closes idle connections: not a word about it" {
	fake_start
	fake POST /set '{"idle_ms": 400}' >/dev/null
	fake POST /many '{"count": 20}' >/dev/null
	watch --wait 2s
	wait_for 10 synced
	mark
	for n in 1 2 3; do
		kill -HUP "$(watch_pid)"
		wait_for 10 synced $((n + 1))
		changes many-0001 "$((n + 1))"
		sleep 1
	done
	no_more_warnings_than 0
	assert_equal "$(new_records | jq -r 'select(.type == "status").state' | sort -u | grep -v '^connected$' || :)" ''
	wrote 0 '.type == "status" and .counters.errors > 0'
}

@test "27: fake: the same in another order is no change" {
	local a b n
	a='{"id": "a", "node": "n1", "address": "10.1.1.1", "tags": ["x", "y", "z"], "meta": {"k": "1", "l": "2"}}'
	b='{"id": "b", "node": "n2", "address": "10.1.1.2"}'
	start_with 1
	fake_service web-1 "[$a, $b]"
	wait_for 5 ports_are web-1 '[8080,8080]'
	mark
	for n in 1 2 3; do
		fake_service web-1 "[$b, $(jq -c '.tags |= [.[2], .[0], .[1], .[2]] | .meta |= with_entries(.)' <<<"$a")]"
		fake_service web-1 "[$a, $b]"
		changes other "$n"
	done
	assert_equal "$(new_records | jq -r 'select(.service == "web-1")')" ''
}

@test "33: fake: a stream has indexes of its own: neither a restart nor an alarm" {
	local n requests
	fake_start
	fake POST /set '{"streaming": true}' >/dev/null
	for n in 1 2 3; do fake_service "web-$n" '[{"port": 1}]'; done
	watch --wait 1s
	wait_for 10 synced
	wait_for 5 fake_is '.blocked == 4'
	mark
	# Reads without an index say a higher one than the stream does.
	fake_rule '{"path": "service/web-1\\?(stale|consistent)?$", "headers": {"X-Consul-Index": "900"}}'
	kill -HUP "$(watch_pid)"
	wait_for 5 synced 2
	changes web-1 2
	changes web-2 3
	requests=$(requests_in 3)
	echo "# $requests requests"
	[ "$requests" -le 40 ]
	no_more_warnings_than 0
	refute_match "$(new_records)" '"state":"(disconnected|unauthorized)"'
	nothing_lost
}

@test "33b: fake: a stream that knows nothing yet, or hides what it knew, takes nothing away" {
	start_with 2
	fake POST /set '{"streaming": true}' >/dev/null
	changes web-1 2
	mark
	fake_rule '{"path": "service/web-1\\?.*index=", "body": "[]", "headers": {"X-Consul-Index": "1", "X-Consul-Query-Backend": "streaming"}}'
	stays 3 nothing_lost
	changes web-2 3
	fake_service web-1 '[{"port": 4}]'
	fake_heal
	wait_for 10 ports_are web-1 '[4]'
	mark
	# The policy was narrowed: the stream is silent, then empty with the same index; so is a read.
	fake_rule '{"path": "service/web-1", "body": "[]"}'
	stays 4 nothing_lost
	fake_heal
	changes web-1 5
	nothing_lost
}

@test "every scenario has a test, here or on the real Consul" {
	local names=() expected
	mapfile -t names < <(sed -nE 's/^@test "([^:"]*):.*/\1/p' "$BATS_TEST_DIRNAME"/consul-watch-scenarios*.bats \
		"$REPO"/tests/pipeline/cases/scenarios*.bats | tr -d ' ' | tr ',' '\n')
	expected=$(printf '%s\n' {1..35} 33b 33c | sort -V)
	assert_equal "$(printf '%s\n' "${names[@]}" | sort -Vu)" "$expected"
}
