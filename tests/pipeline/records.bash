# What the files share whose k8s-apply reads records written by hand and writes to a real API
# server, through the fault proxy where a test starts it: `load records`. One API server serves all
# tests of a file, each test in a namespace of its own, $NS. No Consul.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # some variables are for the tests, some come from bats

load cluster

# shellcheck source=tests/peers/fault-proxy.bash
source "$REPO/tests/peers/fault-proxy.bash"

setup_file() {
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds >/dev/null 3>&- || skip "no Kubernetes API server here"
	export KUBE_DIR=$BATS_FILE_TMPDIR/kube
	kube_start "$KUBE_DIR"
}

setup() { records_setup; }

records_setup() {
	common_setup
	export KUBECONFIG=$KUBE_DIR/kubeconfig
	kube api GET /readyz -m 5 >/dev/null 2>&1 || {
		server kill
		server start
	}
	use_namespace "mesh-$BATS_TEST_NUMBER"
	in=''
}

server() { # start|stop|kill [etcd|apiserver]
	"$REPO/tests/peers/kube" "$1" "$KUBE_DIR" "${@:2}" >/dev/null 3>&-
}

# k8s-apply speaks to the API server through the proxy from here on; the test does not.
use_proxy() { # [tcp-]
	proxy_start --owner "$$"
	export KUBECONFIG=$T/proxy/${1-}kubeconfig
}

# --- records, of the source dc1 and the snapshot 1

begin() {
	echo '{"type": "start", "source": "dc1", "snapshot": "1", "scope": "all"}'
}

synced() { # KEYS
	jq -nc --argjson keys "$1" '{type: "synced", source: "dc1", snapshot: "1", services: $keys}'
}

# many FROM TO [PORT]: the keys s-FROM to s-TO with one WorkloadEntry each, of the same name.
many() {
	jq -nc --argjson from "$1" --argjson to "$2" --argjson port "${3:-80}" 'range($from; $to + 1)
		| "s-\(.)" as $name | {type: "apply", source: "dc1", key: $name, objects: [{
			apiVersion: "networking.istio.io/v1", kind: "WorkloadEntry", metadata: {$name},
			spec: {address: "10.\(. / 65536 | floor).\(. / 256 % 256 | floor).\(. % 256)", ports: {http: $port}}}]}'
}

# snapshot TO [PORT]: the keys s-1 to s-TO and no others.
snapshot() {
	begin
	many 1 "$1" "${2-}"
	synced "$1"
}

# --- runs

# One that ends with its input, the records on standard input; sets $output, $stderr and $status.
apply() { # OPTION...
	run --separate-stderr timeout -k 5 120 k8s-apply -n "$NS" --timeout 60s "$@"
}

# One that goes on; what is written to descriptor $in is its input.
go_on() { # OPTION...
	mkfifo "$T/in"
	# shellcheck disable=SC2016 # the words are arguments
	spawn k8s-apply bash -c 'exec k8s-apply "$@" <"$0"' "$T/in" -n "$NS" "$@"
	exec {in}>"$T/in"
}

end_input() { # STATUS
	exec {in}>&-
	wait_exit k8s-apply 30
	assert_status "$1" || fail "$(<"$T/k8s-apply.err")"
}

said() { # REGEX: on its stderr
	has_line "$T/k8s-apply.err" "$1"
}

never_said() { # REGEX
	! has_line "$T/k8s-apply.err" "$1" || fail "$(grep -E -- "$1" "$T/k8s-apply.err")"
}

result() { # REGEX
	has_line "$T/k8s-apply.out" "$1"
}

# --- the cluster

# Each WorkloadEntry of $NS: name, uid, generation, resourceVersion, port; sorted by name.
entries() {
	kube api GET "$istio/namespaces/$NS/workloadentries" | jq -r '.items[] | [.metadata.name, .metadata.uid,
		.metadata.generation, .metadata.resourceVersion, .spec.ports.http] | map(tostring) | join(" ")' | sort
}

count_is() { # N
	[ "$(entries | grep -c .)" -eq "$1" ]
}

# All there are have this port, and there are so many.
ports_are() { # N PORT
	[ "$(entries | awk -v port="$2" '$5 == port' | grep -c .)" -eq "$1" ] && count_is "$1"
}

# port_is NAME PORT
port_is() {
	[ "$(entries | awk -v name="$1" '$1 == name { print $5 }')" = "$2" ]
}

# Names and uids alone: who is still the same.
identities() {
	entries | cut -d' ' -f1,2
}

entry_path() { # NAME
	echo "$istio/namespaces/$NS/workloadentries/$1"
}
