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
recording='consul-watch --once > records.ndjson'
explain='mesh-map explain *'
accept='*mesh-map test --accept team.test'
whole_test='echo *m::*mesh-map test'
cluster_look='consul-watch * k8s-apply diff -n mesh'
cluster_once='consul-watch * k8s-apply -n mesh'
cluster_for_good='meshpipe run -n mesh'
known=("$registered" "$no_traffic" "$one_service" "$directory" "$dry_run" "$recorded" "$for_good" "$own_program"
	"$cluster_look" "$cluster_once" "$cluster_for_good" "$recording" "$explain" "$accept" "$whole_test")

setup() {
	pipe_setup
	mkdir "$T/blocks" "$T/work"
	cd "$T/work" || return
	D=$T/work/manifests
	awk -v to="$T/blocks" '
		/^```/ && in_block { in_block = 0; next }
		/^```(sh|jq|yaml)$/ { in_block = 1; file = sprintf("%s/%02d.%s", to, ++n, substr($0, 4)); next }
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
	sed 's|location: [^,]*,|location: "MESH_EXTERNAL",|' "$REPO/mesh-map/filters/workload-entries.jq" >my.jq
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

# The WorkloadEntries of the namespace mesh.
entries() {
	kube_api "$T/kube" GET /apis/networking.istio.io/v1/namespaces/mesh/workloadentries | jq -r '.items[].spec.address' | xargs
}

entries_are() { # ADDRESSES
	[ "$(entries)" = "$1" ]
}

@test "into a cluster: look, once, for good" {
	# shellcheck source=tests/peers/kube.bash
	source "$REPO/tests/peers/kube.bash"
	"$REPO/tests/peers/kube" start "$T/kube" --owner "$$" >/dev/null 3>&-
	export KUBECONFIG=$T/kube/kubeconfig
	run_block "$cluster_look"
	assert_status 3
	assert_equal "$(grep -c '^+++ ' <<<"$output")" 5
	assert_equal "$(entries)" ''

	run_block "$cluster_once"
	assert_status 0
	assert_equal "$(grep -c ' created$' <<<"$output")" 5
	assert_equal "$(entries)" '10.10.0.11 10.10.0.12 10.10.0.13'

	spawn_block pipe "$cluster_for_good"
	deregister_instance vm-3 student-service
	wait_for 20 entries_are '10.10.0.11 10.10.0.12'
	"$REPO/tests/peers/kube" kill "$T/kube" 3>&-
}

# The files that README.md shows, by the names in their first lines.
write_files() {
	local file
	for file in "$T/blocks"/*.jq "$T/blocks"/*.yaml; do
		cp "$file" "$(sed -nE '1s/^# ([a-z]+\.[a-z]+): .*/\1/p' "$file")"
	done
}

@test "a program of one's own beside the default" {
	ln -s "$REPO/mesh-map" mesh-map
	write_files
	run_block "$own_program"
	assert_status 0
	assert_equal "$("$PIPELINE/objects" "$D" | jq -r '.object | select(.kind == "DestinationRule") | .spec.host' | xargs)" \
		'course-service.service.consul student-service.service.consul'
	assert_equal "$("$PIPELINE/objects" "$D" | jq -r .object.kind | sort | uniq -c | xargs)" \
		'2 DestinationRule 2 ServiceEntry 3 WorkloadEntry'
}

@test "a mapping of one's own, step by step" {
	register_instance vm-1 10.10.0.11 student-service 9098 tag=version=v1 meta.team=blue status=passing
	deregister_instance vm-3 student-service
	write_files
	run_block "$recording"
	assert_status 0
	run_block "$explain"
	assert_status 0
	assert_match "$output" '^# settings other than the defaults: 2 '
	assert_match "$output" 'DestinationRule'
	assert_match "$output" 'team"?: "?blue'
	assert_match "$output" 'number"?: 8080'

	run_block "$accept"
	assert_status 0
	assert_match "$output" '^0 passed, 1 accepted, 0 failed$'
	assert_equal "$(tail -n +3 team.test | jq -r .kind | xargs)" 'ServiceEntry WorkloadEntry WorkloadEntry DestinationRule'
	run_block "$whole_test"
	assert_status 0
	assert_match "$output" '^2 passed, 0 failed$'

	sed -i 's/consecutive5xxErrors: 5/consecutive5xxErrors: 7/' team.jq
	run --separate-stderr mesh-map test
	assert_status 1
	assert_match "$output" '^ +\+ +"consecutive5xxErrors": 7'
}
