# What the files of the numbered fault scenarios share that are tested on the stand-in.
# shellcheck shell=bash
# shellcheck disable=SC2154 # $T is the test's folder

load ../lib
load ../peers/fake-consul

# start_with COUNT [OPTION...]: a watcher that has said web-1 and so on, port 1 each, and waits.
start_with() {
	local n count=$1
	shift
	fake_start
	for ((n = 1; n <= count; n++)); do fake_service "web-$n" '[{"port": 1}]'; done
	watch --wait 1s --gone-after 0 "$@"
	wait_for 10 synced
	wait_for 5 fake_is ".blocked == $((count + 1))"
	mark
}

# changes NAME PORT: that arrives.
changes() {
	fake_service "$1" "[{\"port\": $2}]"
	wait_for 15 ports_are "$1" "[$2]"
}

no_more_warnings_than() { # COUNT
	[ "$(new_log | grep -cE 'level=(warn|error)')" -le "$1" ] || fail "warned too often:" "$(new_log)"
}

# Requests during the next so many seconds.
requests_in() { # SECONDS
	fake POST /stats >/dev/null
	sleep "$1"
	fake GET /stats | jq .requests
}

peak_kb() {
	awk '/^VmHWM/ { print $2 }' "/proc/$(watch_pid)/status"
}
