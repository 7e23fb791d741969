# From consul2istio to endpoints.jq, as docs/migrating-from-consul2istio.md tells it: what a real
# consul2istio wrote is in a real API server, and its catalogue is in a real Consul.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

records=$REPO/tests/filters/consul2istio
entries() { echo "$istio/namespaces/$NS/serviceentries"; }

# As consul2istio does it. The namespace of the configuration is that of the test.
their_objects() {
	local object
	while IFS= read -r object; do
		kube api POST "$(entries)?fieldManager=Aeraki" -d "$(jq -c \
			'{apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata, spec}' <<<"$object")" >/dev/null
	done < <(jq -c 'select(.metadata.name | IN("plain.service.consul", "speaks-http.service.consul"))' "$records/written.ndjson")
	sed "s/^namespace: .*/namespace: $NS/" "$records/migrate.yaml" >"$T/migrate.yaml"
}

their_catalogue() {
	register_instance vm-1 10.0.0.1 plain 9098 address=10.1.0.1 'tag=version|v1' 'tag=team|a' status=passing
	register_instance vm-2 10.0.0.2 plain 9098 address=10.1.0.2 'tag=version|v2' 'tag=team|a' tag=canary status=passing
	register_instance vm-3 10.0.0.3 plain 9098 address=10.1.0.3 'tag=version|v2' status=warning
	register_instance vm-1 10.0.0.1 speaks-http 8080 address=10.1.2.1 meta.protocol=http
	register_instance vm-2 10.0.0.2 speaks-http 8080 address=10.1.2.2 meta.protocol=http
}

migrate() { # [OPTION...]: sets $output, $stderr and $status
	run --separate-stderr meshpipe once -n "$NS" --config "$T/migrate.yaml" \
		-f "$REPO/mesh-map/filters/endpoints.jq" "$@"
}

specs() {
	objects | jq -cS 'select(.kind == "ServiceEntry") | .spec.ports |= sort_by(.number) | {name: .metadata.name, spec}'
}

@test "consul2istio's objects are not touched; when they are deleted the same come, and none is written twice" {
	local before
	their_objects
	their_catalogue
	before=$(specs)
	assert_equal "$(grep -c . <<<"$before")" 2

	take_picture before
	migrate
	assert_status 1
	assert_equal "$(grep -cE '^serviceentry\.networking\.istio\.io/(plain|speaks-http)\.service\.consul conflict: ' <<<"$output")" 2
	take_picture after
	assert_equal "$(differences before after)" 'created meshpipe ConfigMap'

	# What the manual compares.
	consul-watch --once 2>/dev/null | mesh-map --config "$T/migrate.yaml" -f "$REPO/mesh-map/filters/endpoints.jq" |
		jq -cS '.objects[]?' >"$T/ours"
	kube api GET "$(entries)?labelSelector=manager=Aeraki,registry=consul" | jq -cS '.items[]' >"$T/theirs"
	assert_equal "$(jq -rn --slurpfile theirs "$T/theirs" --slurpfile ours "$T/ours" -f "$records/compare.jq")" \
		$'plain.service.consul =\nspeaks-http.service.consul ='

	kube api DELETE "$(entries)?labelSelector=manager=Aeraki,registry=consul" >/dev/null
	assert_equal "$(specs)" ''
	migrate
	assert_status 0
	assert_equal "$(specs)" "$before"

	take_picture before
	migrate
	assert_status 0
	nothing_written
}

@test "consul2istio's objects are taken over as they stand: they are never away, and written once" {
	local before uids
	their_objects
	their_catalogue
	before=$(specs)
	uids=$(kube api GET "$(entries)" | jq -c '[.items[] | [.metadata.name, .metadata.uid]]')

	migrate --adopt --force-conflicts
	assert_status 0
	assert_equal "$(grep -cE '^serviceentry\.networking\.istio\.io/(plain|speaks-http)\.service\.consul configured' <<<"$output")" 2
	assert_equal "$(specs)" "$before"
	assert_equal "$(kube api GET "$(entries)" | jq -c '[.items[] | [.metadata.name, .metadata.uid]]')" "$uids"
	# None is left that is not ours.
	assert_equal "$(kube api GET "$(entries)?labelSelector=manager%3DAeraki,%21applyset.kubernetes.io/part-of" |
		jq '.items | length')" 0

	take_picture before
	migrate
	assert_status 0
	nothing_written
}

@test "what endpoints.jq makes of consul2istio's traps, a real API server takes" {
	sed "s/^namespace: .*/namespace: $NS/" "$records/migrate.yaml" >"$T/migrate.yaml"
	mesh-map --config "$T/migrate.yaml" -f "$REPO/mesh-map/filters/endpoints.jq" <"$records/input.ndjson" >"$T/applies"
	run --separate-stderr k8s-apply -n "$NS" <"$T/applies"
	assert_status 0
	assert_equal "$(specs | grep -c .)" "$(grep -c . "$records/input.ndjson")"
}

# Each under a name of its own: some of the records claim one host.
@test "what endpoints.jq makes of odd catalogues, a real API server takes" {
	"$REPO/tests/filters/odd-records" 21 600 | mesh-map -f "$REPO/mesh-map/filters/endpoints.jq" |
		jq -c '.objects[] | .metadata.name = "odd-\(input_line_number)"' >"$T/manifests"
	run --separate-stderr k8s-apply -n "$NS" <"$T/manifests"
	assert_status 0
	assert_equal "$(specs | grep -c .)" 600
}
