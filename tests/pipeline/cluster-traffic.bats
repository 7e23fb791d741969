# How k8s-apply and a real API server talk: connections that are sent away, few streams, HTTP/1.1,
# too many requests, a rate, and lists that come as a watch. One folder of a server for all; a test
# that needs other options of it starts it anew with them.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

setup_file() {
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds >/dev/null 3>&- || skip "no Kubernetes API server here"
	export KUBE_DIR=$BATS_FILE_TMPDIR/kube
	kube_start "$KUBE_DIR" --audit
	has_settled
}

teardown_file() {
	[ -z "${KUBE_DIR-}" ] || "$REPO/tests/peers/kube" stop "$KUBE_DIR" 3>&-
}

setup() {
	common_setup
	unset MESHPIPE_TIMEOUT
	export KUBECONFIG=$KUBE_DIR/kubeconfig
	NS=mesh-$BATS_TEST_NUMBER
	# The server as it is with its own defaults, unless a test before left it so.
	serve_with
	make_namespace "$NS"
}

teardown() {
	stop_spawned
	common_teardown
}

# What it writes by itself at its start must not count in a test.
has_settled() {
	wait_for 20 kube api GET /api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication
	wait_for 20 kube api GET \
		/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking
}

# The API server with these options and no others.
serve_with() { # OPTION...
	local wanted
	wanted=$(printf '%s\n' "$@" | sed '/^$/d')
	[ "$wanted" != "$(cat "$KUBE_DIR/apiserver.options" 2>/dev/null)" ] || return 0
	"$REPO/tests/peers/kube" kill "$KUBE_DIR" apiserver 3>&-
	if [ -n "$wanted" ]; then echo "$wanted" >"$KUBE_DIR/apiserver.options"; else rm "$KUBE_DIR/apiserver.options"; fi
	kube_start "$KUBE_DIR"
	has_settled
}

# So many WorkloadEntries, of this version.
entries() { # COUNT VERSION
	jq -nc --arg version "$2" "range($1)"' | {apiVersion: "networking.istio.io/v1", kind: "WorkloadEntry",
		metadata: {name: "vm-\(.)"}, spec: {address: "10.0.\(. / 250 | floor).\(. % 250 + 1)", labels: {version: $version}}}'
}

# Ends by itself; sets $output, $stderr, $status and $took_ms.
apply() { # OPTION...
	local before=${EPOCHREALTIME/[.,]/}
	run --separate-stderr timeout -k 5 120 k8s-apply --once -n "$NS" -f "$T/entries" "$@"
	took_ms=$(((${EPOCHREALTIME/[.,]/} - before) / 1000))
}

# It wrote nothing, and had nothing to say of it.
assert_unchanged() {
	assert_status 0
	refute_match "$output" ' (created|configured|deleted)$'
	refute_match "$stderr" 'level=(warn|error)'
}

# Without a word of complaint each of them is there, written once and said once.
assert_all() { # COUNT created|configured VERSION
	assert_status 0
	refute_match "$stderr" 'level=(warn|error)'
	assert_equal "$(grep -c " $2\$" <<<"$output")" "$1"
	assert_equal "$(objects | jq -r --arg version "$3" \
		'select(.kind == "WorkloadEntry" and .spec.labels.version == $version) | .metadata.name' | wc -l)" "$1"
}

@test "--qps holds so many writes a second back, and 0 none" {
	entries 40 v1 >"$T/entries"
	apply --qps 5
	assert_all 40 created v1
	# Five at once, then five a second.
	[ "$took_ms" -ge 6900 ] || fail "40 writes took $took_ms ms"
	entries 40 v2 >"$T/entries"
	apply --qps 0
	assert_all 40 configured v2
	[ "$took_ms" -lt 6900 ] || fail "40 writes took $took_ms ms"
	run k8s-apply --qps many
	assert_status 64
}

@test "a list that comes as a watch shows the same as one that comes in pages" {
	local since
	entries 300 v1 >"$T/entries"
	apply --qps 0
	assert_all 300 created v1
	kube api DELETE "$istio/namespaces/$NS/workloadentries/vm-17" >/dev/null
	person "$istio/namespaces/$NS/workloadentries/vm-23" '{"spec": {"labels": {"version": "mine"}}}'
	since=$(wc -l <"$KUBE_DIR/audit.log")

	apply --disable-compression
	assert_status 0
	assert_equal "$(grep -v ' unchanged$' <<<"$output" | sort)" "workloadentry.networking.istio.io/vm-17 created
workloadentry.networking.istio.io/vm-23 configured"
	assert_match "$(tail -n "+$((since + 1))" "$KUBE_DIR/audit.log")" 'workloadentries\?.*sendInitialEvents=true'
	refute_match "$(tail -n "+$((since + 1))" "$KUBE_DIR/audit.log")" 'workloadentries\?limit='

	for how in '' --disable-compression; do
		# shellcheck disable=SC2086 # none or one
		apply $how
		assert_unchanged
	done

	# And it goes on as a watch.
	mkfifo "$T/endless"
	exec {endless}<>"$T/endless"
	spawn follower k8s-apply -n "$NS" -f "$T/entries" -f "$T/endless" --disable-compression
	wait_for 20 leads
	kube api DELETE "$istio/namespaces/$NS/workloadentries/vm-5" >/dev/null
	wait_for 20 is_there vm-5
	kill "$(<"$T/follower.pid")"
	wait_exit follower
	exec {endless}>&-
	assert_status 0
}

leads() {
	kube api GET "/apis/coordination.k8s.io/v1/namespaces/$NS/leases/meshpipe" | jq -e '.spec.holderIdentity // "" | . != ""'
}

is_there() { # NAME
	[ "$(kube status GET "$istio/namespaces/$NS/workloadentries/$1")" = 200 ]
}

@test "where a server has no such lists they come in pages" {
	serve_with --feature-gates=WatchList=false --goaway-chance=0.02
	entries 20 v1 >"$T/entries"
	apply --disable-compression
	assert_all 20 created v1
	apply --disable-compression
	assert_unchanged
}

@test "scenario 29: a server that sends its clients elsewhere with GOAWAY" {
	serve_with --feature-gates=WatchList=false --goaway-chance=0.02
	entries 400 v1 >"$T/entries"
	apply --qps 0
	assert_all 400 created v1
	entries 400 v2 >"$T/entries"
	apply --qps 0
	assert_all 400 configured v2
}

@test "scenario 29: a server with one stream a connection" {
	serve_with --http2-max-streams-per-connection=1
	entries 100 v1 >"$T/entries"
	apply --qps 0
	assert_all 100 created v1
	entries 100 v2 >"$T/entries"
	apply --qps 0 --disable-compression
	assert_all 100 configured v2
}

@test "scenario 29, scenario 9: a server of HTTP/1.1 that takes one write at a time: 429, less is sent, nothing fails" {
	serve_with --disable-http2-serving --enable-priority-and-fairness=false --max-mutating-requests-inflight=1
	# Administrators are never turned away.
	as_user_of_the_manual traffic
	# Large ones: the server is busy with one when the next comes.
	entries 24 v1 | jq -c '.metadata.annotations.large = ("0123456789 " * 10000)' >"$T/entries"
	apply --qps 0 --log-level debug
	assert_status 0
	assert_equal "$(grep -c ' created$' <<<"$output")" 24
	assert_match "$stderr" 'level=debug .*less is sent at once'
	refute_match "$output$stderr" 'failed'
}
