# Who the pipe is to the API server and what it may: one clear line when that is wrong, and it goes
# on by itself once it is right.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

setup() {
	cluster_setup
	user=user-$BATS_TEST_NUMBER
	register_students
}

# The user has all rights of the manual in $NS but for some.
user_without() { # RESOURCE[:VERB]
	local resource verbs seen='list configmaps'
	[ "$1" != configmaps ] || seen='get leases.coordination.k8s.io'
	while read -r resource verbs; do
		[ "$1" != "${resource%%.*}" ] || continue
		[ "${1%:*}" != "${resource%%.*}" ] || verbs=${verbs/${1#*:}/}
		echo "- {apiGroups: ['${resource#*.}'], resources: [${resource%%.*}], verbs: [$(xargs <<<"$verbs" | tr ' ' ,)]}"
	done >"$T/rules" <<-END
		serviceentries.networking.istio.io list watch get create patch delete
		workloadentries.networking.istio.io list watch get create patch delete
		configmaps. list watch create patch
		leases.coordination.k8s.io get create update
	END
	# shellcheck disable=SC2086 # two words
	as_user "$user" $seen <"$T/rules"
}

complaints() {
	grep -cE 'level=(warn|error)' "$T/meshpipe.err"
}

complaints_are() { # COUNT
	[ "$(complaints)" -eq "$1" ]
}

nothing_there() {
	assert_equal "$(objects)" ''
}

@test "a kubeconfig that cannot be used: one line, status 78" {
	printf '{{' >"$T/garbage"
	printf 'a list: of nothing\n' >"$T/other"
	: >"$T/empty"
	sed 's/current-context: .*//' "$KUBECONFIG" >"$T/no-context"
	sed 's|client-certificate-data:[^,]*|client-certificate: /none.crt|' "$KUBECONFIG" >"$T/no-certificate"
	sed 's|certificate-authority-data: .*|certificate-authority-data: bm90IFBFTQ==|' "$KUBECONFIG" >"$T/bad-ca"
	printf 'x' >"$T/secret" && chmod 0 "$T/secret"
	[ ! -r "$T/secret" ] || rm "$T/secret" # root reads all
	while IFS='|' read -r file message options; do
		for mode in once run; do
			# shellcheck disable=SC2086 # words
			KUBECONFIG=$T/$file run --separate-stderr timeout 20 meshpipe "$mode" -n "$NS" $options
			assert_status 78
			assert_complaint "^k8s-apply: .*$message"
			assert_equal "$output" ''
		done
	done <<-END
		none|'$T/none'
		.|'$T/.*[Ii]s a directory
		secret|'$T/secret'
		garbage|$T/garbage:
		other|'$T/other
		empty|'$T/empty
		no-context|no 'current-context' in '$T/no-context'.*--context
		no-certificate|'/none.crt'
		bad-ca|cluster 'tests' of '$T/bad-ca': the certificate authority is not
		../../file/0/kube/kubeconfig|context 'nope'|--context nope
	END
	nothing_there
}

@test "credentials that are refused: one line that says which and why, status 77" {
	export MESHPIPE_TIMEOUT=10s
	kube user "$user" --expired
	KUBECONFIG=$KUBE_DIR/$user.kubeconfig run --separate-stderr meshpipe once -n "$NS"
	assert_status 77
	assert_complaint '^k8s-apply: level=error .*expired on 2020-01-02'

	kube token "$user"
	echo not.a.token >"$KUBE_DIR/$user.token"
	KUBECONFIG=$KUBE_DIR/$user.kubeconfig run --separate-stderr meshpipe once -n "$NS"
	assert_status 77
	assert_complaint '^k8s-apply: level=error .*refused.*401'
	refute_match "$stderr" 'not\.a\.token'

	# A server that another authority speaks for is not ours.
	sed "s|certificate-authority-data: .*|certificate-authority: $KUBE_DIR/pki/$user-2.crt|" "$KUBECONFIG" >"$T/other"
	kube user "$user-2"
	MESHPIPE_TIMEOUT=10s KUBECONFIG=$T/other run --separate-stderr meshpipe once -n "$NS"
	assert_status 69
	assert_match "$stderr" '^k8s-apply: level=(warn|error) .*certificate'
	nothing_there
}

@test "a ConfigMap of the set's name that is somebody else's is left alone: status 77" {
	kube api POST "/api/v1/namespaces/$NS/configmaps" -d '{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": {"name": "meshpipe"}, "data": {"mine": "yes"}}' >/dev/null
	take_picture before
	run --separate-stderr meshpipe once -n "$NS"
	assert_status 77
	assert_complaint "^k8s-apply: level=error .*configmap '$NS/meshpipe' is somebody else's.*--set"
	nothing_written
	run --separate-stderr meshpipe once -n "$NS" --set other
	assert_status 0
	assert_equal "$(wc -l <<<"$output")" 4
}

@test "the Role of the manual is enough, for all that is written and put right" {
	as_user_of_the_manual "$user"
	start_pipe
	right
	roll
	changes 'created course-service ServiceEntry' 'created course-service WorkloadEntry 10.10.0.14' -- \
		register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	changes 'changed student-service WorkloadEntry 10.10.0.12' -- \
		register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	changes 'deleted student-service WorkloadEntry 10.10.0.13' -- set_check vm-3 student-service critical
	kube api DELETE "$(path_of 10.10.0.11)" >/dev/null
	right
	label "$(path_of 10.10.0.12)" applyset.kubernetes.io/part-of
	right
	annotate "$(configmap)" meshpipe.io/approve-deletes 1
	refute_match "$(<"$T/meshpipe.err")" 'level=(warn|error)'
	stop_pipe
}

@test "the same with nothing but the one ConfigMap and the one Lease" {
	as_user "$user" create leases.coordination.k8s.io <<-END
		- {apiGroups: [networking.istio.io], resources: [serviceentries, workloadentries], verbs: [list, watch, get, create, patch, delete]}
		- {apiGroups: [""], resources: [configmaps], resourceNames: [meshpipe], verbs: [list, watch, create, patch]}
		- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [meshpipe], verbs: [get, update]}
		- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
	END
	start_pipe
	changes 'changed student-service WorkloadEntry 10.10.0.12' -- \
		register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	end_pipe
	refute_match "$(<"$T/meshpipe.err")" 'level=(warn|error)'
}

@test "each right that is missing: a clear line and the right status; all else is written" {
	# missing | status | message | objects of the students that are there afterwards
	while IFS='|' read -r missing expected message there; do
		use_namespace "mesh-$BATS_TEST_NUMBER-${missing//:/-}"
		user_without "$missing"
		MESHPIPE_TIMEOUT=10s run --separate-stderr meshpipe once -n "$NS"
		assert_status "$expected" || fail "without $missing"
		assert_one_line "$(grep -E 'level=(warn|error)' <<<"$stderr" | grep -v 'msg=failed')" || fail "without $missing"
		assert_match "$stderr" "$message" || fail "without $missing"
		assert_equal "$(objects | jq -r 'select(.kind != "ConfigMap") | .kind' | sort | uniq -c | xargs)" "$there" || fail "without $missing"
	done <<-END
		workloadentries|1|level=warn .*WorkloadEntry.*User ."$user.*cannot list resource|1 ServiceEntry
		workloadentries:create|1|level=warn .*WorkloadEntry.* cannot create resource|1 ServiceEntry
		workloadentries:patch|1|level=warn .*WorkloadEntry.* cannot patch resource|1 ServiceEntry
		configmaps|77|level=error .*configmap.* cannot list resource|
		configmaps:patch|77|level=error .*configmap.* cannot patch resource|
		leases|77|level=error .*lease.* cannot get resource|
	END
}

@test "a right that is missing while the pipe runs: said once, and when it is given all goes on" {
	while IFS='|' read -r missing message; do
		use_namespace "mesh-$BATS_TEST_NUMBER-${missing//:/-}"
		user_without "$missing"
		spawn meshpipe setsid meshpipe run -n "$NS"
		wait_for 15 warned "$message"
		stays 2 complaints_are 1 || fail "$(<"$T/meshpipe.err")"
		as_user_of_the_manual "$user"
		right || fail "without $missing"
		complaints_are 1 || fail "$(<"$T/meshpipe.err")"
		stop_pipe
	done <<-END
		workloadentries:patch|WorkloadEntry.* cannot patch resource
		workloadentries|WorkloadEntry.* cannot list resource
		leases|lease.* cannot get resource
		configmaps:patch|configmap.* cannot patch resource
	END
}

@test "the set's ConfigMap may not be read: the pipe is tried again until it may" {
	user_without configmaps
	spawn meshpipe setsid meshpipe run -n "$NS"
	wait_for 15 warned 'ended=k8s-apply status=77'
	as_user_of_the_manual "$user"
	wait_for 15 has_line "$T/meshpipe.err" '^k8s-apply: .*msg=synced '
	right
	stop_pipe
}

@test "a token that is taken back while the pipe runs, and replaced in its file" {
	kube token "$user"
	as_user_of_the_manual "system:serviceaccount:mesh:$user"
	KUBECONFIG=$KUBE_DIR/$user.kubeconfig start_pipe
	right
	# The server remembers for ten seconds that it was good.
	kube api DELETE "/api/v1/namespaces/mesh/serviceaccounts/$user" >/dev/null
	wait_for 30 warned 'cannot be used .*401'
	register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	# Beside the one about the lease, which may be lost by it before anything else is refused.
	stays 2 lines_are "$T/meshpipe.err" 'level=(warn|error) .*(cannot be|failed|nothing can)' 1
	kube token "$user"
	right
	assert_equal "$(object WorkloadEntry 10.10.0.12 .spec.labels.version)" v3
	mark
	stop_pipe
}
