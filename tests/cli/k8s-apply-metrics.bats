# k8s-apply --metrics: what monitoring is told over HTTP. The target is a directory: no server is needed.
# shellcheck disable=SC2016,SC2154 # bash -c gets its words as arguments; some variables come from bats
load ../lib

setup() {
	common_setup
	unset MESHPIPE_LOG_LEVEL MESHPIPE_LOG_FORMAT MESHPIPE_METRICS
	D=$T/D
}

# A run that goes on: what is written to $in is its input. Sets $at, where it is asked.
continuous() { # ADDRESS [OPTION...]
	mkfifo "$T/in"
	spawn k8s-apply bash -c 'exec k8s-apply "$@" <"$0"' "$T/in" --dir "$D" -n mesh --metrics "$@"
	exec {in}>"$T/in"
	wait_for 10 has_line "$T/k8s-apply.err" 'msg="numbers for monitoring are at /metrics" address='
	at=http://$(sed -n 's/.* address=//p' "$T/k8s-apply.err")
}

get() { # PATH [OPTION...]
	curl -sS -g -m 10 "${@:2}" "$at$1"
}

status_of() { # PATH [OPTION...]
	get "$@" -o /dev/null -w '%{http_code}'
}

status_is() { # STATUS PATH [OPTION...]
	[ "$(status_of "${@:2}")" = "$1" ]
}

# The number behind a name and its labels.
number() { # SERIES
	get /metrics | awk -v series="$1" 'index($0, series " ") == 1 { print $NF }'
}

is() { # SERIES NUMBER
	[ "$(number "$1")" = "$2" ]
}

apply() { # KEY AT-MS
	printf '{"type":"apply","source":"dc1","key":"%s","at":%s,"objects":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"}}],"keep":[]}\n' "$1" "$2" "$1"
}

status() { # STATE
	printf '{"type":"status","program":"consul-watch","source":"dc1","state":"%s","counters":{"services":2,"queries":31}}\n' "$1"
}

@test "/metrics, /healthz and /readyz are served while it runs" {
	continuous 127.0.0.1:0
	assert_match "$at" '^http://127\.0\.0\.1:[0-9]+$'
	status_is 200 /healthz
	status_is 503 /readyz
	assert_equal "$(get /readyz)" 'not ready: nothing has come from the input yet'
	get /metrics | "$REPO/tests/check-metrics"

	{
		status connected
		printf '{"type":"start","source":"dc1","snapshot":"1","scope":"all"}\n'
		apply a "$((${EPOCHREALTIME/[.,]/} / 1000 - 70000))"
		apply b 1
		printf '{"type":"synced","source":"dc1","snapshot":"1","services":2}\n'
		echo garbage
	} >&"$in"
	wait_for 10 is meshpipe_unreadable_total 1
	wait_for 10 is 'meshpipe_objects{state="owned"}' 2
	assert_equal "$(get /readyz)" ok
	get /metrics >"$T/metrics"
	"$REPO/tests/check-metrics" <"$T/metrics"
	for line in 'meshpipe_writes_total{action="created"} 2' 'meshpipe_writes_total{action="deleted"} 0' \
		'meshpipe_objects{state="failed"} 0' 'meshpipe_operations_queued 0' 'meshpipe_leader 1' \
		'meshpipe_frozen 0' 'meshpipe_target_usable 1' 'meshpipe_source_fresh{source="dc1"} 1' \
		'meshpipe_consul_watch_queries{source="dc1"} 31' 'meshpipe_delay_seconds_count 2' \
		'meshpipe_delay_seconds_bucket{le="60"} 0' 'meshpipe_delay_seconds_bucket{le="300"} 1'; do
		grep -qxF "$line" "$T/metrics" || fail "no line '$line' in:" "$(<"$T/metrics")"
	done
	[ "$(number 'meshpipe_last_sync_timestamp_seconds{source="dc1"}' | cut -d. -f1)" -ge "$((EPOCHSECONDS - 600))" ]
	[ "$(number meshpipe_process_resident_memory_bytes)" -gt 1000000 ]

	status disconnected >&"$in"
	wait_for 10 is 'meshpipe_source_fresh{source="dc1"}' 0
	mkdir -p "$D/.meshpipe" && touch "$D/.meshpipe/freeze"
	apply c 1 >&"$in"
	wait_for 10 is meshpipe_frozen 1
	is 'meshpipe_operations_queued' 1
	exec {in}>&-
	wait_exit k8s-apply
	run ! get /healthz
}

@test "who asks for something else is told what there is, and nobody can keep it from its work" {
	continuous '[::1]:0'
	assert_match "$at" '^http://\[::1\]:[0-9]+$'
	assert_equal "$(get /)" 'there are /metrics, /healthz and /readyz'
	status_is 404 /
	[ "$(status_of /metrics -X DELETE)" = 405 ]
	[ "$(status_of /metrics -d text)" = 405 ]
	assert_match "$(get /metrics -I)" '^Content-Type: text/plain; version=0\.0\.4; charset=utf-8'
	[ "$(get /metrics -I | grep -c meshpipe_)" -eq 0 ]
	# More than there may be, and none of them says anything.
	python3 - "${at#http://\[::1\]:}" <<-'END' 3>&- &
		import socket, sys, time
		all = []
		for i in range(100):
		    s = socket.create_connection(("::1", int(sys.argv[1])), timeout=5)
		    s.sendall(b"GET /metr")
		    all.append(s)
		print("open", flush=True)
		time.sleep(60)
	END
	silent=$!
	apply a 1 >&"$in"
	wait_for 10 has_line "$T/k8s-apply.out" '^configmap/a created$'
	kill "$silent"
	wait_for 20 status_is 200 /healthz
	exec {in}>&-
	wait_exit k8s-apply
	assert_status 0
}

@test "more connections than there may be at a time are no end of it" {
	continuous 127.0.0.1:0
	# All of them go at one moment, as it sees it.
	python3 - "${at##*:}" "$(<"$T/k8s-apply.pid")" <<-'END' 3>&-
		import os, signal, socket, sys, time
		all = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5) for i in range(40)]
		time.sleep(0.5)
		os.kill(int(sys.argv[2]), signal.SIGSTOP)
		for s in all:
		    s.close()
		os.kill(int(sys.argv[2]), signal.SIGCONT)
	END
	wait_for 5 status_is 200 /healthz -m 2
	exec {in}>&-
	wait_exit k8s-apply
	assert_status 0
}

@test "an address that is none, and one that is taken, are one line and status 64 and 71" {
	local address
	for address in '' 9105 127.0.0.1 1:2:3 '[::1]' '::1:80' localhost:99999 :http; do
		run --separate-stderr k8s-apply --dir "$D" --metrics "$address" </dev/null
		assert_status 64
		assert_one_line "$stderr"
		assert_match "$stderr" "option '--metrics': '.*' is no address to listen on, such as 127\.0\.0\.1:9105"
	done
	continuous 127.0.0.1:0
	run --separate-stderr k8s-apply --dir "$T/other" --metrics "${at#http://}" </dev/null
	assert_status 71
	assert_one_line "$stderr"
	assert_match "$stderr" "option '--metrics': cannot listen on '127\.0\.0\.1:[0-9]*': Address already in use"
	[ ! -e "$T/other" ]
	exec {in}>&-
	wait_exit k8s-apply
}

@test "the environment asks for it, too, and without either nothing listens" {
	mkfifo "$T/in"
	MESHPIPE_METRICS=127.0.0.1:0 spawn asked bash -c 'exec k8s-apply "$@" <"$0"' "$T/in" --dir "$D"
	exec {in}>"$T/in"
	wait_for 10 has_line "$T/asked.err" 'address=127\.0\.0\.1:'
	exec {in}>&-
	wait_exit asked
	spawn quiet bash -c 'exec k8s-apply "$@" <"$0"' "$T/in" --dir "$D"
	exec {in}>"$T/in"
	apply a 1 >&"$in"
	wait_for 10 has_line "$T/quiet.out" created
	assert_equal "$(<"$T/quiet.err")" ''
	assert_equal "$(find "/proc/$(<"$T/quiet.pid")/fd" -lname 'socket:*')" ''
	exec {in}>&-
	wait_exit quiet
}
