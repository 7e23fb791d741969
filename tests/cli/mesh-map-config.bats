#!/usr/bin/env bats
# mesh-map --config and --print-config as a user meets them.
# shellcheck disable=SC2016,SC2154 # jq programs stand in single quotes; bats sets stderr

load ../lib

# config: the file $T/c.yaml from standard input
config() {
	cat >"$T/c.yaml"
}

# printed ARG...: mesh-map --print-config, as one JSON text with sorted keys. The YAML that it
# writes is read by mesh-map, as $config.
printed() {
	mesh-map --print-config "$@" >"$T/printed.yaml" || return
	echo '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "x"}, config: $config}' >"$T/config.jq"
	echo '{"type":"service","source":"dc1","service":"web","instances":[]}' |
		mesh-map -f "$T/config.jq" --config "$T/printed.yaml" | jq -cS '.objects[0].config'
}

# defaults [FILE]: what the module says, by stock jq
defaults() {
	jq -ncS -L "${1-$REPO/mesh-map/filters}" 'import "meshpipe" as m; m::defaults'
}

# refused MESSAGE: $T/c.yaml costs status 78 and one line, "$T/c.yaml:MESSAGE".
refused() {
	run --separate-stderr mesh-map --config "$T/c.yaml" </dev/null
	assert_status 78
	assert_one_line "$stderr"
	[[ $stderr == *"$T/c.yaml:$1"* ]] || fail "expected '$1' in" "$stderr"
}

@test "what is wrong in a configuration is said with its line, column and key" {
	config <<-'END'
		hostSuffix: service.example.com
		services:
		  redis:
		    protocl: redis
	END
	refused "4:5: services.redis.protocl: unknown key: did you mean 'protocol'?"
	config <<-'END'
		ports:
		- number: 80
		- number: "8080"
	END
	refused '3:11: ports[1].number: \"8080\" is not valid: give a whole number from 1 to 65535, without quotes'
	config <<<'allowLoopback: no'
	refused '1:16: allowLoopback: \"no\" is not valid: give true or false'
}

@test "the same line for test and explain" {
	config <<<'helth: passing'
	echo '{"type":"service","source":"dc1","service":"web","instances":[]}' >"$T/records"
	cp "$REPO/mesh-map/filters/mesh.test" "$T"
	for command in "explain --config $T/c.yaml web $T/records" "test --config $T/c.yaml $T"; do
		# shellcheck disable=SC2086 # options and arguments
		run --separate-stderr mesh-map $command
		assert_status 78
		assert_match "$stderr" "c.yaml:1:1: helth: unknown key: did you mean 'health'\?"
	done
}

@test "a file that is too large, too deep or grows by aliases is refused at once, in one line" {
	yes '# a comment that says nothing' | head -c 100000000 >"$T/c.yaml"
	refused ' larger than 1 MiB, the most that is read'
	{ printf 'custom: ' && head -c 1000000 /dev/zero | tr '\0' '['; } >"$T/c.yaml"
	refused '1:1008: too deep'
	{
		printf 'custom:\n  a: &a [x,x,x,x,x,x,x,x,x,x]\n'
		for pair in ab bc cd de ef fg gh hi; do
			one="*${pair:0:1}"
			echo "  ${pair:1}: &${pair:1} [$one,$one,$one,$one,$one,$one,$one,$one,$one,$one]"
		done
	} >"$T/c.yaml"
	[ "$(stat -c %s "$T/c.yaml")" -lt 1000 ]
	refused '2:'
	assert_match "$stderr" 'too many nodes by aliases'
}

@test "every key of the module is one that is checked, and the other way round" {
	assert_equal "$(mesh-map --print-config | grep -oE '^[A-Za-z]+' | sort)" "$(defaults | jq -r 'keys[]' | sort)"
}

@test "--print-config without a file shows the defaults of the module" {
	assert_equal "$(printed)" "$(defaults)"
}

@test "--print-config shows what the file says in place of the defaults, and reads back as itself" {
	config <<-'END'
		hostSuffix: mesh.example.com
		health: ~
		exportTo: ['*']
		ports: [{number: 8080, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
		labels: {team: "no", version: "1.0"}
		services:
		  redis: {protocol: redis, ports: []}
		  "legacy-*": {health: passing, port: ~}
		custom: {a: [~, {b: ~}], c: "x\ny"}
	END
	printed --config "$T/c.yaml" >"$T/first"
	assert_equal "$(<"$T/first")" "$(jq -ncS --argjson defaults "$(defaults)" '$defaults + {
		hostSuffix: "mesh.example.com",
		exportTo: ["*"],
		ports: [{number: 8080, protocol: "HTTP"}, {number: 443, name: "tls", protocol: "TLS"}],
		labels: {team: "no", version: "1.0"},
		services: {redis: {protocol: "redis", ports: []}, "legacy-*": {health: "passing", port: null}},
		custom: {a: [null, {b: null}], c: "x\ny"}}')"
	cp "$T/printed.yaml" "$T/once.yaml"
	assert_equal "$(printed --config "$T/once.yaml")" "$(<"$T/first")"
	cmp "$T/once.yaml" "$T/printed.yaml"
}

@test "--print-config takes the defaults of the module beside the program" {
	mesh-map init "$T/mine" >/dev/null
	sed -i 's/hostSuffix: "service.consul"/hostSuffix: "mine.example.com"/' "$T/mine/meshpipe.jq"
	assert_equal "$(printed -f "$T/mine/workload-entries.jq")" "$(defaults "$T/mine")"
	assert_match "$(<"$T/printed.yaml")" '^hostSuffix: mine.example.com$'
	mkdir "$T/lib"
	echo 'def defaults: error("none here");' >"$T/lib/meshpipe.jq"
	run --separate-stderr mesh-map --print-config -L "$T/lib"
	assert_status 78
	assert_one_line "$stderr"
	assert_match "$stderr" "the defaults of the module 'meshpipe': none here"
}

@test "--print-config refuses a wrong file, and says when nobody takes its output" {
	config <<<'port: x'
	run --separate-stderr mesh-map --print-config --config "$T/c.yaml"
	assert_status 78
	assert_equal "$output" ""
	assert_match "$stderr" 'c.yaml:1:7: port: '
	run --separate-stderr bash -c 'mesh-map --print-config >/dev/full'
	assert_status 74
	assert_match "$stderr" 'cannot write output: No space left on device'
}
