# What the bats files share: `load ../lib`. The programs under test come first in PATH;
# every test has a folder of its own, $T, and what it spawned ends with it.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # some variables are for the tests, some come from bats

bats_require_minimum_version 1.5.0

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# As make and tests/run give it, relative to the repository.
MESHPIPE_BIN=$(cd "$REPO" && realpath -m "${MESHPIPE_BIN:-${BUILD:-build}/bin}")
export MESHPIPE_BIN
PATH=$MESHPIPE_BIN:$REPO/scripts:$PATH
unset CONSUL_HTTP_ADDR CONSUL_HTTP_TOKEN CONSUL_HTTP_TOKEN_FILE CONSUL_HTTP_SSL CONSUL_NAMESPACE \
	CONSUL_CACERT JOURNAL_STREAM KUBECONFIG KUBE_AS

# shellcheck source=tests/peers/catalog.bash
source "$REPO/tests/peers/catalog.bash"

# A file that sets up more calls these from its own setup and teardown.
setup() { common_setup; }
teardown() { common_teardown; }

common_setup() {
	T=$BATS_TEST_TMPDIR
	SPAWNED=()
}

common_teardown() {
	local name
	stop_spawned
	[ -n "${BATS_TEST_COMPLETED-}" ] && return
	for name in "${SPAWNED[@]}"; do
		echo "--- the last lines of $name:"
		tail -n 15 "$T/$name.out" "$T/$name.err"
	done
}

# The programs are a build with sanitizers.
is_sanitized() {
	grep -qaE '__(asan|ubsan|tsan|msan)_' "$MESHPIPE_BIN/k8s-apply"
}

# --- saying what is wrong

fail() {
	printf '%s\n' "$@" >&2
	return 1
}

# After `run`: the exit status was $1.
assert_status() {
	[ "$status" -eq "$1" ] || fail "expected exit status $1, got $status; output:" "$output" "${stderr-}"
}

assert_equal() { # ACTUAL EXPECTED
	[ "$1" = "$2" ] || fail "expected:" "$2" "got:" "$1"
}

# Some line of text $1 matches the extended regular expression $2.
assert_match() {
	grep -qE -- "$2" <<<"$1" || fail "no line matches '$2' in:" "$1"
}

refute_match() {
	! grep -qE -- "$2" <<<"$1" || fail "a line matches '$2' in:" "$1"
}

# Text $1 is one line.
assert_one_line() {
	[ "$(grep -c '' <<<"$1")" -eq 1 ] || fail "expected one line, got:" "$1"
	[ -n "$1" ] || fail "expected one line, got nothing"
}

# --- waiting

# Sets REPLY to the microsecond that is $1 seconds (0.3, 10) from now.
deadline() {
	local fraction=${1#"${1%%.*}"}000000
	fraction=${fraction#.}
	REPLY=$((${EPOCHREALTIME/[.,]/} + ${1%%.*} * 1000000 + 10#${fraction:0:6}))
}

# wait_for SECONDS COMMAND...: until it succeeds; says what it waited for when it never does.
wait_for() {
	local limit
	deadline "$1"
	limit=$REPLY
	shift
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$limit" ] || {
			"$@" || fail "waited in vain for: $*"
			return
		}
		sleep 0.03
	done
}

# stays SECONDS COMMAND...: it succeeds now and all that time. For "nothing happens" only.
stays() {
	local limit
	deadline "$1"
	limit=$REPLY
	shift
	while [ "${EPOCHREALTIME/[.,]/}" -lt "$limit" ]; do
		"$@" || fail "no longer holds: $*" || return
		sleep 0.05
	done
}

has_line() { # FILE REGEX
	grep -qE -- "$2" "$1"
}

lines_are() { # FILE REGEX COUNT
	[ "$(grep -cE -- "$2" "$1")" -eq "$3" ]
}

# --- processes

# spawn NAME COMMAND...: in the background, its output in $T/NAME.out and $T/NAME.err, its
# process id in $T/NAME.pid. bats waits for whoever holds descriptor 3: nobody spawned does.
spawn() {
	local name=$1
	shift
	# Its files are there when this returns, whenever it starts.
	: >"$T/$name.out" 2>"$T/$name.err"
	"$@" </dev/null >"$T/$name.out" 2>"$T/$name.err" 3>&- &
	echo $! >"$T/$name.pid"
	SPAWNED+=("$name")
}

# One that has ended but that nobody has waited for is not. (Its command line would not tell: one
# that is just being started has none either.)
alive() { # PID
	local stat
	# Without a number it would be the machine's own /proc/stat.
	[ -n "$1" ] && { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != [ZX]* ]]
}

ended() { # NAME
	! alive "$(<"$T/$1.pid")"
}

# wait_exit NAME [SECONDS]: sets $status.
wait_exit() {
	wait_for "${2:-10}" ended "$1" || fail "$1 did not end" || return
	status=0
	wait "$(<"$T/$1.pid")" || status=$?
}

stop_spawned() {
	local name pid
	for name in "${SPAWNED[@]}"; do
		ended "$name" || kill "$(<"$T/$name.pid")" 2>/dev/null || :
	done
	for name in "${SPAWNED[@]}"; do
		pid=$(<"$T/$name.pid")
		wait_for 5 ended "$name" 2>/dev/null || kill -KILL "$pid" 2>/dev/null || :
	done
}

# --- a real Consul

# need_consul [VERSION]: the test is skipped where it cannot be had (a failure in strict mode).
need_consul() {
	"$REPO/tests/peers/get" "consul-${1:-1.8.7}" >/dev/null 3>&- || skip "no consul ${1:-1.8.7} here"
}

# consul_start [VERSION] [OPTION...]: one server in $CONSUL_DIR, by default the test's own; from
# setup_file with CONSUL_DIR=$BATS_FILE_TMPDIR/consul the file's. Sets the environment for it.
# It ends with the process that started it, at the latest.
consul_start() {
	local version=${1:-1.8.7}
	shift || :
	: "${CONSUL_DIR:=${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}/consul}"
	CONSUL_HTTP_ADDR=$("$REPO/tests/peers/consul" start "$CONSUL_DIR" --version "$version" \
		--owner "$$" "$@" 3>&-)
	export CONSUL_DIR CONSUL_HTTP_ADDR
	[ -e "$CONSUL_DIR/token" ] || return 0
	CONSUL_HTTP_TOKEN=$(<"$CONSUL_DIR/token")
	export CONSUL_HTTP_TOKEN
}

# consul_do stop|kill|restart|start
consul_do() {
	"$REPO/tests/peers/consul" "$1" "$CONSUL_DIR" >/dev/null 3>&-
}
