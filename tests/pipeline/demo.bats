# make demo: the first thing that a newcomer sees.
load ../lib

setup() {
	common_setup
	need_consul
	export TMPDIR=$T/tmp
	mkdir "$TMPDIR"
}

# Of this run: their command lines name its folder.
no_process_left() {
	! pgrep -af -- "$TMPDIR/"
}

@test "it shows every step, ends by itself and leaves nothing" {
	run --separate-stderr "$REPO/scripts/demo" 3>&-
	assert_status 0
	assert_equal "${stderr-}" ''
	refute_match "$output" $'\e'
	assert_match "$output" '^# manifests/dc1/student-service.yaml$'
	assert_match "$output" '^  - student-service.service.consul$'
	assert_match "$output" '^\+    version: v3$'
	assert_match "$output" '^-  address: "10.10.0.12"$'
	assert_match "$output" '^\+  address: "10.10.0.12"$'
	assert_match "$output" '^-  address: "10.10.0.11"$'
	assert_match "$output" '^-kind: ServiceEntry$'
	assert_match "$output" 'consul-watch --once \| mesh-map \| k8s-apply --dir manifests'
	assert_equal "$(ls -A "$TMPDIR")" ''
	wait_for 5 no_process_left
}

@test "it has colour on a terminal" {
	TERM=xterm run script -qefc "$REPO/scripts/demo" /dev/null 3>&-
	assert_status 0
	assert_match "$output" $'\e\\[32m\\+    version: v3'
}

@test "when a program ends it says so with that program's words, and leaves nothing" {
	mkdir "$T/bin"
	ln -s "$MESHPIPE_BIN"/{consul-watch,k8s-apply} "$T/bin"
	printf '#!/bin/sh\necho mesh-map: no luck today >&2\nexit 70\n' >"$T/bin/mesh-map"
	chmod +x "$T/bin/mesh-map"
	MESHPIPE_BIN=$T/bin run --separate-stderr "$REPO/scripts/demo" 3>&-
	assert_status 1
	assert_match "$stderr" 'demo: the pipe ended'
	assert_match "$stderr" 'mesh-map: no luck today'
	assert_equal "$(ls -A "$TMPDIR")" ''
	wait_for 5 no_process_left
}

@test "nothing is left when it is interrupted, or killed" {
	for signal in TERM KILL; do
		spawn demo "$REPO/scripts/demo"
		wait_for 20 has_line "$T/demo.out" 'serviceentry.* created'
		kill -s "$signal" "$(<"$T/demo.pid")"
		wait_exit demo
		wait_for 5 no_process_left
		[ "$signal" = KILL ] || assert_equal "$(ls -A "$TMPDIR")" ''
	done
}
