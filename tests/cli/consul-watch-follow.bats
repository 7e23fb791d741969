#!/usr/bin/env bats
# consul-watch: following a catalogue, its budget of connections, its reader and its signals.

load ../lib
load ../peers/fake-consul

# start [OPTION...]: a watcher that has said web (port 1) and api (port 2) and waits for news.
start() {
	fake_start
	fake_service web '[{"port": 1}]'
	fake_service api '[{"port": 2}]'
	watch "$@"
	wait_for 10 synced
	wait_for 5 fake_is '.blocked == 3'
}

# Queries with the index of the change.
news_is_known() { # PATHS
	[ "$(fake_targets | grep -E '[?&]index=13&' | sed 's/?.*//' | sort)" = "$1" ]
}

@test "what changes is said, and nothing else; no other service is asked about" {
	start --wait 30s
	mark
	fake POST /stats >/dev/null
	: >"$T/fake/requests"
	fake_service web '[{"port": 5}]'
	wait_for 5 ports_are web '[5]'
	# The answers to the two queries that stood, and two that stand again; beside these there may
	# be such whose first, short wait is over.
	wait_for 5 news_is_known $'/v1/catalog/services\n/v1/health/service/web'
	assert_equal "$(new_records | jq -r .type)" service
	assert_equal "$(fake_targets | grep -vE "[?&]index=(11|12|13)&" || :)" ''
}

@test "the order of tags and instances is no change" {
	start
	fake_service web '[{"id": "a", "address": "10.1.1.1", "node": "n1", "tags": ["x", "y"]}, {"id": "b", "address": "10.1.1.2", "node": "n2"}]'
	wait_for 5 ports_are web '[8080,8080]'
	mark
	fake_service web '[{"id": "b", "address": "10.1.1.2", "node": "n2"}, {"id": "a", "address": "10.1.1.1", "node": "n1", "tags": ["y", "x", "y"]}]'
	# As soon as that was taken in, the same query stands again; api tells when.
	wait_for 5 fake_is '.blocked == 3'
	fake_service api '[{"port": 3}]'
	wait_for 5 ports_are api '[3]'
	stays 1 lines_are "$T/watch.out" '"service":"web"' 2
}

@test "a service that comes is said" {
	start
	fake_service new '[{"port": 3}]'
	wait_for 5 ports_are new '[3]'
	fake_service new '[{"port": 3}, {"port": 4}]'
	wait_for 5 ports_are new '[3,4]'
}

@test "a service that goes has no instances at once, and is gone later; it may come back before" {
	start --gone-after 3s
	fake_gone web
	wait_for 5 ports_are web '[]'
	wrote 0 '.type == "gone"'
	fake_service web '[{"port": 7}]'
	wait_for 5 ports_are web '[7]'
	fake_gone api
	wait_for 5 ports_are api '[]'
	wait_for 6 wrote 1 '.type == "gone" and .service == "api" and .source == "dc1"'
	wrote 1 '.type == "gone"'
	ports_are web '[7]'
	fake_service api '[{"port": 8}]'
	wait_for 5 ports_are api '[8]'
}

@test "a service that loses its last instance without a wake of its own query is seen by the list" {
	start --wait 30s
	# Another name for the same instance: the old service's query does not wake.
	fake DELETE '/service/web?quiet' >/dev/null
	fake_service web-renamed '[{"port": 1}]'
	wait_for 5 ports_are web '[]'
	wait_for 5 ports_are web-renamed '[1]'
}

@test "a change that leaves the index as it was is seen when the wait ends" {
	start --wait 1s
	fake PUT '/service/web?quiet' '[{"port": 9}]' >/dev/null
	wait_for 5 ports_are web '[9]'
}

@test "an answer that is older than what was read meanwhile is not said" {
	start --wait 2s
	# The index stays, and the query that stands will end with what was when it began.
	fake PUT '/service/web?quiet' '[{"port": 9}]' >/dev/null
	kill -HUP "$(watch_pid)"
	wait_for 5 ports_are web '[9]'
	wait_for 5 lines_are "$T/fake/requests" 'service/web\?.*index=' 2
	stays 0.5 ports_are web '[9]'
	lines_are "$T/watch.out" '"service":"web"' 2
}

@test "a restored snapshot is seen at once, not when the wait ends" {
	local streaming port=2 round=0
	start --wait 30s --gone-after 0
	for streaming in false true; do
		port=$((port + 1)) round=$((round + 1))
		fake POST /set "{\"streaming\": $streaming}" >/dev/null
		fake_service old '[{}]'
		wait_for 5 ports_are old '[8080]'
		wait_for 5 fake_is '.blocked == 4'
		fake PUT '/service/web?quiet' "[{\"port\": $port}]" >/dev/null
		fake POST /restore "{\"index\": $port, \"remove\": [\"old\"]}" >/dev/null
		wait_for 5 ports_are web "[$port]"
		wait_for 8 wrote "$round" '.type == "gone" and .service == "old"'
		# The lower indexes are followed from now on.
		fake_service web "[{\"port\": 5$port}]"
		wait_for 5 ports_are web "[5$port]"
	done
	wrote 2 '.type == "gone"'
}

@test "everything is said again from time to time, as a snapshot" {
	start --resync 2s
	wait_for 10 synced 3
	# Each snapshot is start, both services, synced; all of the same id.
	assert_equal "$(records 'select(.type != "status") | .type' | head -n 12 | tr '\n' ' ')" \
		"$(printf '"start" "service" "service" "synced" %.0s' 1 2 3)"
	assert_equal "$(records 'select(.snapshot) | .snapshot' | sort | uniq -c | awk '{ print $1 }' | sort -u)" 2
	wrote 0 '.type == "synced" and .services != 2'
}

@test "SIGHUP says everything again, as a snapshot" {
	start
	mark
	kill -HUP "$(watch_pid)"
	wait_for 5 synced 2
	assert_equal "$(new_records | jq -r .type | tr '\n' ' ')" 'start service service synced '
	assert_equal "$(new_records | jq -r '.service // empty' | sort | tr '\n' ' ')" 'api web '
	assert_equal "$(new_records | jq -r '.snapshot // empty' | uniq | wc -l)" 1
}

@test "a service that comes or goes during a snapshot is counted" {
	fake_start
	local name
	for name in a b c; do fake_service "$name" '[{"port": 1}]'; done
	fake_rule '{"path": "service/c", "status": 500}'
	watch --gone-after 0
	wait_for 5 warned 'cannot read a service'
	fake_service d '[{"port": 1}]'
	wait_for 5 ports_are d '[1]'
	fake_gone a
	wait_for 5 wrote 1 '.type == "gone"'
	fake_service a '[{"port": 2}]'
	wait_for 5 ports_are a '[2]'
	fake_gone b
	wait_for 5 wrote 2 '.type == "gone"'
	fake_heal
	wait_for 10 synced
	# All names that were said, also the one that is gone.
	wrote 1 '.type == "synced" and .services == 4'
}

@test "gone services are forgotten in any order" {
	# The last service that a snapshot waits for goes while another one that is gone still waits
	# to be forgotten with that snapshot.
	fake_start
	local name
	for name in a b c; do fake_service "$name" '[{"port": 1}]'; done
	fake_rule '{"path": "service/c", "status": 500}'
	watch --gone-after 2s
	wait_for 5 warned 'cannot read a service'
	fake_gone b
	wait_for 5 ports_are b '[]'
	wait_for 5 wrote 1 '.type == "gone"'
	fake_gone a
	wait_for 5 ports_are a '[]'
	fake_heal
	fake_rule '{"path": "service/a", "hold": true}'
	kill -HUP "$(watch_pid)"
	wait_for 10 wrote 2 '.type == "gone"'
	wait_for 5 synced
	# c, and a, of which nothing was said in this snapshot but that it is gone.
	wrote 1 '.type == "synced" and .services == 2'
	fake_heal
	fake_service a '[{"port": 4}]'
	fake_service b '[{"port": 5}]'
	wait_for 10 ports_are a '[4]'
	wait_for 10 ports_are b '[5]'
}

@test "a status is said at every change of state, and every ten seconds" {
	start
	jq -se '[.[] | select(.type == "status")][0] | .program == "consul-watch" and .source == "dc1" and
		.state == "connected" and (.counters | .services >= 0 and .queries > 0 and .errors == 0 and
		.records >= 0 and .changes == 0)' "$T/watch.out"
	fake_rule '{"path": ".", "drop": true}'
	wait_for 5 wrote_any '.type == "status" and .state == "disconnected" and .error != ""'
	fake_heal
	wait_for 5 wrote 2 '.type == "status" and .state == "connected" and .error == null'
	mark
	wait_for 13 said '.type == "status" and .state == "connected" and .counters.errors > 0'
}

# The examples of a manual page, each on one line.
manual_examples() {
	awk '/^\.Ed/ { if (json) print text; text = ""; open = json = 0 }
		open { if (text == "") json = /^\{"/; text = text $0 }
		/^\.Bd -literal/ { open = 1 }' "$REPO/docs/meshpipe-records.5"
}

@test "records have the fields that the manual shows" {
	local type fields='keys - ["last", "error"] + (.instances[0]? // {} | keys) + (.counters // {} | keys)'
	start --gone-after 0
	fake_gone web
	wait_for 5 wrote 1 '.type == "gone"'
	for type in start service gone synced status; do
		assert_equal "$(records "select(.type == \"$type\") | $fields" | sort -r | head -n 1)" \
			"$(manual_examples | jq -c "select(.type == \"$type\") | $fields" | sort -r | head -n 1)"
	done
	# The one without instances has what is left of the last.
	assert_equal "$(records 'select(.instances == []) | [keys, .last | keys]')" \
		"$(manual_examples | jq -c 'select(.instances == []) | [keys, .last | keys]')"
	[ "$(manual_examples | jq -r .type | sort -u | wc -l)" -eq 8 ]
}

# --- the budget of connections

# under_load SERVICES CONNECTIONS: all are said, and at no time are there more connections.
under_load() {
	fake_start
	fake POST /many "{\"count\": $1}" >/dev/null
	watch --max-conns "$2" --gone-after 0
	wait_for 20 synced
	wrote 1 ".type == \"synced\" and .services == $1"
	assert_equal "$(records '.service // empty' | sort -u | wc -l)" "$1"
	fake_service many-0007 '[{"port": 77}]'
	wait_for 10 ports_are many-0007 '[77]'
	fake_gone many-0008
	wait_for 10 wrote 1 '.type == "gone" and .service == "many-0008"'
	fake_service one-more '[{"port": 5}]'
	wait_for 10 ports_are one-more '[5]'
	wrote 1 '.type == "gone"'
	echo "# $(fake GET /stats)"
	fake_is ".max_connections <= $2"
}

@test "more services than connections: all are said, in sweeps, and the budget is kept" {
	under_load 60 6
	lines_are "$T/watch.err" 'level=warn .*more services than connections' 1
	# Fewer of them: back to a query on each, which is said nowhere but felt.
	local n
	for n in {1..60}; do fake_gone "many-$(printf %04d "$n")"; done
	wait_for 20 fake_is '.blocked == 2'
	fake_service one-more '[{"port": 6}]'
	wait_for 5 ports_are one-more '[6]'
}

@test "the smallest budget does" {
	under_load 20 4
}

@test "services that fit the budget have a query each" {
	under_load 50 64
	wait_for 5 fake_is '.blocked == 51'
	refute_match "$(cat "$T/watch.err")" 'level=(warn|error)'
}

@test "a place that becomes free is taken" {
	# One blocking query fits beside the list. When its service goes, that query stands on.
	fake_start
	fake POST /set '{"streaming": true}' >/dev/null
	fake_service a '[{"port": 1}]'
	watch --max-conns 4 --wait 4s --gone-after 0
	wait_for 5 synced
	wait_for 5 fake_is '.blocked == 2'
	fake DELETE '/service/a?quiet' >/dev/null
	fake_service b '[{"port": 2}]'
	wait_for 5 ports_are b '[2]'
	wait_for 5 wrote 1 '.type == "gone"'
	# The list's and that of a, which ends some time; then there is one for b.
	wait_for 10 has_line "$T/fake/requests" 'service/b\?.*index='
	fake_service b '[{"port": 3}]'
	wait_for 5 ports_are b '[3]'
}

# --- the reader

@test "a reader that goes away ends it with 74, also while there is nothing to say" {
	start_into_pipe
	wait_for 5 fake_is '.blocked == 3'
	exec 7<&-
	wait_exit watch 5
	assert_status 74
	assert_match "$(cat "$T/watch.err")" 'level=error msg="nobody reads our output"'
	assert_equal "$(grep -c . "$T/watch.err")" 3
}

# As start, but with a pipe on its output that descriptor 7 reads when the test says so.
start_into_pipe() {
	fake_start
	fake_service web '[{"port": 1}]'
	fake_service api '[{"port": 2}]'
	mkfifo "$T/pipe"
	# shellcheck disable=SC2016 # for the inner shell
	spawn watch bash -c 'exec consul-watch --wait 2s >"$0"' "$T/pipe"
	exec 7<"$T/pipe"
}

rss_kb() {
	awk '/^VmRSS/ { print $2 }' "/proc/$(watch_pid)/status"
}

@test "a reader that stops costs freshness, not memory, and gets the latest state" {
	local meta n before
	fake_start
	# A megabyte of records, far more than a pipe and a buffer hold.
	meta=$(printf 'x%.0s' {1..10000})
	for n in {10..99}; do
		fake PUT "/service/many-$n" "[{\"port\": 1, \"meta\": {\"k\": \"$meta\"}}]" >/dev/null
	done
	mkfifo "$T/pipe"
	# What a sanitizer keeps of freed memory is not ours.
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:quarantine_size_mb=0
	# shellcheck disable=SC2016 # for the inner shell
	spawn watch bash -c 'exec consul-watch --max-conns 200 >"$0"' "$T/pipe"
	exec 7<"$T/pipe"
	wait_for 10 fake_is '.blocked == 91'
	before=$(rss_kb)
	# Nobody reads; all is said anew again and again, and some of it changes.
	for n in {1..20}; do
		kill -HUP "$(watch_pid)"
		wait_for 5 lines_are "$T/watch.err" 'saying everything again' "$n"
		fake PUT /service/many-50 "[{\"port\": $((1000 + n))}]" >/dev/null
		fake_gone "many-$((70 + n))"
	done
	wait_for 5 fake_is '.blocked >= 70'
	sleep 1.5
	# Said 21 times over, it would be 20 MB.
	echo "# $before KB before, $(rss_kb) KB now"
	[ "$(($(rss_kb) - before))" -lt 8000 ]
	cat <&7 >"$T/watch.out" &
	echo $! >"$T/reader.pid"
	exec 7<&-
	wait_for 10 synced
	wait_for 5 ports_are many-50 '[1020]'
	wait_for 5 ports_are many-80 '[]'
	# What was in the pipe, and each service once more.
	[ "$(records 'select(.type == "service")' | wc -l)" -lt 150 ]
	assert_equal "$(records 'select(.type == "start").snapshot' | tail -n 1)" \
		"$(records 'select(.type == "synced").snapshot' | tail -n 1)"
	# Deregistration alone is nothing to warn of, however often it is looked at.
	refute_match "$(cat "$T/watch.err")" 'level=(warn|error)'
	kill "$(<"$T/reader.pid")"
}

# --- signals

@test "SIGTERM and SIGINT end it within a second, with 0, whatever it does" {
	local signal state
	for signal in TERM INT; do
		for state in settled disconnected slow; do
			echo "# SIG$signal while $state"
			fake_start
			fake_service web '[{"port": 1}]'
			[ "$state" != slow ] || fake_rule '{"path": "health", "hold": true}'
			watch --wait 60s
			case $state in
			settled) wait_for 5 synced ;;
			slow) wait_for 5 has_line "$T/watch.err" connected ;;
			disconnected)
				fake_rule '{"path": ".", "drop": true}'
				wait_for 5 warned 'cannot reach consul'
				;;
			esac
			kill -s "$signal" "$(watch_pid)"
			wait_exit watch 2
			assert_status 0
			kill "$(<"$T/fake.pid")"
			rm -r "$T/fake" "$T/watch.out" "$T/watch.err"
		done
	done
}

@test "SIGTERM ends it within a second while nobody reads" {
	start_into_pipe
	printf '[{"meta": {"k": "%0200000d"}}]' 1 >"$T/big"
	fake PUT /service/big "@$T/big" >/dev/null
	wait_for 5 fake_is '.blocked == 4'
	kill -TERM "$(watch_pid)"
	wait_exit watch 2
	assert_status 0
	exec 7<&-
}
