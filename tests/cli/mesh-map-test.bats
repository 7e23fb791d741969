#!/usr/bin/env bats
# mesh-map test as somebody who writes filters meets it.
# shellcheck disable=SC2016,SC2154 # jq programs stand in single quotes; bats sets stderr

load ../lib

setup() {
	common_setup
	cd "$T" || return
	record='{"type":"service","source":"dc1","service":"web","instances":[]}'
	object='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web"}}'
}

# file NAME: the standard input as a file
file() {
	mkdir -p "$(dirname "$1")"
	cat >"$1"
}

# test_file NAME LINE...: a file of these lines
test_file() {
	local name=$1
	shift
	printf '%s\n' "$@" | file "$name"
}

map_test() {
	run --separate-stderr timeout 60 mesh-map test "$@"
}

# own NAME EXPRESSION: a program that makes one object, named by a jq expression
own() {
	printf '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: (%s)}}\n' "$2" >"$1"
}

@test "all is well: a line for each file and one for all" {
	test_file b.test '1 + 1' null 2 '' '.[]' '[1,2]' 1 2
	test_file a.test '# nothing comes of it' empty null
	map_test
	assert_status 0
	assert_equal "$output" "ok      a.test: 1 passed
ok      b.test: 2 passed
3 passed, 0 failed"
	assert_equal "$stderr" ""
}

@test "a directory means all test files below it, in order; a file is itself" {
	test_file d/z.test . 1 1
	test_file d/e/f.test . 1 1
	test_file d/a.test . 1 1
	test_file d/.git/x.test 'wrong' 1 1
	test_file d/no-test.txt 'wrong' 1 1
	test_file other . 1 1
	map_test d/ other
	assert_status 0
	assert_equal "$(grep -o '[a-z/]*[.a-z]*:' <<<"$output" | xargs)" "d/a.test: d/e/f.test: d/z.test: other:"
	map_test d/e/../a.test
	assert_equal "$(head -n 1 <<<"$output")" "ok      d/e/../a.test: 1 passed"
}

@test "a difference is shown as in a diff, with its place and its program" {
	test_file a.test '# comment' '.[0], {b: 1, a: .[1]}' '[1, 2]' 1 '{"a":3,"b":1}'
	map_test
	assert_status 1
	assert_equal "$output" 'FAILED  a.test: 0 passed, 1 failed
    a.test:2: .[0], {b: 1, a: .[1]}
        --- expected
        +++ got
         1
         {
        -  "a": 3,
        +  "a": 2,
           "b": 1
         }
0 passed, 1 failed'
	assert_equal "$stderr" ""
}

@test "outputs that are missing, too many or in another order are differences" {
	test_file a.test '.[]' '[1,2]' 1 '' '.[]' '[1,2]' 1 2 3 '' '.[]' '[1,2]' 2 1 '' '.' 1.0 1
	map_test
	assert_status 1
	assert_match "$output" '^1 passed, 3 failed$'
}

@test "functions have the module as m, an empty configuration, and no environment" {
	test_file a.test 'm::host(m::settings($config))' '{"source":"dc1","service":"web"}' '"web.service.consul"' '' \
		'$config' null '{}' '' '$ENV, env' null '{}' '{}' '' \
		'import "meshpipe" as x; {source: "dc1", service: "web"} | x::host(x::settings({}))' null '"web.service.consul"'
	map_test
	assert_status 0
	assert_equal "$(tail -n 1 <<<"$output")" "4 passed, 0 failed"
}

@test "--config and -L of the command line" {
	echo 'namespace: mesh' >mesh.yaml
	echo 'def seven: 7;' | file lib/numbers.jq
	test_file a.test '$config' null '{"namespace":"mesh"}' '' 'import "numbers" as n; n::seven' null 7 '' \
		'%% -f own.jq' "$record" '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"mesh7"}}'
	{
		echo 'import "numbers" as n;'
		own own.jq '$config.namespace + (n::seven | tostring)'
		cat own.jq
	} >both.jq
	mv both.jq own.jq
	map_test --config mesh.yaml -L lib
	assert_equal "$output" "ok      a.test: 3 passed
3 passed, 0 failed"
	map_test -L lib
	assert_status 1
	map_test --config mesh.yaml
	assert_status 1
	assert_match "$output" 'does not compile: .*numbers'
	map_test --config none.yaml
	assert_status 78
}

@test "modules are found beside the test" {
	echo 'def seven: 7;' | file sub/numbers.jq
	test_file sub/a.test 'import "numbers" as n; n::seven' null 7
	map_test
	assert_status 0
}

@test "whole programs: options of the test, relative to it; shipped programs by name" {
	own "$T/first.jq" '"first-" + $config.namespace'
	mkdir sub
	own sub/second.jq '"second"'
	echo 'namespace: mesh' >sub/mesh.yaml
	test_file sub/a.test "%% -f ../first.jq --program=second.jq --config mesh.yaml" "$record" \
		'{"metadata":{"name":"first-mesh"},"kind":"ConfigMap","apiVersion":"v1"}' \
		'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"second"}}' '' \
		'%% -f workload-entries.jq' "$record" \
		"$(mesh-map <<<"$record" | jq -c '.objects[]')" '' \
		'%%' "$record" "$(mesh-map <<<"$record" | jq -c '.objects[]')"
	map_test
	assert_equal "$output" "ok      sub/a.test: 3 passed
3 passed, 0 failed"
	# Not the one in the current directory.
	own second.jq '"another"'
	map_test sub
	assert_status 0
}

@test "what would not be sent is a failure with its reason" {
	own bad.jq '"a/b"'
	test_file a.test '%% -f bad.jq' "$record"
	map_test
	assert_status 1
	assert_match "$output" '^ +would not be sent: ConfigMap a/b: .*name'
	map_test --accept
	assert_status 1
	assert_equal "$(wc -l <a.test)" 2
}

@test "a program that fails: the error, and the record that it failed on" {
	echo '.service | error("no " + .)' >bad.jq
	test_file a.test '%% -f bad.jq' "$record" "$object"
	map_test
	assert_status 1
	assert_match "$output" '^ +bad\.jq: no web$'
	assert_match "$output" '^ +its input: \{.*"service":"web"'
}

@test "a program that does not compile: file and line" {
	printf 'import "meshpipe" as m;\n\nm::nothing\n' >bad.jq
	test_file a.test '%% -f bad.jq' "$record" '' '%% -f none.jq' "$record" '' 'm::nothing' null
	map_test
	assert_status 1
	assert_match "$output" '^ +bad\.jq:3:.*m::nothing/0 is not defined'
	assert_match "$output" "cannot read program 'none\.jq'"
	assert_match "$output" '^ +does not compile: m::nothing/0 is not defined'
}

@test "programs that must not compile, as jq has them" {
	test_file a.test '%%FAIL' 'm::nothing' 'jq: error: m::nothing/0 is not defined at <top-level>, line 1:' '' \
		'%%FAIL IGNORE MSG' '}' 'whatever' '' '%%FAIL' '1' 'jq: error: x' '' '%%FAIL' '}' 'jq: error: x at <top-level>, line 1:'
	map_test
	assert_status 1
	assert_match "$output" '^    a\.test:10: 1$'
	assert_match "$output" '^ +compiles, but should not$'
	assert_match "$output" '^ +does not compile, but for another reason: syntax error'
	assert_match "$output" '^2 passed, 2 failed$'
}

@test "a loop without end, a crash and a halt fail; the next test goes on" {
	echo 'def f: f; f' >loop.jq
	test_file a.test 'def f: f; f' null '' '%% -f loop.jq' "$record" '' halt null '' '1' null 1
	map_test --timeout 3s
	assert_status 1
	assert_equal "$(grep -c '^ *did not end within 3 s$' <<<"$output")" 2
	assert_match "$output" 'the program halted'
	assert_match "$output" '^1 passed, 3 failed$'
	assert_equal "$(pgrep -cf "mesh-map test --timeout 3s" || :)" 0
}

@test "--accept writes what whole programs make now, and nothing else" {
	own own.jq '.service, .source'
	test_file a.test '# the first' '%%   -f own.jq' "$record" '# kept' "$object" '# kept too' '' '1' null '2' '' \
		'# the last' '%% -f own.jq' "$record"
	chmod 640 a.test
	ln -s a.test link.test
	map_test --accept link.test
	assert_status 1
	assert_match "$output" '^0 passed, 2 accepted, 1 failed$'
	assert_equal "$(<a.test)" "# the first
%%   -f own.jq
$record
# kept
$object
{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"dc1\"}}
# kept too

1
null
2

# the last
%% -f own.jq
$record
$object
{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"dc1\"}}"
	assert_equal "$(stat -c %a a.test)" 640
	[ -L link.test ]
	assert_equal "$(find . -name '*.test*' | sort | xargs)" './a.test ./link.test'
	cp a.test before
	map_test --accept a.test
	assert_match "$output" '^2 passed, 1 failed$'
	cmp a.test before
}

@test "a file that cannot be parsed is refused with its line; the others are run" {
	test_file a.test . '{' '1'
	test_file b.test . 1 1
	map_test
	assert_status 65
	assert_match "$stderr" 'error="a\.test:2: the input: '
	assert_equal "$output" "ok      b.test: 1 passed
1 passed, 0 failed, 1 file could not be read"
}

@test "a file that cannot be read" {
	test_file b.test . 1 2
	map_test b.test none.test
	assert_status 78
	assert_match "$stderr" "cannot read 'none\.test'"
}

@test "no test at all is an error" {
	map_test
	assert_status 65
	assert_match "$stderr" "no \*\.test file in '\.'"
	test_file a.test '# only a comment'
	map_test
	assert_status 65
	assert_match "$stderr" 'there is no test in the files'
}

@test "a wrong option" {
	map_test --acept
	assert_status 64
	assert_match "$stderr" "'--acept'"
	test_file a.test '%% --jobs 3' "$record"
	map_test
	assert_status 65
	assert_match "$stderr" "a\.test:1: '--jobs' is not an option of a test"
}

@test "colour on a terminal only, and not with NO_COLOR" {
	test_file a.test . 1 2
	TERM=xterm run script -qec "mesh-map test" /dev/null
	assert_match "$output" $'\033\\[31m-2'
	TERM=xterm NO_COLOR=1 run script -qec "mesh-map test" /dev/null
	refute_match "$output" $'\033'
	map_test
	refute_match "$output" $'\033'
}
