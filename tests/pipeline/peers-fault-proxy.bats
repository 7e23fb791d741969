# The proxy that spoils what a real API server answers does what its head says.
# shellcheck disable=SC2154 # some variables come from bats
load ../lib

# shellcheck source=tests/peers/kube.bash
source "$REPO/tests/peers/kube.bash"
# shellcheck source=tests/peers/fault-proxy.bash
source "$REPO/tests/peers/fault-proxy.bash"

setup_file() {
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds >/dev/null 3>&- || skip "no Kubernetes API server here"
	export KUBE_DIR=$BATS_FILE_TMPDIR/kube
	"$REPO/tests/peers/kube" start "$KUBE_DIR" --no-crds --owner "$$" >/dev/null 3>&-
}

teardown_file() {
	[ -z "${KUBE_DIR-}" ] || "$REPO/tests/peers/kube" stop "$KUBE_DIR" 3>&-
}

setup() {
	common_setup
	proxy_start --owner "$$"
	M=/api/v1/namespaces/default/configmaps
}

# through PATH [CURL ARGUMENT...]: by the proxy; prints the body, and last the status.
through() {
	through_addr addr "$@"
}

through_addr() { # addr|tcp-addr PATH [CURL ARGUMENT...]
	curl -q -sS -m "${LIMIT-20}" --cacert "$KUBE_DIR/pki/ca.crt" -K <(kube_credentials "$KUBE_DIR" admin) \
		-w '\n%{http_code}' "${@:3}" "$(<"$T/proxy/$1")$2"
}

make_map() { # NAME
	through "$M/$1?fieldManager=tests" -X PATCH -H 'Content-Type: application/apply-patch+yaml' \
		-d '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "'"$1"'"}}' | tail -n 1
}

gets() { # of ConfigMaps, as the server counts them
	kube_counters "$KUBE_DIR" | awk '$1 == "GET" && $2 == "configmaps" { print $3 }'
}

exists() { # NAME
	[ "$(kube_status "$KUBE_DIR" GET "$M/$1")" = 200 ]
}

@test "what it does not spoil passes, and each request is a line of its log" {
	assert_equal "$(make_map one)" 201
	assert_match "$(through "$M/one")" '"name": ?"one"'
	assert_equal "$(through "$M/none" | tail -n 1)" 404
	assert_equal "$(sed 's/?.*=tests//; s/ [0-9.]*$//' "$T/proxy/requests")" \
		"PATCH $M/one 201 -"$'\n'"GET $M/one 200 -"$'\n'"GET $M/none 404 -"
	assert_equal "$(proxy GET /stats | jq -c '[.requests, .faults]')" '[3,{"-":3}]'
	# One connection of the client is one to the server, and each request goes there once.
	before=$(gets)
	through "$M/one" --next -sS -o /dev/null --cacert "$KUBE_DIR/pki/ca.crt" "$(<"$T/proxy/addr")$M/one" >/dev/null
	assert_equal "$(($(gets) - before))" 2
}

@test "an answer instead of the true one: so often, of such a share, after the server has done it" {
	rule '^PATCH' "$(fault busy 429 TooManyRequests later '{times: 1, headers: {"Retry-After": "1"}}')"
	run through "$M/two" -i -X PATCH
	assert_match "$output" '^Retry-After: 1'
	assert_match "$output" '"reason":"TooManyRequests"'
	assert_equal "${lines[-1]}" 429
	run ! exists two
	rule '^PATCH' "$(fault lost 504 Timeout timeout '{after: true, times: 1}')"
	assert_equal "$(make_map two)" 504
	exists two
	assert_equal "$(make_map two)" 200
	rule '/half' '{"share": 0.5, "status": 503, "name": "half"}'
	for i in 1 2 3 4; do
		assert_equal "$(through /half | tail -n 1)" "$((i % 2 ? 404 : 503))"
	done
	assert_equal "$(proxied ' 503 half ')" 2
	heal
	rule . '{"hold": true}'
	LIMIT=1 run through /readyz
	assert_status 28
	heal
	assert_match "$(through /readyz)" ok
}

@test "bodies out of line: they are the same, or what a client must refuse" {
	local expected
	expected=$(through "$M" | sed '$d' | jq -S .)
	for how in '{"pretty": true}' '{"pad_mb": 3}' '{"gzip": true}' '{"chunk": 7}' '{"http10": true}' '{"delay_ms": 10}'; do
		rule . "$how"
		assert_equal "$(through "$M" --compressed -A test | sed '$d' | jq -S .)" "$expected"
		heal
	done
	rule . '{"truncate": 100}'
	run ! jq . <<<"$(through "$M" -A test | sed '$d')"
	heal
	for how in '{"cut": 50}' '{"cut": 50, "chunk": 20}' '{"cut": 50, "reset": true}' '{"drop": true}' '{"drop": true, "reset": true}'; do
		rule . "$how"
		run ! through "$M" -A test
		heal
	done
}

@test "a watch is passed on as it comes, cut when asked, and ends with its client" {
	spawn watch curl -q -sSN --cacert "$KUBE_DIR/pki/ca.crt" -K <(kube_credentials "$KUBE_DIR" admin) \
		"$(<"$T/proxy/addr")$M?watch=1"
	wait_for 10 has_line "$T/watch.out" ADDED
	make_map three
	wait_for 10 has_line "$T/watch.out" three
	sever 'watch=1' reset
	wait_exit watch
	[ "$status" -ne 0 ]
	spawn watch curl -q -sSN --cacert "$KUBE_DIR/pki/ca.crt" -K <(kube_credentials "$KUBE_DIR" admin) \
		"$(<"$T/proxy/addr")$M?watch=1"
	wait_for 10 has_line "$T/watch.out" ADDED
	kill "$(<"$T/watch.pid")"
	wait_for 10 no_connection
}

no_connection() {
	[ "$(proxy GET /stats | jq .connections)" -eq 0 ]
}

@test "connections to tcp-addr keep TLS and HTTP/2; they are cut, silent or gone" {
	assert_match "$(through_addr tcp-addr /readyz --http2 -i)" '^HTTP/2 200'
	tcp hold
	LIMIT=1 run through_addr tcp-addr /readyz
	assert_status 28
	tcp cut
	run through_addr tcp-addr /readyz
	[[ $status -ne 0 && $status -ne 28 ]]
	tcp pass
	make_map five
	spawn watch curl -q -sSN --cacert "$KUBE_DIR/pki/ca.crt" -K <(kube_credentials "$KUBE_DIR" admin) \
		"$(<"$T/proxy/tcp-addr")$M?watch=1"
	wait_for 10 has_line "$T/watch.out" ADDED
	tcp lose
	make_map four
	refute_match "$(<"$T/watch.out")" '"four"'
	alive "$(<"$T/watch.pid")"
	assert_match "$(through_addr tcp-addr /readyz)" ok
	tcp vanish
	LIMIT=1 run through_addr tcp-addr /readyz
	assert_status 28
	tcp pass
	assert_match "$(through_addr tcp-addr /readyz --http2 -i)" '^HTTP/2 200'
}

@test "it ends with its owner" {
	spawn owner sleep 600
	spawn owned "$REPO/tests/peers/fault-proxy" "$T/owned" "$KUBE_DIR" --owner "$(<"$T/owner.pid")"
	wait_for 20 test -e "$T/owned/pid"
	kill "$(<"$T/owner.pid")"
	wait_exit owned
	assert_status 0
}
