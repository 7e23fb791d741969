# A person, or another program, changes in the cluster what the pipe has made, and says what it is
# not to do.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

# The objects of the set without what the server counts and who else has a say. The mark must name
# the object's generation.
as_made() {
	objects | jq -cS 'select(.kind != "ConfigMap") | .metadata as $m | {kind, spec, name: $m.name, labels: $m.labels,
		annotations: ($m.annotations | .["meshpipe.io/applied"] |= (. // "none" | split(".")
			| if .[3] == "\($m.generation)" then del(.[3]) else . end))}'
}

is_as_made() {
	as_made | cmp -s - "$T/made"
}

# Of the results since `before` so many match.
result() { # COUNT REGEX
	[ "$(tail -n "+$results_from" "$T/meshpipe.out" | grep -cE -- "$2")" -eq "$1" ]
}

# mends ACTION REQUEST... -- COMMAND...: a person does this to an object, and it is as it was before,
# with these requests in all and one line of the results.
mends() {
	local action=$1 requests=()
	shift
	while [ "$1" != -- ]; do
		requests+=("$1")
		shift
	done
	shift
	as_made >"$T/made"
	"$@" >/dev/null
	wait_for 10 is_as_made || fail "$(as_made | diff "$T/made" -)" "after: $*" || return
	wait_for 5 result 1 " $action\$" || fail "$(tail -n "+$results_from" "$T/meshpipe.out")" "after: $*" || return
	take_picture after
	assert_equal "$(writes before after)" "$(printf '%s\n' "${requests[@]}")" || fail "after: $*" || return
	advance 1
}

# The person's own requests count from here on no more.
a_person() { # COMMAND...
	"$@" >/dev/null && roll
}

begin() {
	register_students
	start_pipe
	right
	roll
}

@test "scenarios 18 and 19: what a person deletes or changes is put right at once, with one write" {
	begin
	mends created 'APPLY workloadentries 1' 'DELETE workloadentries 1' -- kube api DELETE "$(path_of 10.10.0.11)"
	mends created 'APPLY serviceentries 1' 'DELETE serviceentries 1' -- kube api DELETE "$(path_of student-service)"
	mends configured 'APPLY workloadentries 1' 'PATCH workloadentries 1' -- \
		person "$(path_of 10.10.0.12)" '{"spec": {"labels": {"version": "mine"}}}'
	mends configured 'APPLY workloadentries 1' 'PATCH workloadentries 1' -- \
		person "$(path_of 10.10.0.13)" '{"spec": {"address": "10.99.0.1"}}'
	mends configured 'APPLY serviceentries 1' 'PATCH serviceentries 1' -- \
		person "$(path_of student-service)" '{"spec": {"hosts": ["mine.example.com"]}}'
	end_pipe
}

@test "scenario 18: what a person takes from or changes in our words on an object is put right at once" {
	local ours=applyset.kubernetes.io/part-of
	begin
	mends configured 'APPLY workloadentries 1' 'PATCH workloadentries 1' -- \
		annotate "$(path_of 10.10.0.11)" meshpipe.io/applied
	mends configured 'APPLY workloadentries 1' 'PATCH workloadentries 1' -- \
		annotate "$(path_of 10.10.0.12)" meshpipe.io/key
	mends configured 'APPLY workloadentries 1' 'PATCH workloadentries 1' -- \
		annotate "$(path_of 10.10.0.13)" meshpipe.io/key dc1/other-service
	mends configured 'APPLY serviceentries 1' 'PATCH serviceentries 1' -- \
		person "$(path_of student-service)" '{"metadata": {"annotations": null}}'
	# Without the label it is seen to go; that it is still there the first request is told.
	mends configured 'APPLY workloadentries 2' 'PATCH workloadentries 1' -- \
		label "$(path_of 10.10.0.12)" "$ours"
	mends configured 'APPLY workloadentries 2' 'PATCH workloadentries 1' -- \
		label "$(path_of 10.10.0.13)" "$ours" applyset-of-somebody-else-v1
	mends configured 'APPLY serviceentries 2' 'PATCH serviceentries 1' -- \
		person "$(path_of student-service)" '{"metadata": {"annotations": null, "labels": null}}'
	end_pipe
}

@test "what others add to an object costs no write, and stays through ours" {
	local path
	begin
	path=$(path_of 10.10.0.12)
	a_person label "$path" team blue
	a_person annotate "$path" example.com/note hello
	a_person person "$path/status" '{"status": {"conditions": [{"type": "Healthy", "status": "True"}]}}'
	stays 1.5 untouched
	changes 'changed student-service WorkloadEntry 10.10.0.12' -- \
		register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	assert_equal "$(object WorkloadEntry 10.10.0.12 '[.metadata.labels.team, .metadata.annotations["example.com/note"],
		.status.conditions[0].type, .spec.labels.version]')" '["blue","hello","Healthy","v3"]'
	end_pipe
}

@test "hands off an object: it is neither changed nor deleted, which is said; then it is put right" {
	local path
	begin
	path=$(path_of 10.10.0.12)
	a_person annotate "$path" meshpipe.io/reconcile disabled
	register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	wait_for 10 result 1 ' skipped: .*meshpipe.io/reconcile'
	untouched
	a_person person "$path" '{"spec": {"labels": {"version": "mine"}}}'
	register_instance vm-3 10.10.0.13 student-service 9098 tag=version=v3 status=passing
	wait_for 10 result 1 ' configured'
	followed 'changed student-service WorkloadEntry 10.10.0.13'
	deregister_instance vm-2 student-service
	register_instance vm-3 10.10.0.13 student-service 9098 tag=version=v4 status=passing
	wait_for 10 result 1 ' configured'
	followed 'changed student-service WorkloadEntry 10.10.0.13'

	# The next run knows it, too.
	end_pipe
	run --separate-stderr meshpipe once -n "$NS"
	assert_status 0
	assert_one_line "$output"
	assert_match "$output" ' skipped: '
	nothing_written
	register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v5 status=passing
	start_pipe
	wait_for 10 result 1 ' skipped: '
	a_person annotate "$path" meshpipe.io/reconcile
	right
	assert_equal "$(object WorkloadEntry 10.10.0.12 .spec.labels.version)" v5
	stop_pipe
}

@test "the set is frozen: nothing is written; no longer: what was missed is made up for" {
	begin
	annotate "$(configmap)" meshpipe.io/freeze true
	wait_for 10 warned 'frozen: nothing is written'
	roll
	register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	deregister_instance vm-3 student-service
	a_person kube api DELETE "$(path_of 10.10.0.11)"
	stays 1.5 untouched
	run --separate-stderr meshpipe once -n "$NS"
	assert_status 3
	assert_one_line "$(grep 'level=' <<<"$stderr" | grep 'frozen: not everything')"
	untouched

	annotate "$(configmap)" meshpipe.io/freeze
	right
	take_picture after
	assert_equal "$(differences before after)" "$(printf '%s\n' 'changed meshpipe ConfigMap' \
		'changed student-service WorkloadEntry 10.10.0.12' 'created course-service ServiceEntry' \
		'created course-service WorkloadEntry 10.10.0.14' 'created student-service WorkloadEntry 10.10.0.11' \
		'deleted student-service WorkloadEntry 10.10.0.13')"
	assert_equal "$(writes before after)" "$(printf '%s\n' 'APPLY serviceentries 1' 'APPLY workloadentries 3' \
		'DELETE workloadentries 1' 'PATCH configmaps 1')"
	mark
	roll
	end_pipe
}

@test "many services vanish: held until a person annotates the ConfigMap" {
	register_students
	bulk 30 1
	start_pipe --gone-after 1s
	right
	deregister_node vm-many
	# So many may go by themselves; the rest is 10.
	wait_for 30 warned 'deletions held.* keys=10 '
	assert_match "$(<"$T/meshpipe.err")" "kubectl annotate configmap -n $NS meshpipe meshpipe.io/approve-deletes=10"
	roll
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	wait_for 10 result 2 'course-service.* created'
	mark
	annotate "$(configmap)" meshpipe.io/approve-deletes 9
	wait_for 10 said 1 'level=warn .*approved for fewer'
	mark
	annotate "$(configmap)" meshpipe.io/approve-deletes many
	wait_for 10 said 1 "level=warn .*'meshpipe.io/approve-deletes'.* is no number"
	assert_equal "$(objects | grep -c '"dc1/many-')" 10
	annotate "$(configmap)" meshpipe.io/approve-deletes 10
	right
	# It was for this once.
	assert_equal "$(object ConfigMap meshpipe '.metadata.annotations["meshpipe.io/approve-deletes"]')" null
	stop_pipe
}

@test "scenario 16: a foreign object of the same name is left as it is and reported; once it is gone ours is made" {
	local name=student-service.service.consul foreign
	kube apply "$NS" <<-END
		apiVersion: networking.istio.io/v1
		kind: ServiceEntry
		metadata: {name: $name, labels: {team: blue}}
		spec: {hosts: [mine.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
	END
	foreign=$(object ServiceEntry "$name")
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe
	wait_for 10 warned "conflict .*$name.*by 'tests'"
	assert_match "$(<"$T/meshpipe.out")" "^serviceentry.networking.istio.io/$name conflict: "
	roll
	register_instance vm-5 10.10.0.15 course-service 8080 status=passing
	register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	wait_for 10 result 1 ' created$'
	wait_for 10 result 1 ' configured$'
	take_picture after
	assert_equal "$(differences before after)" $'changed student-service WorkloadEntry 10.10.0.12\ncreated course-service WorkloadEntry 10.10.0.15'
	assert_equal "$(object ServiceEntry "$name")" "$foreign"
	lines_are "$T/meshpipe.err" 'level=(warn|error)' 1
	a_person kube api DELETE "$istio/namespaces/$NS/serviceentries/$name"
	kill -HUP "$(<"$T/meshpipe.pid")"
	right
	followed 'created student-service ServiceEntry'
	end_pipe
}

@test "scenario 22: an object that a person copied under another name or in another namespace is nobody's: it stays" {
	begin
	a_person kube api POST "$istio/namespaces/$NS/serviceentries" -d "$(object ServiceEntry student-service.service.consul '
		.apiVersion = "networking.istio.io/v1" | .metadata.name = "copy" | del(.metadata.uid, .metadata.resourceVersion)')"
	make_namespace "$NS-copy"
	a_person kube api POST "$istio/namespaces/$NS-copy/workloadentries" -d "$(object WorkloadEntry 10.10.0.11 '
		.apiVersion = "networking.istio.io/v1" | .metadata.namespace += "-copy"
		| del(.metadata.uid, .metadata.resourceVersion)')"
	stays 1 untouched
	[ "$(objects_of "$NS-copy" | grep -c '"kind":"WorkloadEntry"')" -eq 1 ]
	end_pipe
	run --separate-stderr meshpipe once -n "$NS"
	assert_status 0
	nothing_written
}

@test "scenario 21: what somebody changes back each time is left for longer each time, and who it is is said" {
	local path n=0
	begin
	path=$(path_of 10.10.0.12)
	until warned "conflict .*'kubectl-edit' changes it back each time"; do
		[ "$((n += 1))" -le 20 ] || fail 'no end'
		person "$path" '{"spec": {"labels": {"version": "mine"}}}'
		wait_for 10 eval "result $n ' configured' || warned 'changes it back'"
	done
	[ "$n" -ge 4 ] || fail "given up after $n"
	# Who goes on is written over less and less often: after pauses of 1, 2, 4, ... s.
	for _ in {1..60}; do
		person "$path" '{"spec": {"labels": {"version": "mine"}}}'
		sleep 0.1
	done
	n=$(grep -c ' configured$' "$T/meshpipe.out")
	[ "$n" -le 12 ] || fail "written $n times"
	# Others do not wait for it, and in the end ours holds.
	register_instance vm-3 10.10.0.13 student-service 9098 tag=version=v3 status=passing
	right
	# He is named once for each time that it is left.
	[ "$(grep -c 'kubectl-edit.* changes it back' "$T/meshpipe.err")" -le 6 ] || fail "$(<"$T/meshpipe.err")"
	stop_pipe
}

@test "the set's ConfigMap and Lease are deleted: they come back, nothing else is written" {
	begin
	kube api DELETE "$(configmap)" >/dev/null
	wait_for 10 kube api GET "$(configmap)"
	kube api DELETE "/apis/coordination.k8s.io/v1/namespaces/$NS/leases/meshpipe" >/dev/null
	wait_for 15 kube api GET "/apis/coordination.k8s.io/v1/namespaces/$NS/leases/meshpipe"
	take_picture after
	assert_equal "$(differences before after)" $'created meshpipe ConfigMap\ndeleted meshpipe ConfigMap'
	assert_equal "$(writes before after)" $'APPLY configmaps 1\nDELETE configmaps 1'
	roll
	changes 'changed student-service WorkloadEntry 10.10.0.12' -- \
		register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	assert_equal "$(object ConfigMap meshpipe '.metadata.labels["applyset.kubernetes.io/id"]')" "$(set_id)"
	end_pipe
}

@test "scenario 20: an object that something keeps from going is asked to go once, and comes back when it has gone" {
	local path
	is_going() { [ "$(object WorkloadEntry 10.10.0.12 '.metadata.deletionTimestamp != null')" = true ]; }
	begin
	path=$(path_of 10.10.0.12)
	a_person person "$path" '{"metadata": {"finalizers": ["example.com/mine"]}}'
	set_check vm-2 student-service critical
	wait_for 10 result 1 ' deleted$'
	set_check vm-2 student-service passing
	stays 1.5 is_going
	take_picture after
	assert_equal "$(writes before after)" 'DELETE workloadentries 1'
	person "$path" '{"metadata": {"finalizers": null}}'
	right
	assert_equal "$(object WorkloadEntry 10.10.0.12 .metadata.deletionTimestamp)" null
	mark
	kill "$(<"$T/meshpipe.pid")"
	wait_exit meshpipe
	assert_status 0
}
