# endpoints.jq against what a real consul2istio wrote of the same catalogue: the records are in
# consul2istio/, and its README.md says how they came about.
# shellcheck disable=SC2016 # backquotes and $ in single quotes are for others
load ../lib

records=$REPO/tests/filters/consul2istio
filters=$REPO/mesh-map/filters

# as_json FILE.yaml
as_json() {
	# Debian's python3, which has Debian's python3-yaml, also where another one comes first.
	env PATH="/usr/bin:$PATH" python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))' "$1"
}

# Both print the objects that they make of the records on standard input.
by_mesh_map() { # [CONFIGURATION]
	mesh-map ${1:+--config "$1"} -f "$filters/endpoints.jq" | jq -cS '.objects[]?'
}

by_stock_jq() { # [CONFIGURATION]
	local config='{}'
	[ -z "${1-}" ] || config=$(as_json "$1")
	"${JQ:-jq}" -cS -L "$filters" --argjson config "$config" -f "$filters/endpoints.jq"
}

# compared WRITTEN OURS
compared() {
	jq -rn --slurpfile theirs "$records/$1" --slurpfile ours "$2" -f "$records/compare.jq"
}

# A service that meta and the like are put into: prints one object.
object_of() { # SERVICE-RECORD [CONFIGURATION]
	by_mesh_map "${@:2}" <<<"$1" >"$T/one"
	by_stock_jq "${@:2}" <<<"$1" | diff - "$T/one" >&2 || fail 'mesh-map and stock jq differ'
	cat "$T/one"
}

# service FILTER: a record with one instance, changed by the filter.
service() {
	jq -nc '{type: "service", source: "dc1", service: "web", at: 1, instances: [{id: "web-1", uid: "1", node: "vm-1",
		address: "10.0.0.1", port: 8080, tags: [], meta: {}, status: "passing", datacenter: "dc1"}]} | '"$1"
}

@test "what it makes differs from consul2istio's by what is listed, by mesh-map and by stock jq" {
	grep -v -e '^#' -e '^$' "$records/differences" | LC_ALL=C sort >"$T/listed"
	for how in by_mesh_map by_stock_jq; do
		"$how" "$records/migrate.yaml" <"$records/input.ndjson" >"$T/ours"
		compared written.ndjson "$T/ours" | LC_ALL=C sort >"$T/found"
		diff -u "$T/listed" "$T/found" || fail "$how"
	done
	# What compares nothing finds nothing.
	[ "$(grep -c ' =$' "$T/found")" -ge 18 ] || fail "too few are equal"
}

@test "everything that is listed as different has its reason" {
	run awk 'BEGIN { RS = "" } !/^#/' "$records/differences"
	assert_equal "$output" ''
	run awk 'BEGIN { RS = "" } / =\n/ && / [-+] /' "$records/differences"
	assert_equal "$output" ''
}

@test "without a suffix and without port 80, what was right is the same as well" {
	by_mesh_map "$records/migrate-bare.yaml" <"$records/input.ndjson" >"$T/ours"
	compared written-bare.ndjson "$T/ours" >"$T/found"
	sed -n 's/\.service\.consul =$/ =/p' "$records/differences" | LC_ALL=C sort >"$T/right"
	sed -n '/ =$/p' "$T/found" | LC_ALL=C sort >"$T/same"
	# Its port 80 is its own here.
	diff -u <(sort "$T/right" - <<<'http-on-80 =' | LC_ALL=C sort) "$T/same"
}

@test "the manual's configuration is the one that is tested" {
	diff "$records/migrate.yaml" <(sed -n '/^```yaml$/,/^```$/p' "$REPO/docs/migrating-from-consul2istio.md" | sed '1d;$d')
}

@test "without a configuration it is the default mapping in one object" {
	run -0 object_of "$(service '.')"
	assert_equal "$output" "$(jq -ncS '{apiVersion: "networking.istio.io/v1", kind: "ServiceEntry",
		metadata: {name: "web.service.consul"}, spec: {hosts: ["web.service.consul"], location: "MESH_INTERNAL",
		ports: [{name: "http-80", number: 80, protocol: "HTTP", targetPort: 80},
			{name: "http-8080", number: 8080, protocol: "HTTP", targetPort: 8080}],
		resolution: "STATIC",
		endpoints: [{address: "10.0.0.1", ports: {"http-80": 8080, "http-8080": 8080}}]}}')"
}

@test "no endpoint: no list of them, and STATIC, lest Istio look up the host" {
	for state in '.instances[].status = "critical"' '.instances = []' '.instances[0] += {address: "a.b", port: 0}'; do
		run -0 object_of "$(service "$state")"
		assert_equal "$(jq -c '.spec | [has("endpoints"), .resolution]' <<<"$output")" '[false,"STATIC"]'
	done
}

@test "4,096 endpoints are made, of 4,097 the service keeps what it had, and that is said" {
	local many='.instances[0] as $i | .instances = [range($n) | . as $n | $i
		| .uid = ("00000\($n)" | .[-5:]) | .address = "10.0.\($n / 256 | floor).\($n % 256)"]'
	# A second registration of the last one counts once.
	service "4096 as \$n | $many | .instances += [.instances[-1] | .uid = \"9\" + .uid]" >"$T/fits"
	service "4097 as \$n | $many" >"$T/does-not"
	mesh-map -f "$filters/endpoints.jq" <"$T/fits" >"$T/out"
	assert_equal "$(jq -c '[.type, (.objects[0].spec.endpoints | length)]' "$T/out")" '["apply",4096]'
	run --separate-stderr mesh-map -f "$filters/endpoints.jq" <"$T/does-not"
	assert_match "$output" '"type":"keep"'
	assert_match "$output" '4097 instances, and a ServiceEntry holds 4096: take workload-entries.jq'
}

@test "the order of instances, and which of two equal ones comes first, do not matter" {
	service '.instances[0] as $i | .instances = [range(20) | $i + {uid: "u\(.)", address: "10.0.0.\(. % 7)",
		port: (8080 + . % 2), tags: ["n=\(.)"], weights: {passing: (1 + . % 3)}}]' >"$T/records"
	jq -c '.instances |= reverse' "$T/records" >"$T/turned"
	run ! cmp -s "$T/records" "$T/turned"
	by_mesh_map <"$T/records" >"$T/one"
	by_mesh_map <"$T/turned" >"$T/other"
	cmp "$T/one" "$T/other"
	assert_equal "$(jq -c '.spec.endpoints | [length, (map(.address + ":\(.ports["http-8080"])") | . == sort)]' "$T/one")" '[14,true]'
}

@test "odd catalogues: mesh-map and stock jq make the same, in any order of instances and tags" {
	for seed in 11 12; do
		"$REPO/tests/filters/odd-records" "$seed" 300 >"$T/records"
		"$REPO/tests/filters/odd-records" "$seed" 300 --shuffle >"$T/shuffled"
		run ! cmp -s "$T/records" "$T/shuffled"
		by_mesh_map <"$T/records" >"$T/ours"
		by_stock_jq <"$T/records" >"$T/theirs"
		by_mesh_map <"$T/shuffled" >"$T/other"
		[ -s "$T/ours" ]
		cmp "$T/ours" "$T/theirs"
		cmp "$T/ours" "$T/other"
	done
}

@test "weights that are all equal are none" {
	run -0 object_of "$(service '.instances[0] as $i | .instances = [range(3) | $i
		+ {uid: "\(.)", address: "10.0.0.\(1 + .)", weights: {passing: 5}}]')"
	assert_equal "$(jq -c '[.spec.endpoints[] | has("weight")] | unique' <<<"$output")" '[false]'
	run -0 object_of "$(service '.instances[0] as $i | .instances = [range(3) | $i
		+ {uid: "\(.)", address: "10.0.0.\(1 + .)", weights: {passing: (1 + .)}}]')"
	assert_equal "$(jq -c '[.spec.endpoints[].weight]' <<<"$output")" '[null,2,3]'
}

@test "the protocol: the configuration of the service, meta, the default of the configuration, HTTP" {
	printf 'custom: {defaultProtocol: TCP}\nports: []\nservices: {fixed: {protocol: grpc}}\n' >"$T/config.yaml"
	while read -r meta name expected; do
		run -0 object_of "$(service ".service = \"$name\" | .instances[0].meta = $meta")" "$T/config.yaml"
		assert_equal "$(jq -r '.spec.ports[0] | "\(.name)/\(.protocol)"' <<<"$output")" "$expected"
	done <<-'END'
		{} web tcp-8080/TCP
		{"protocol":"http"} web http-8080/HTTP
		{"protocol":"http"} fixed grpc-8080/GRPC
		{"protocol":"redis"} web redis-8080/Redis
		{"protocol":"tcp-metaprotocol-thrift"} web tcp-metaprotocol-thrift-8080/TCP
		{"protocol":"not_a_name"} web tcp-8080/TCP
	END
	run -0 object_of "$(service '.instances[0].meta = {protocol: "dubbo"}')"
	assert_equal "$(jq -r '.spec.ports[].name' <<<"$output")" dubbo-8080
}

@test "meta external puts a service outside of the mesh" {
	run -0 object_of "$(service '.instances[0] += {address: "www.example.org", meta: {external: "true"}}')"
	assert_equal "$(jq -c '.spec | [.location, .resolution, .endpoints[].address]' <<<"$output")" \
		'["MESH_EXTERNAL","DNS","www.example.org"]'
	for value in '' false; do
		run -0 object_of "$(service ".instances[0].meta.external = \"$value\"")"
		assert_equal "$(jq -r .spec.location <<<"$output")" MESH_INTERNAL
	done
}

@test "other settings are heard as by the default program" {
	cat >"$T/config.yaml" <<-'END'
		location: MESH_EXTERNAL
		exportTo: [.]
		addresses: [240.0.0.7]
		subjectAltNames: [web.example.org]
		tlsMode: istio
		serviceAccount: web
		services: {nowhere: {resolution: NONE}}
	END
	run -0 object_of "$(service '.')" "$T/config.yaml"
	assert_equal "$(jq -c '.spec | [.location, .exportTo, .addresses, .subjectAltNames, .endpoints[]]' <<<"$output")" \
		'["MESH_EXTERNAL",["."],["240.0.0.7"],["web.example.org"],{"address":"10.0.0.1","labels":{"security.istio.io/tlsMode":"istio"},"ports":{"http-80":8080,"http-8080":8080},"serviceAccount":"web"}]'
	# An endpoint there is refused, and a targetPort has no meaning.
	run -0 object_of "$(service '.service = "nowhere"')" "$T/config.yaml"
	assert_equal "$(jq -c '.spec | [.resolution, has("endpoints"), .ports[0]]' <<<"$output")" \
		'["NONE",false,{"name":"http-80","number":80,"protocol":"HTTP"}]'
}
