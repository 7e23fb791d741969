# The test runner: nothing that went wrong may look like a success.
# shellcheck disable=SC2016 # the test files are theirs to expand
load ../lib

setup() {
	common_setup
	mkdir -p "$T/build/tests"
}

# The runner, without what bats told us about ourselves.
run_tests() {
	run env -u BATS_VERSION -u BATS_TEST_FILTER BUILD="$T/build" "$REPO/tests/run" "$@"
}

last_line() {
	tail -n 1 <<<"$output"
}

# bats_file NAME < LINES
bats_file() {
	cat >"$T/$1.bats"
}

unit_program() {
	cat >"$T/build/tests/test_$1"
	chmod +x "$T/build/tests/test_$1"
}

@test "all good: status 0 and the plain last line" {
	bats_file good <<<'@test "one" { true; }'
	unit_program a <<<$'#!/bin/sh\necho 1..2\necho ok 1 - x\necho ok 2 - y'
	run_tests unit "$T/good.bats"
	assert_status 0
	assert_equal "$(last_line)" '3 passed, 0 failed'
}

@test "a failing test is shown with its output, and the status is 1" {
	bats_file bad <<<$'@test "fine" { true; }\n@test "wrong" { echo the reason; false; }'
	run_tests "$T/bad.bats"
	assert_status 1
	assert_match "$output" 'not ok 2 wrong'
	assert_match "$output" 'the reason'
	assert_equal "$(tail -n 2 <<<"$output")" "failed: $T/bad.bats: wrong"$'\n1 passed, 1 failed'
}

@test "a skipped test is counted, and in strict mode a failure" {
	bats_file skipping <<<$'@test "fine" { true; }\n@test "left out" { skip "no server"; }'
	run_tests "$T/skipping.bats"
	assert_status 0
	assert_match "$output" 'skipped: left out no server'
	assert_equal "$(last_line)" '1 passed, 0 failed, 1 skipped'
	run_tests --strict "$T/skipping.bats"
	assert_status 1
	assert_equal "$(tail -n 2 <<<"$output")" \
		"failed: $T/skipping.bats: skipped: left out no server"$'\n1 passed, 1 failed'
}

@test "a file that cannot be loaded is a failure" {
	bats_file broken <<<'@test "x" { true; '
	bats_file unloadable <<<$'load nowhere\n@test "x" { true; }'
	run_tests "$T/broken.bats" "$T/unloadable.bats"
	assert_status 1
	assert_equal "$(last_line)" '0 passed, 2 failed'
}

@test "a crash is a failure, also when all before it passed" {
	bats_file crash <<<$'@test "x" { true; }\n@test "y" { kill -KILL $PPID; kill -KILL $$; }'
	unit_program crash <<<$'#!/bin/sh\necho 1..2\necho ok 1 - x\nkill -SEGV $$'
	unit_program short <<<$'#!/bin/sh\necho 1..2\necho ok 1 - x\nexit 0'
	unit_program status <<<$'#!/bin/sh\necho 1..1\necho ok 1 - x\nexit 99'
	run_tests unit "$T/crash.bats"
	assert_status 1
	assert_match "$(last_line)" '^[0-9]+ passed, 4 failed$'
}

@test "what hangs is ended and a failure" {
	bats_file hang <<<'@test "x" { sleep 60; }'
	MESHPIPE_TEST_LIMIT=1 run_tests "$T/hang.bats"
	assert_status 1
	assert_match "$output" 'still running after 1 s'
}

@test "nothing at all, or a file without tests, is not a success" {
	run_tests unit
	assert_status 1
	assert_match "$output" '^nothing ran$'
	bats_file empty <<<''
	run_tests "$T/empty.bats"
	assert_status 1
	assert_equal "$(last_line)" '0 passed, 0 failed, 1 skipped'
}

@test "what a sanitizer reports is a failure although the test passed" {
	bats_file quiet <<<'@test "x" { f=${ASAN_OPTIONS#log_path=}; echo "heap-use-after-free" >"${f%%:*}.123"; }'
	run env -u ASAN_OPTIONS BUILD="$T/build" "$REPO/tests/run" "$T/quiet.bats"
	assert_status 1
	assert_match "$output" 'heap-use-after-free'
	assert_equal "$(last_line)" '1 passed, 1 failed'
}

@test "wrong usage is one line and status 64" {
	run_tests nonsense
	assert_status 64
	assert_one_line "$output"
}
