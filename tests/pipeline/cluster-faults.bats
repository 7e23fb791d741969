# What is not there: kinds, namespaces, the API server. One clear line, nothing lost, and it goes on
# by itself.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

server() { # start|stop|kill [etcd|apiserver]
	"$REPO/tests/peers/kube" "$1" "$KUBE_DIR" "${@:2}" >/dev/null 3>&-
}

# A server of this test's own, without Istio's kinds; all helpers speak to it from here on.
use_bare_server() {
	KUBE_DIR=$T/kube
	kube_start "$KUBE_DIR" --no-crds
	export KUBE_DIR KUBECONFIG=$KUBE_DIR/kubeconfig
	make_namespace "$NS"
}

add_kinds() {
	kube apply <"$KUBE_DIR/istio-crds"
}

crds=/apis/apiextensions.k8s.io/v1/customresourcedefinitions

complaints_are() { # COUNT REGEX: so many lines at level warn or error, and all match
	[ "$(grep -cE 'level=(warn|error)' "$T/meshpipe.err")" -eq "$1" ] &&
		[ "$(grep -cE "level=(warn|error) .*$2" "$T/meshpipe.err")" -eq "$1" ]
}

# Since the mark at least one and at most so many lines at level warn or error, all of which match.
complains_only() { # COUNT REGEX
	local lines
	lines=$(logged_since | grep -E 'level=(warn|error)')
	[ "$(grep -cE -- "$2" <<<"$lines")" -ge 1 ] || fail "no line matches '$2' in:" "$lines" || return
	[ "$(grep -c '' <<<"$lines")" -le "$1" ] || fail "more than $1 lines:" "$lines" || return
	! grep -vE -- "$2" <<<"$lines" >&2 || fail 'said besides'
}

# That the server is back was said, last.
ends_well() {
	logged_since | grep -E 'the API server (is back|cannot)' | tail -n 1 | grep -q 'is back'
}

said_something() { # REGEX: since the mark
	logged_since | grep -qE -- "$1"
}

has_course_service() {
	kube api GET "$istio/namespaces/$NS/serviceentries/course-service.service.consul"
}

has_no_crd() { # RESOURCE
	[ "$(kube status GET "$crds/$1.networking.istio.io")" = 404 ]
}

has_both_rules() { # NS
	[ "$(objects_of "$1" | grep -c DestinationRule)" -eq 2 ]
}

@test "scenario 31: kinds that the cluster does not have: said once each, and they are written once it has them" {
	use_bare_server
	register_students
	MESHPIPE_TIMEOUT=10s run --separate-stderr meshpipe once -n "$NS"
	assert_status 1
	for kind in ServiceEntry WorkloadEntry; do
		assert_one_line "$(grep "level=warn .*nothing can be written.*$kind.networking.istio.io" <<<"$stderr")"
	done

	spawn meshpipe setsid meshpipe run -n "$NS"
	wait_for 10 warned 'ServiceEntry.networking.istio.io'
	wait_for 10 warned 'WorkloadEntry.networking.istio.io'
	stays 2 complaints_are 2 'nothing can be written here for now.*kind='
	add_kinds
	wait_for 60 has_line "$T/meshpipe.err" '^k8s-apply: .*msg=synced '
	right
	complaints_are 2 'nothing can be written here for now.*kind='
	stop_pipe
}

@test "scenario 31: a kind is taken away with all its objects, and comes back: so do they" {
	use_bare_server
	add_kinds
	register_students
	start_pipe
	right
	mark
	kube api DELETE "$crds/workloadentries.networking.istio.io" >/dev/null
	wait_for 20 has_no_crd workloadentries
	wait_for 20 said_something 'level=warn .*kind=WorkloadEntry.networking.istio.io'
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	wait_for 10 has_course_service
	add_kinds
	wait_for 60 has_all_entries
	right
	mark
	stop_pipe
}

has_all_entries() {
	[ "$(objects | jq -r 'select(.kind == "WorkloadEntry") | .spec.address' | sort | xargs)" = '10.10.0.11 10.10.0.12 10.10.0.13 10.10.0.14' ]
}

late_namespace() {
	NS=late-$NS
}

@test "scenario 31: a namespace that is not there: said once, and it is written once it is there" {
	register_students
	late_namespace
	MESHPIPE_TIMEOUT=5s run --separate-stderr meshpipe once -n "$NS"
	assert_status 1
	assert_complaint "^k8s-apply: level=error .*namespaces .\"$NS.\" not found"

	spawn meshpipe setsid meshpipe run -n "$NS"
	wait_for 10 warned "namespaces .\"$NS.\" not found"
	stays 2 complaints_are 1 "namespaces .\"$NS.\" not found"
	make_namespace "$NS"
	right
	complaints_are 1 "namespaces .\"$NS.\" not found"
	stop_pipe
}

@test "scenario 31: a second namespace that is not there holds up its own objects only" {
	cat >"$T/mine.jq" <<-END
		{apiVersion: "networking.istio.io/v1", kind: "DestinationRule",
		 metadata: {name: .service, namespace: "late-$NS"}, spec: {host: (.service + ".service.consul")}}
	END
	register_students
	spawn meshpipe setsid meshpipe run -n "$NS" -f workload-entries.jq -f "$T/mine.jq"
	wait_for 10 warned "DestinationRule.*late-$NS"
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	right
	stays 1 complaints_are 1 "DestinationRule.*late-$NS"
	make_namespace "late-$NS"
	wait_for 30 has_both_rules "late-$NS"
	complaints_are 1 "DestinationRule.*late-$NS"
	mark
	stop_pipe
}

@test "scenario 10, the pipe: an object that the API server refuses costs only itself, and is said once" {
	# mesh-map would hold it back itself: --no-validate.
	cat >"$T/mine.jq" <<-'END'
		if .service == "course-service" then {apiVersion: "networking.istio.io/v1", kind: "DestinationRule",
			metadata: {name: .service}, spec: {host: .service, nonsense: true}} else empty end
	END
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	run --separate-stderr meshpipe once -n "$NS" -f workload-entries.jq -f "$T/mine.jq" --no-validate
	assert_status 1
	assert_complaint '^k8s-apply: level=warn msg=failed object=destinationrule.networking.istio.io/course-service '
	right
	take_picture before
	spawn meshpipe setsid meshpipe run -n "$NS" -f workload-entries.jq -f "$T/mine.jq" --no-validate
	wait_for 10 warned failed
	register_instance vm-5 10.10.0.15 course-service 8080 status=passing
	right
	stays 1 complaints_are 1 'object=destinationrule.networking.istio.io/course-service'
	echo empty >"$T/mine.jq"
	kill -HUP "$(<"$T/meshpipe.pid")"
	register_instance vm-6 10.10.0.16 course-service 8080 status=passing
	right
	complaints_are 1 'object=destinationrule.networking.istio.io/course-service'
	mark
	stop_pipe
}

@test "the API server is not there at the start: said once, waited for; --timeout ends that with 69" {
	register_students
	server stop
	MESHPIPE_TIMEOUT=2s run --separate-stderr timeout 20 meshpipe once -n "$NS"
	assert_status 69
	said=$(grep -E 'level=(warn|error)' <<<"$stderr")
	assert_one_line "$(grep level=error <<<"$said")"
	assert_match "$said" "^k8s-apply: level=error .*$(<"$KUBE_DIR/addr").*[Cc]onnect"
	[ "$(wc -l <<<"$said")" -le 2 ] || fail "$said"

	spawn meshpipe setsid meshpipe run -n "$NS"
	wait_for 10 warned 'the API server cannot be used for now, it is tried again'
	stays 2 complaints_are 1 "$(<"$KUBE_DIR/addr").*[Cc]onnect"
	server start
	wait_for 20 has_line "$T/meshpipe.err" '^k8s-apply: .*msg=synced '
	right
	complaints_are 1 "$(<"$KUBE_DIR/addr").*[Cc]onnect"
	stop_pipe
}

@test "the API server goes and comes back: one line each; what changed meanwhile is written then" {
	register_students
	start_pipe
	right
	mark
	server kill apiserver
	register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	set_check vm-3 student-service critical
	wait_for 20 said_something 'the API server cannot be used for now'
	stays 2 complains_only 1 'the API server cannot be used for now'
	server start
	right
	wait_for 20 ends_well
	# One that starts answers some requests before others: it may be away twice; a lease lasts 10 s.
	complains_only 3 'the API server cannot be used for now|the lease is lost'

	# Without its storage it takes what is asked for and does not answer.
	mark
	server kill etcd
	set_check vm-3 student-service passing
	wait_for 40 said_something 'level=warn'
	server start
	right
	complains_only 3 'the API server cannot be used for now|the lease is lost'
	mark
	stop_pipe
}

@test "the API server goes without a change of anything: nothing is written when it is back" {
	register_students
	as_user_of_the_manual "user-$BATS_TEST_NUMBER"
	start_pipe
	right
	roll
	mark
	server kill
	server start
	wait_for 20 ends_well
	# Its counters begin anew.
	echo 'APPLY nothing 1' >"$T/before.counters"
	changes 'changed student-service WorkloadEntry 10.10.0.12' -- \
		register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	mark
	end_pipe
}
