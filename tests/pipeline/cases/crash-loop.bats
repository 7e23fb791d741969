# consul-watch killed and started again and again: whoever else talks to the agent from the same
# address is never refused. (An agent counts a killed client's blocking queries among the 200
# connections of its address until their wait ends.)
# shellcheck disable=SC2154 # some variables come from pipe.bash
load pipe

# Another client, one connection after another; writes what was not answered as it should be.
asks_all_the_time() {
	local answer n=0
	while :; do
		answer=$(curl -sS -m 5 -w ' %{http_code}' "$CONSUL_HTTP_ADDR/v1/status/leader" 2>&1) || answer+=" (curl $?)"
		n=$((n + 1))
		[[ $answer =~ ^\"[0-9.:]+\"\ 200$ ]] || echo "refused at $n: $answer"
		[ $((n % 10)) -gt 0 ] || echo "asked $n"
		sleep 0.1
	done
}

synced() {
	has_line "$T/watch.out" '"type":"synced"'
}

# crash COUNT: so many watchers, each killed when it is 0.3 to 6 s old, one right after another.
crash() {
	local n seed=${MESHPIPE_CRASH_SEED:-$$}
	RANDOM=$seed
	echo "MESHPIPE_CRASH_SEED=$seed"
	for ((n = 1; n <= $1; n++)); do
		spawn watch consul-watch
		sleep "$((RANDOM % 6)).$((RANDOM % 7 + 3))"
		alive "$(<"$T/watch.pid")" || fail "the watcher ended by itself:" "$(<"$T/watch.err")"
		kill -KILL "$(<"$T/watch.pid")"
		wait "$(<"$T/watch.pid")" || :
	done
}

# nobody_is_refused SERVICES
nobody_is_refused() {
	bulk "$1" 2
	spawn asks asks_all_the_time
	crash 10
	spawn watch consul-watch
	wait_for 10 synced
	assert_equal "$(jq -r 'select(.type == "service") | .service' "$T/watch.out" | sort -u | wc -l)" "$1"
	consul_api PUT /v1/catalog/register '{"Node": "vm-many", "SkipNodeUpdate": true, "Service":
		{"ID": "many-7-1", "Service": "many-7", "Address": "10.20.7.1", "Port": 8081}}' >/dev/null
	wait_for 10 has_line "$T/watch.out" '"port":8081'
	sleep 1
	kill "$(<"$T/asks.pid")"
	assert_equal "$(grep -v '^asked' "$T/asks.out")" ''
	assert_match "$(tail -n 1 "$T/asks.out")" '^asked [0-9]{3}'
}

@test "killed ten times with a query for each of 50 services: nobody is refused, the last one follows" {
	nobody_is_refused 50
}

@test "killed ten times with 60 services, which is too many for that: the same" {
	nobody_is_refused 60
}
