# What mesh-map's checks say of odd objects, against what a real API server with Istio's CRDs and
# istiod's validating webhook say.
# shellcheck disable=SC2030,SC2031 # a test is a subshell
load ../lib

setup_file() {
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds istiod >/dev/null 3>&- ||
		skip "no Kubernetes API server with Istio here"
	export KUBE_DIR=$BATS_FILE_TMPDIR/kube
	local namespace
	"$REPO/tests/peers/kube" start "$KUBE_DIR" --owner "$$" 3>&-
	"$REPO/tests/peers/istiod" start "$KUBE_DIR" --owner "$$" 3>&-
	# The longest name that a namespace can have is among the odd ones.
	namespace=$(printf 'x%.0s' {1..63})
	"$REPO/tests/peers/kube" api "$KUBE_DIR" PATCH "/api/v1/namespaces/$namespace?fieldManager=tests" \
		-d '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "'"$namespace"'"}}' >/dev/null
}

teardown_file() {
	[ -z "${KUBE_DIR-}" ] || "$REPO/tests/peers/istiod" stop "$KUBE_DIR" 3>&-
	[ -z "${KUBE_DIR-}" ] || "$REPO/tests/peers/kube" kill "$KUBE_DIR" 3>&-
}

# compare [OPTION] <OBJECTS: what mesh-map says of each, and what the server says.
compare() {
	cat >"$T/objects"
	echo .object >"$T/as-given.jq"
	jq -c '{type: "service", source: "s", service: "o\(input_line_number)", instances: [], object: .}' \
		"$T/objects" >"$T/records"
	mesh-map -f "$T/as-given.jq" <"$T/records" >"$T/verdicts" 2>"$T/err" || [ $? -eq 1 ]
	"$REPO/tests/pipeline/compare-checks" "$KUBE_DIR" "$T/objects" "$T/verdicts" "$@"
}

@test "checks: an odd object is refused exactly where a real server refuses it, and for the same reason" {
	"$REPO/tests/pipeline/odd-objects" "${SEED:-1}" 0 | compare --reasons
}

@test "checks: an object that is odd in two ways is refused exactly where a real server refuses it" {
	"$REPO/tests/pipeline/odd-objects" "${SEED:-1}" 1000 | tail -n 800 | compare
}

@test "checks: what the shipped programs make of odd catalogues is taken by a real server, or refused alike" {
	local program seed=${SEED:-1}
	# Their own namespace, and not checked: that comes now.
	echo 'namespace: mesh' >"$T/mesh.yaml"
	for program in "$REPO"/mesh-map/filters/*.jq; do
		[[ $program != */meshpipe.jq ]] || continue
		seed=$((seed + 1))
		"$REPO/tests/filters/odd-records" "$seed" 400 |
			mesh-map --no-validate --config "$T/mesh.yaml" -f "$program" 2>>"$T/err" || [ $? -eq 1 ]
	done | jq -c '.objects[]?' >"$T/made"
	[ "$(grep -c '' "$T/made")" -gt 1000 ]
	compare --sound <"$T/made"
}
