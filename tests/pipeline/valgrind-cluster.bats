# The three programs under valgrind, writing to a cluster: whatever happened, at the end nothing is
# lost and nothing was touched that is not there.
# shellcheck disable=SC2154 # some variables come from what is loaded
load cluster
load valgrind

setup() {
	cluster_setup
	watched_setup
	register_students
}

@test "once, and once more with something to put right" {
	run_once 0 -n "$NS"
	right
	[ "$(grep -c ' created$' "$T/results")" -eq 4 ]
	deregister_instance vm-1 student-service
	register_instance vm-5 10.10.0.15 bad-service 8080 status=passing
	run_once 1 -n "$NS"
	[ "$(grep -c ' deleted$' "$T/results")" -eq 1 ]
	found_nothing
}

@test "on and on, while the catalogue changes and the servers go, until SIGTERM" {
	run_on -n "$NS"
	becomes_right
	all_changes
	"$REPO/tests/peers/kube" kill "$KUBE_DIR" apiserver >/dev/null 3>&-
	deregister_instance vm-2 student-service
	wait_for "$patience_s" has_line "$T/k8s-apply.err" 'level=warn .*API server cannot be used for now'
	"$REPO/tests/peers/kube" start "$KUBE_DIR" >/dev/null 3>&-
	becomes_right
	end_all
	found_nothing
}

@test "one that waits for another's lease, until SIGTERM; and one that is refused" {
	kube api POST "/apis/coordination.k8s.io/v1/namespaces/$NS/leases" -d '{"kind": "Lease",
		"apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "meshpipe"}, "spec": {"holderIdentity": "another",
		"leaseDurationSeconds": 3600, "renewTime": "2026-01-01T00:00:00.000000Z"}}' >/dev/null
	watched consul-watch --once >"$T/records" 2>"$T/err" &
	wait $!
	watched mesh-map <"$T/records" >"$T/sets" 2>"$T/err" &
	wait $!
	mkfifo "$T/to-apply"
	exec {to_apply}<>"$T/to-apply"
	cat "$T/sets" >&"$to_apply"
	spawn k8s-apply between "$T/to-apply" "$T/results" k8s-apply -n "$NS"
	wait_for "$patience_s" has_line "$T/k8s-apply.err" 'another process writes this set, waiting'
	kill "$(<"$T/k8s-apply.pid")"
	wait_exit k8s-apply "$patience_s"
	[ "$status" -ne 99 ]
	exec {to_apply}>&-

	kube user nobody
	KUBECONFIG=$KUBE_DIR/nobody.kubeconfig spawn k8s-apply between "$T/sets" "$T/results" k8s-apply -n "$NS"
	ends k8s-apply 77
	found_nothing
}
