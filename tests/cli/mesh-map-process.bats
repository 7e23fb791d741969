#!/usr/bin/env bats
# mesh-map as a process: wrong usage, readers that go away, signals, very long lines.
# shellcheck disable=SC2016,SC2154 # jq programs stand in single quotes; bats sets stderr

load mapping

@test "wrong usage: one line, 64" {
	while IFS='|' read -r args message; do
		read -ra words <<<"$args"
		run --separate-stderr mesh-map "${words[@]}" </dev/null
		assert_status 64
		assert_equal "$output" ""
		assert_one_line "$stderr"
		assert_match "$stderr" "$message"
	done <<-'END'
		--no-such|unknown option '--no-such'
		-x|unknown option '-x'
		-f|option '--program' needs a value
		some.jq|unexpected argument 'some.jq' \(programs are given with -f\)
		--log-level loud|'loud' is not
	END
}

@test "wrong configuration and programs: one line that names the file, 78" {
	program syntax.jq $'.a\n| | .b'
	program undefined.jq $'.a\n| nothing'
	program module.jq 'import "not-there" as n; .'
	program broken-module.jq 'import "broken" as b; .'
	program broken.jq $'def a: 1;\ndef b: . | | 2;'
	printf 'a: [1\nb: 2\n' >"$T/bad.yaml"
	printf 'a: 1\n---\nb: 2\n' >"$T/two.yaml"
	echo '[1]' >"$T/list.yaml"
	while IFS='|' read -r args message; do
		read -ra words <<<"${args//@/$T/}"
		run --separate-stderr mesh-map "${words[@]}" </dev/null
		assert_status 78
		assert_equal "$output" ""
		assert_one_line "$stderr"
		assert_match "$stderr" "${message//@/$T/}"
	done <<-'END'
		-f @none.jq|cannot read program '@none.jq': No such file
		-f none.jq|cannot read program 'none.jq': No such file
		-f /|cannot read program '/': Is a directory
		-f @syntax.jq|@syntax.jq:2(:[0-9]+)?: syntax error, unexpected '\|'
		-f @undefined.jq|@undefined.jq:2(:[0-9]+)?: nothing/0 is not defined
		-f @module.jq|@module.jq: module not found: not-there
		-f @broken-module.jq|@broken.jq:2(:[0-9]+)?: syntax error
		--config @none.yaml|cannot read '@none.yaml': No such file
		--config @bad.yaml|@bad.yaml:2:[0-9]+: 
		--config @two.yaml|@two.yaml: the configuration must be one YAML document with a mapping
		--config @list.yaml|@list.yaml: the configuration must be one YAML document with a mapping
		-L @none|cannot open module directory '@none': No such file
		-L @syntax.jq|'@syntax.jq' is not a directory
	END
}

@test "a reader that goes away ends it with 74, also while there is nothing to write" {
	mkfifo "$T/fifo"
	exec 7<>"$T/fifo"
	spawn_status() { mesh-map <"$T/fifo" 2>"$T/err" 7>&- | head -n 1 >"$T/out"; echo "${PIPESTATUS[0]}" >"$T/status"; }
	spawn_status 3>&- &
	service web >&7
	wait_for 10 test -s "$T/status"
	assert_equal "$(<"$T/status")" 74
	assert_one_line "$(<"$T/err")"
	assert_match "$(<"$T/err")" "nobody reads our output"
	exec 7>&-
}

@test "a reader that goes away in the middle of much ends it with 74" {
	for _ in {1..300}; do service web; done >"$T/in"
	run bash -c 'mesh-map <"$0" 2>"$1" | head -c 10 >/dev/null; exit "${PIPESTATUS[0]}"' "$T/in" "$T/err"
	assert_status 74
	assert_one_line "$(<"$T/err")"
}

@test "a full disk ends it with 74" {
	service web >"$T/in"
	run bash -c 'mesh-map <"$0" >/dev/full' "$T/in"
	assert_status 74
	assert_match "$output" "cannot write output: No space left"
}

@test "SIGHUP loads programs and configuration anew; a broken one is refused" {
	program p.jq "$(object '\(.service)-\($config.custom)')"
	echo 'custom: 1' >"$T/c.yaml"
	mkfifo "$T/fifo"
	exec 7<>"$T/fifo"
	mesh-map -f "$T/p.jq" --config "$T/c.yaml" <"$T/fifo" >"$T/out" 2>"$T/err" 3>&- 7>&- &
	pid=$!
	service a >&7
	wait_for 10 has_line "$T/out" '"name":"a-1"'

	echo 'custom: 2' >"$T/c.yaml"
	kill -HUP "$pid"
	wait_for 10 has_line "$T/err" 'level=info msg=".*loaded anew'
	service b >&7
	wait_for 10 has_line "$T/out" '"name":"b-2"'

	program p.jq '.a |'
	kill -HUP "$pid"
	wait_for 10 has_line "$T/err" "level=error msg=\"not loaded anew, the old programs stay\" error=.*$T/p.jq:[0-9]+.*syntax error"
	service c >&7
	wait_for 10 has_line "$T/out" '"name":"c-2"'

	program p.jq "$(object '\(.service)-new')"
	kill -HUP "$pid"
	wait_for 10 lines_are "$T/err" 'level=info msg=".*loaded anew' 2
	service d >&7
	wait_for 10 has_line "$T/out" '"name":"d-new"'
	exec 7>&-
	wait "$pid"
}

@test "SIGHUP: what cannot be read twice, or is empty for a moment, is refused and the old one stays" {
	mkfifo "$T/pipe"
	echo 'hostSuffix: my.org' >"$T/mesh.yaml"
	# shellcheck disable=SC2094 # the configuration is one pipe, the input another
	spawn map bash -c 'exec mesh-map --config <(cat "$1/mesh.yaml") <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service web >&5
	wait_for 10 lines_are "$T/map.out" '"name":"web\.my\.org"' 1
	kill -HUP "$(<"$T/map.pid")"
	wait_for 10 has_line "$T/map.err" 'level=error msg="not loaded anew, the old programs stay" error="./dev/fd/[0-9]+. is no regular file'
	service web >&5
	wait_for 10 lines_are "$T/map.out" '"name":"web\.my\.org"' 2
	exec 5>&-
	wait_exit map

	spawn map bash -c 'exec mesh-map --config "$1/mesh.yaml" <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service web >&5
	wait_for 10 lines_are "$T/map.out" '"name":"web\.my\.org"' 1
	: >"$T/mesh.yaml"
	kill -HUP "$(<"$T/map.pid")"
	wait_for 10 has_line "$T/map.err" 'mesh.yaml. is empty'
	service web >&5
	wait_for 10 lines_are "$T/map.out" '"name":"web\.my\.org"' 2
	exec 5>&-
	wait_exit map
}

@test "commands whose output is lost say so" {
	service web >"$T/in"
	run bash -c 'mesh-map explain web "$1" >/dev/full' - "$T/in"
	assert_status 74
	printf '%s\n' '. + 1' 1 2 >"$T/a.test"
	run bash -c 'mesh-map test "$1" >/dev/full' - "$T/a.test"
	assert_status 74
}

@test "SIGTERM ends it at once" {
	mkfifo "$T/fifo"
	exec 7<>"$T/fifo"
	service a >&7
	mesh-map <"$T/fifo" >"$T/out" 3>&- 7>&- &
	pid=$!
	wait_for 10 has_line "$T/out" '"key":"a"'
	kill "$pid"
	status=0
	wait "$pid" || status=$?
	assert_equal "$status" 143
	exec 7>&-
}

@test "a service of thousands of instances, in one line of megabytes" {
	service big '.instances = [range(4000) as $i | .instances[0] | .uid = "u\($i)" | .meta = {text: ("x" * 500)}]' >"$T/in"
	[ "$(wc -c <"$T/in")" -gt 2000000 ]
	map
	assert_status 0
	assert_equal "$(jq '.objects | length' <<<"$output")" 4001
}

@test "--help and --version" {
	run mesh-map --help
	assert_status 0
	assert_match "$output" '^Usage: mesh-map '
	assert_match "$output" '-f, --program FILE'
	run mesh-map --version
	assert_status 0
	assert_match "$output" '^mesh-map \(meshpipe\) [0-9]'
}
