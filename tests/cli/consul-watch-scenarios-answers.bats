#!/usr/bin/env bats
# The numbered fault scenarios of answers that are damaged, endless or not Consul's, against the
# stand-in fake-consul. (See consul-watch-scenarios.bats.)

load scenarios

@test "7: fake: indexes that are none, or at the end of their range, are no loop and no loss" {
	local index requests n=0
	start_with 7
	for index in '"0"' null '"12abc"' '"18446744073709551615"' '"18446744073709551616"' '"-1"'; do
		n=$((n + 1))
		fake_rule "{\"path\": \"service/web-$n(\\\\?|$)\", \"headers\": {\"X-Consul-Index\": $index}}"
	done
	requests=$(requests_in 2)
	echo "# $requests requests"
	# Seven services and the list, each no more than four times a second after a burst of as many.
	[ "$requests" -le 100 ]
	changes web-7 2
	fake_heal
	for n in {1..6}; do changes "web-$n" 3; done
	nothing_lost

	# And on the list.
	for index in '"0"' null '"18446744073709551615"' '"18446744073709551616"'; do
		fake_rule "{\"path\": \"catalog/services\", \"headers\": {\"X-Consul-Index\": $index}}"
		requests=$(requests_in 1)
		echo "# $index: $requests requests"
		[ "$requests" -le 40 ]
		fake_heal
		wait_for 10 is_connected
		n=$((n + 1))
		changes "new-$n" 1
	done
	nothing_lost
	synced 1
}

@test "19: fake: a body that trickles holds up nobody, and does not keep its service for ever" {
	start_with 3
	fake_rule '{"path": "service/web-1\\?", "drip_ms": 1000, "times": 1}'
	changes web-2 2
	fake_service web-1 '[{"port": 2}]'
	changes web-3 3
	changes web-2 4
	ports_are web-1 '[1]'
	wait_for 30 ports_are web-1 '[2]'
	nothing_lost
	refute_match "$(new_records)" disconnected
}

@test "20: fake: a body that is cut or is something else: an error, the state stays, nothing is skipped" {
	local rule what n=0 many
	start_with 14
	many=$(jq -nc '[range(1; 10) | {port: .}]')
	while IFS= read -r rule; do
		n=$((n + 1))
		fake_rule "{\"path\": \"service/web-$n(\\\\?|$)\", $rule}"
		fake_service "web-$n" "$many"
	done <<-'END'
		"cut": 300
		"framing": "chunked", "cut": 300
		"framing": "close", "cut": 300
		"body": "[{\"Node\": {\"Node\": \"n\"}, \"Service\": {\"ID\": \"x\""
		"body": "[] []"
		"body": "[]]"
		"body": ""
		"body": "<html><body>Welcome</body></html>"
		"body": "upstream connect error"
		"body": "{}"
		"body": "null"
		"body": "[\"\\ud800"
	END
	[ "$n" -eq 12 ]
	for n in {1..12}; do
		wait_for 10 logged "cannot read a service.* service=web-$n( |$)" || fail "web-$n: $(new_log)"
		ports_are "web-$n" '[1]'
	done
	changes web-13 2
	no_more_warnings_than 12
	fake_heal
	# What was missed is not lost with its index.
	for n in {1..12}; do wait_for 15 ports_are "web-$n" "$(jq -c 'map(.port)' <<<"$many")"; done
	nothing_lost

	for what in '"cut": 9' '"framing": "chunked", "cut": 9' '"framing": "close", "cut": 9' \
		'"body": "<html></html>"' '"body": "{\"consul\": [], \"web"' '"body": "{\"consul\": []}}"'; do
		mark
		echo "# list: $what"
		fake_rule "{\"path\": \"catalog/services\", $what}"
		wait_for 10 said '.type == "status" and .state == "disconnected" and .error != ""'
		fake_heal
		wait_for 10 is_connected
		no_more_warnings_than 1
	done
	changes web-14 2
	nothing_lost
}

@test "21: fake: an answer of 20,000 instances is read; one that is endless is an error with its name" {
	fake_start
	fake_service web '[{"port": 1}]'
	fake_service endless '[{"port": 1}]'
	jq -nc '[range(20000) | {port: (. % 60000)}]' >"$T/huge"
	fake_service huge "@$T/huge"
	watch --wait 1s
	wait_for 60 synced
	wrote 1 '.service == "huge" and (.instances | length) == 20000'
	mark
	fake_rule '{"path": "service/endless", "pad_mb": 400}'
	changes web 2
	wait_for 60 logged 'level=warn .*cannot read a service.*service=endless' || fail "$(new_log)"
	changes web 3
	echo "# at most $(peak_kb) KB"
	[ "$(peak_kb)" -lt 800000 ]
	fake_heal
	changes endless 4
	nothing_lost
}

@test "34: fake: proxies that redirect, fail or speak HTTP/1.0" {
	local rule
	start_with 2
	while IFS= read -r rule; do
		echo "# $rule"
		mark
		fake_rule "{\"path\": \".\", $rule}"
		wait_for 10 said '.type == "status" and .state == "disconnected" and .error != ""'
		fake_heal
		wait_for 10 is_connected
		no_more_warnings_than 1
	done <<-'END'
		"status": 301, "headers": {"Location": "/v1/catalog/elsewhere"}, "body": ""
		"status": 302, "headers": {"Location": "/v1/catalog/elsewhere"}, "body": "Found"
		"status": 502, "body": "<html>Bad gateway</html>"
		"status": 504, "body": ""
		"framing": "close", "cut": 12
	END
	refute_match "$(fake_targets)" elsewhere
	mark
	# Whole, it is as good as any.
	fake_rule '{"path": ".", "framing": "close", "blocking": true}'
	changes web-1 2
	changes new 3
	fake_gone new
	wait_for 10 wrote 1 '.type == "gone" and .service == "new"'
	no_more_warnings_than 0
	wrote 1 '.type == "gone"'
}
