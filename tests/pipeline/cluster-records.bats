# k8s-apply alone, with records and manifests written by hand, to a real API server: what the
# pipe does not make on demand.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

# Records on standard input; sets $output, $stderr and $status.
apply() { # OPTION...
	run --separate-stderr timeout -k 5 60 k8s-apply -n "$NS" --timeout 20s "$@"
}

start() { # SOURCE
	jq -nc --arg source "$1" '{type: "start", source: $source, snapshot: "1", scope: "all"}'
}

synced() { # SOURCE KEYS
	jq -nc --arg source "$1" --argjson keys "$2" '{type: "synced", source: $source, snapshot: "1", services: $keys}'
}

status() { # SOURCE STATE
	jq -nc --arg source "$1" --arg state "$2" '{type: "status", program: "consul-watch", source: $source, state: $state}'
}

apply_of() { # SOURCE KEY OBJECT...
	jq -nc --arg source "$1" --arg key "$2" '{type: "apply", source: $source, key: $key, objects: [inputs]}' < <(printf '%s\n' "${@:3}")
}

# snapshot SOURCE KEY OBJECT...: a whole one, of one key.
snapshot() {
	start "$1"
	apply_of "$@"
	synced "$1" 1
}

entry() { # NAME ADDRESS [VERSION]
	jq -nc --arg name "$1" --arg address "$2" --arg version "${3:-v1}" '{apiVersion: "networking.istio.io/\($version)",
		kind: "WorkloadEntry", metadata: {name: $name, labels: {app: $name}}, spec: {address: $address}}'
}

address_of() { # NAME
	object WorkloadEntry "$1" .spec.address
}

address_is() { # NAME ADDRESS
	[ "$(address_of "$1")" = "$2" ]
}

# A run that goes on: what is written to $in is its input.
go_on() {
	mkfifo "$T/in"
	# shellcheck disable=SC2016 # the words are arguments
	spawn k8s-apply bash -c 'exec k8s-apply "$@" <"$0"' "$T/in" -n "$NS"
	exec {in}>"$T/in"
}

# Since `before`, beside what the set keeps for itself.
wrote() { # VERB RESOURCE COUNT
	take_picture after
	[ "$(writes before after | grep -v configmaps)" = "$1" ]
}

end_input() {
	exec {in}>&-
	wait_exit k8s-apply
}

@test "scenario 30: every kind of character and number is stored as it is, or refused before it is sent" {
	local text=$'emoji \xf0\x9f\x98\x80 / \\ " \x01 \x1f \x7f \xc2\x80 \xc2\x85 \xc2\x9f \xe2\x80\xa8 \xe2\x80\xa9 \xef\xbb\xbf \xef\xbf\xbe \xef\xbf\xbf a: b # c \t end'
	local object
	object=$(entry a 10.0.0.1 | jq -c --arg text "$text" '.metadata.annotations = {text: $text}')
	apply < <(snapshot dc1 a "$object")
	assert_status 0
	assert_equal "$(object WorkloadEntry a '.metadata.annotations.text | tojson')" "$(jq -nc --arg text "$text" '$text')"
	take_picture before
	apply < <(snapshot dc1 a "$object")
	assert_status 0
	nothing_written

	apply < <(snapshot dc1 a "$(jq -c '.spec.weight = 9007199254740993' <<<"$object")" "$(entry b 10.0.0.2)")
	assert_status 1
	assert_match "$output" '^workloadentry\.networking\.istio\.io/a failed: .*cannot be kept exactly'
	address_is b 10.0.0.2

	# Numbers as people and programs write them; jq would write them anew.
	apply < <(snapshot dc1 a "$object" "$(entry b 10.0.0.2)" "$(entry c 10.0.0.3)" |
		sed -e 's/"address":"10.0.0.2"/&,"weight":1e3/' -e 's/"address":"10.0.0.3"/&,"weight":10.0/')
	assert_status 0
	assert_equal "$(object WorkloadEntry b .spec.weight) $(object WorkloadEntry c .spec.weight)" '1000 10'

	# A key that the server's reader of YAML would not take never gets there.
	take_picture before
	apply < <(snapshot dc1 a "$(jq -c '.spec.labels = {("k" * 1025): "v"}' <<<"$object")" "$(entry b 10.0.0.2)" "$(entry c 10.0.0.3)")
	assert_status 1
	assert_match "$output" '^workloadentry\.networking\.istio\.io/a failed: .*1,?024 bytes'
	take_picture after
	assert_equal "$(writes before after | grep workloadentries)" 'APPLY workloadentries 2'
}

@test "an object that the server refuses costs only itself, and is sent once" {
	local wrong unknown
	wrong=$(entry wrong 10.0.0.1 | jq -c '.spec.weight = "much"')
	unknown=$(entry unknown 10.0.0.1 | jq -c '.spec.nope = 1')
	go_on
	snapshot dc1 a "$wrong" "$unknown" "$(entry right 10.0.0.1)" >&"$in"
	wait_for 20 address_is right 10.0.0.1
	wait_for 20 has_line "$T/k8s-apply.out" '^workloadentry\.networking\.istio\.io/wrong failed: '
	wait_for 20 has_line "$T/k8s-apply.out" '^workloadentry\.networking\.istio\.io/unknown failed: .*nope'
	take_picture before
	apply_of dc1 a "$wrong" "$unknown" "$(entry right 10.0.0.2)" >&"$in"
	wait_for 20 address_is right 10.0.0.2
	# That record said them again: once each.
	stays 3 wrote 'APPLY workloadentries 3'
	end_input
	assert_status 1
}

@test "a version that is not served costs only its objects" {
	apply < <(snapshot dc1 a "$(entry odd 10.0.0.1 v9)" "$(entry a 10.0.0.1)")
	assert_status 1
	assert_match "$output" "^workloadentry\.networking\.istio\.io/odd failed: the API server has no 'networking.istio.io/v9' of this kind"
	address_is a 10.0.0.1
}

@test "an object is repaired in the version that it is wanted in" {
	apply < <(snapshot dc1 a "$(entry a 10.0.0.1 v1beta1)")
	assert_status 0
	go_on
	snapshot dc1 a "$(entry a 10.0.0.1 v1beta1)" >&"$in"
	wait_for 20 has_line "$T/k8s-apply.err" msg=synced
	person "$istio/namespaces/$NS/workloadentries/a" '{"spec": {"address": "10.9.9.9"}}'
	wait_for 20 has_line "$T/k8s-apply.out" 'workloadentry\.networking\.istio\.io/a configured'
	address_is a 10.0.0.1
	end_input
	assert_status 0
}

@test "a label of the set that was taken off while nobody ran is put back" {
	apply < <(snapshot dc1 a "$(entry a 10.0.0.1)")
	label "$istio/namespaces/$NS/workloadentries/a" applyset.kubernetes.io/part-of
	apply < <(snapshot dc1 a "$(entry a 10.0.0.1)")
	assert_status 0
	assert_equal "$output" 'workloadentry.networking.istio.io/a configured'
	assert_equal "$(object WorkloadEntry a '.metadata.labels["applyset.kubernetes.io/part-of"]')" "$(set_id)"
}

@test "a set of the same name in another namespace is another set" {
	make_namespace "$NS-other"
	apply < <(snapshot dc1 a "$(entry a 10.0.0.1)")
	take_picture before
	apply --set-namespace "$NS-other" < <(snapshot dc1 a "$(entry a 10.0.0.2)")
	assert_status 1
	assert_match "$output" '^workloadentry\.networking\.istio\.io/a conflict: it belongs to another set, .meshpipe. \(applyset-'
	address_is a 10.0.0.1
	take_picture after
	assert_equal "$(differences before after)" ''
}

@test "a kind without generations is put right, too" {
	local configmap='{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}'
	go_on
	snapshot dc1 a "$configmap" >&"$in"
	wait_for 20 has_line "$T/k8s-apply.out" '^configmap/settings created'
	person "/api/v1/namespaces/$NS/configmaps/settings" '{"data": {"a": "2"}}'
	wait_for 20 has_line "$T/k8s-apply.out" '^configmap/settings configured'
	assert_equal "$(object ConfigMap settings .data.a)" 1
	end_input
	assert_status 0
}

@test "nothing is written while a source is not connected" {
	apply < <(snapshot dc1 a "$(entry a 10.0.0.1)" "$(entry b 10.0.0.2)")
	go_on
	{
		status dc1 connected
		start dc1
		status dc1 disconnected
		apply_of dc1 a "$(entry a 10.0.0.9)"
	} >&"$in"
	stays 3 address_is a 10.0.0.1
	address_is b 10.0.0.2
	status dc1 connected >&"$in"
	wait_for 20 address_is a 10.0.0.9
	wait_for 20 address_is b ''
	end_input
	assert_status 0
}

@test "a right that comes back: also when the first object that is tried is a wrong one" {
	local wrong
	wrong=$(entry aa 10.0.0.1 | jq -c '.spec.nope = 1')
	user_with 'list, watch, get'
	go_on
	snapshot dc1 a "$wrong" "$(entry b 10.0.0.2)" >&"$in"
	wait_for 30 has_line "$T/k8s-apply.err" 'level=warn .*WorkloadEntry.* cannot patch resource'
	user_with 'list, watch, get, create, patch, delete'
	wait_for 60 address_is b 10.0.0.2
	end_input
	assert_status 1
}

# The user `records` may do this with WorkloadEntries, and all that the set needs.
user_with() { # VERBS
	as_user records update leases.coordination.k8s.io <<-END
		- {apiGroups: [networking.istio.io], resources: [workloadentries], verbs: [$1]}
		- {apiGroups: [""], resources: [configmaps], verbs: [list, watch, create, patch]}
		- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
	END
}
