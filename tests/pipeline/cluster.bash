# What the files share whose pipe writes to a real Kubernetes API server: `load cluster`. One API
# server and one Consul serve all tests of a file, each test in a namespace of its own, $NS.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # some variables are for the tests, some come from bats

load pipe

# shellcheck source=tests/peers/kube.bash
source "$REPO/tests/peers/kube.bash"

[[ $consul_version =~ ^[0-9.]+$ ]] || consul_version=1.20.5
istio=/apis/networking.istio.io/v1

setup_file() {
	local starting
	need_consul "$consul_version"
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds >/dev/null 3>&- || skip "no Kubernetes API server here"
	export CONSUL_DIR=$BATS_FILE_TMPDIR/consul KUBE_DIR=$BATS_FILE_TMPDIR/kube
	kube_start "$KUBE_DIR" &
	starting=$!
	consul_start "$consul_version"
	wait "$starting"
	# What it writes by itself at its start must not count in a test.
	wait_for 20 kube api GET /api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication
	wait_for 20 kube api GET \
		/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking
}

teardown_file() {
	[ -z "${CONSUL_DIR-}" ] || consul_do stop
	[ -z "${KUBE_DIR-}" ] || "$REPO/tests/peers/kube" stop "$KUBE_DIR" 3>&-
}

# A server that a test started for itself in $T ends with it.
teardown() {
	local dir
	stop_spawned
	for dir in "$T"/*/addr; do
		[ ! -e "${dir%/*}/etcd.pid" ] || "$REPO/tests/peers/kube" kill "${dir%/*}" 3>&-
		[ ! -e "${dir%/*}/config.json" ] || "$REPO/tests/peers/consul" stop "${dir%/*}" 3>&-
	done
	common_teardown
}

# A file that sets up more calls this from its own setup.
setup() { cluster_setup; }

cluster_setup() {
	pipe_setup
	unset MESHPIPE_TIMEOUT
	export KUBECONFIG=$KUBE_DIR/kubeconfig
	# A test that failed may have left it in any state.
	kube api GET /readyz -m 5 >/dev/null 2>&1 || {
		"$REPO/tests/peers/kube" kill "$KUBE_DIR" 3>&-
		kube_start "$KUBE_DIR"
	}
	remove_service_entries
	use_namespace "mesh-$BATS_TEST_NUMBER"
}

# Those that earlier tests left have the hosts of this one's, which would be warned of.
remove_service_entries() {
	local namespace
	for namespace in $(kube api GET "$istio/serviceentries" | jq -r '[.items[].metadata.namespace] | unique[]'); do
		kube api DELETE "$istio/namespaces/$namespace/serviceentries" >/dev/null
	done
}

use_namespace() { # NAME
	NS=$1
	make_namespace "$NS"
}

# --- the API server

kube_start() { # DIR [OPTION...]
	"$REPO/tests/peers/kube" start "$1" --owner "$$" "${@:2}" >/dev/null 3>&-
}

# kube api|status|apply|user|token|grant|revoke|counters ARGUMENT...: of the file's server.
kube() {
	"kube_$1" "$KUBE_DIR" "${@:2}"
}

make_namespace() { # NAME
	kube api PATCH "/api/v1/namespaces/$1?fieldManager=tests" \
		-d '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "'"$1"'"}}' >/dev/null
}

# As a person with kubectl does: a merge patch, JSON, of something below the namespace.
person() { # PATH JSON
	kube api PATCH "$1?fieldManager=kubectl-edit" -H 'Content-Type: application/merge-patch+json' -d "$2" >/dev/null
}

# As kubectl annotate and label do; no VALUE takes it away.
annotate() { # PATH NAME [VALUE]
	person "$1" "$(jq -nc --arg name "$2" --arg value "${3-}" \
		'{metadata: {annotations: {($name): ($value | if . == "" then null else . end)}}}')"
}

label() { # PATH NAME [VALUE]
	person "$1" "$(jq -nc --arg name "$2" --arg value "${3-}" \
		'{metadata: {labels: {($name): ($value | if . == "" then null else . end)}}}')"
}

configmap() { # its path
	echo "/api/v1/namespaces/$NS/configmaps/meshpipe"
}

# Every object of meshpipe's and of others in $NS, and the ConfigMaps: one a line, without what the
# server keeps for itself.
objects() {
	objects_of "$NS"
}

objects_of() { # NS
	local addr resource paths=()
	addr=$(<"$KUBE_DIR/addr")
	for resource in workloadentries destinationrules; do
		paths+=("$addr$istio/namespaces/$1/$resource")
	done
	kube api GET "$istio/namespaces/$1/serviceentries" "${paths[@]}" "$addr/api/v1/namespaces/$1/configmaps" |
		jq -cS '(.kind | rtrimstr("List")) as $kind | .items[] | .kind = $kind | del(.metadata.managedFields)'
}

# One object: what the filter makes of it.
object() { # KIND NAME-OR-ADDRESS [JQ-FILTER]
	objects | jq -cr --arg kind "$1" --arg who "$2" \
		"select(.kind == \$kind and (.metadata.name == \$who or .spec.address == \$who)) | ${3:-.}"
}

# The path of the one WorkloadEntry with an address, or of the ServiceEntry of a service.
path_of() { # ADDRESS|SERVICE
	objects | jq -r --arg who "$1" --arg istio "$istio" '
		select(.spec.address == $who or (.spec.hosts[0]? == "\($who).service.consul"))
		| "\($istio)/namespaces/\(.metadata.namespace)/"
		  + (if .kind == "WorkloadEntry" then "workloadentries" else "serviceentries" end)
		  + "/\(.metadata.name)"'
}

# --- whose it is: KEP-3659's id of a set, reckoned here anew

set_id() {
	echo "applyset-$(printf 'meshpipe.%s.ConfigMap.' "$NS" | openssl dgst -sha256 -binary |
		basenc --base64url | tr -d =)-v1"
}

# --- in place of those of pipe.bash

# What the three do at once, as a user types it; sets $output (results), $stderr and $status.
pipe_once() { # OPTIONS of k8s-apply
	run --separate-stderr timeout -k 5 60 bash -o pipefail -c \
		'consul-watch --once | mesh-map | k8s-apply "$@"' bash -n "$NS" "$@"
}

# `meshpipe run` until the cluster is complete.
start_pipe() { # OPTION...
	results_from=1
	spawn meshpipe setsid meshpipe run -n "$NS" "$@"
	wait_for 30 has_line "$T/meshpipe.err" '^k8s-apply: .*msg=synced '
}

# What Istio takes from the objects of the set, in the form of expected.jq. Each is under the key
# of its service.
seen() {
	objects | jq -c --arg set "$(set_id)" 'select(.kind | IN("ServiceEntry", "WorkloadEntry"))
		| select(.metadata.labels["applyset.kubernetes.io/part-of"] == $set)
		| {file: "\(.metadata.annotations["meshpipe.io/key"]).yaml", object: .}' |
		jq -n -S -f "$PIPELINE/seen.jq"
}

# Every object, and what was asked for until now.
take_picture() { # NAME
	objects >"$T/$1.objects"
	kube counters | grep -E '^(APPLY|PATCH|POST|PUT|DELETE|DELETECOLLECTION) ' >"$T/$1.counters" || :
}

# Objects that were made, written or deleted, if only to be the same again: created|changed|deleted
# SERVICE KIND [ADDRESS].
differences() { # BEFORE AFTER
	compare "$1" "$2" '"\(.what) \(.metadata.annotations["meshpipe.io/key"] // .metadata.name | split("/")[-1]) "
		+ ([.kind, .spec.address | values] | join(" "))'
}

compare() { # BEFORE AFTER JQ-FILTER
	jq -rn --slurpfile before "$T/$1.objects" --slurpfile after "$T/$2.objects" '
		def by_uid: map({key: .metadata.uid, value: .}) | from_entries;
		($before | by_uid) as $b | ($after | by_uid) as $a
		| ($a[] | .metadata.uid as $uid
		    | if $b[$uid] == null then .what = "created"
		      elif $b[$uid] != . then .what = "changed"
		      else empty end),
		  ($b[] | select($a[.metadata.uid] == null) | .what = "deleted")
		| '"$3" | sort
}

# What was written between two pictures, by whomever, as the server counts it: VERB RESOURCE COUNT.
# Leases are renewed at any time, and count in `all` only.
writes() { # BEFORE AFTER [all]
	awk -v all="${3-}" '
		NR == FNR { before[$1 " " $2] = $3; next }
		$3 > before[$1 " " $2] && (all || $2 != "leases") { print $1, $2, $3 - before[$1 " " $2] }' \
		"$T/$1.counters" "$T/$2.counters"
}

# From the picture `before` on nothing was written, Leases included.
nothing_written() {
	take_picture now
	assert_equal "$(writes before now all)" '' && assert_equal "$(differences before now)" ''
}

# The same for pipes that go on: but Leases.
untouched() {
	take_picture now
	assert_equal "$(writes before now)" '' && assert_equal "$(differences before now)" ''
}

# The requests that make such differences.
writes_for() { # DIFFERENCE...
	printf '%s\n' "$@" | awk '
		BEGIN { plural["ServiceEntry"] = "serviceentries"; plural["WorkloadEntry"] = "workloadentries"
			plural["DestinationRule"] = "destinationrules"; plural["ConfigMap"] = "configmaps" }
		NF { count[($1 == "deleted" ? "DELETE" : "APPLY") " " plural[$3]]++ }
		END { for (each in count) print each, count[each] }' | sort
}

# The lines that k8s-apply writes about such differences.
results_for() { # BEFORE AFTER
	compare "$1" "$2" 'select(.kind != "ConfigMap") | "\(.kind | ascii_downcase).networking.istio.io/\(.metadata.name) "
		+ {created: "created", changed: "configured", deleted: "deleted"}[.what]'
}

results_are() { # FROM LINES: those from this line of the results on
	[ "$(tail -n "+$1" "$T/meshpipe.out" | sort)" = "$2" ]
}

# changes LINE... -- COMMAND...: the command changes the catalogue, the cluster follows, and what was
# written is exactly this: created|changed|deleted SERVICE KIND [ADDRESS], by one request and one line
# of the results each. What came after the last call counts too.
changes() {
	local expected=()
	while [ "$1" != -- ]; do
		expected+=("$1")
		shift
	done
	shift
	[ -e "$T/before.objects" ] || roll
	"$@"
	right || fail "after: $*"
	followed "${expected[@]}" || fail "after: $*"
}

# From here on.
roll() {
	take_picture before
	results_from=$(($(wc -l <"$T/meshpipe.out") + 1))
}

# Since `roll` some result matches the extended regular expression $1.
has_result() {
	tail -n "+$results_from" "$T/meshpipe.out" | grep -qE -- "$1"
}

# Since `before` exactly this was written, in one request and one line of the results each.
followed() { # DIFFERENCE...
	local results
	take_picture after
	assert_equal "$(differences before after)" "$(printf '%s\n' "$@" | sort)" || return
	assert_equal "$(writes before after)" "$(writes_for "$@")" || return
	results=$(results_for before after)
	wait_for 5 results_are "$results_from" "$results" 2>/dev/null ||
		assert_equal "$(tail -n "+$results_from" "$T/meshpipe.out" | sort)" "$results" || return
	advance "$(grep -c . <<<"$results" || :)"
}

# What comes now is compared with how it was at the picture `after`, so many results later.
advance() { # RESULTS
	results_from=$((results_from + $1))
	mv "$T/after.objects" "$T/before.objects"
	mv "$T/after.counters" "$T/before.counters"
}

# It ends as it should, and has not written any more.
end_pipe() {
	stop_pipe
	followed
}

# --- who may what

# What makes a pipe fail is one line that matches, whoever says it. (That its writers end as well
# is no news.)
assert_complaint() { # REGEX
	local complaints
	complaints=$(grep -vE 'level=info|nobody reads our output' <<<"$stderr")
	assert_one_line "$complaints" && assert_match "$complaints" "$1"
}

# as_user NAME VERB RESOURCE <<<RULES: a user with these rules of a Role in $NS, YAML, is it from here
# on; one of the rules' verbs and resources, to wait for. Again: these rules instead.
as_user() {
	[ -e "$KUBE_DIR/$1.kubeconfig" ] || kube user "$1"
	{
		cat <<-END
			apiVersion: rbac.authorization.k8s.io/v1
			kind: RoleBinding
			metadata: {name: meshpipe}
			roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: meshpipe}
			subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: $1}]
			---
			apiVersion: rbac.authorization.k8s.io/v1
			kind: Role
			metadata: {name: meshpipe}
			rules:
		END
		cat
	} | kube apply "$NS"
	kube_wait_access true "$KUBE_DIR" "user:$1" "$NS" "$2" "$3"
	export KUBECONFIG=$KUBE_DIR/$1.kubeconfig
}

# The rules that k8s-apply(1) shows.
rules_of_the_manual() {
	sed -n '/^apiVersion: rbac/,/^\.Ed/p' "$REPO/docs/k8s-apply.1" | sed -e '1,/^rules:/d' -e '/^\.Ed/d' -e 's/\\(dq/"/g'
}

as_user_of_the_manual() { # NAME
	as_user "$1" update leases.coordination.k8s.io < <(rules_of_the_manual)
}
