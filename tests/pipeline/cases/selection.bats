# What consul-watch watches, of all that Consul has: each option alone, some together, and what
# the server itself refuses.
# shellcheck disable=SC2154 # some variables come from pipe.bash
# shellcheck disable=SC2030,SC2031 # a test is a subshell
load pipe

# Six services of our own and what Consul has beside them. In the names of instances stands what
# is to tell them apart.
register_all() {
	local x=external-source
	register_instance n1 10.1.0.1 shop-web 80 id=web-1 tag=v1 tag=eu meta.meshpipe=true nodemeta.rack=7
	register_instance n2 10.1.0.2 shop-web 80 id=web-2 tag=v2 tag=eu tag=meshpipe=true nodemeta.rack=8
	register_instance n1 10.1.0.1 shop-api 81 id=api-1 tag=v2 meta.meshpipe=false nodemeta.rack=7
	register_instance n3 10.1.0.3 shop-api 82 id=api-3 nodemeta.rack=7 nodemeta.os=linux
	register_instance n2 10.1.0.2 stock 90 id=stock-2 tag=eu nodemeta.rack=8
	register_instance n3 10.1.0.3 synced 91 id=synced-3 "meta.$x=kubernetes" tag=eu nodemeta.rack=7 nodemeta.os=linux
	register_instance n3 10.1.0.3 batch 92 id=batch-3 "meta.$x=nomad" nodemeta.rack=7 nodemeta.os=linux
	register_kind n1 10.1.0.1 shop-web-sidecar-proxy connect-proxy proxy-1
	register_kind n1 10.1.0.1 edge mesh-gateway gateway-1
}

register_kind() { # NODE ADDRESS SERVICE KIND ID
	consul_api PUT /v1/catalog/register "$(jq -n '$ARGS.positional as [$node, $address, $name, $kind, $id]
		| {Node: $node, Address: $address, SkipNodeUpdate: true, Service: ({ID: $id, Service: $name, Kind: $kind,
		   Port: 20000} + if $kind == "connect-proxy" then {Proxy: {DestinationServiceName: "shop-web"}} else {} end)}' \
		--args "$@")" >/dev/null
}

# selects IDS OPTION...: with these options, and nothing else, those instances are said; sets
# $scope to what the record says after the datacenter.
selects() {
	local expected=$1
	shift
	run --separate-stderr timeout 20 consul-watch --once "$@"
	assert_status 0
	assert_equal "$(jq -r '.instances[]?.id' <<<"$output" | sort | xargs)" "$expected" || fail "with: $*"
	refute_match "$stderr" 'level=(warn|error)'
	# A service of which nothing is selected is not there at all, and the snapshot is whole.
	jq -se 'map(select(.type == "service")) as $s | .[-1].services == ($s | length)
		and all($s[]; .instances | length > 0)' <<<"$output" >/dev/null
	scope=$(jq -r 'select(.type == "start") | .scope | ltrimstr("consul datacenter dc1, ")' <<<"$output")
}

@test "each option alone, and what the scope says of it" {
	register_all
	selects 'api-1 api-3 batch-3 stock-2 web-1 web-2'
	assert_equal "$scope" 'all services'

	selects 'api-1 api-3 web-1 web-2' --service 'shop-*'
	assert_equal "$scope" 'services shop-*'
	selects 'stock-2 web-1 web-2' --service stock --service 'shop-w*'
	assert_equal "$scope" 'services shop-w* stock'
	selects 'batch-3 stock-2' --exclude 'shop-*'
	assert_equal "$scope" 'all services, without shop-*'
	selects 'batch-3' --exclude stock --exclude 'shop-*'
	assert_equal "$scope" 'all services, without shop-* stock'

	selects 'stock-2 web-1 web-2' --tag eu
	assert_equal "$scope" 'all services, tags eu'
	selects 'web-2' --tag v2 --tag eu
	assert_equal "$scope" 'all services, tags eu v2'

	selects 'api-1 api-3 batch-3 web-1' --node-meta rack=7
	assert_equal "$scope" 'all services, node-meta rack=7'
	selects 'api-3 batch-3' --node-meta rack=7 --node-meta os=linux
	assert_equal "$scope" 'all services, node-meta os=linux rack=7'

	selects 'proxy-1' --kind connect-proxy
	assert_equal "$scope" 'all services, kinds connect-proxy'
	selects 'gateway-1 proxy-1' --kind mesh-gateway --kind connect-proxy
	selects 'api-1 api-3 batch-3 stock-2 web-1 web-2' --kind typical
	assert_equal "$scope" 'all services'
	selects 'api-1 api-3 batch-3 gateway-1 proxy-1 stock-2 web-1 web-2' --kind any
	assert_equal "$scope" 'all services, kinds any'

	selects 'web-1 web-2' --opt-in meshpipe=true
	assert_equal "$scope" 'all services, opt-in meshpipe=true'
	selects 'web-1 web-2' --opt-in meshpipe
	assert_equal "$scope" 'all services, opt-in meshpipe=true'
	selects 'api-1' --opt-in meshpipe=false

	selects 'api-1 api-3 batch-3 stock-2 synced-3 web-1 web-2' --from-kubernetes
	assert_equal "$scope" 'all services, from-kubernetes'
}

@test "the server's own filter" {
	register_all
	selects 'web-1 web-2' --filter 'Service.Port == 80'
	selects 'api-3' --service 'shop-*' --filter 'Service.Port == 82'
	selects 'web-1 web-2' --service shop-web --filter 'Service.Port == 80'
	assert_equal "$scope" 'services shop-web, filter "Service.Port == 80"'
	selects 'api-3' --service shop-api --filter 'Service.Port == 82 and "v2" not in Service.Tags'
	selects 'api-3' --service shop-api --filter 'Node.Meta.os == "linux"'
	selects 'web-2' --service shop-web --filter '"v2" in Service.Tags or Service.Meta.k == "a&b=c d+e%20#f"'
}

@test "several options are all to hold, and --exclude goes before --service" {
	register_all
	selects 'web-1' --service 'shop-*' --exclude shop-api --tag eu --node-meta rack=7 --opt-in meshpipe
	assert_equal "$scope" \
		'services shop-*, without shop-api, tags eu, node-meta rack=7, opt-in meshpipe=true'
	selects 'synced-3' --from-kubernetes --kind any --tag eu --node-meta os=linux
	assert_equal "$scope" 'all services, tags eu, node-meta os=linux, kinds any, from-kubernetes'
	selects '' --service stock --exclude stock
	selects 'web-2' --service shop-web --filter 'Service.Port == 80' --tag v2 --exclude 'shop-a*'
	# In another order it is the same selection.
	first=$scope
	selects 'web-2' --exclude 'shop-a*' --tag v2 --tag v2 --filter 'Service.Port == 80' --service shop-web
	assert_equal "$scope" "$first"
}

@test "what is malformed is one line and status 64" {
	while IFS='|' read -r option value message; do
		run --separate-stderr timeout 20 consul-watch --once "--$option" "$value"
		assert_status 64
		assert_equal "$output" ''
		assert_one_line "$stderr"
		assert_match "$stderr" "option '--$option': $message"
	done <<-'END'
		node-meta|rack|'rack' is not KEY=VALUE
		opt-in|=yes|'=yes' is not KEY=VALUE
		kind|proxy|'proxy' is not typical, connect-proxy, .* or any
		tag||the tag is empty
		filter||the expression is empty
	END
}

@test "what is selected is followed" {
	register_all
	spawn watch consul-watch --wait 2s --service shop-web --tag eu
	wait_for 10 last_is shop-web 'web-1 web-2'
	register_instance n4 10.1.0.4 shop-web 80 id=web-4 tag=eu
	wait_for 10 last_is shop-web 'web-1 web-2 web-4'
	register_instance n1 10.1.0.1 shop-web 80 id=web-1 tag=us nodemeta.rack=7
	wait_for 10 last_is shop-web 'web-2 web-4'
	register_instance n5 10.1.0.5 shop-web 80 id=web-5 tag=us
	register_instance n1 10.1.0.1 shop-web 80 id=web-1 tag=eu nodemeta.rack=7
	wait_for 10 last_is shop-web 'web-1 web-2 web-4'
}

last_is() { # SERVICE IDS
	[ "$(jq -r --arg s "$1" 'select(.type == "service" and .service == $s) | [.instances[].id] | sort | join(" ")' \
		"$T/watch.out" | tail -n 1)" = "$2" ]
}

# --- what the server refuses

# refused REGEX OPTION...: one line, nothing said, and that is the end, with --once and without.
refused() {
	local regex=$1 once
	shift
	for once in '' --once; do
		run --separate-stderr timeout 20 consul-watch ${once:+"$once"} "$@"
		assert_status 78
		assert_equal "$(jq -c 'select(.type != "status")' <<<"$output")" ''
		assert_one_line "$stderr"
		assert_match "$stderr" "$regex"
	done
}

@test "a wrong filter ends it with the server's own words" {
	refused "option '--filter': consul at '$CONSUL_HTTP_ADDR' refuses 'Service\.Tags containz x': .*1:14 \(13\): no match found" \
		--filter 'Service.Tags containz x'
	refused "option '--filter': .*Selector .*Nope.* is not valid" --filter 'Nope == "x"' --service shop-web
	refused "option '--filter': .*[Ff]ailed to compile regular expression" --filter 'Service.Service matches "["'
	refused "option '--filter': .*invalid syntax" --filter 'Service.Port == "x"' --datacenter dc1
}

@test "an unknown datacenter ends it, and the known ones are named" {
	refused "option '--datacenter': consul at '$CONSUL_HTTP_ADDR' knows no datacenter 'dc2', only 'dc1'" --datacenter dc2
	refused "knows no datacenter 'DC1', only 'dc1'" --datacenter DC1 --source here
	# Also one of several, whatever the others do.
	run --separate-stderr timeout 20 consul-watch --datacenter dc1 --datacenter dc2
	assert_status 78
	assert_match "$(tail -n 1 <<<"$stderr")" "knows no datacenter 'dc2', only 'dc1'"
	selects '' --datacenter dc1
	assert_equal "$scope" 'all services'
}

@test "a partition that consul does not know ends it, and a peer where there are none" {
	# 1.8 would ignore both and answer with the local catalogue.
	if [ "$consul_version" = 1.8.7 ]; then
		refused "option '--partition': consul at '$CONSUL_HTTP_ADDR' does not know what that is" --partition p1
		refused "option '--peer': consul at '$CONSUL_HTTP_ADDR' does not know what that is" --peer elsewhere
	else
		refused 'refuses the namespace, partition or peer: HTTP 400' --partition p1
	fi
	refused 'refuses the namespace, partition or peer: HTTP 400' --namespace team-a
}

@test "an outage is no refusal: it waits for consul, and then for its words" {
	local server=$CONSUL_HTTP_ADDR
	CONSUL_HTTP_ADDR=$("$REPO/tests/peers/consul" start "$T/client" --version "$consul_version" \
		--join "$CONSUL_DIR" --owner "$$" 3>&-)
	register_all
	consul_do kill
	# Nobody at all, and an agent without servers.
	CONSUL_HTTP_ADDR=$server spawn wrong consul-watch --filter 'Service.Tags containz x'
	spawn right consul-watch --service shop-web --filter '"v1" in Service.Tags' --datacenter dc1
	wait_for 10 has_line "$T/wrong.err" 'cannot reach consul'
	wait_for 20 has_line "$T/right.err" 'cannot reach consul.*HTTP 500'
	stays 1 neither_ended
	consul_do start
	wait_exit wrong 30
	assert_status 78
	assert_match "$(<"$T/wrong.err")" "option '--filter': .*no match found"
	wait_for 30 has_line "$T/right.out" '"type":"synced"'
	# Through the agent they are the same words.
	refused "option '--filter': .*no match found" --filter 'Service.Tags containz x'
	refused "knows no datacenter 'dc2'" --datacenter dc2
}

neither_ended() {
	! ended wrong && ! ended right
}
