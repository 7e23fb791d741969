# What valgrind-cluster.bats and valgrind-dir.bats share: the three programs, each under valgrind,
# joined by pipes that end when the test says so. `load valgrind` after what says where it writes.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # some variables are for the tests, some come from bats

# Of what is under way everything takes twenty times as long.
patience_s=120

# A build with sanitizers goes without valgrind, which it cannot run in: what finds leaks and wrong
# accesses there is in the programs, and must have found nothing.
watched_setup() {
	is_sanitized || command -v valgrind >/dev/null || skip "no valgrind here (scripts/install-deps test)"
	mkdir "$T/found"
	export ASAN_OPTIONS=log_path=$T/found/sanitizer:exitcode=99:detect_leaks=1
	export UBSAN_OPTIONS=log_path=$T/found/sanitizer:exitcode=99:print_stacktrace=1:halt_on_error=1
	# One service is mapped with an error each time.
	echo 'if .service == "bad-service" then error("no") else empty end' >"$T/mine.jq"
	mapping=(-f workload-entries.jq -f "$T/mine.jq")
}

# watched PROGRAM ARGUMENT...
watched() {
	local program=$1
	shift
	! is_sanitized || exec "$MESHPIPE_BIN/$program" "$@"
	exec valgrind --leak-check=full --show-leak-kinds=definite,indirect,possible \
		--errors-for-leak-kinds=definite,indirect --error-exitcode=99 --child-silent-after-fork=yes \
		--log-file="$T/found/$program.%p" "$MESHPIPE_BIN/$program" "$@"
}

# between IN OUT PROGRAM ARGUMENT...: with that as its input and output.
between() {
	watched "${@:3}" <"$1" >"$2"
}

# Of all that was run, one report each, none has a leak or an access to what is not there. (A
# summary of few allocations would be that of something else.)
found_nothing() {
	local report
	if is_sanitized; then
		for report in "$T"/found/*; do
			[ ! -e "$report" ] || fail "$(<"$report")" || return
		done
		return
	fi
	for report in "$T"/found/{consul-watch,mesh-map,k8s-apply}.*; do
		if ! has_line "$report" 'ERROR SUMMARY: 0 errors' ||
			! has_line "$report" 'total heap usage: [0-9]+,[0-9,]+ allocs' ||
			! has_line "$report" 'All heap blocks were freed|definitely lost: 0 bytes'; then
			fail "$report" "$(<"$report")" || return
		fi
	done
}

# ends NAME STATUS
ends() {
	wait_exit "$1" "$patience_s"
	[ "$status" -eq "$2" ] || fail "$1 ended with $status, not with $2" "$(<"$T/$1.err")" "$(cat "$T/found"/*)"
}

# --- the two ways to run

# run_once STATUS OPTION...: as `meshpipe once`, one after another; the options are k8s-apply's, the
# status is mesh-map's (1: not all could be mapped, which is no failure of who comes after it).
run_once() {
	spawn consul-watch between /dev/null "$T/records" consul-watch --once
	ends consul-watch 0
	spawn mesh-map between "$T/records" "$T/sets" mesh-map "${mapping[@]}"
	ends mesh-map "$1"
	spawn k8s-apply between "$T/sets" "$T/results" k8s-apply "${@:2}"
	ends k8s-apply 0
}

# As `meshpipe run`, but that the end of one is no end of input for the next.
run_on() {
	mkfifo "$T/to-map" "$T/to-apply"
	exec {to_map}<>"$T/to-map" {to_apply}<>"$T/to-apply"
	spawn consul-watch between /dev/null "$T/to-map" consul-watch --wait 5s
	spawn mesh-map without_pipes between "$T/to-map" "$T/to-apply" mesh-map "${mapping[@]}"
	spawn k8s-apply without_pipes between "$T/to-apply" "$T/results" k8s-apply "$@"
	wait_for "$patience_s" has_line "$T/k8s-apply.err" 'msg=synced'
}

without_pipes() {
	exec {to_map}>&- {to_apply}>&-
	"$@"
}

# Told to end, where there is something to tell; mesh-map ends with its input, and has not mapped all.
end_all() {
	local name
	for name in k8s-apply consul-watch; do
		kill "$(<"$T/$name.pid")"
		ends "$name" 0
	done
	exec {to_map}>&-
	ends mesh-map 1
	exec {to_apply}>&-
}

becomes_right() {
	wait_for "$patience_s" right
}

# Of everything something, as far as the catalogue goes.
all_changes() {
	register_instance vm-4 10.10.0.14 student-service 9098 tag=version=v3 status=passing
	register_instance vm-4 10.10.0.14 course-service 8080 meta.version=v1 status=passing
	becomes_right
	register_instance vm-1 10.10.0.11 student-service 9098 tag=version=v2 status=passing
	set_check vm-2 student-service critical
	deregister_instance vm-3 student-service
	becomes_right
	set_check vm-2 student-service passing
	set_node_check vm-1 critical
	kill -HUP "$(<"$T/consul-watch.pid")"
	becomes_right
	register_instance vm-5 10.10.0.15 bad-service 8080 status=passing
	wait_for "$patience_s" has_line "$T/mesh-map.err" 'level=error .*mapping failed.*bad-service'
	deregister_node vm-5
	consul_do kill
	wait_for "$patience_s" has_line "$T/consul-watch.err" 'cannot reach consul'
	consul_do start
	wait_for "$patience_s" lines_are "$T/consul-watch.err" 'msg=connected' 2
	set_node_check vm-1 passing
	becomes_right
}
