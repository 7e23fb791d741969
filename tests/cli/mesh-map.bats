#!/usr/bin/env bats
# mesh-map as a user meets it: records in, desired sets out.
# shellcheck disable=SC2016,SC2154 # jq programs stand in single quotes; bats sets stderr

load mapping

@test "a service becomes one ServiceEntry and one WorkloadEntry for each instance" {
	jq -nc '{type: "service", source: "dc1", service: "student-service", index: "57", at: 1732345678901, instances: [
		{id: "s1", uid: "00000000000000a1", node: "n1", address: "10.0.0.1", port: 9098, tags: ["version=v1"], status: "passing"},
		{id: "s2", uid: "00000000000000a2", node: "n2", address: "10.0.0.2", port: 9098, tags: ["version=v1"], status: "passing"},
		{id: "s3", uid: "00000000000000a3", node: "n3", address: "10.0.0.3", port: 9098, tags: ["version=v2"], status: "critical"}]}' >"$T/in"
	map
	assert_status 0
	assert_equal "$stderr" ""
	assert_one_line "$output"
	assert_equal "$(jq -c '[.type, .source, .key, .at, .keep]' <<<"$output")" '["apply","dc1","student-service",1732345678901,[]]'
	assert_equal "$(jq -c 'has("instances") or has("service") or has("index")' <<<"$output")" false
	assert_equal "$(jq -r '.objects[] | "\(.kind) \(.metadata.name)"' <<<"$output")" \
		"ServiceEntry student-service.service.consul
WorkloadEntry student-service.service.consul-00000000000000a1
WorkloadEntry student-service.service.consul-00000000000000a2"
	assert_equal "$(jq -c '.objects[0].spec | .hosts, [.ports[].number]' <<<"$output")" \
		'["student-service.service.consul"]
[80,9098]'
	assert_equal "$(jq -r '.objects[1].spec.labels.version' <<<"$output")" v1
}

@test "output has sorted keys: the same input gives the same bytes" {
	service web >"$T/in"
	map
	assert_equal "$output" "$(jq -cS . <<<"$output")"
	first=$output
	service web 'to_entries | reverse | from_entries' >"$T/in"
	map
	assert_equal "$output" "$first"
}

@test "what is not for the mapping goes through byte for byte" {
	cat >"$T/in" <<-'END'
		{ "type":"start", "source":"dc1", "snapshot":"s1", "scope":"all" }
		{"type":"status","program":"consul-watch","source":"dc1","state":"connected","counters":{"n":12345678901234567890}}
		{"type":"synced","services":0,"source":"dc1","snapshot":"s1","new":1.0}
		{"type":"of-the-future","b":1,"a":[1e3]}
		{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"m"}}
	END
	map
	assert_status 0
	assert_equal "$output" "$(<"$T/in")"
	assert_equal "$stderr" ""
}

@test "fields of a service record that nobody knows travel on" {
	service web '. + {trace: "abc"}' >"$T/in"
	map
	assert_equal "$(jq -r .trace <<<"$output")" abc
}

@test "gone becomes an apply with no objects" {
	echo '{"type":"gone","source":"dc1","service":"web","at":5}' >"$T/in"
	map
	assert_status 0
	assert_equal "$output" '{"at":5,"keep":[],"key":"web","objects":[],"source":"dc1","type":"apply"}'
}

@test "no input, an empty line, and a last line without a newline" {
	: >"$T/in"
	map
	assert_status 0
	assert_equal "$output" ""
	printf '\n  \n%s' "$(service web)" >"$T/in"
	map
	assert_status 0
	assert_one_line "$output"
	assert_equal "$stderr" ""
	run mesh-map </dev/null
	assert_status 0
}

@test "a change goes through at once, while the input stays open" {
	mkfifo "$T/fifo"
	exec 7<>"$T/fifo"
	service web >&7
	mesh-map <"$T/fifo" >"$T/out" 2>"$T/err" 3>&- 7>&- &
	pid=$!
	wait_for 10 has_line "$T/out" '"key":"web"'
	service shop >&7
	wait_for 10 has_line "$T/out" '"key":"shop"'
	exec 7>&-
	wait "$pid"
}

@test "a program that fails for one service costs that service only, and is reported once" {
	program p.jq '
if .service == "bad" and .index != "8" then error("no port in \(.service)") else '"$(object '\(.service)')"' end'
	{ service one; service bad; service two; service bad; service bad '.index = "9"'; } >"$T/in"
	map -f "$T/p.jq"
	assert_status 1
	assert_equal "$(jq -r '"\(.type) \(.key) \(.error // "")"' <<<"$output")" "apply one 
keep bad $T/p.jq: no port in bad
apply two 
keep bad $T/p.jq: no port in bad
keep bad $T/p.jq: no port in bad"
	assert_equal "$(jq -c 'select(.type == "keep") | keys' <<<"$output" | sort -u)" '["error","key","source","type"]'
	assert_one_line "$stderr"
	assert_match "$stderr" "level=error .*service=dc1/bad .*$T/p.jq: no port in bad"
}

@test "a failure is reported again when it is another one, and said to be over" {
	program p.jq 'if .index == "7" then '"$(object x)"' else error("because of \(.index)") end'
	{ service web '.index = "1"'; service web '.index = "1"'; service web '.index = "2"'; service web; service web; } >"$T/in"
	map -f "$T/p.jq"
	assert_status 0
	assert_equal "$(grep -c '' <<<"$stderr")" 3
	assert_match "$(sed -n 1p <<<"$stderr")" "because of 1"
	assert_match "$(sed -n 2p <<<"$stderr")" "because of 2"
	assert_match "$(sed -n 3p <<<"$stderr")" 'level=info msg="mapped again" service=dc1/web'
}

@test "a service that is gone takes its problem with it" {
	program p.jq 'error("x")'
	{ service web; echo '{"type":"gone","source":"dc1","service":"web"}'; } >"$T/in"
	map -f "$T/p.jq"
	assert_status 0
}

@test "an error that comes after outputs leaves the whole service as it is" {
	program p.jq "$(object first), error(\"second\")"
	service web >"$T/in"
	map -f "$T/p.jq"
	assert_equal "$(jq -c '[.type, .key]' <<<"$output")" '["keep","web"]'
}

@test "an error that is not a text is shown as JSON" {
	program p.jq 'error({why: "odd"})'
	service web >"$T/in"
	map -f "$T/p.jq"
	assert_equal "$(jq -r .error <<<"$output")" "$T/p.jq: error {\"why\":\"odd\"}"
}

@test "outputs that are no Kubernetes objects leave the service as it is" {
	while IFS='|' read -r text message; do
		program p.jq "$text"
		service web >"$T/in"
		map -f "$T/p.jq"
		assert_status 1
		assert_equal "$(jq -r '"\(.type): \(.error)"' <<<"$output")" "keep: $T/p.jq: $message"
		assert_one_line "$stderr"
	done <<-'END'
		"text"|the program made a string, not a Kubernetes object
		[]|the program made an array, not a Kubernetes object
		null|the program made a null, not a Kubernetes object
		{kind: "A", metadata: {name: "a"}}|the program made an object without 'apiVersion'
		{apiVersion: "v1", metadata: {name: "a"}}|the program made an object without 'kind'
		{apiVersion: "v1", kind: "A"}|the program made an object without 'metadata.name'
		{apiVersion: "v1", kind: "A", metadata: []}|the program made an object without 'metadata.name'
		{apiVersion: "v1", kind: "A", metadata: {name: ""}}|the program made an object without 'metadata.name'
		{apiVersion: 1, kind: "A", metadata: {name: "a"}}|the program made an object without 'apiVersion'
	END
}

@test "two outputs of one identity leave the service as it is, whatever their version" {
	program p.jq '("v1", "v2") | {apiVersion: "x.io/\(.)", kind: "A", metadata: {name: "a"}}'
	service web >"$T/in"
	map -f "$T/p.jq"
	assert_equal "$(jq -r '"\(.type): \(.error)"' <<<"$output")" "keep: $T/p.jq: two objects with the one identity 'x.io/A//a'"

	# Others by namespace, kind or group.
	program p.jq '("n1", "n2") | {apiVersion: "v1", kind: "A", metadata: {name: "a", namespace: .}},
		{apiVersion: "v1", kind: "B", metadata: {name: "a", namespace: .}}, {apiVersion: "x.io/v1", kind: "A", metadata: {name: "a", namespace: .}}'
	map -f "$T/p.jq"
	assert_equal "$(jq -c '.objects | length' <<<"$output")" 6
}

@test "of several objects a bad one is kept as it is, the others are applied" {
	program p.jq '{apiVersion: "v1", kind: "A", metadata: {name: "good"}},
		{apiVersion: "x.io/v1", kind: "B", metadata: {name: "bad", namespace: "n", labels: {a: 1}}}'
	service web >"$T/in"
	map -f "$T/p.jq"
	assert_status 1
	assert_equal "$(jq -c '[.type, [.objects[].metadata.name], .keep]' <<<"$output")" \
		'["apply",["good"],[{"apiVersion":"x.io/v1","error":"metadata.labels: the value of '"'a'"' is not a string","kind":"B","name":"bad","namespace":"n"}]]'
	assert_one_line "$stderr"
	assert_match "$stderr" "service=dc1/web .*$T/p.jq: B 'bad': metadata.labels"
}

@test "a name that does not fit into a path never leaves" {
	program p.jq '("a/b", "..", "a%2f") | {apiVersion: "v1", kind: "A", metadata: {name: .}}'
	service web >"$T/in"
	map -f "$T/p.jq"
	assert_equal "$(jq -c '[(.objects | length), (.keep | length)]' <<<"$output")" '[0,3]'
}

@test "halt, input and their kin cost the service, not the pipe" {
	while IFS='#' read -r text message; do
		program p.jq "if .service == \"bad\" then $text else $(object x) end"
		{ service bad; service good; } >"$T/in"
		map -f "$T/p.jq"
		assert_status 1
		assert_equal "$(jq -r '"\(.type) \(.key)"' <<<"$output")" $'keep bad\napply good'
		assert_match "$(jq -r '.error // empty' <<<"$output")" "$message"
	done <<-'END'
		halt#halted
		"bye" | halt_error#halted
		{} | halt_error(0)#halted
		input#its record is all there is
		(first(inputs), empty)#its record is all there is
		[inputs]#its record is all there is
		input_line_number#line number
	END

	# What a halt leaves behind must not spoil the memory that later services are mapped in.
	program p.jq '(.service * 50 | if .[:3] == "bad" then halt_error else . end) as $long | '"$(object x)"' + {long: $long}'
	for _ in {1..50}; do service bad; service good; done >"$T/in"
	map -f "$T/p.jq"
	assert_status 1
	assert_equal "$(jq -r 'select(.type == "apply") | .objects[0].long' <<<"$output" | sort | uniq -c | tr -s ' ')" \
		" 50 $(printf 'good%.0s' {1..50})"
}

@test "a program sees no environment and no secret of ours" {
	program p.jq "$(object x) + {env: env, ENV: \$ENV}"
	service web >"$T/in"
	export CONSUL_HTTP_TOKEN=secret HOME=$T
	# Stock jq would load this for every program.
	echo 'def surprise: 1;' >"$T/.jq"
	map -f "$T/p.jq"
	assert_equal "$(jq -c '.objects[0] | [.env, .ENV]' <<<"$output")" '[{},{}]'
	program p.jq 'surprise'
	map -f "$T/p.jq"
	assert_status 78
}

@test "debug and stderr of a program are log lines at level debug, and nothing else" {
	program p.jq "debug | stderr | $(object x)"
	service web >"$T/in"
	map -f "$T/p.jq"
	assert_status 0
	assert_equal "$stderr" ""
	map -f "$T/p.jq" --log-level debug
	assert_match "$stderr" 'level=debug msg="program says".*\\"service\\":\\"web\\"'
	refute_match "$stderr" '^[^m]'
}

@test "a line that is no record is reported with its number and dropped" {
	{
		service one
		echo '{"type":"service","source":"dc1"'
		echo '[1]'
		echo '{"type":"service","source":"dc1","instances":[]}'
		echo '{"type":"gone","service":"web"}'
		echo '{"type":"service","source":1,"service":"x","instances":[]}'
		echo '{"type":"start"}{"type":"start"}'
		printf '\xff\xfe\n'
		service two
	} >"$T/in"
	map
	assert_status 1
	assert_equal "$(jq -r .key <<<"$output")" $'one\ntwo'
	assert_equal "$(sed -nE 's/.*level=error .*line=([0-9]+).*/\1/p' <<<"$stderr" | paste -sd ' ')" "2 3 4 5 6 7 8"
	assert_equal "$(grep -c '' <<<"$stderr")" 7
}

@test "a line over the limit is reported and dropped, the next one is read" {
	{ service one; head -c 67200000 /dev/zero | tr '\0' x; echo; service two; } >"$T/in"
	map
	assert_status 1
	assert_equal "$(jq -r .key <<<"$output")" $'one\ntwo'
	assert_one_line "$stderr"
	assert_match "$stderr" 'line=2 error="longer than 64 MiB"'
}

@test "a snapshot that lost a line is not ended, the next one is" {
	{
		echo '{"type":"start","source":"dc1","snapshot":"s"}'
		service one
		service two | cut -c 1-100
		echo '{"type":"synced","source":"dc1","snapshot":"s","services":2}'
		echo '{"type":"start","source":"dc1","snapshot":"t"}'
		service one
		echo '{"type":"synced","source":"dc1","snapshot":"t","services":1}'
	} >"$T/in"
	map
	assert_status 1
	assert_equal "$(jq -r '.snapshot // .key' <<<"$output" | paste -sd ' ')" "s one t one t"
	assert_equal "$(jq -r 'select(.type == "synced").snapshot' <<<"$output")" t
	assert_match "$stderr" 'level=warn .*the snapshot lost a line.* source=dc1'
}

@test "a lost line spoils the open snapshots of all sources, not those that ended" {
	{
		echo '{"type":"start","source":"dc1","snapshot":"s"}'
		echo '{"type":"synced","source":"dc1","snapshot":"s","services":0}'
		echo '{"type":"start","source":"dc2","snapshot":"t"}'
		echo '{"type":"start","source":"dc3","snapshot":"u"}'
		echo 'garbage'
		echo '{"type":"synced","source":"dc2","snapshot":"t","services":0}'
		echo '{"type":"synced","source":"dc3","snapshot":"u","services":0}'
	} >"$T/in"
	map
	assert_equal "$(jq -r 'select(.type == "synced").snapshot' <<<"$output")" s
}

@test "a service without its list of instances is no service without instances" {
	service web 'del(.instances)' >"$T/in"
	map
	assert_status 1
	assert_equal "$(jq -c '[.type, .key, .error]' <<<"$output")" '["keep","web","the record has no array '"'instances'"'"]'
}

@test "several programs add up, in their order" {
	program a.jq "$(object a)"
	program b.jq "$(object b)"
	service web >"$T/in"
	map -f "$T/a.jq" --program "$T/b.jq"
	assert_equal "$(jq -c '[.objects[].metadata.name]' <<<"$output")" '["a","b"]'
	# One fails: nothing of the service is known to be right.
	program b.jq 'error("x")'
	map -f "$T/a.jq" -f "$T/b.jq"
	assert_equal "$(jq -c '[.type, .error]' <<<"$output")" "[\"keep\",\"$T/b.jq: x\"]"
}

@test "modules: the current directory, then -L, then beside the program, then the shipped one" {
	mkdir "$T/lib" "$T/other"
	program prog.jq 'import "mine" as mine; import "meshpipe" as m; {apiVersion: "v1", kind: "A", metadata: {name: mine::name}, host: m::host(m::settings($config))}'
	program mine.jq 'def name: "beside";'
	service web >"$T/in"
	map -f "$T/prog.jq"
	assert_equal "$(jq -c '.objects[0] | [.metadata.name, .host]' <<<"$output")" '["beside","web.service.consul"]'
	echo 'def name: "library";' >"$T/lib/mine.jq"
	map -f "$T/prog.jq" -L "$T/lib"
	assert_equal "$(jq -r '.objects[0].metadata.name' <<<"$output")" library
	# A copy of the module beside the program is the one that counts.
	echo 'def settings($c): {}; def host($s): "my own";' >"$T/meshpipe.jq"
	map -f "$T/prog.jq"
	assert_equal "$(jq -r '.objects[0].host' <<<"$output")" "my own"
	cd "$T/other"
	map -f ../prog.jq -L ../lib
	assert_equal "$(jq -r '.objects[0].metadata.name' <<<"$output")" library
	# As in jq, the current directory comes before all of them.
	echo 'def name: "here";' >mine.jq
	map -f ../prog.jq -L ../lib
	assert_equal "$(jq -r '.objects[0].metadata.name' <<<"$output")" here
}

@test "a shipped program is found by its name, a file of that name here comes first" {
	cd "$T"
	service web >"$T/in"
	map -f workload-entries.jq
	assert_equal "$(jq -c '.objects | length' <<<"$output")" 2
	program workload-entries.jq "$(object mine)"
	map -f workload-entries.jq
	assert_equal "$(jq -r '.objects[0].metadata.name' <<<"$output")" mine
}

@test "the default program is found beside an installed mesh-map too" {
	mkdir -p "$T/usr/bin" "$T/usr/share/meshpipe"
	cp "$MESHPIPE_BIN/mesh-map" "$T/usr/bin"
	cp -rL "$MESHPIPE_BIN/../share/meshpipe/filters" "$T/usr/share/meshpipe"
	service web >"$T/in"
	cd /
	run --separate-stderr "$T/usr/bin/mesh-map" <"$T/in"
	assert_status 0
	assert_equal "$(jq -r '.objects[0].metadata.name' <<<"$output")" web.service.consul
	rm "$T/usr/share/meshpipe/filters/workload-entries.jq"
	run --separate-stderr "$T/usr/bin/mesh-map" <"$T/in"
	assert_status 78
	assert_one_line "$stderr"
	assert_match "$stderr" "cannot read program '$T/usr/share/meshpipe/filters/workload-entries.jq': No such file"
}

@test "the configuration is what programs know as \$config" {
	program p.jq "$(object x) + {config: \$config, named: \$ARGS.named}"
	service web >"$T/in"
	map -f "$T/p.jq"
	assert_equal "$(jq -c '.objects[0].config' <<<"$output")" '{}'
	printf 'custom:\n  a: no\n  b: [1, 0x10]\n' >"$T/c.yaml"
	map -f "$T/p.jq" --config "$T/c.yaml"
	assert_equal "$(jq -c '.objects[0].config' <<<"$output")" '{"custom":{"a":"no","b":[1,16]}}'
	assert_equal "$(jq -c '.objects[0].named' <<<"$output")" '{"config":{"custom":{"a":"no","b":[1,16]}}}'
	printf '# nothing yet\n' >"$T/c.yaml"
	map -f "$T/p.jq" --config "$T/c.yaml"
	assert_equal "$(jq -c '.objects[0].config' <<<"$output")" '{}'
}

@test "the configuration reaches the default program" {
	printf 'namespace: mesh\nhostSuffix: service.example.com\nports:\n- {number: 8080, protocol: HTTP2}\n' >"$T/c.yaml"
	service web >"$T/in"
	map --config "$T/c.yaml"
	assert_status 0
	assert_equal "$(jq -c '.objects[0] | [.metadata, .spec.ports[0]]' <<<"$output")" \
		'[{"name":"web.service.example.com","namespace":"mesh"},{"name":"http2-8080","number":8080,"protocol":"HTTP2"}]'
}
