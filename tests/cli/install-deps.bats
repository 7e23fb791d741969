# What scripts/install-deps decides. apt-get, dpkg-query and sudo are stand-ins: a test installs nothing.
# shellcheck disable=SC2016 # the scripts are theirs to expand
load ../lib

setup() {
	common_setup
	mkdir "$T/bin"
	# Only what the script itself needs, so that no tool of this machine counts as there.
	for tool in bash sh env awk cat id mktemp rm sort tail; do
		ln -s "$(type -P "$tool")" "$T/bin/$tool"
	done
	tool dpkg-query <<<'exit 1'
	tool apt-get <<<'echo "$*" >>"$LOG"; [ ! -e "$LOG.fails" ]'
	tool id <<<'echo 0'
	export LOG=$T/apt.log
}

# tool NAME < SCRIPT
tool() {
	rm -f "$T/bin/$1"
	{
		echo '#!/bin/bash'
		cat
	} >"$T/bin/$1"
	chmod +x "$T/bin/$1"
}

install_deps() {
	run env PATH="$T/bin" "$REPO/scripts/install-deps" "$@"
}

@test "all there: nothing is said and nothing done" {
	tool dpkg-query <<<'shift 3; for p; do echo "$p installed"; done'
	install_deps build demo test lint
	assert_status 0
	assert_equal "$output" ''
	[ ! -e "$LOG" ]
}

@test "what is missing is named in one line, then installed with fresh lists" {
	tool dpkg-query <<<'shift 3; for p; do [ "$p" = jq ] || [ "$p" = bats ] || echo "$p installed"; done'
	install_deps demo test
	assert_status 0
	assert_equal "$output" 'install-deps: installing jq bats'
	assert_match "$(head -n 1 "$LOG")" ' update$'
	assert_match "$(tail -n 1 "$LOG")" ' install --yes --no-install-recommends jq bats$'
}

@test "a removed package that left its configuration is missing" {
	tool dpkg-query <<<'shift 3; for p; do echo "$p config-files"; done'
	install_deps demo
	assert_match "$output" 'installing curl jq'
}

@test "a tool that came by another way is not missing" {
	for name in curl jq diff setpriv; do tool "$name" <<<''; done
	install_deps demo
	assert_status 0
	assert_equal "$output" ''
}

@test "no apt-get, or no right to install: one line names the packages, status 69" {
	tool id <<<'echo 1000'
	install_deps demo
	assert_status 69
	assert_equal "$output" \
		'install-deps: missing: curl jq diffutils util-linux (no root and no sudo; as root: apt-get install curl jq diffutils util-linux)'
	rm "$T/bin/apt-get"
	install_deps demo
	assert_status 69
	assert_one_line "$output"
	assert_match "$output" 'curl jq diffutils util-linux'
	[ ! -e "$LOG" ]
}

@test "without root sudo is used" {
	tool id <<<'echo 1000'
	tool sudo <<<'[ "$1" != -n ] || shift; [ "$1" = true ] || { echo sudo >>"$LOG"; exec "$@"; }'
	install_deps demo
	assert_status 0
	assert_match "$(<"$LOG")" '^sudo$'
	assert_match "$(<"$LOG")" ' install .* curl jq'
}

@test "an installation that fails says so, status 69" {
	touch "$LOG.fails"
	install_deps demo
	assert_status 69
	assert_match "$output" 'apt-get could not install: curl jq'
}

@test "an unknown group is wrong usage" {
	install_deps demo everything
	assert_status 64
	assert_one_line "$output"
	assert_match "$output" "no such group: 'everything'"
}
