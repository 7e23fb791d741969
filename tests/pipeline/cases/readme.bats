# What README.md gives to type works as it stands there: each of its sh blocks is run here.
load pipe

# One glob for each block, as a whole.
registered="consul-watch --once | jq *| .service'"
no_traffic='consul-watch | jq *.status != "passing"*'
one_service='consul-watch --once --service student-service | mesh-map | jq *'
directory='consul-watch --once | mesh-map | k8s-apply --dir manifests'
dry_run='consul-watch * k8s-apply --dir manifests --dry-run=client'
recorded='consul-watch --once > catalogue.ndjson*'
for_good='meshpipe run --dir manifests'
own_program='consul-watch * -f team.jq *'
known=("$registered" "$no_traffic" "$one_service" "$directory" "$dry_run" "$recorded" "$for_good" "$own_program")

setup() {
	pipe_setup
	mkdir "$T/blocks" "$T/work"
	cd "$T/work" || return
	D=$T/work/manifests
	awk -v to="$T/blocks" '
		/^```/ && in_block { in_block = 0; next }
		/^```(sh|jq)$/ { in_block = 1; file = sprintf("%s/%02d.%s", to, ++n, substr($0, 4)); next }
		in_block { print >file }' "$REPO/README.md"
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=critical
}

# The file of the one block that matches a glob.
block() { # GLOB
	local file found=()
	for file in "$T/blocks"/*.sh; do
		# shellcheck disable=SC2053 # a glob
		[[ $(<"$file") != $1 ]] || found+=("$file")
	done
	[ ${#found[@]} -eq 1 ] || fail "${#found[@]} blocks of README.md match '$1'"
	echo "${found[0]}"
}

# Sets $output, $stderr and $status.
run_block() { # GLOB
	local file
	file=$(block "$1")
	run --separate-stderr timeout 60 bash -euo pipefail "$file"
}

# One that does not end by itself: until the test does.
spawn_block() { # NAME GLOB
	local file
	file=$(block "$2")
	spawn "$1" timeout 60 bash -euo pipefail "$file"
}

@test "every block of README.md is known here, once" {
	local file glob matches
	[ "$(find "$T/blocks" -name '*.sh' | wc -l)" -eq ${#known[@]} ] || fail "not ${#known[@]} blocks:" "$(cat "$T/blocks"/*.sh)"
	for file in "$T/blocks"/*.sh; do
		matches=0
		for glob in "${known[@]}"; do
			# shellcheck disable=SC2053 # a glob
			[[ $(<"$file") != $glob ]] || matches=$((matches + 1))
		done
		[ "$matches" -eq 1 ] || fail "$matches tests know this block of README.md:" "$(<"$file")"
	done
}

@test "what is registered" {
	run_block "$registered"
	assert_status 0
	assert_equal "$(sort <<<"$output")" $'course-service\nstudent-service'
}

@test "which instances take no traffic, as it happens" {
	spawn_block pipe "$no_traffic"
	wait_for 20 has_line "$T/pipe.out" '^course-service course-service-vm-4 critical$'
	set_check vm-2 student-service warning
	wait_for 20 has_line "$T/pipe.out" '^student-service student-service-vm-2 warning$'
	lines_are "$T/pipe.out" '' 2
}

@test "manifests of one service" {
	run_block "$one_service"
	assert_status 0
	assert_equal "$(jq -r .kind <<<"$output" | sort | uniq -c | xargs)" '1 ServiceEntry 3 WorkloadEntry'
	assert_equal "$(jq -r '.spec.hosts[0]? // empty' <<<"$output")" student-service.service.consul
}

@test "a directory that holds the whole catalogue, and what would change in it" {
	run_block "$directory"
	assert_status 0
	right

	deregister_instance vm-3 student-service
	take_picture before
	run_block "$dry_run"
	assert_status 0
	assert_one_line "$output"
	assert_match "$output" '^workloadentry\.networking\.istio\.io/student-service\S* deleted \(dry run\)$'
	untouched
}

@test "a recorded catalogue, mapped with another program" {
	sed s/MESH_INTERNAL/MESH_EXTERNAL/ "$REPO/mesh-map/filters/workload-entries.jq" >my.jq
	run_block "$recorded"
	assert_status 0
	assert_equal "$(jq -r .type catalogue.ndjson | xargs)" 'start service service synced'
	assert_equal "$(grep -l MESH_EXTERNAL try/dc1/* | xargs)" 'try/dc1/course-service.yaml try/dc1/student-service.yaml'
}

@test "for good" {
	spawn_block pipe "$for_good"
	right
	deregister_instance vm-3 student-service
	right
}

@test "a program of one's own beside the default" {
	local file
	ln -s "$REPO/mesh-map" mesh-map
	for file in "$T/blocks"/*.jq; do
		cp "$file" "$(sed -nE '1s/^# ([a-z]+\.jq): .*/\1/p' "$file")"
	done
	run_block "$own_program"
	assert_status 0
	assert_equal "$("$PIPELINE/objects" "$D" | jq -r '.object | select(.kind == "DestinationRule") | .spec.host' | xargs)" \
		'course-service.service.consul student-service.service.consul'
	assert_equal "$("$PIPELINE/objects" "$D" | jq -r .object.kind | sort | uniq -c | xargs)" \
		'2 DestinationRule 2 ServiceEntry 3 WorkloadEntry'
}
