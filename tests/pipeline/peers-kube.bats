# The real Kubernetes API server that the other files build on.
# shellcheck disable=SC2030,SC2031 # a test is a subshell
load ../lib

# shellcheck source=tests/peers/kube.bash
source "$REPO/tests/peers/kube.bash"

entries=/apis/networking.istio.io/v1/namespaces/mesh/workloadentries

# The server of the whole file, for the tests that leave it running; the others start their own.
setup_file() {
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds >/dev/null 3>&- || skip "no kube-apiserver here"
	export KUBE_DIR=$BATS_FILE_TMPDIR/kube
	kube start "$KUBE_DIR" --audit --owner "$$"
}

teardown_file() {
	[ -z "${KUBE_DIR-}" ] || kube kill "$KUBE_DIR"
}

teardown() {
	for dir in "$T"/kube*/; do
		[ ! -d "$dir" ] || kube kill "$dir"
	done
	common_teardown
}

kube() {
	"$REPO/tests/peers/kube" "$@" 3>&-
}

# entry NAME ADDRESS [RESOURCE-VERSION]: one to apply.
entry() {
	jq -n --arg name "$1" --arg address "$2" --arg version "${3-}" '{
		apiVersion: "networking.istio.io/v1", kind: "WorkloadEntry",
		metadata: ({$name} + if $version == "" then {} else {resourceVersion: $version} end),
		spec: {$address, labels: {app: "web"}}}'
}

# apply_entry NAME ADDRESS [RESOURCE-VERSION]: prints the answer's status.
apply_entry() {
	kube_status "$KUBE_DIR" PATCH "$entries/$1?fieldManager=tests" -d "$(entry "$@")"
}

# servers_ended PID PID
servers_ended() {
	! alive "$1" && ! alive "$2"
}

@test "it comes back with its data and port after any end; what changed meanwhile is on record" {
	KUBE_DIR=$T/kube
	kube start "$KUBE_DIR" --owner "$$"
	address=$(<"$KUBE_DIR/addr")
	spawn record "$REPO/tests/peers/kube-watch" "$KUBE_DIR" mesh "$T/record"
	wait_for 5 has_line "$T/record" '"READY"'
	assert_equal "$(apply_entry one 10.0.0.1)" 201
	wait_for 5 has_line "$T/record" '"ADDED".*"10.0.0.1"'
	n=1
	for end in stop 'kill apiserver' 'kill etcd' restart; do
		read -ra end <<<"$end"
		kube "${end[0]}" "$KUBE_DIR" "${end[@]:1}"
		[ "${end[0]}" = restart ] || kube start "$KUBE_DIR"
		assert_equal "$(<"$KUBE_DIR/addr")" "$address"
		n=$((n + 1))
		assert_equal "$(apply_entry one "10.0.0.$n")" 200
	done
	kube_api "$KUBE_DIR" DELETE "$entries/one" >/dev/null
	wait_for 5 has_line "$T/record" '"DELETED"'
	assert_equal "$(jq -r '"\(.type) \(.spec.address // "-")"' "$T/record")" "$(printf '%s\n' \
		'READY -' 'ADDED 10.0.0.1' 'MODIFIED 10.0.0.'{2,3,4,5} 'DELETED 10.0.0.5')"
}

@test "several start at once and do not meet" {
	for i in 1 2; do
		kube start "$T/kube-$i" --no-crds --owner $$ >"$T/addr-$i" &
	done
	wait
	assert_equal "$(sort -u "$T"/addr-? | wc -l)" 2
	kube_apply "$T/kube-1" default <<<'{apiVersion: v1, kind: ConfigMap, metadata: {name: one}}'
	assert_equal "$(kube_status "$T/kube-1" GET /api/v1/namespaces/default/configmaps/one)" 200
	assert_equal "$(kube_status "$T/kube-2" GET /api/v1/namespaces/default/configmaps/one)" 404
	# Neither trusts the other, nor is trusted.
	run curl -sS --cacert "$T/kube-1/pki/ca.crt" "$(<"$T/kube-2/addr")/readyz"
	assert_status 60
	cp "$T/kube-1/pki/admin".* "$T/kube-2/pki/"
	assert_equal "$(kube_status "$T/kube-2" GET /readyz)" 401
}

@test "both end with the owner, however that ends, also after a restart of one" {
	spawn owner sleep 300
	kube start "$T/kube" --no-crds --owner "$(<"$T/owner.pid")"
	kube restart "$T/kube" apiserver
	servers=("$(<"$T/kube/etcd.pid")" "$(<"$T/kube/apiserver.pid")")
	alive "${servers[0]}"
	alive "${servers[1]}"
	kill -KILL "$(<"$T/owner.pid")"
	wait_for 15 servers_ended "${servers[@]}"
}

@test "etcd alone ends with the owner as well, also when its folder has gone with that" {
	spawn owner sleep 300
	kube start "$T/kube" --no-crds --owner "$(<"$T/owner.pid")"
	servers=("$(<"$T/kube/etcd.pid")" "$(<"$T/kube/apiserver.pid")")
	kube kill "$T/kube" apiserver
	alive "${servers[0]}"
	rm -rf "$T/kube"
	kill -KILL "$(<"$T/owner.pid")"
	wait_for 15 servers_ended "${servers[@]}"
}

@test "an apply that may only create: 201, then 409" {
	assert_equal "$(apply_entry created 10.0.0.1 1)" 201
	assert_equal "$(apply_entry created 10.0.0.2 1)" 409
	assert_equal "$(kube_api "$KUBE_DIR" GET "$entries/created" | jq -r .spec.address)" 10.0.0.1
}

@test "the counters count what was asked for, and nothing else" {
	before=$(kube_counters "$KUBE_DIR")
	assert_equal "$(kube_counters "$KUBE_DIR")" "$before"
	apply_entry counted 10.0.0.1
	apply_entry counted 10.0.0.2
	kube_api "$KUBE_DIR" GET "$entries" >/dev/null
	kube_apply "$KUBE_DIR" <<<'{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: one}}'
	kube_counters "$KUBE_DIR" >"$T/after"
	count() { awk -v what="$1" '$1 " " $2 == what { n = $3 } END { print n + 0 }'; }
	for each in 'APPLY workloadentries 2' 'LIST workloadentries 1' 'APPLY leases 1'; do
		now=$(count "${each% *}" <"$T/after")
		assert_equal "${each% *} $((now - $(count "${each% *}" <<<"$before")))" "$each"
	done
	assert_equal "$(diff <(echo "$before") "$T/after" | grep -c '^>')" 3
}

@test "an expired certificate is nobody, a user may what was granted" {
	kube_user "$KUBE_DIR" late --expired
	assert_equal "$(KUBE_AS=late kube_status "$KUBE_DIR" GET "$entries")" 401
	kube_user "$KUBE_DIR" reader
	assert_equal "$(KUBE_AS=reader kube_status "$KUBE_DIR" GET "$entries")" 403
	kube_grant "$KUBE_DIR" user:reader mesh get,list workloadentries.networking.istio.io
	assert_equal "$(KUBE_AS=reader kube_status "$KUBE_DIR" GET "$entries")" 200
	assert_equal "$(KUBE_AS=reader kube_status "$KUBE_DIR" DELETE "$entries/none")" 403
	kube_revoke "$KUBE_DIR" user:reader mesh
	assert_equal "$(KUBE_AS=reader kube_status "$KUBE_DIR" GET "$entries")" 403
	kube_grant "$KUBE_DIR" user:reader '*' list namespaces
	assert_equal "$(KUBE_AS=reader kube_status "$KUBE_DIR" GET /api/v1/namespaces)" 200
	assert_equal "$(jq -r 'select(.user.username == "reader") | .responseStatus.code' "$KUBE_DIR/audit.log" |
		tr '\n' ' ')" '403 200 403 403 200 '
}

@test "a service account by its token" {
	kube_token "$KUBE_DIR" robot
	kube_grant "$KUBE_DIR" serviceaccount:robot mesh list workloadentries.networking.istio.io
	assert_equal "$(KUBE_AS=robot kube_status "$KUBE_DIR" GET "$entries")" 200
	first=$(<"$KUBE_DIR/robot.token")
	kube_token "$KUBE_DIR" robot 600
	[ "$first" != "$(<"$KUBE_DIR/robot.token")" ]
	assert_equal "$(KUBE_AS=robot kube_status "$KUBE_DIR" GET "$entries")" 200
	echo wrong >"$KUBE_DIR/robot.token"
	assert_equal "$(KUBE_AS=robot kube_status "$KUBE_DIR" GET "$entries")" 401
	assert_equal "$(KUBE_AS='' kube_status "$KUBE_DIR" GET "$entries")" 403
}

@test "the kubeconfigs name files that are there, and the right ones" {
	kube_user "$KUBE_DIR" someone --group readers --days 2
	openssl x509 -in "$KUBE_DIR/pki/someone.crt" -noout -subject -checkend 86400 >"$T/shown"
	assert_match "$(<"$T/shown")" 'O = readers, CN = someone'
	assert_match "$(<"$KUBE_DIR/someone.kubeconfig")" "client-key: '$KUBE_DIR/pki/someone.key'"
	assert_match "$(<"$KUBE_DIR/kubeconfig")" 'namespace: default'
	sed -n 's/.*client-certificate-data: \([^,}]*\).*/\1/p' "$KUBE_DIR/kubeconfig" | base64 -d |
		cmp - "$KUBE_DIR/pki/admin.crt"
}

@test "what cannot start says why, status 69; nothing of it stays" {
	mkdir "$T/kube"
	touch "$T/kube/data"
	run kube start "$T/kube"
	assert_status 69
	assert_match "$output" 'not a directory'
	run pgrep -f -- "=$T/kube/"
	assert_status 1
}

@test "wrong usage: one line, status 64" {
	for arguments in '' start 'start . --what' 'stop . kubelet' 'counters .' 'start . --owner'; do
		cd "$T"
		# shellcheck disable=SC2086
		run kube $arguments
		assert_status 64
		assert_one_line "$output"
	done
}
