# What k8s-apply tells of a real API server: its numbers, whether it is ready, and ServiceEntries of
# others that have a host of ours.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

setup_file() {
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds >/dev/null 3>&- || skip "no Kubernetes API server here"
	export KUBE_DIR=$BATS_FILE_TMPDIR/kube
	kube_start "$KUBE_DIR"
}

setup() {
	common_setup
	unset MESHPIPE_TIMEOUT MESHPIPE_METRICS
	# One that a test started again ends with that test.
	kube api GET /readyz -m 5 >/dev/null 2>&1 || {
		"$REPO/tests/peers/kube" kill "$KUBE_DIR" 3>&-
		kube_start "$KUBE_DIR"
	}
	export KUBECONFIG=$KUBE_DIR/kubeconfig
	use_namespace "telling-$BATS_TEST_NUMBER"
}

# A run that goes on; `say NAME RECORD...` is its input.
follow() { # NAME [OPTION...]
	local name=$1
	mkfifo "$T/$name.in"
	# shellcheck disable=SC2016 # the words are arguments
	spawn "$name" bash -c 'exec k8s-apply "$@" <"$0"' "$T/$name.in" -n "$NS" --metrics 127.0.0.1:0 "${@:2}"
	exec {input}>"$T/$name.in"
	printf -v "in_$name" '%s' "$input"
	wait_for 20 has_line "$T/$name.err" 'msg="numbers for monitoring are at /metrics"'
}

say() { # NAME RECORD...
	local input=in_$1
	printf '%s\n' "${@:2}" >&"${!input}"
}

end() { # NAME
	local input=in_$1
	exec {input}>&- 2>/dev/null
	kill "$(<"$T/$1.pid")"
	wait_exit "$1"
	assert_status 0
}

get() { # NAME PATH
	curl -sS -m 10 "http://$(sed -n 's/.*at \/metrics" address=//p' "$T/$1.err")$2"
}

# The answer of /readyz matches.
ready() { # NAME REGEX
	get "$1" /readyz | grep -qE -- "$2"
}

is() { # NAME SERIES NUMBER
	get "$1" /metrics | grep -qxF "meshpipe_$2 $3"
}

service_entry() { # NAME HOST [EXPORT-TO]
	jq -nc --arg name "$1" --arg host "$2" --arg to "${3-}" '{apiVersion: "networking.istio.io/v1", kind: "ServiceEntry",
		metadata: {name: $name}, spec: ({hosts: [$host], location: "MESH_INTERNAL", resolution: "STATIC",
		ports: [{name: "http", number: 80, protocol: "HTTP"}]} + if $to == "" then {} else {exportTo: [$to]} end)}'
}

apply_of() { # KEY OBJECT...
	jq -nc --arg key "$1" '{type: "apply", source: "dc1", key: $key, objects: [inputs]}' < <(printf '%s\n' "${@:2}")
}

foreign() { # NAMESPACE NAME HOST [EXPORT-TO]
	make_namespace "$1"
	service_entry "$2" "$3" "${4-}" | kube apply "$1"
}

told() { # NAME COUNT REGEX
	lines_are "$T/$1.err" "$3" "$2"
}

@test "a ServiceEntry of somebody else with a host of ours is told once, with both names, and when it is over" {
	local same='msg="a ServiceEntry of somebody else has a host of ours'
	foreign "$NS-x" theirs a.test
	foreign "$NS-y" own a.test .
	follow k8s_apply
	say k8s_apply "$(apply_of a "$(service_entry a a.test)")" "$(apply_of b "$(service_entry b b.test)")"
	wait_for 30 told k8s_apply 1 "$same.* host=a.test ours=$NS/a theirs=$NS-x/theirs by=tests\$"
	wait_for 10 is k8s_apply same_host_pairs 1
	# It is no trouble.
	wait_for 10 ready k8s_apply '^ok$'

	foreign "$NS" mine b.test
	wait_for 10 told k8s_apply 1 "$same.* host=b.test ours=$NS/b theirs=$NS/mine by=tests\$"
	# Now everybody sees it; and this one only who is there.
	foreign "$NS-y" own a.test "*"
	wait_for 10 told k8s_apply 1 "$same.* host=a.test ours=$NS/a theirs=$NS-y/own"
	foreign "$NS-x" theirs a.test .
	wait_for 10 told k8s_apply 1 "level=info msg=\"two ServiceEntries have no longer the same host\" host=a.test ours=$NS/a theirs=$NS-x/theirs\$"
	kube api DELETE "$istio/namespaces/$NS/serviceentries/mine" >/dev/null
	wait_for 10 told k8s_apply 1 "level=info.* host=b.test ours=$NS/b theirs=$NS/mine\$"
	# Ours goes, and what it had is nobody's twice.
	say k8s_apply "$(apply_of a)" '{"type": "start", "source": "dc1", "snapshot": "1", "scope": ""}' \
		"$(apply_of b "$(service_entry b b.test)")" '{"type": "synced", "source": "dc1", "snapshot": "1", "services": 1}'
	wait_for 30 told k8s_apply 1 "level=info.* host=a.test ours=$NS/a theirs=$NS-y/own\$"
	is k8s_apply same_host_pairs 0
	told k8s_apply 3 'level=warn'

	say k8s_apply "$(apply_of c "$(service_entry c b.test)")"
	wait_for 10 told k8s_apply 1 "msg=\"two ServiceEntries of the set have the same host.* host=b.test one=$NS/b other=$NS/c\$"
	end k8s_apply
}

@test "what may not be seen is not compared, and said where nothing may be" {
	foreign "$NS-x" theirs a.test
	foreign "$NS" mine a.test
	as_user_of_the_manual teller
	follow narrow
	say narrow "$(apply_of a "$(service_entry a a.test)")"
	wait_for 30 told narrow 1 "msg=\"a ServiceEntry of somebody else has a host of ours.* theirs=$NS/mine by=tests\$"
	is narrow same_host_pairs 1
	wait_for 10 ready narrow '^ok$'
	told narrow 1 'level=(warn|error)'
	end narrow
}

@test "an object of somebody else's counts as a conflict, not as failed" {
	foreign "$NS" a a.test
	follow k8s_apply
	say k8s_apply "$(apply_of a "$(service_entry a a.test)")" "$(apply_of b "$(service_entry b b.test)")"
	wait_for 20 is k8s_apply 'objects{state="conflict"}' 1
	is k8s_apply 'objects{state="failed"}' 0
	is k8s_apply 'objects{state="owned"}' 1
	end k8s_apply
}

@test "numbers and readiness: of the one that leads, the one that waits, and while the server is away" {
	follow first
	wait_for 30 ready first '^not ready: nothing has come from the input yet$'
	say first "$(apply_of a "$(service_entry a a.test)")" \
		'{"type": "status", "program": "consul-watch", "source": "dc1", "state": "connected", "counters": {"queries": 5}}'
	wait_for 30 is first 'writes_total{action="created"}' 1
	wait_for 10 is first 'objects{state="owned"}' 1
	is first leader 1
	is first target_usable 1
	is first 'operations_total{outcome="ok"}' 1
	is first 'source_fresh{source="dc1"}' 1
	is first 'consul_watch_queries{source="dc1"}' 5
	wait_for 10 ready first '^ok$'
	get first /metrics | "$REPO/tests/check-metrics"

	follow second
	say second "$(apply_of a "$(service_entry a a.test)")"
	wait_for 20 told second 1 'msg="another process writes this set, waiting"'
	wait_for 10 ready second '^ok$'
	is second leader 0
	is second 'writes_total{action="created"}' 0

	"$REPO/tests/peers/kube" kill "$KUBE_DIR" 3>&-
	wait_for 30 ready first "^not ready: the API server '.*' cannot be used: "
	wait_for 30 ready second "^not ready: the API server '.*' cannot be used: "
	is first target_usable 0
	get first /healthz | grep -qx ok
	kube_start "$KUBE_DIR"
	wait_for 60 ready first '^ok$'
	wait_for 60 ready second '^ok$'
	end second
	end first
}
