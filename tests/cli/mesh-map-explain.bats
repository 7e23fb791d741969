#!/usr/bin/env bats
# mesh-map explain as somebody meets it who asks why a service looks as it does.
# shellcheck disable=SC2016,SC2154 # jq programs stand in single quotes; bats sets stderr

load ../lib

# service SOURCE NAME [JQ]: a service record with four instances, changed by the jq program.
service() {
	jq -nc --arg source "$1" --arg name "$2" '
		def one($id; $address): {id: $id, uid: "00000000000000\($id)", node: "n-\($id)", address: $address, port: 9098,
			tags: ["version=v1", "blue"], status: "passing", weights: {passing: 10, warning: 2}};
		{type: "service", source: $source, service: $name, index: "7", at: 1732345678901, instances: [
			one("a1"; "10.0.0.1"), (one("a2"; "fe00::2") | .status = "warning"),
			(one("a3"; "10.0.0.3") | .status = "critical"), (one("a4"; "127.0.0.1") | .tags = [])]} | '"${3-.}"
}

setup() {
	common_setup
	cd "$T" || return
	service dc1 web '.instances = []' >records
	service dc1 web >>records
	service dc1 student-service >>records
}

explain() {
	run --separate-stderr timeout 60 mesh-map explain "$@"
}

@test "instances as a table, who is left out and why, and the objects" {
	explain web records
	assert_status 0
	assert_equal "$stderr" ""
	assert_equal "$(sed '/^---/,$d' <<<"$output")" "# service   web
# source    dc1
# record    line 2, of 2024-11-23T07:07:58Z
#
# instances: 4
#   ID  NODE  ADDRESS         STATUS    WEIGHT  TAGS
#   a1  n-a1  10.0.0.1:9098   passing   10      version=v1, blue
#   a2  n-a2  [fe00::2]:9098  warning   2       version=v1, blue
#   a3  n-a3  10.0.0.3:9098   critical  10      version=v1, blue
#   a4  n-a4  127.0.0.1:9098  passing   10      -
#
# settings other than the defaults: 0 (all: mesh-map --print-config)
#
# left out: 2
#   a3 on n-a3: its state is critical
#   a4 on n-a4: its address is the machine's own: 127.0.0.1
#
# would not be sent, left as they are: 0
#
# objects: 3"
}

@test "the output is YAML that holds the objects of the pipe" {
	explain web <records
	k8s-apply --dir explained --set x <<<"$output" >/dev/null
	mesh-map <records | jq -c 'select(.key == "web").objects[]' | tail -n 3 | k8s-apply --dir mapped --set x >/dev/null
	assert_equal "$(find explained -name '*.yaml' -exec cat {} + | grep -c '^kind:')" 3
	diff -r -x .meshpipe explained mapped
}

@test "settings that differ from the defaults, with the service's own" {
	echo 'services: {web: {protocol: grpc, ports: [{number: 81}]}}' >mesh.yaml
	explain --config mesh.yaml web records
	assert_status 0
	assert_match "$output" '^# settings other than the defaults: 2 '
	assert_match "$output" '^#   ports: \[\{"number":81\}\]$'
	assert_match "$output" '^#   protocol: "grpc"$'
	assert_match "$output" 'grpc-81'
	explain --config mesh.yaml student-service records
	assert_match "$output" '^# settings other than the defaults: 0 '
}

@test "the module beside the program is asked, not the shipped one" {
	cp "$REPO"/mesh-map/filters/{meshpipe,workload-entries}.jq .
	sed -i 's/its state is /it is sick: /' meshpipe.jq
	explain -f ./workload-entries.jq web records
	assert_match "$output" '^#   a3 on n-a3: it is sick: critical$'
}

@test "a module that cannot answer is no reason to say nothing" {
	echo 'def left_out: 1;' >meshpipe.jq
	echo '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: .service}}' >own.jq
	explain -f ./own.jq web records
	assert_status 0
	assert_match "$output" '^# settings and who is left out are not known: .*not defined'
	assert_match "$output" '^# objects: 1$'
}

@test "by source; several sources with one name are all explained" {
	service dc2 web '.instances = []' >>records
	explain dc2/web records
	assert_status 0
	assert_equal "$(grep -c '^# service ' <<<"$output")" 1
	assert_match "$output" '^# source    dc2$'
	explain web records
	assert_equal "$(grep '^# source ' <<<"$output" | xargs)" '# source dc1 # source dc2'
}

@test "no such service: names that are near" {
	explain studnet-service records
	assert_status 1
	assert_one_line "$stderr"
	assert_match "$stderr" "'records' holds no service 'studnet-service'; there is: student-service"
	assert_equal "$output" ""
	explain stud records
	assert_match "$stderr" 'there is: student-service'
	explain xyz <records
	assert_match "$stderr" "the input holds no service 'xyz'\"$"
	explain web </dev/null
	assert_status 1
	assert_match "$stderr" 'holds no records of services'
}

@test "a service that is gone" {
	jq -nc '{type: "gone", source: "dc1", service: "web", at: 1732345678901}' >>records
	explain web records
	assert_status 0
	assert_match "$output" '^# record    line 4,'
	assert_match "$output" '^# gone: '
	refute_match "$output" '^---'
}

@test "lines that are no records are said with their number" {
	sed -i '1a garbage' records
	explain web records
	assert_status 1
	assert_match "$stderr" 'not a record, dropped" line=2 '
	assert_match "$output" '^# record    line 3,'
}

@test "an object that would not be sent, and why" {
	echo '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: ("a/b", .service)}}' >own.jq
	explain -f own.jq web records
	assert_status 1
	assert_match "$output" '^# would not be sent, left as they are: 1$'
	assert_match "$output" '^#   ConfigMap a/b: .*name'
	assert_match "$output" '^# objects: 1$'
}

@test "a program that fails: the error, and the record as it was" {
	echo 'error("no " + .service)' >own.jq
	explain -f own.jq web records
	assert_status 1
	assert_match "$output" '^#   own\.jq: no web$'
	assert_equal "$(grep '^{' <<<"$output" | jq -cS .)" "$(sed -n 2p records | jq -cS .)"
}

@test "a program without end" {
	echo 'def f: f; f' >own.jq
	explain --timeout 3s -f own.jq web records
	assert_status 1
	assert_match "$output" '^#   did not end within 3 s$'
}

@test "--trace: the time, and what programs said" {
	echo '(.service | debug | empty), {apiVersion: "v1", kind: "ConfigMap", metadata: {name: .service}}' >own.jq
	explain --trace -f own.jq web records
	assert_status 0
	assert_match "$output" '^# time: [0-9]+ ms$'
	assert_match "$output" '^# said: 1$'
	assert_match "$output" '^#   .*web'
	assert_equal "$stderr" ""
	explain -f own.jq web records
	refute_match "$output" '^# (time|said)'
}

@test "names from Consul do nothing to a terminal" {
	service dc1 web '.instances[0] |= (.id = "a\u001b[31m\nb" | .tags = ["t\u0007"])' >records
	explain web records
	assert_match "$output" '^#   a\?\[31m\?b '
	refute_match "$output" $'[\033\a]'
}

@test "a program or a configuration that is wrong ends it" {
	echo 'nothing' >own.jq
	explain -f own.jq web records
	assert_status 78
	assert_match "$stderr" 'own\.jq:1'
	explain --config none.yaml web records
	assert_status 78
	explain web none
	assert_status 78
	assert_match "$stderr" "cannot read 'none'"
}

@test "wrong arguments" {
	explain
	assert_status 64
	assert_match "$stderr" 'which service'
	explain a b c
	assert_status 64
	explain --nix web
	assert_status 64
}
