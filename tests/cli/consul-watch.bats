#!/usr/bin/env bats
# consul-watch: its options, its environment, and one snapshot.

load ../lib
load ../peers/fake-consul

setup() {
	common_setup
	unset CONSUL_HTTP_AUTH CONSUL_HTTP_SSL_VERIFY CONSUL_CAPATH CONSUL_CLIENT_CERT \
		CONSUL_CLIENT_KEY CONSUL_TLS_SERVER_NAME CONSUL_PARTITION MESHPIPE_LOG_LEVEL \
		MESHPIPE_LOG_FORMAT
}

# One run that ends by itself; an end that does not come is a failure.
once() {
	run --separate-stderr timeout 20 "$@"
}

# --- options

@test "--help and --version go to stdout" {
	once consul-watch --help
	assert_status 0
	assert_match "$output" '^Usage: consul-watch'
	assert_match "$output" '--token-file FILE .*\[CONSUL_HTTP_TOKEN_FILE\]'
	refute_match "$output" '--token[ =]'
	[ -z "$stderr" ]

	once consul-watch --version
	assert_status 0
	assert_match "$output" '^consul-watch \(meshpipe\) [0-9]'
	[ -z "$stderr" ]
}

@test "what is wrong on the command line is one line and status 64" {
	local words expected
	while IFS='|' read -r words expected; do
		eval "once consul-watch $words"
		echo "# consul-watch $words: $stderr"
		assert_status 64
		assert_equal "$output" ""
		assert_one_line "$stderr"
		assert_match "$stderr" "$expected"
	done <<-'END'
		--nope|unknown option '--nope'
		-x|unknown option '-x'
		extra|unexpected argument 'extra'
		--wait|option '--wait' needs a value
		--wait 5|'5' is not a duration
		--wait 0|option '--wait': from 1s to 10m
		--wait 999ms|option '--wait': from 1s to 10m
		--wait 11m|option '--wait': from 1s to 10m
		--resync 10ms|option '--resync': from 1s on
		--gone-after soon|option '--gone-after'.*'soon' is not a duration
		--max-conns 3|option '--max-conns': at least 4
		--max-conns 1001|option '--max-conns': '1001' is not a whole number from 0 to 1000
		--max-conns -1|option '--max-conns': '-1' is not
		--once=yes|option '--once' takes no value
		--timeout 5s|option '--timeout' goes with --once
		--stale --consistent|exclude each other
		--log-level loud|'loud' is not error, warn, info or debug
		--log-format xml|'xml' is not logfmt or json
		--http-addr ftp://consul|'ftp://consul' is no address of consul
		--http-addr ''|'' is no address of consul
		--http-addr unix://relative|'unix://relative' is no address
		--http-addr http://|'http://' is no address
		--http-addr 'a b:8500'|'a b:8500' is no address
		--http-addr user:secret@consul|is no address of consul
		--http-addr consul:99999|'consul:99999' is no address
		--http-addr consul:port|'consul:port' is no address
		--http-addr 'http://[::1:8500'|is no address of consul
	END
}

@test "what is wrong in the environment is one line and status 64" {
	local setting expected
	while IFS='|' read -r setting expected; do
		once env "$setting" consul-watch --once
		echo "# $setting: $stderr"
		assert_status 64
		assert_equal "$output" ""
		assert_one_line "$stderr"
		assert_match "$stderr" "$expected"
	done <<-'END'
		CONSUL_HTTP_SSL=maybe|'CONSUL_HTTP_SSL': 'maybe' is neither true nor false
		CONSUL_HTTP_SSL_VERIFY=off|'CONSUL_HTTP_SSL_VERIFY': 'off' is neither true nor false
		CONSUL_HTTP_ADDR=ftp://consul|'ftp://consul' is no address of consul
		MESHPIPE_LOG_LEVEL=loud|'loud' is not error
	END
}

@test "files that cannot be read, and tokens that cannot be sent, are status 78" {
	local words expected
	printf 'two words\n' >"$T/two"
	head -c 5000 /dev/zero | tr '\0' x >"$T/long"
	while IFS='|' read -r words expected; do
		eval "once consul-watch --once $words"
		echo "# consul-watch $words: $stderr"
		assert_status 78
		assert_equal "$output" ""
		assert_one_line "$stderr"
		assert_match "$stderr" "$expected"
	done <<-'END'
		--token-file $T/none|cannot read token file '.*/none': No such file
		--token-file $T|cannot read token file .*: Is a directory
		--token-file $T/two|token of consul holds a blank
		--token-file $T/long|cannot read token file '.*/long': File too large
		--ca-file $T/none|cannot read CA file '.*/none': No such file
		--ca-path $T/none|cannot read CA directory '.*/none': No such file
		--client-cert $T/none|cannot read client certificate '.*/none': No such file
		--client-key $T/none|cannot read client key '.*/none': No such file
	END
}

# --- one snapshot

@test "--once writes one whole snapshot and ends with 0" {
	fake_start
	fake_service web '[{"port": 1, "tags": ["b", "a", "a"], "meta": {"k": "v"}}, {"port": 2, "status": "critical"}]'
	fake_service api '[{"port": 3}]'
	local before=${EPOCHREALTIME/[.,]/}
	once consul-watch --once
	assert_status 0
	# In between they come as they were answered.
	assert_equal "$(jq -sc 'map(.type)' <<<"$output")" '["start","service","service","synced"]'
	assert_equal "$(jq -r '.service // empty' <<<"$output" | sort)" $'api\nweb'

	# Sorted keys, no blanks: the same value is the same bytes.
	assert_equal "$(jq -cS . <<<"$output")" "$output"
	local start web synced
	start=$(sed -n 1p <<<"$output") web=$(grep '"web"' <<<"$output") synced=$(sed -n 4p <<<"$output")
	jq -e --arg scope "consul datacenter dc1, all services" \
		'.source == "dc1" and .scope == $scope and (.snapshot | type == "string")' <<<"$start"
	jq -e --argjson start "$start" '.services == 2 and .source == "dc1" and .snapshot == $start.snapshot' \
		<<<"$synced"
	jq -e --argjson before "$((before / 1000))" \
		'(.index | test("^[0-9]+$")) and .at >= $before and .at < $before + 20000' <<<"$web"
	assert_equal "$(jq -c '.instances | map(del(.uid))' <<<"$web")" "$(jq -cnS '[
		{"id": "web-1", "node": "node-1", "address": "10.0.0.1", "port": 1, "tags": ["a", "b"],
		 "meta": {"k": "v"}, "weights": {"passing": 1, "warning": 1}, "status": "passing",
		 "datacenter": "dc1", "nodeMeta": {}, "taggedAddresses": {}, "kind": ""},
		{"id": "web-2", "node": "node-2", "address": "10.0.0.2", "port": 2, "tags": [], "meta": {},
		 "weights": {"passing": 1, "warning": 1}, "status": "critical", "datacenter": "dc1",
		 "nodeMeta": {}, "taggedAddresses": {}, "kind": ""}]')"
	jq -e '[.instances[].uid | test("^[0-9a-f]{16}$")] | all' <<<"$web"
}

@test "--once of a catalogue with nothing but consul is a whole, empty snapshot" {
	fake_start
	once consul-watch --once
	assert_status 0
	assert_equal "$(jq -c '[.type, .services]' <<<"$output")" $'["start",null]\n["synced",0]'
}

@test "--once is the same bytes again, but for time and snapshot" {
	fake_start
	fake POST /many '{"count": 50}'
	once consul-watch --once
	local first
	first=$(jq -c 'del(.at, .snapshot)' <<<"$output" | sort)
	once consul-watch --once
	assert_equal "$(jq -c 'del(.at, .snapshot)' <<<"$output" | sort)" "$first"
	assert_equal "$(wc -l <<<"$first")" 52
}

@test "--once says how it failed" {
	local rule expected_status expected
	fake_start
	fake_service web '[{}]'
	while IFS='|' read -r rule expected_status expected; do
		fake_rule "$rule"
		once consul-watch --once
		echo "# $rule: $stderr"
		assert_status "$expected_status"
		[ -z "$output" ] || assert_equal "$(jq -r .type <<<"$output" | grep -c synced)" 0
		assert_match "$stderr" "level=error .*cannot read the catalogue of consul at '.*127.0.0.1:[0-9]+': .*$expected"
		fake_heal
	done <<-'END'
		{"path": "services", "status": 500, "body": "No cluster leader"}|69|HTTP 500: No cluster leader
		{"path": "services", "status": 429, "body": "slow down"}|69|limits our requests: HTTP 429: slow down
		{"path": "services", "status": 403, "body": "ACL not found"}|77|refuses the token: HTTP 403: ACL not found
		{"path": "services", "body": "{}"}|77|the list of services is empty
		{"path": "services", "body": "[]"}|69|the list of services is no object
		{"path": "services", "body": "<html>Login</html>"}|69|the answer is damaged
		{"path": "services", "headers": {"X-Consul-Index": null}}|69|no index; is this really consul
		{"path": "services", "headers": {"X-Consul-Knownleader": "false"}}|69|have no leader
		{"path": "services", "status": 302, "headers": {"Location": "/login"}}|69|HTTP 302
		{"path": "services", "drop": true}|69|.
		{"path": "health", "status": 500, "body": "rpc error"}|69|HTTP 500: rpc error
		{"path": "health", "status": 403, "body": "Permission denied"}|77|HTTP 403: Permission denied
		{"path": "health", "cut": 10}|69|.
	END
}

@test "--once: a refused connection is 69, at once and in one line" {
	once consul-watch --once --http-addr 127.0.0.1:1
	assert_status 69
	assert_equal "$output" ""
	assert_one_line "$stderr"
	assert_match "$stderr" "cannot read the catalogue of consul at 'http://127.0.0.1:1': .*[Cc]onnect"
}

@test "--once: a listed service whose instances cannot be read ends it with 69" {
	fake_start
	fake_service web '[{}]'
	fake_service secret '[{}]'
	fake_rule '{"path": "service/secret", "body": "[]"}'
	once consul-watch --once
	assert_status 69
	assert_match "$stderr" "secret.*node:read"
	refute_match "$output" synced
}

@test "--once --timeout keeps trying until it works" {
	fake_start
	fake_service web '[{}]'
	fake_rule '{"path": "catalog/services", "status": 500, "times": 2}'
	fake_rule '{"path": "health", "status": 500, "times": 2}'
	once consul-watch --once --timeout 15s
	assert_status 0
	assert_match "$output" '"type":"synced"'
}

@test "--once --timeout ends in time" {
	fake_start
	local rule expected
	while IFS='|' read -r rule expected; do
		fake_rule "$rule"
		SECONDS=0
		once consul-watch --once --timeout 1s
		assert_status "$expected"
		[ "$SECONDS" -le 4 ]
		assert_match "$stderr" "no complete catalogue from consul at '.*' in time"
		fake_heal
	done <<-'END'
		{"path": "services", "status": 500, "body": "No cluster leader"}|69
		{"path": "services", "body": "{}"}|77
		{"path": ".", "hold": true}|69
	END
}

@test "--once into a full disk is 74" {
	fake_start
	fake_service web '[{}]'
	once bash -c 'consul-watch --once >/dev/full'
	assert_status 74
	assert_match "$stderr" 'cannot write output: No space left'
}

@test "a closed stdout is 74, a closed stderr or stdin no harm" {
	fake_start
	fake_service web '[{}]'
	once bash -c 'consul-watch --once >&-'
	assert_status 74
	assert_match "$stderr" 'cannot write output: Bad file descriptor'
	once bash -c 'consul-watch --once 2>&- <&-'
	assert_status 0
	assert_equal "$(jq -r .type <<<"$output" | tr '\n' ' ')" 'start service synced '
}

# --- where and how Consul is asked

@test "the token goes in a header: from the environment, or from a file, which wins" {
	fake_start
	once env CONSUL_HTTP_TOKEN=from-environment consul-watch --once
	assert_status 0
	assert_equal "$(header X-Consul-Token)" from-environment
	: >"$T/fake/requests"
	printf ' \tfrom-file \n' >"$T/token"
	once env CONSUL_HTTP_TOKEN=from-environment CONSUL_HTTP_TOKEN_FILE="$T/token" consul-watch --once
	assert_status 0
	assert_equal "$(header X-Consul-Token)" from-file
	: >"$T/fake/requests"
	printf 'from-option' >"$T/token2"
	once env CONSUL_HTTP_TOKEN_FILE="$T/token" consul-watch --once --token-file "$T/token2"
	assert_equal "$(header X-Consul-Token)" from-option
	: >"$T/fake/requests"
	once consul-watch --once
	assert_equal "$(header X-Consul-Token)" none
	refute_match "$(fake_targets)" 'token='
}

@test "the token shows nowhere" {
	fake_start
	fake_service web '[{}]'
	export CONSUL_HTTP_TOKEN=a-secret-nobody-sees CONSUL_HTTP_AUTH=user:another-secret-of-mine
	watch --log-level debug
	wait_for 5 synced
	refute_match "$(tr '\0' ' ' <"/proc/$(watch_pid)/cmdline")" 'nobody-sees|another-secret'
	fake_rule '{"path": ".", "status": 403, "body": "ACL not found"}'
	wait_for 5 warned 'HTTP 403'
	fake_heal
	kill -TERM "$(watch_pid)"
	wait_exit watch
	refute_match "$(cat "$T/watch.out" "$T/watch.err")" 'nobody-sees|another-secret'
}

@test "a changed token file is read at SIGHUP" {
	fake_start
	fake_service web '[{}]'
	printf 'old-token' >"$T/token"
	watch --token-file "$T/token"
	wait_for 5 synced
	assert_equal "$(header X-Consul-Token)" old-token
	printf 'new-token' >"$T/token"
	: >"$T/fake/requests"
	kill -HUP "$(watch_pid)"
	wait_for 5 synced 2
	assert_match "$(header X-Consul-Token)" new-token

	rm "$T/token"
	kill -HUP "$(watch_pid)"
	wait_for 5 warned "keeping the old token.*cannot read token file"
	wait_for 5 synced 3
	assert_equal "$(header X-Consul-Token | tail -n 1)" new-token
}

@test "CONSUL_HTTP_AUTH is basic authentication" {
	fake_start
	once env CONSUL_HTTP_AUTH=user:pass consul-watch --once
	assert_status 0
	assert_equal "$(header Authorization)" "Basic $(printf user:pass | base64)"
}

@test "a Unix socket" {
	fake_start --unix
	fake_service web '[{}]'
	assert_match "$CONSUL_HTTP_ADDR" '^unix:///'
	once consul-watch --once
	assert_status 0
	assert_match "$output" '"service":"web"'
}

@test "a path prefix goes before every path" {
	fake_start
	once consul-watch --once --http-addr "http://$CONSUL_HTTP_ADDR/some/prefix/" --source here
	refute_match "$(fake_targets)" '^/v1'
	assert_match "$(fake_targets)" '^/some/prefix/v1/catalog/services\?'
}

@test "datacenter, namespace and partition go with every query and into the scope" {
	fake_start
	fake_service web '[{}]'
	fake_rule '{"path": "datacenters", "body": "[\"dc1\", \"dc two\"]"}'
	once consul-watch --once --datacenter 'dc two' --namespace ns1 --partition p1
	assert_status 0
	assert_equal "$(fake_targets | grep -vcE '[?&]dc=dc%20two&ns=ns1&partition=p1')" 0
	jq -se '.[0].source == "dc two/p1/ns1" and
		.[0].scope == "consul datacenter dc two, namespace ns1, partition p1, all services"' <<<"$output"
	# Nobody asks the agent what it knows already.
	refute_match "$(fake_targets)" agent
}

@test "the source is named after the datacenter, or as --source says" {
	fake_start
	fake_service web '[{}]'
	once consul-watch --once
	assert_equal "$(jq -r .source <<<"$output" | sort -u)" dc1
	local uid
	uid=$(jq -r '.instances[0].uid // empty' <<<"$output")
	once consul-watch --once --source 'my "catalogue"'
	assert_equal "$(jq -r .source <<<"$output" | sort -u)" 'my "catalogue"'
	jq -se '.[0].scope == "consul datacenter dc1, all services"' <<<"$output"
	[ "$(jq -r '.instances[0].uid // empty' <<<"$output")" != "$uid" ]
}

@test "without agent:read the only datacenter is it, and of several none" {
	fake_start
	fake_rule '{"path": "agent/self", "status": 403, "body": "Permission denied"}'
	once consul-watch --once
	assert_status 0
	assert_equal "$(jq -r .source <<<"$output" | sort -u)" dc1
	fake_rule '{"path": "datacenters", "body": "[\"dc1\", \"dc2\"]"}'
	once consul-watch --once
	assert_status 77
	assert_match "$stderr" 'agent:read.*--datacenter'
	once consul-watch --once --source here
	assert_status 0
	assert_equal "$(jq -r .source <<<"$output" | sort -u)" here
}

@test "--service selects by names and patterns, and says so in the scope" {
	fake_start
	local name
	for name in web web-2 api db; do fake_service "$name" '[{}]'; done
	once consul-watch --once --service 'web*' -s api
	assert_equal "$(jq -r '.service // empty' <<<"$output" | sort)" $'api\nweb\nweb-2'
	jq -se '.[0].scope == "consul datacenter dc1, services api web*" and .[-1].services == 3' <<<"$output"
	refute_match "$(fake_targets)" 'service/db'
}

# A user may not notice from where an answer comes, but the servers' owner does.
@test "blocking queries are stale, or consistent if asked for" {
	fake_start
	fake_service web '[{}]'
	watch
	wait_for 5 synced
	wait_for 5 fake_is '.blocked == 2'
	fake_gone web
	wait_for 5 wrote_any '.instances == []'
	assert_equal "$(fake_targets | grep index= | grep -vc '?stale&')" 0
	# What says that something is gone comes from the leader.
	assert_match "$(fake_targets)" 'services\?consistent$'
	assert_equal "$(fake_targets | grep 'health/service/web' | tail -n 1)" '/v1/health/service/web?consistent'
	kill "$(watch_pid)"
	wait_exit watch
	: >"$T/fake/requests"
	rm "$T/watch.out" "$T/watch.err"
	watch --consistent
	wait_for 5 synced
	wait_for 5 fake_is '.blocked == 1'
	assert_equal "$(fake_targets | grep -E 'services|health' | grep -vc '?consistent')" 0
}

# --- which services

@test "sidecars, gateways and what Kubernetes registered are left out" {
	fake_start
	fake_service web '[{}]'
	fake_service web-sidecar-proxy '[{"kind": "connect-proxy"}]'
	fake_service gateway '[{"kind": "mesh-gateway"}]'
	fake_service from-kubernetes '[{"meta": {"external-source": "kubernetes"}}]'
	fake_service mixed '[{"port": 1, "meta": {"external-source": "nomad"}}, {"kind": "connect-proxy", "port": 2}]'
	once consul-watch --once
	assert_status 0
	assert_equal "$(jq -c 'select(.type == "service") | [.service, .instances[].port]' <<<"$output" | sort)" \
		$'["mixed",1]\n["web",8080]'
	assert_match "$output" '"services":2.*"type":"synced"'
}

@test "names of any kind: escaped in the query, one line in the output" {
	local names=('with space' 'a/b' '100%' '%2F' 'q?x=1' '#frag' 'a+b&c;d' 'say "hi"' 'back\slash' '<b>&</b>'
		"it's" 'straße' '日本' '🚀' 'a.b-c_d~e' 'k=v' "$(printf 'x%.0s' {1..300})")
	fake_start
	local name
	for name in "${names[@]}"; do fake_service "$name" '[{}]'; done
	once consul-watch --once
	assert_status 0
	assert_equal "$(wc -l <<<"$output")" $((${#names[@]} + 2))
	assert_equal "$(jq -r '.service // empty' <<<"$output" | LC_ALL=C sort)" \
		"$(printf '%s\n' "${names[@]}" | LC_ALL=C sort)"
	jq -se '[.[].instances? | length] | max == 1' <<<"$output"
	refute_match "$(fake_targets)" '[^]A-Za-z0-9/%?=&._~-]'
}

@test "names that Consul cannot serve are left out with one line each, and the rest is whole" {
	fake_start
	local name
	for name in '/leading' 'a//b' '..' '.' 'a/../b' $'tab\tname' $'new\nline'; do
		fake_service "$name" '[{}]'
	done
	fake_service web '[{}]'
	watch
	wait_for 5 synced
	assert_equal "$(records '.service // empty')" '"web"'
	lines_are "$T/watch.err" 'cannot serve this name, the service is left out' 7
	# Said once, asked once: also when everything is said again.
	kill -HUP "$(watch_pid)"
	wait_for 5 synced 2
	lines_are "$T/watch.err" 'is left out' 7
	assert_equal "$(fake_targets | grep -c 'health/service/a%2F%2Fb')" 1
	# The redirect leads to a service that exists: it was not followed.
	assert_equal "$(fake_targets | grep -cE 'service/(leading|b)\?')" 0
}

@test "Web and web are one service to Consul, and one here" {
	fake_start
	fake_service Web '[{"port": 1, "node": "n1"}]'
	fake_service web '[{"port": 2, "node": "n2"}]'
	once consul-watch --once
	assert_status 0
	assert_equal "$(jq -c 'select(.type == "service") | [.service, .instances[].port]' <<<"$output")" '["Web",1,2]'
	assert_match "$output" '"services":1.*"type":"synced"'
}
