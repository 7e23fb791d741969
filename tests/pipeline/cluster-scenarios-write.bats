# Writes that are refused, delayed, or whose answer is lost or damaged.
# shellcheck disable=SC2154,SC2016 # some variables come from cluster.bash, some are jq's
load records

# A run behind the proxy that has N keys, all right.
start_behind_proxy() { # N
	use_proxy
	go_on
	snapshot "$1" >&"$in"
	wait_for 30 ports_are "$1" 80
	wait_for 30 said 'msg=synced'
	: >"$T/proxy/requests"
}

writes_of() { # NAME [MORE]: PATCHes of one object
	proxied "^PATCH .*/workloadentries/$1\?.*${2-}"
}

deleted_by_us() { # NAME: a DELETE was answered with 200
	[ "$(proxied "^DELETE .*/workloadentries/$1 200")" -eq 1 ]
}

@test "scenario 8: a 404 that names no object is nobody's end: writes and deletions are sent again" {
	start_behind_proxy 30
	identities >"$T/before"
	local port=80 body
	for body in '404 page not found' '{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
		"message": "the server could not find the requested resource", "details": {"kind": "workloadentries"}}'; do
		: >"$T/proxy/requests"
		heal
		rule '^(PATCH|DELETE) .*/workloadentries/' "$(jq -nc --arg body "$body" \
			'{name: "none", times: 2, status: 404, $body, headers: {"Content-Type": "text/plain"}}')"
		port=$((port + 1))
		many 1 3 "$port" >&"$in"
		wait_for 30 port_is s-1 "$port"
		wait_for 30 port_is s-2 "$port"
		wait_for 30 port_is s-3 "$port"
		assert_equal "$(proxied ' 404 none ')" 2
		assert_equal "$(identities)" "$(<"$T/before")"
	done

	: >"$T/proxy/requests"
	rule '^DELETE .*/workloadentries/' '{"name": "none", "times": 1, "status": 404, "body": "404 page not found"}'
	echo '{"type": "apply", "source": "dc1", "key": "s-30", "objects": []}' >&"$in"
	wait_for 30 count_is 29
	wait_for 30 result '/s-30 deleted$'
	assert_equal "$(proxied '^DELETE')" 2
	deleted_by_us s-30 || fail "$(<"$T/proxy/requests")"
	assert_equal "$(identities)" "$(grep -v '^s-30 ' "$T/before")"
	assert_equal "$(grep -c ' failed' "$T/k8s-apply.out")" 0
	end_input 0
}

@test "scenario 9: half of the writes get 429 and Retry-After: slower, all done, none failed" {
	start_behind_proxy 4
	rule '^PATCH .*/workloadentries/' "$(fault busy 429 TooManyRequests 'too many requests' '{share: 0.5, headers: {"Retry-After": "1"}}')"
	many 1 16 81 >&"$in"
	wait_for 60 ports_are 16 81
	wait_for 30 result '/s-16 created$'
	assert_equal "$(grep -c ' failed' "$T/k8s-apply.out")" 0
	# At most what was under way with the first refusal is refused together; then it waits a second.
	assert_equal "$(awk '/ 429 busy / { if ($NF - first > 0.9) { if (n > 16) bad++; n = 0; first = $NF } n++ }
		END { print bad + (n > 16) }' "$T/proxy/requests")" 0
	[ "$(proxied ' 429 busy ')" -le 40 ] || fail "$(<"$T/proxy/requests")"
	heal

	# Between a refusal and the end of its Retry-After nothing is written.
	: >"$T/proxy/requests"
	rule '^PATCH .*/workloadentries/' "$(fault busy 429 TooManyRequests 'too many requests' '{times: 1, headers: {"Retry-After": "3"}}')"
	many 1 1 82 >&"$in"
	wait_for 30 port_is s-1 82
	assert_equal "$(awk '/ 429 busy / { at = $NF } / 200 - / && /^PATCH/ { print ($NF - at >= 2.9) }' "$T/proxy/requests")" 1
	end_input 0
}

@test "scenario 10: a body that the server cannot take (500 without a reason) fails once and is not sent again" {
	start_behind_proxy 4
	many 5 5 | jq -c '.objects[0].spec.nope = 1' >&"$in"
	many 6 6 >&"$in"
	wait_for 30 result '/s-5 failed: .*nope'
	wait_for 30 result '/s-6 created$'
	stays 3 assert_equal "$(writes_of s-5)" 1
	assert_equal "$(writes_of s-5 ' 500 - ')" 1
	end_input 1
}

# webhook PORT: each WorkloadEntry of $NS has to pass there.
webhook() {
	admission validatingwebhookconfigurations ValidatingWebhookConfiguration '{webhooks: [{
		name: "tests.example.com", failurePolicy: "Fail", sideEffects: "None", admissionReviewVersions: ["v1"],
		timeoutSeconds: 5, clientConfig: {url: "https://127.0.0.1:'"$1"'/"}, namespaceSelector: $here,
		rules: [{apiGroups: ["networking.istio.io"], apiVersions: ["*"], operations: ["*"], resources: ["workloadentries"]}]}]}'
}

# admission RESOURCE KIND JQ: an object called $NS; the namespace is selected by $here.
admission() {
	jq -nc --arg kind "$2" --arg ns "$NS" '{matchLabels: {"kubernetes.io/metadata.name": $ns}} as $here
		| {apiVersion: "admissionregistration.k8s.io/v1", $kind, metadata: {name: $ns}} + '"$3" |
		kube api POST "/apis/admissionregistration.k8s.io/v1/$1" -d @- >/dev/null
}

# What the server answers to a write in $NS that writes nothing.
answers_dry() { # STATUS [PORT]
	[ "$(kube status PATCH "$(entry_path dry)?fieldManager=tests&dryRun=All" -d '{"apiVersion": "networking.istio.io/v1",
		"kind": "WorkloadEntry", "metadata": {"name": "dry"}, "spec": {"address": "10.9.9.9", "ports": {"http": '"${2-80}"'}}}')" = "$1" ]
}

@test "scenario 11: an admission webhook that cannot be reached: tried again, less and less often, and done" {
	start_behind_proxy 4
	identities >"$T/before"
	webhook 1
	wait_for 30 answers_dry 500
	many 1 8 81 >&"$in"
	echo '{"type": "apply", "source": "dc1", "key": "s-4", "objects": []}' >&"$in"
	wait_for 60 proxied_more_than 3 '^PATCH .*/s-1\?.* 500 '
	assert_match "$(<"$T/k8s-apply.out")" '/s-1 failed: .*failed calling webhook'
	assert_equal "$(grep -c '/s-1 failed' "$T/k8s-apply.out")" 1
	[ "$(writes_of s-1)" -le 8 ] || fail "$(<"$T/proxy/requests")"
	kube api DELETE "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/$NS" >/dev/null
	wait_for 60 ports_are 7 81
	assert_equal "$(identities | grep -E '^s-[123] ')" "$(grep -v '^s-4 ' "$T/before")"
	end_input 0
}

@test "scenario 12: the write was done and its answer is lost: sent again, and nothing is written twice" {
	start_behind_proxy 30
	identities >"$T/before"
	local port=80 last=30 how
	for how in "$(fault lost 504 Timeout 'request did not complete' '{after: true, times: 3}')" \
		'{"name": "lost", "after": true, "drop": true, "times": 3}' \
		'{"name": "lost", "after": true, "drop": true, "reset": true, "times": 3}' \
		"$(fault lost 503 ServiceUnavailable 'shutting down' '{after: true, times: 3}')"; do
		heal
		: >"$T/proxy/requests"
		port=$((port + 1)) last=$((last + 3))
		rule '^PATCH .*/workloadentries/' "$how"
		many 1 3 "$port" >&"$in"
		wait_for 30 port_is s-1 "$port"
		wait_for 30 port_is s-3 "$port"
		# An object of its own for each that is new: created once, known as ours by its mark.
		heal
		rule '^PATCH .*/workloadentries/' "$how"
		many $((last - 2)) "$last" >&"$in"
		wait_for 30 count_is "$last"
		assert_equal "$(proxied ' lost ')" 6
	done
	assert_equal "$(entries | awk '{ print $1, $3 }' | grep -E '^s-[123] ' | xargs)" 's-1 5 s-2 5 s-3 5'
	assert_equal "$(entries | awk '$3 != 1' | wc -l)" 3
	assert_equal "$(identities | grep -vE '^s-(3[1-9]|4[0-9]) ')" "$(<"$T/before")"

	heal
	: >"$T/proxy/requests"
	rule '^DELETE .*/workloadentries/' "$(fault lost 504 Timeout 'request did not complete' '{after: true, times: 1}')"
	echo '{"type": "apply", "source": "dc1", "key": "s-30", "objects": []}' >&"$in"
	wait_for 30 count_is $((last - 1))
	stays 1 count_is $((last - 1))
	[ "$(proxied '^DELETE')" -le 2 ]
	assert_equal "$(grep -c ' failed' "$T/k8s-apply.out")" 0
	end_input 0
}

@test "a quota that is used up: said, tried seldom, all else goes on; with more of it the rest is made" {
	start_behind_proxy 2
	kube api POST "/api/v1/namespaces/$NS/resourcequotas" -d '{"apiVersion": "v1", "kind": "ResourceQuota", "metadata":
		{"name": "quota"}, "spec": {"hard": {"count/workloadentries.networking.istio.io": "3"}}}' >/dev/null
	# In a cluster a controller does this.
	quota_status 3 2
	wait_for 20 answers_dry 201
	many 3 5 >&"$in"
	wait_for 30 lines_are "$T/k8s-apply.out" 'failed: .*exceeded quota' 2
	count_is 3
	many 1 1 81 >&"$in"
	wait_for 30 port_is s-1 81
	[ "$(proxied '^PATCH .*/workloadentries/.* 403 ')" -le 6 ] || fail "$(<"$T/proxy/requests")"
	quota_status 10 3
	# Told again, it need not wait for its turn.
	wait_for 20 answers_dry 201
	many 3 5 >&"$in"
	wait_for 90 count_is 5
	end_input 0
}

quota_status() { # HARD USED
	kube api PATCH "/api/v1/namespaces/$NS/resourcequotas/quota/status" -H 'Content-Type: application/merge-patch+json' \
		-d '{"status": {"hard": {"count/workloadentries.networking.istio.io": "'"$1"'"},
		"used": {"count/workloadentries.networking.istio.io": "'"$2"'"}}}' >/dev/null
}

@test "an admission policy that denies an object costs only that, once, and no deletion" {
	start_behind_proxy 3
	identities >"$T/before"
	admission validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding \
		'{spec: {policyName: $ns, validationActions: ["Deny"], matchResources: {namespaceSelector: $here}}}'
	admission validatingadmissionpolicies ValidatingAdmissionPolicy '{spec: {failurePolicy: "Fail",
		validations: [{expression: "object.spec.ports.http < 1000", message: "no such port here"}],
		matchConstraints: {resourceRules: [{apiGroups: ["networking.istio.io"], apiVersions: ["*"],
			operations: ["CREATE", "UPDATE"], resources: ["workloadentries"]}]}}}'
	wait_for 60 answers_dry 422 2000
	many 1 1 2000 >&"$in"
	many 2 3 81 >&"$in"
	wait_for 30 result '/s-1 failed: .*no such port here'
	wait_for 30 port_is s-3 81
	stays 2 assert_equal "$(writes_of s-1)" 1
	port_is s-1 80
	many 1 1 82 >&"$in"
	wait_for 30 port_is s-1 82
	assert_equal "$(identities)" "$(<"$T/before")"
	end_input 0
}

is_terminating() {
	[ "$(kube api GET "/api/v1/namespaces/$NS" | jq -r .status.phase)" = Terminating ]
}

@test "scenario 31: a namespace that is being deleted: said once, nothing is tried in a rush; made again it is filled" {
	start_behind_proxy 4
	kube api DELETE "/api/v1/namespaces/$NS" >/dev/null
	wait_for 20 is_terminating
	many 5 6 >&"$in"
	wait_for 30 said 'level=warn .*nothing can be written here for now.* because it is being terminated'
	# As the controllers of a cluster do it: its objects go, then the namespace.
	kube api DELETE "$istio/namespaces/$NS/workloadentries" >/dev/null
	stays 3 count_is 0
	[ "$(proxied '^PATCH .*/workloadentries')" -le 12 ] || fail "$(<"$T/proxy/requests")"
	kube api DELETE "/api/v1/namespaces/$NS/configmaps" >/dev/null
	kube api PUT "/api/v1/namespaces/$NS/finalize" \
		-d '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "'"$NS"'"}, "spec": {"finalizers": []}}' >/dev/null
	make_namespace "$NS"
	wait_for 60 ports_are 6 80
	wait_for 30 said 'it can be written here again'
	assert_equal "$(proxied '^DELETE')" 0
	assert_equal "$(grep -c 'nothing can be written here' "$T/k8s-apply.err")" 1
	assert_equal "$(grep -c ' failed' "$T/k8s-apply.out")" 0
	end_input 0
}

@test "scenario 31: what the set's ConfigMap was refused for is over when the input ends: it is tried once more" {
	start_behind_proxy 2
	rule '^PATCH .*/configmaps/' "$(fault no 403 Forbidden 'configmaps is forbidden: not yet')"
	# A kind that the ConfigMap does not name yet waits for it.
	jq -nc '{type: "apply", source: "dc1", key: "sidecar", objects: [{apiVersion: "networking.istio.io/v1",
		kind: "Sidecar", metadata: {name: "default"}, spec: {egress: [{hosts: ["./*"]}]}}]}' >&"$in"
	wait_for 30 said "level=warn .*cannot read or write the set's configmap"
	# The pauses are at their longest.
	wait_for 60 proxied_more_than 5 '^PATCH .*/configmaps/.* 403 no'
	heal
	end_input 0
	result 'sidecar.networking.istio.io/default created$'
}

@test "scenario 31: nor is a refused object given up at the end of the input before it was tried once more" {
	start_behind_proxy 2
	rule '^PATCH .*/workloadentries/' "$(fault no 403 Forbidden 'User "u" cannot patch resource "workloadentries": not yet')"
	many 3 4 >&"$in"
	wait_for 30 said 'level=warn .*nothing can be written here for now.* not yet'
	wait_for 60 proxied_more_than 4 '^PATCH .*/workloadentries/.* 403 no'
	heal
	end_input 0
	count_is 4
}

@test "scenario 31: what is refused to the last ends the run with 1, soon" {
	start_behind_proxy 2
	rule '^PATCH .*/workloadentries/' "$(fault no 403 Forbidden 'User "u" cannot patch resource "workloadentries": for ever')"
	many 3 4 >&"$in"
	wait_for 30 said 'level=warn .*nothing can be written here for now.* for ever'
	wait_for 60 proxied_more_than 4 '^PATCH .*/workloadentries/.* 403 no'
	SECONDS=0
	end_input 1
	[ "$SECONDS" -le 5 ]
	assert_equal "$(grep -c ' failed' "$T/k8s-apply.out")" 2
	count_is 2
}

@test "scenario 31: a kind that may not be listed ends the run with 1, soon" {
	use_proxy
	rule '^GET .*/workloadentries' "$(fault no 403 Forbidden 'User "u" cannot list resource "workloadentries": for ever')"
	go_on
	snapshot 2 >&"$in"
	wait_for 30 said 'level=warn .*nothing can be written here for now.* for ever'
	SECONDS=0
	end_input 1
	[ "$SECONDS" -le 5 ]
	count_is 0
}
