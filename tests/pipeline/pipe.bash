# What the files in cases/ share. Each of them is there once for every version of Consul, as a
# link NAME-VERSION.bats: `load pipe`. One agent serves all tests of a file; a test that needs
# another one starts it.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # some variables are for the tests, some come from bats

load ../lib

PIPELINE=$REPO/tests/pipeline
consul_version=${BATS_TEST_FILENAME##*-}
consul_version=${consul_version%.bats}

setup_file() {
	need_consul "$consul_version"
	export CONSUL_DIR=$BATS_FILE_TMPDIR/consul
	consul_start "$consul_version"
}

teardown_file() {
	[ -z "${CONSUL_DIR-}" ] || consul_do stop
}

teardown() {
	local config
	stop_spawned
	for config in "$T"/*/config.json; do
		[ ! -e "$config" ] || "$REPO/tests/peers/consul" stop "${config%/*}" 3>&-
	done
	common_teardown
}

# A file that sets up more calls this from its own setup.
setup() { pipe_setup; }

pipe_setup() {
	common_setup
	CONSUL_HTTP_ADDR=$(<"$CONSUL_DIR/addr")
	export CONSUL_HTTP_ADDR
	# A test that failed may have left it in any state.
	consul_api GET /v1/status/leader >/dev/null 2>&1 || { consul_do kill && consul_do start; }
	deregister_all
	D=$T/manifests
	# The pauses of a restart are tested elsewhere.
	export MESHPIPE_MIN_PAUSE=100ms MESHPIPE_MAX_PAUSE=1s
}

# --- running it

# start_pipe OPTION...: `meshpipe run` in a session of its own, until the directory is complete.
start_pipe() {
	spawn meshpipe setsid meshpipe run --dir "$D" "$@"
	wait_for 30 has_line "$T/meshpipe.err" '^k8s-apply: .*msg=synced '
}

# It ends as it should, without complaints, and nobody is left of its session.
stop_pipe() {
	mark
	kill "$(<"$T/meshpipe.pid")"
	wait_exit meshpipe
	assert_status 0
	nobody_left
	refute_match "$(logged_since)" 'level=(warn|error)'
}

# Nobody but who has ended already and waits for the init of this machine to notice.
nobody_left() {
	! pgrep -a -r D,R,S,T -s "$(<"$T/meshpipe.pid")" || fail "processes are left"
}

# The process id of a program of the pipe that runs now.
pid_of() {
	pgrep -P "$(<"$T/meshpipe.pid")" -x "$1"
}

all_run() {
	pid_of consul-watch && pid_of mesh-map && pid_of k8s-apply
}

# How often the whole has been read and written, by now.
count_synced() {
	grep -cE '^k8s-apply: .*msg=synced ' "$T/meshpipe.err" || :
}

synced_again() { # COUNT: more often than that
	[ "$(count_synced)" -gt "$1" ]
}

# Somebody has said this, at level warn or error.
warned() { # REGEX
	has_line "$T/meshpipe.err" "level=(warn|error) .*$1"
}

# What follows is told apart from what was said before.
mark() {
	marked=$(wc -l <"$T/meshpipe.err")
}

logged_since() {
	tail -n "+$((marked + 1))" "$T/meshpipe.err"
}

# So many lines since the mark match.
said() { # COUNT REGEX
	[ "$(logged_since | grep -cE -- "$2")" -eq "$1" ]
}

# --- what Consul says, and what the directory says

# One answer to /v1/health/service/NAME after another.
consul_answers() {
	local name urls=()
	for name in $(consul_api GET '/v1/catalog/services?consistent' | jq -r 'keys[] | select(. != "consul")'); do
		urls+=("$CONSUL_HTTP_ADDR/v1/health/service/$name?consistent")
	done
	[ ${#urls[@]} -eq 0 ] ||
		curl -sS -f -m 20 ${CONSUL_HTTP_TOKEN:+-H "X-Consul-Token: $CONSUL_HTTP_TOKEN"} "${urls[@]}"
}

seen() {
	"$PIPELINE/objects" "$D" | jq -n -S -f "$PIPELINE/seen.jq"
}

is_as_expected() {
	seen 2>"$T/seen.err" | cmp -s - "$T/expected"
}

# The directory is what Consul says, now or soon.
right() {
	consul_answers | jq -n -S -f "$PIPELINE/expected.jq" >"$T/expected"
	wait_for 30 is_as_expected 2>/dev/null || {
		seen >"$T/seen" || :
		diff -u "$T/expected" "$T/seen" | head -n 60 >&2 || :
		fail "the directory is not what Consul says"
	}
}

# bulk SERVICES INSTANCES [TAG]: services many-1, many-2 and so on, with so many instances each
# on one node, in as few requests as may be. Again: they are changed.
bulk() {
	local ops
	consul_api PUT /v1/catalog/register '{"Node": "vm-many", "Address": "10.20.0.1"}' >/dev/null
	jq -nc --argjson services "$1" --argjson instances "$2" --arg tag "${3-}" '
		[ range($services) as $s | range($instances) as $i
		  | "many-\($s + 1)" as $name
		  | {Service: {Verb: "set", Node: "vm-many", Service: {ID: "\($name)-\($i + 1)", Service: $name,
		     Address: "10.20.\($s + 1).\($i + 1)", Port: 8080, Tags: [$tag | select(. != "")]}}} ]
		| range(0; length; 64) as $from | .[$from:$from + 64]' |
		while IFS= read -r ops; do
			consul_api PUT /v1/txn "$ops" >/dev/null
		done
}

# --- what has changed

# Inode and time of every file, and the objects in them.
take_picture() { # NAME
	find "$D" -name '.*' -prune -o -type f -printf '%P %i %T@\n' | sort >"$T/$1.files"
	"$PIPELINE/objects" "$D" >"$T/$1.objects"
}

# Files written, made or removed from one picture to the other.
touched() { # BEFORE AFTER
	diff "$T/$1.files" "$T/$2.files" | sed -nE 's/^[<>] ([^ ]*) .*/\1/p' | sort -u
}

# Objects that are not byte for byte what they were, by name.
differences() { # BEFORE AFTER
	jq -rn --slurpfile before "$T/$1.objects" --slurpfile after "$T/$2.objects" '
		def by_name: map({key: "\(.object.kind) \(.object.metadata.name)", value: .}) | from_entries;
		def words: "\(.file | split("/")[-1] | rtrimstr(".yaml")) \([.object.kind, .object.spec.address | values] | join(" "))";
		($before | by_name) as $b | ($after | by_name) as $a
		| [ ($a | keys[]
		      | if $b[.] == null then "created \($a[.] | words)"
		        elif $b[.].text != $a[.].text then "changed \($a[.] | words)"
		        else empty end),
		    ($b | keys[] | select($a[.] == null) | "deleted \($b[.] | words)") ]
		| sort[]'
}

untouched() {
	take_picture now
	cmp "$T/before.files" "$T/now.files"
}

# changes LINE... -- COMMAND...: the command changes the catalogue, the directory follows, and
# in it exactly those objects differ: created|changed|deleted SERVICE KIND [ADDRESS]. Files of
# other services are not touched. What came after the last call counts too.
changes() {
	local expected=''
	while [ "$1" != -- ]; do
		expected+=$1$'\n'
		shift
	done
	shift
	[ -e "$T/before.files" ] || take_picture before
	"$@"
	right || fail "after: $*"
	take_picture after
	assert_equal "$(differences before after)" "$(sort <<<"${expected%$'\n'}")" || fail "after: $*"
	assert_equal "$(touched before after)" \
		"$(sed -E 's|^[a-z]+ ([^ ]*) .*|dc1/\1.yaml|' <<<"${expected%$'\n'}" | sort -u)" || fail "after: $*"
	mv "$T/after.files" "$T/before.files"
	mv "$T/after.objects" "$T/before.objects"
}

# --- that nothing is missing on the way

# audit FILE TEXT...: from now on the file must be there and hold each of these.
audit() {
	local file=$1
	shift
	printf "$file\t%s\n" "$@" >>"$T/audit.needs"
}

start_audit() {
	spawn audit "$PIPELINE/audit" "$D" "$T/audit.needs"
	wait_for 10 has_line "$T/audit.out" watching
}

# Nothing was, since.
stop_audit() {
	kill "$(<"$T/audit.pid")"
	wait_exit audit
	assert_equal "$(grep -vE '^(watching$|looked [0-9]+ times)' "$T/audit.out")" ''
	assert_match "$(<"$T/audit.out")" '^looked [0-9]+ times'
}
