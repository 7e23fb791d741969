# That fake-consul, on which some of the numbered fault scenarios are tested, is like a real server
# where nothing is wrong. (See scenarios.bats.)
# shellcheck disable=SC2154 # some variables come from pipe.bash
load scenarios

# What a client sees of an answer, less what must differ.
ask() { # ADDRESS PATH
	local status body
	status=$(curl -sS -m 10 --path-as-is -D "$T/headers" -o "$T/body" -w '%{http_code}' "$1$2")
	tr -d '\r' <"$T/headers" | tr '[:upper:]' '[:lower:]' >"$T/headers.plain"
	body=$(jq -Sc 'if type == "array" and (.[0]? | type) == "object" then [.[] | {
			Node: (.Node | {Node, Address, Datacenter, Meta}), Checks: [.Checks[] | {CheckID, Status, Node}],
			Service: (.Service | {ID, Service, Address, Port, Tags, Meta, Weights: (.Weights | {Passing, Warning}),
				Kind: (.Kind // "")})}] | sort_by(.Node.Node)
		elif type == "object" and has("Config") then .Config.Datacenter
		elif type == "object" then map_values(sort) else . end' "$T/body" 2>/dev/null) || body=
	# A redirect is 301 or, as newer ones do it, 307.
	echo "${status/307/301} ${body:-text} index:$(sed -nE 's/^x-consul-index: [1-9][0-9]*$/number/p' "$T/headers.plain")" \
		"leader:$(sed -n 's/^x-consul-knownleader: //p' "$T/headers.plain")"
}

index_of() { # ADDRESS PATH
	curl -sS -m 10 -D - -o /dev/null "$1$2" | tr -d '\r' | sed -nE 's/^x-consul-index: //Ip'
}

# waits ADDRESS PATH INDEX: how long a query with a wait of 1.2 seconds takes, and what its index is then.
waits() {
	local began=${EPOCHREALTIME/[.,]/} index now
	index=$(index_of "$1" "$2?index=$3&wait=1200ms")
	now=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
	jq -nr --argjson took "$now" --argjson index "$index" --argjson old "$3" '
		(if $took < 1000 then "early" elif $took < 3000 then "after" else "late" end) + " " +
		(if $index > $old then "higher" elif $index == $old then "same" else "lower" end)'
}

@test "the stand-in of the other scenarios answers as the real one does" {
	local real=$CONSUL_HTTP_ADDR fake path service=/v1/health/service/web list=/v1/catalog/services at where
	fake_start
	fake=http://$CONSUL_HTTP_ADDR
	CONSUL_HTTP_ADDR=$real
	fake_service web '[{"tags": ["b", "a"], "meta": {"k": "v"}}, {"port": 1, "status": "critical"}]'
	fake_service api '[{}]'
	register_instance node-1 10.0.0.1 web 8080 id=web-1 tag=b tag=a meta.k=v status=passing
	register_instance node-2 10.0.0.2 web 1 id=web-2 status=critical
	register_instance node-1 10.0.0.1 api 8080 id=api-1 status=passing
	for path in "$list" "$list?stale" "$list?consistent" "$service" "$service?stale" "$service?consistent" \
		/v1/health/service/WEB /v1/health/service/none /v1/health/service/ /v1/health/service/. \
		/v1/health/service/.. /v1/health/service/a%09b /v1/health/service/a%0Ab \
		/v1/nope /v1/agent/self /v1/catalog/datacenters; do
		echo "# $path"
		assert_equal "$(ask "$fake" "$path")" "$(ask "$real" "$path")"
	done
	# Newer ones serve these names, and then it need not.
	if [ "$consul_version" = 1.8.7 ]; then
		for path in a%2F%2Fb %2Fx a%2F..%2Fb; do
			assert_equal "$(ask "$fake" "/v1/health/service/$path")" "$(ask "$real" "/v1/health/service/$path")"
		done
	fi
	# A query that stands: its time runs out; what changes wakes it; what another changes does not.
	for path in "$service" "$list"; do
		for at in "$real" "$fake"; do
			assert_equal "$(waits "$at" "$path" "$(index_of "$at" "$path")")" 'after same'
			assert_equal "$(waits "$at" "$path" 1)" 'early higher'
		done
	done
	for where in real fake; do
		at=${!where}
		for path in "$service" /v1/health/service/api "$list"; do
			(sleep 0.3 && change_on "$where") &
			assert_equal "$path $(waits "$at" "$path" "$(index_of "$at" "$path")")" \
				"$path $([ "${path##*/}" = api ] && echo 'after same' || echo 'early higher')"
			wait $!
		done
	done
	# A restored snapshot wakes it with the old index, and the next read is lower.
	snapshot
	for where in real fake; do
		# The real one may register itself anew in the middle of it, at a higher index.
		restored_lower "$where" "${!where}" || restored_lower "$where" "${!where}" ||
			restored_lower "$where" "${!where}" ||
			fail "$where: no lower index after a restore"
	done
}

restored_lower() { # real|fake ADDRESS
	local at path=/v1/catalog/services
	change_on "$1"
	at=$(index_of "$2" "$path")
	(sleep 0.3 && restore_on "$1") &
	assert_equal "$1 $(waits "$2" "$path" "$at")" "$1 early same"
	wait $!
	[ "$(index_of "$2" "$path")" -lt "$at" ]
}

changed_port=20
change_on() { # real|fake
	changed_port=$((changed_port + RANDOM % 1000 + 1))
	if [ "$1" = real ]; then
		register_instance node-2 10.0.0.2 web "$changed_port" id=web-2 status=critical
	else
		fake_service web "[{}, {\"port\": $changed_port}]"
	fi
}

restore_on() { # real|fake
	if [ "$1" = real ]; then restore; else fake POST /restore '{"index": 5}' >/dev/null; fi
}
