#!/usr/bin/env bats
# consul-watch: bodies of any size, depth and encoding. Each is one line that says what is wrong;
# nothing crashes, nothing is lost, memory is bounded, and what is sound arrives.

load ../lib
load ../peers/fake-consul

# start NAME...: a watcher of `web` and of services whose bodies are those of fake-bodies.
start() {
	spawn fake "$REPO/tests/peers/fake-bodies" "$T/fake" "$@"
	wait_for 30 test -e "$T/fake/addr"
	CONSUL_HTTP_ADDR=$(<"$T/fake/addr")
	export CONSUL_HTTP_ADDR no_proxy='*'
	watch --gone-after 0
	wait_for 30 ports_are web '[10]'
}

# changes INDEX NAME...: all that is sound changes now, and arrives from these.
changes() {
	local name
	echo "$1" >"$T/fake/index.new"
	mv "$T/fake/index.new" "$T/fake/index"
	for name in "${@:2}"; do wait_for 30 ports_are "$name" "[$1]"; done
}

# The process that was started is still there, and its output is UTF-8 and JSON to the last byte.
unharmed() {
	alive "$(watch_pid)" || fail "consul-watch has ended" || return
	iconv -f utf-8 -t utf-8 "$T/watch.out" >/dev/null || fail "output that is not UTF-8" || return
	records >/dev/null || fail "output that is not JSON" || return
	refute_match "$(<"$T/watch.err")" 'Sanitizer|runtime error|Assertion'
	nothing_lost
}

# memory_mb FIELD: of the watcher, in MB.
memory_mb() {
	awk -v field="$1:" '$1 == field { print int($2 / 1024) }' "/proc/$(watch_pid)/status"
}

is_connected() {
	[ "$(records 'select(.type == "status") | .state' | tail -n 1)" = '"connected"' ]
}

@test "a service with a damaged body is named with what is wrong, and arrives when it is well" {
	local table name expected names=()
	table=$(
		cat <<-'END'
			arrays|the answer is damaged: not JSON: Exceeds depth limit
			arrays-open|the answer is damaged: not JSON: Exceeds depth limit
			objects|the answer is damaged: not JSON: Exceeds depth limit
			deep-meta|the answer is damaged: not JSON: Exceeds depth limit
			bytes|the answer is damaged: not JSON
			escapes-cut|the answer is damaged: not JSON
			nul|the answer is damaged: not JSON: a NUL byte
			nul-after|the answer is damaged: not JSON: a NUL byte
			utf-16|the answer is damaged: not JSON
			gzip|the answer is damaged: not JSON
			html|the answer is damaged: not JSON
			empty|the answer is damaged: not JSON
			blanks|the answer is damaged: not JSON
			half|the answer is damaged: not JSON
			cut|outstanding read data remaining|transfer closed
			text|the answer is no list of instances
			numbers|the answer has an entry without node or service
		END
	)
	mapfile -t names < <(cut -d '|' -f 1 <<<"$table")
	start "${names[@]}"
	while IFS='|' read -r name expected; do
		echo "# $name"
		wait_for 30 warned "cannot read a service.* service=$name( |\$)|service=$name .*cannot read"
		assert_one_line "$(grep -E "level=warn .* service=$name( |\$)" "$T/watch.err")"
		assert_match "$(grep -E "level=warn .* service=$name( |\$)" "$T/watch.err")" "$expected"
	done <<<"$table"
	changes 20 web
	unharmed
	touch "$T/fake/well"
	changes 30 web "${names[@]}"
	wait_for 10 synced
	unharmed
}

@test "a list of services with a damaged body is said, and what it said before holds" {
	local name n=20
	start
	wait_for 10 synced
	for name in arrays objects bytes nul utf-16 html empty half cut numbers; do
		echo "# $name"
		mark
		echo "$name" >"$T/fake/list"
		wait_for 10 logged 'level=warn .*(damaged|cannot reach consul|no object)'
		rm "$T/fake/list"
		n=$((n + 1))
		changes "$n" web
		# A service may be heard of before the list is asked for again.
		wait_for 15 is_connected
		unharmed
		assert_one_line "$(new_log | grep -E 'level=(warn|error)')"
	done
}

@test "text that is not UTF-8 comes out as UTF-8" {
	start latin-1
	wait_for 10 ports_are latin-1 '[1]'
	local u=$'\xEF\xBF\xBD' # U+FFFD, in any locale
	assert_equal "$(records 'select(.service == "latin-1") | .instances[0].meta' | tail -n 1)" \
		"{\"a\":\"caf$u $u$u $u\"}"
	unharmed
}

@test "a body without an end is read up to the limit and no further" {
	start endless
	wait_for 60 warned 'cannot read a service.*longer than 67108864 bytes'
	wait_for 10 test -e "$T/fake/sent"
	# What the kernel holds of a connection is on top.
	[ "$(<"$T/fake/sent")" -lt $((110 << 20)) ]
	[ "$(<"$T/fake/sent")" -gt $((64 << 20)) ]
	[ "$(memory_mb VmHWM)" -lt 500 ] || fail "$(memory_mb VmHWM) MB were used"
	changes 20 web
	unharmed
	touch "$T/fake/well"
	changes 30 web endless
	unharmed
}
