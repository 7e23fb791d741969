#!/usr/bin/env bats
# k8s-apply beside apply, on a real API server: diff, a dry run of the server's, --prune of manifests,
# a set that is taken down, and what kubectl says about all of it.

# shellcheck disable=SC2030,SC2031,SC2154 # a test is a subshell

load cluster

setup_file() {
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds kubectl >/dev/null 3>&- || skip "no Kubernetes API server here"
	export KUBE_DIR=$BATS_FILE_TMPDIR/kube
	kube_start "$KUBE_DIR"
}

teardown_file() {
	[ -z "${KUBE_DIR-}" ] || "$REPO/tests/peers/kube" stop "$KUBE_DIR" 3>&-
}

setup() {
	common_setup
	unset MESHPIPE_TIMEOUT
	export KUBECONFIG=$KUBE_DIR/kubeconfig
	use_namespace "mesh-$BATS_TEST_NUMBER"
	mkdir "$T/m"
}

# --- manifests

# entry NAME [PORT]: a file of the folder.
entry() {
	cat >"$T/m/$1.yaml" <<-END
		apiVersion: networking.istio.io/v1
		kind: ServiceEntry
		metadata: {name: $1, namespace: $NS}
		spec:
		  hosts: [$1.consul]
		  ports: [{number: ${2:-80}, name: http, protocol: HTTP}]
		  resolution: STATIC
	END
}

apply() { # OPTION...
	run --separate-stderr timeout -k 5 60 k8s-apply -n "$NS" -f "$T/m" "$@"
}

names() { # what of the set there is
	objects | jq -r 'select(.kind == "ServiceEntry") | .metadata.name' | sort | xargs
}

lease() { # HTTP status of the set's
	kube status GET "/apis/coordination.k8s.io/v1/namespaces/$NS/leases/meshpipe"
}

run_diff() { # OPTION...
	run --separate-stderr timeout -k 5 60 k8s-apply diff -n "$NS" -f "$T/m" "$@"
}

kubectl() {
	"$("$REPO/tests/peers/get" kubectl 3>&-)" -n "$NS" "$@"
}

# --- looking

@test "diff shows what would be, whole or in part, writes nothing and takes no lease" {
	entry a
	kube api GET /api/v1/namespaces/mesh >/dev/null
	take_picture before
	run_diff
	assert_status 3
	assert_equal "$stderr" ''
	assert_equal "$output" "--- /dev/null
+++ wanted/$NS/serviceentry.networking.istio.io/a
@@ -0,0 +1,13 @@
+apiVersion: networking.istio.io/v1
+kind: ServiceEntry
+metadata:
+  name: a
+  namespace: $NS
+spec:
+  hosts:
+  - a.consul
+  ports:
+  - name: http
+    number: 80
+    protocol: HTTP
+  resolution: STATIC"
	assert_equal "$(names)" ''
	assert_equal "$(lease)" 404
	assert_equal "$(kube status GET "$(configmap)")" 404

	apply
	assert_status 0
	run_diff
	assert_status 0
	assert_equal "$output$stderr" ''

	entry a 81
	# What another writes into a field of its own is in both.
	annotate "$istio/namespaces/$NS/serviceentries/a" example.com/owner them
	run_diff
	assert_status 3
	assert_equal "$output" "--- live/$NS/serviceentry.networking.istio.io/a
+++ wanted/$NS/serviceentry.networking.istio.io/a
@@ -10,6 +10,6 @@
   - a.consul
   ports:
   - name: http
-    number: 80
+    number: 81
     protocol: HTTP
   resolution: STATIC"
	assert_equal "$(object ServiceEntry a '.spec.ports[0].number')" 80
}

@test "diff: what the server fills in is no difference, and what it refuses is a failure" {
	cat >"$T/m/service.yaml" <<-END
		apiVersion: v1
		kind: Service
		metadata: {name: s}
		spec: {selector: {app: s}, ports: [{port: 80}]}
		---
		apiVersion: v1
		kind: Secret
		metadata: {name: s}
		stringData: {password: hunter2}
	END
	apply
	assert_status 0
	run_diff
	assert_status 0
	assert_equal "$output" ''
	sed -i 's/hunter2/hunter3/; s/port: 80/port: 8080/' "$T/m/service.yaml"
	run_diff
	assert_status 3
	refute_match "$output" 'hunter|aHVudGVy'
	assert_match "$output" '^\+  password: .*\*\*\* \(after\)'
	assert_match "$output" '^-  - port: 80$'
	assert_match "$output" '^\+  - port: 8080$'
	# By its whole output patch(1) would know what to do.
	assert_equal "$(grep -c '^@@' <<<"$output")" 2

	entry broken
	sed -i 's/resolution: STATIC/resolution: NOWHERE/' "$T/m/broken.yaml"
	run_diff
	assert_status 1
	assert_match "$stderr" 'level=warn msg=failed object=serviceentry.networking.istio.io/broken .*resolution'
	assert_match "$output" '^\+  - port: 8080$'
}

@test "diff: of a Secret that kubectl has applied no value is shown" {
	cat >"$T/m/secret.yaml" <<-END
		apiVersion: v1
		kind: Secret
		metadata: {name: s}
		stringData: {password: hunter2}
	END
	kubectl apply -f "$T/m/secret.yaml"
	run_diff --adopt
	assert_status 3
	assert_match "$output" '^\+ .*meshpipe.io/key'
	assert_match "$output" 'last-applied-configuration: .*\*\*\*'
	refute_match "$output" 'hunter|aHVudGVy'
}

@test "a dry run of the server's: what is made and taken away again in one input" {
	local made='{"type": "apply", "source": "dc1", "key": "k", "objects": [{"apiVersion": "v1",
		"kind": "ConfigMap", "metadata": {"name": "a"}}, {"apiVersion": "v1",
		"kind": "ConfigMap", "metadata": {"name": "b"}}]}'
	run --separate-stderr timeout -k 5 60 k8s-apply -n "$NS" --dry-run=server < <(
		jq -c . <<<"$made"
		jq -c '.objects |= .[1:]' <<<"$made"
	)
	assert_status 0
	assert_equal "$stderr" ''
	refute_match "$output" conflict
}

@test "a dry run of the server's asks it, and writes nothing" {
	entry a
	entry b
	apply
	assert_status 0
	entry a 81
	rm "$T/m/b.yaml"
	entry c
	entry d
	sed -i 's/resolution: STATIC/resolution: NOWHERE/' "$T/m/d.yaml"
	kube api DELETE "/apis/coordination.k8s.io/v1/namespaces/$NS/leases/meshpipe" >/dev/null
	take_picture before
	apply --dry-run=server
	assert_status 1
	assert_equal "$(sort <<<"$output" | sed 's/: .*//')" "serviceentry.networking.istio.io/a configured (server dry run)
serviceentry.networking.istio.io/c created (server dry run)
serviceentry.networking.istio.io/d failed (server dry run)"
	rm "$T/m/d.yaml"
	apply --dry-run=server --prune
	assert_status 0
	assert_match "$output" '^serviceentry.networking.istio.io/b deleted \(server dry run\)$'
	apply --dry-run=client --prune
	assert_status 0
	assert_match "$output" '^serviceentry.networking.istio.io/b deleted \(dry run\)$'
	take_picture after
	assert_equal "$(differences before after)" ''
	assert_equal "$(lease)" 404
}

# --- deleting

@test "--prune deletes what the manifests do not name any more, if all of them could be applied" {
	local name
	for name in a b c; do entry "$name"; done
	apply
	assert_status 0
	rm "$T/m/b.yaml"
	apply
	assert_status 0
	assert_equal "$(names)" 'a b c'

	entry bad
	sed -i 's/resolution: STATIC/resolution: NOWHERE/' "$T/m/bad.yaml"
	apply --prune
	assert_status 1
	assert_match "$stderr" 'msg="nothing pruned" why="not all of the input could be applied"'
	assert_equal "$(names)" 'a b c'
	echo 'a: [' >"$T/m/bad.yaml"
	apply --prune
	assert_status 1
	assert_match "$stderr" 'msg="nothing pruned" why="not all of the input could be read"'
	assert_equal "$(names)" 'a b c'

	rm "$T/m/bad.yaml"
	run_diff --prune
	assert_status 3
	assert_match "$output" '^\+\+\+ /dev/null$'
	apply --prune
	assert_status 0
	assert_match "$output" '^serviceentry.networking.istio.io/b deleted$'
	assert_equal "$(names)" 'a c'

	# All of them at once is not what anybody wants.
	run --separate-stderr k8s-apply -n "$NS" --prune </dev/null
	assert_status 3
	assert_match "$stderr" 'msg="deletions held" keys=2'
	assert_equal "$(names)" 'a c'
	run --separate-stderr k8s-apply diff -n "$NS" --prune </dev/null
	assert_status 3
	assert_equal "$output" "# $NS/serviceentry.networking.istio.io/a is not wanted any more; its deletion would be held
# $NS/serviceentry.networking.istio.io/c is not wanted any more; its deletion would be held"
}

@test "delete takes a whole set down, but for what a person protects, and then its ConfigMap and Lease" {
	local name
	for name in a b; do entry "$name"; done
	apply
	assert_status 0
	printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"mine"}}' | k8s-apply -n "$NS" --set other

	run --separate-stderr k8s-apply delete -n "$NS" --set meshpipe
	assert_status 64
	assert_match "$stderr" 'there is none \(--yes if it is meant\)'
	run --separate-stderr k8s-apply delete -n "$NS" --set meshpipe --dry-run=server
	assert_status 0
	assert_equal "$(sort <<<"$output")" "serviceentry.networking.istio.io/a deleted (server dry run)
serviceentry.networking.istio.io/b deleted (server dry run)"
	assert_equal "$(names)" 'a b'

	annotate "$(configmap)" meshpipe.io/freeze true
	run --separate-stderr k8s-apply delete -n "$NS" --set meshpipe --yes
	assert_status 3
	assert_match "$stderr" 'frozen'
	assert_equal "$(names)" 'a b'
	annotate "$(configmap)" meshpipe.io/freeze

	annotate "$istio/namespaces/$NS/serviceentries/a" meshpipe.io/reconcile disabled
	run --separate-stderr k8s-apply delete -n "$NS" --set meshpipe --yes
	assert_status 1
	assert_match "$output" '^serviceentry.networking.istio.io/a skipped: '
	assert_match "$output" '^serviceentry.networking.istio.io/b deleted$'
	assert_equal "$(names)" 'a'
	assert_equal "$(kube status GET "$(configmap)")" 200
	annotate "$istio/namespaces/$NS/serviceentries/a" meshpipe.io/reconcile

	# On a terminal it asks.
	run script -qec "k8s-apply delete -n $NS --set meshpipe" /dev/null <<<n
	assert_match "$output" "delete 1 object of set 'meshpipe' in cluster 'https://.*\? \[y/N\] "
	assert_equal "$(names)" 'a'
	run script -qec "k8s-apply delete -n $NS --set meshpipe" /dev/null <<<y
	assert_equal "$(names)" ''
	assert_equal "$(kube status GET "$(configmap)")" 404
	assert_equal "$(lease)" 404
	# Another set is none of its business.
	assert_equal "$(kube status GET "/api/v1/namespaces/$NS/configmaps/mine")" 200
	assert_equal "$(kube status GET "/api/v1/namespaces/$NS/configmaps/other")" 200

	run --separate-stderr k8s-apply delete -n "$NS" --set meshpipe --yes
	assert_status 1
	assert_match "$stderr" "there is no set 'meshpipe' in cluster 'https://"
}

# --- as kubectl sees it

@test "kubectl agrees: no difference after an apply, the set by its label, other fields survive" {
	local id
	entry a
	entry b 8080
	apply
	assert_status 0
	run kubectl diff --server-side --field-manager=another -f "$T/m"
	assert_equal "$output" ''
	assert_status 0
	id=$(kube api GET "$(configmap)" | jq -r '.metadata.labels["applyset.kubernetes.io/id"]')
	assert_equal "$(kubectl get serviceentries -l "applyset.kubernetes.io/part-of=$id" -o name)" \
		"serviceentry.networking.istio.io/a
serviceentry.networking.istio.io/b"

	# What a person applies to fields of his own stays.
	cat >"$T/person.yaml" <<-END
		apiVersion: networking.istio.io/v1
		kind: ServiceEntry
		metadata: {name: a, labels: {team: payments}}
		spec: {subjectAltNames: [spiffe://a]}
	END
	kubectl apply --server-side -f "$T/person.yaml"
	entry a 81
	apply
	assert_status 0
	assert_match "$output" '^serviceentry.networking.istio.io/a configured$'
	assert_equal "$(object ServiceEntry a '[.metadata.labels.team, .spec.subjectAltNames[0], .spec.ports[0].number]')" \
		'["payments","spiffe://a",81]'
	run kubectl diff --server-side --field-manager=another -f "$T/m"
	assert_status 0
	run kubectl diff --server-side -f "$T/person.yaml"
	assert_status 0
	run_diff
	assert_status 0
}
