# The real Consul that the other files build on, both ends of the supported range.
load ../lib

teardown() {
	for dir in "$T"/consul*; do
		"$REPO/tests/peers/consul" stop "$dir" 3>&-
	done
	common_teardown
}

versions=(1.8.7 1.20.5)

@test "it starts, is what was asked for, and comes back with its data after any end" {
	for version in "${versions[@]}"; do
		need_consul "$version"
		unset CONSUL_DIR
		CONSUL_DIR=$T/consul-$version
		consul_start "$version"
		address=$CONSUL_HTTP_ADDR
		assert_match "$("$CONSUL_DIR/consul" version)" "^Consul v$version\$"
		register_students
		for end in stop kill restart; do
			consul_do "$end"
			[ "$end" = restart ] || consul_do start
			assert_equal "$(<"$CONSUL_DIR/addr")" "$address"
			assert_equal "$(consul_api GET /v1/catalog/service/student-service | jq length)" 3
		done
	done
}

@test "several start at once and do not meet" {
	need_consul
	for i in 1 2 3 4; do
		"$REPO/tests/peers/consul" start "$T/consul-$i" --version 1.8.7 --owner $$ 3>&- >"$T/addr-$i" &
	done
	wait
	assert_equal "$(sort -u "$T"/addr-? | wc -l)" 4
	CONSUL_HTTP_ADDR=$(<"$T/addr-1") register_students
	assert_equal "$(CONSUL_HTTP_ADDR=$(<"$T/addr-2") consul_api GET /v1/catalog/services)" '{"consul":[]}'
}

@test "with access control nothing is told without the token" {
	for version in "${versions[@]}"; do
		need_consul "$version"
		unset CONSUL_HTTP_TOKEN
		CONSUL_DIR=$T/consul-$version
		consul_start "$version" --acl
		register_students
		assert_equal "$(consul_api GET /v1/health/service/student-service | jq length)" 3
		token=$CONSUL_HTTP_TOKEN
		unset CONSUL_HTTP_TOKEN
		assert_equal "$(consul_api GET /v1/health/service/student-service)" '[]'
		CONSUL_HTTP_TOKEN=$token
	done
}

@test "a client agent speaks for the server that it joined" {
	for version in "${versions[@]}"; do
		need_consul "$version"
		CONSUL_DIR=$T/consul-$version
		consul_start "$version"
		register_students
		CONSUL_HTTP_ADDR=$("$REPO/tests/peers/consul" start "$T/consul-client-$version" \
			--version "$version" --join "$CONSUL_DIR" --owner "$$" 3>&-)
		assert_equal "$(consul_api GET /v1/agent/self | jq .Config.Server)" false
		assert_equal "$(consul_api GET /v1/catalog/service/student-service | jq length)" 3
	done
}

@test "it ends with its owner, however that ends, also after a restart" {
	need_consul
	spawn owner sleep 300
	"$REPO/tests/peers/consul" start "$T/consul" --version 1.8.7 --owner "$(<"$T/owner.pid")" 3>&-
	"$REPO/tests/peers/consul" restart "$T/consul" 3>&-
	agent=$(<"$T/consul/pid")
	alive "$agent"
	kill -KILL "$(<"$T/owner.pid")"
	wait_for 15 eval "! alive $agent"
}

@test "it ends with its owner also when its folder has gone with that" {
	need_consul
	spawn owner sleep 300
	"$REPO/tests/peers/consul" start "$T/consul" --version 1.8.7 --owner "$(<"$T/owner.pid")" 3>&-
	agent=$(<"$T/consul/pid")
	rm -rf "$T/consul"
	kill -KILL "$(<"$T/owner.pid")"
	wait_for 15 eval "! alive $agent"
}

@test "the helpers change what they say" {
	need_consul
	CONSUL_DIR=$T/consul
	consul_start
	service() { consul_api GET "/v1/health/service/$1" | jq -c "$2"; }
	register_instance vm-1 10.0.0.1 web 80 id=one address=10.9.9.9 tag=a=b tag=c meta.zone=z nodemeta.rack=r status=passing
	assert_equal "$(service web '.[0] | [.Node.Node, .Node.Address, .Node.Meta.rack, .Service.ID,
		.Service.Address, .Service.Port, .Service.Tags, .Service.Meta.zone, [.Checks[].Status]]')" \
		'["vm-1","10.0.0.1","r","one","10.9.9.9",80,["a=b","c"],"z",["passing"]]'
	set_check vm-1 web critical one
	set_node_check vm-1 warning
	assert_equal "$(service web '[.[].Checks[].Status] | sort')" '["critical","warning"]'
	register_instance vm-2 10.0.0.2 web 80
	deregister_instance vm-1 web one
	assert_equal "$(service web '[.[].Service.ID]')" '["web-vm-2"]'
	deregister_service web
	assert_equal "$(service web length)" 0
	register_students
	deregister_all
	assert_equal "$(consul_api GET /v1/catalog/nodes | jq -c '[.[].Node]')" '["server"]'
	run register_instance '' '' web 80
	assert_status 1
	assert_match "$output" '^consul refused PUT /v1/catalog/register: Must provide node'
}

@test "an agent that cannot start says why, status 69" {
	need_consul
	run "$REPO/tests/peers/consul" start "$T/consul" --version 1.8.7 -- -no-such-flag 3>&-
	assert_status 69
	assert_match "$output" 'flag provided but not defined: -no-such-flag'
	run "$REPO/tests/peers/consul" start
	assert_status 64
	assert_one_line "$output"
}

# --- tests/peers/get, with a stand-in for go: real builds take minutes

# fake_go BUILDS: what it leaves for a program answers --version with that text.
fake_go() {
	export MESHPIPE_CACHE=$T/cache PATH=$T/bin:$PATH
	mkdir -p "$T/bin"
	cat >"$T/bin/go" <<-END
		#!/bin/bash
		[ "\$1" != env ] || { echo go1.999; exit; }
		echo "\$*" >>"$T/go.log"
		sleep 0.3
		while [ "\$1" != -o ]; do shift; done
		printf '#!/bin/sh\necho "%s"\n' "$1" >"\$2"
		chmod +x "\$2"
	END
	chmod +x "$T/bin/go"
}

@test "get: what is not there is got once, however many ask at a time" {
	fake_go 'etcd Version: 3.7.3'
	for i in 1 2 3; do
		"$REPO/tests/peers/get" etcd >"$T/path-$i" 2>/dev/null 3>&- &
	done
	wait
	assert_equal "$(sort -u "$T"/path-?)" "$T/cache/etcd-3.7.3"
	assert_equal "$("$T/cache/etcd-3.7.3")" 'etcd Version: 3.7.3'
	run "$REPO/tests/peers/get" etcd
	assert_status 0
	assert_equal "$output" "$T/cache/etcd-3.7.3"
	assert_equal "$(grep -c '' "$T/go.log")" 1
	[ ! -e "$T/cache/.work-go" ]
}

@test "get: the wrong thing does not enter the cache; the rest comes nevertheless" {
	fake_go 'etcd Version: 3.7.4'
	mkdir "$T/cache"
	touch "$T/cache/istio-crds-1.31.1"
	run "$REPO/tests/peers/get" etcd istio-crds 3>&-
	assert_status 69
	assert_match "$output" 'what came is not etcd 3\.7\.3'
	assert_match "$output" "log: $T/cache/.work-go/log"
	assert_match "$output" "^$T/cache/istio-crds-1.31.1$"
	[ ! -e "$T/cache/etcd-3.7.3" ]
}

@test "get: a build that fails says why, status 69" {
	fake_go ''
	cat >"$T/bin/go" <<-'END'
		#!/bin/bash
		[ "$1" != env ] || { echo go1.999; exit; }
		echo "dial tcp: no route" >&2
		exit 1
	END
	run "$REPO/tests/peers/get" kube-apiserver 3>&-
	assert_status 69
	assert_match "$output" 'dial tcp: no route'
	assert_match "$output" 'cannot get kube-apiserver 1\.36\.3 here'
	run "$REPO/tests/peers/get" cake
	assert_status 64
	assert_one_line "$output"
	run env -u MESHPIPE_CACHE -u XDG_CACHE_HOME -u HOME "$REPO/tests/peers/get" etcd
	assert_status 78
}
