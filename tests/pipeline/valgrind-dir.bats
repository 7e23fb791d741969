# The three programs under valgrind, writing to a directory: whatever happened, at the end nothing is
# lost and nothing was touched that is not there.
# shellcheck disable=SC2154 # some variables come from what is loaded
load pipe
load valgrind

# shellcheck disable=SC2034 # for pipe.bash
consul_version=1.20.5

setup() {
	pipe_setup
	watched_setup
	register_students
}

@test "once, and once more with something to put right" {
	run_once 0 --dir "$D"
	right
	[ "$(grep -c ' created$' "$T/results")" -eq 4 ]
	deregister_instance vm-1 student-service
	register_instance vm-5 10.10.0.15 bad-service 8080 status=passing
	run_once 1 --dir "$D"
	[ "$(grep -c ' deleted$' "$T/results")" -eq 1 ]
	found_nothing
}

@test "on and on, while the catalogue changes and Consul goes, until SIGTERM" {
	run_on --dir "$D"
	becomes_right
	all_changes
	end_all
	found_nothing
}
