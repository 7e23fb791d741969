#!/usr/bin/env bats
# consul-watch: how it reaches Consul, and goes on when that changes: several addresses,
# proxies, compression, an agent that asks for patience, too few descriptors.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # eval expands; a test is a subshell; bats sets stderr

load ../lib
load ../peers/fake-consul

setup() {
	common_setup
	unset CONSUL_HTTP_AUTH CONSUL_HTTP_SSL_VERIFY CONSUL_CAPATH CONSUL_CLIENT_CERT \
		CONSUL_CLIENT_KEY CONSUL_TLS_SERVER_NAME CONSUL_PARTITION MESHPIPE_LOG_LEVEL \
		MESHPIPE_LOG_FORMAT http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
}

teardown() {
	[ ! -e "$T/consul" ] || "$REPO/tests/peers/consul" kill "$T/consul"
	common_teardown
}

once() {
	run --separate-stderr timeout 20 "$@"
}

# Hundredths of a second of processor time.
ticks() {
	awk '{ print $14 + $15 }' "/proc/$(watch_pid)/stat"
}

# --- several addresses

# Two agents of one catalogue, in which web has port $1; the first is the one of fake_*.
two_agents() {
	fake_start
	spawn other "$REPO/tests/peers/fake-consul" "$T/other"
	wait_for 30 test -e "$T/other/addr"
	FIRST=$CONSUL_HTTP_ADDR OTHER=$(<"$T/other/addr")
	export CONSUL_HTTP_ADDR=$FIRST,$OTHER
	fake_service web "[{\"port\": $1}]"
	other_service web "[{\"port\": $1}]"
}

other_service() { # NAME INSTANCES-JSON
	curl -sSf -m 10 --unix-socket "$T/other/control" -X PUT --data-binary "$2" "http://other/service/$1" >/dev/null
}

other_requests() {
	wc -l <"$T/other/requests"
}

@test "an address that refuses is left for the next one, also with --once" {
	fake_start
	fake_service web '[{"port": 1}]'
	once consul-watch --once --http-addr "127.0.0.1:1, $CONSUL_HTTP_ADDR"
	assert_status 0
	assert_match "$output" '"service":"web"'
	assert_match "$output" '"type":"synced"'

	once consul-watch --once --http-addr "unix:///$T/none,127.0.0.1:1,$CONSUL_HTTP_ADDR"
	assert_status 0

	watch --http-addr "http://127.0.0.1:1,http://$CONSUL_HTTP_ADDR"
	wait_for 5 synced
	assert_match "$(cat "$T/watch.err")" "msg=connected addr=\"?http://$CONSUL_HTTP_ADDR"
}

@test "--once ends when every address was tried, and names the last" {
	once consul-watch --once --http-addr 127.0.0.1:1,127.0.0.1:2,unix:///nowhere
	assert_status 69
	assert_equal "$output" ""
	assert_one_line "$stderr"
	assert_match "$stderr" "cannot read the catalogue of consul at '/nowhere': "
}

@test "an agent that is killed is left for the next one: nothing is lost, and changes are seen" {
	two_agents 1
	watch
	wait_for 5 synced
	assert_equal "$(other_requests)" 0
	mark
	kill -KILL "$(<"$T/fake.pid")"
	wait_for 5 logged "msg=connected addr=\"?http://$OTHER"
	said '.type == "status" and .state == "disconnected"'
	other_service web '[{"port": 2}]'
	wait_for 5 ports_are web '[2]'
	nothing_lost
	assert_equal "$(grep -c 'cannot reach consul' "$T/watch.err")" 1
}

@test "an agent that hangs is left for the next one when its time is over" {
	two_agents 1
	watch --wait 1s
	wait_for 5 synced
	kill -STOP "$(<"$T/fake.pid")"
	other_service web '[{"port": 2}]'
	# A query ends after its wait, a sixteenth and 15 s; then a read that makes sure, 15 s.
	wait_for 45 ports_are web '[2]'
	mark
	other_service web '[{"port": 3}]'
	wait_for 20 ports_are web '[3]'
	nothing_lost
	# What the first one was asked before ends there, and is no news of the other.
	stays 5 eval '! logged "cannot reach consul"'
	kill -CONT "$(<"$T/fake.pid")"
}

@test "an agent that fails is left for the next one, one that would be right is not" {
	two_agents 1
	fake_rule '{"path": "catalog/services", "status": 403, "body": "ACL not found"}'
	watch --wait 1s
	wait_for 5 warned 'HTTP 403'
	stays 2 eval '[ "$(other_requests)" -eq 0 ]'
	# One takes the place of the other: there is no moment without.
	fake_rule '{"path": "catalog/services", "status": 500, "body": "No path to datacenter"}'
	fake DELETE '/rules?first'
	wait_for 5 warned 'No path to datacenter'
	stays 2 eval '[ "$(other_requests)" -eq 0 ]'
	fake_rule '{"path": "catalog/services", "status": 500, "body": "No cluster leader"}'
	fake DELETE '/rules?first'
	wait_for 10 synced
	assert_match "$(cat "$T/watch.err")" "msg=connected addr=\"?http://$OTHER"
}

@test "with all addresses away it tries them in turn with pauses, and is back with any of them" {
	two_agents 1
	watch --wait 1s
	wait_for 5 synced
	kill -KILL "$(<"$T/fake.pid")" "$(<"$T/other.pid")"
	wait_for 10 warned 'cannot reach consul'
	local lines before
	lines=$(wc -l <"$T/watch.err") before=$(ticks)
	sleep 4
	# Nothing new to say, and next to nothing done.
	assert_equal "$(wc -l <"$T/watch.err")" "$lines"
	[ $(($(ticks) - before)) -lt 20 ]
	nothing_lost
	mark
	spawn again "$REPO/tests/peers/fake-consul" "$T/again" --port "${OTHER#*:}"
	wait_for 20 logged "msg=connected addr=\"?http://$OTHER"
}

# --- proxies, compression, users

@test "a proxy of the environment is for others than this machine's agent" {
	fake_start
	fake_service web '[{}]'
	unset no_proxy
	# Nothing listens there: whoever goes there fails.
	export http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 all_proxy=http://127.0.0.1:1
	once consul-watch --once
	assert_status 0
	once consul-watch --once --http-addr "localhost:${CONSUL_HTTP_ADDR#*:}"
	assert_status 0
	once consul-watch --once --http-addr consul.invalid:8500
	assert_status 69
	assert_match "$stderr" 'connect to 127.0.0.1 port 1'

	# The stand-in as a proxy: it gets whole addresses.
	once env http_proxy="http://$CONSUL_HTTP_ADDR" consul-watch --once --http-addr consul.invalid:8500
	assert_status 0
	assert_match "$(fake_targets)" '^http://consul.invalid:8500/v1/catalog/services'
	once env http_proxy="http://$CONSUL_HTTP_ADDR" no_proxy=.invalid \
		consul-watch --once --http-addr consul.invalid:8500
	assert_status 69
	assert_match "$stderr" 'resolve host'
}

@test "a proxy of the environment is not for a Unix socket" {
	fake_start --unix
	unset no_proxy
	export http_proxy=http://127.0.0.1:1 all_proxy=http://127.0.0.1:1
	once consul-watch --once
	assert_status 0
}

@test "answers come compressed from elsewhere, and as they are from this machine" {
	fake_start
	fake POST /many '{"count": 300}'
	fake_service web '[{"meta": {"long": "'"$(printf 'x%.0s' {1..5000})"'"}}]'
	unset no_proxy
	once consul-watch --once
	assert_status 0
	assert_equal "$(header Accept-Encoding)" none
	local plain
	plain=$(jq -cS 'del(.at, .snapshot)' <<<"$output" | sort)
	: >"$T/fake/requests"
	once env http_proxy="http://$CONSUL_HTTP_ADDR" consul-watch --once --http-addr consul.invalid:8500
	assert_status 0
	assert_equal "$(header Accept-Encoding)" gzip
	assert_equal "$(jq -cS 'del(.at, .snapshot)' <<<"$output" | sort)" "$plain"
}

@test "a real server's compressed answers" {
	need_consul 1.20.5
	consul_start 1.20.5
	local n
	for n in {1..5}; do
		curl -sSf -X PUT -d "{\"Name\": \"web\", \"ID\": \"web-$n\", \"Meta\": {\"long\": \"$(printf 'x%.0s' {1..500})\"}}" \
			"$CONSUL_HTTP_ADDR/v1/agent/service/register"
	done
	curl -sSf --compressed -o /dev/null -D "$T/head" "$CONSUL_HTTP_ADDR/v1/health/service/web"
	assert_match "$(<"$T/head")" '^Content-Encoding: gzip'
	unset no_proxy
	once env http_proxy="$CONSUL_HTTP_ADDR" consul-watch --once --http-addr consul.invalid:8500
	assert_status 0
	assert_equal "$(jq -c 'select(.service == "web") | .instances | length' <<<"$output")" 5
}

@test "an answer that is small until it is unpacked is refused, in bounded memory" {
	fake_start
	fake_service web '[{}]'
	unset no_proxy
	export http_proxy=http://$CONSUL_HTTP_ADDR
	watch --http-addr consul.invalid:8500
	wait_for 5 synced
	fake_rule '{"path": "catalog/services", "bomb": 300000000}'
	wait_for 30 warned 'the answer is longer than 67108864 bytes'
	fake_heal
	wait_for 40 eval 'tail -n 1 "$T/watch.err" | grep -q "msg=connected"'
	nothing_lost
	local peak_kb
	peak_kb=$(awk '/VmHWM/ { print $2 }' "/proc/$(watch_pid)/status")
	echo "# $peak_kb KB"
	[ "$peak_kb" -lt 700000 ]
}

@test "a user without a password, and no user" {
	fake_start
	once env CONSUL_HTTP_AUTH=user consul-watch --once
	assert_status 0
	assert_equal "$(header Authorization)" "Basic $(printf user: | base64)"
	: >"$T/fake/requests"
	once env CONSUL_HTTP_AUTH=user:pass:word consul-watch --once
	assert_equal "$(header Authorization)" "Basic $(printf user:pass:word | base64)"
	: >"$T/fake/requests"
	once env CONSUL_HTTP_AUTH= CONSUL_HTTP_TOKEN= CONSUL_HTTP_TOKEN_FILE= CONSUL_TLS_SERVER_NAME= \
		CONSUL_CACERT= CONSUL_CAPATH= CONSUL_CLIENT_CERT= CONSUL_CLIENT_KEY= consul-watch --once
	assert_status 0
	assert_equal "$(header Authorization)" none
}

@test "a password in an address is refused and not shown" {
	once consul-watch --once --http-addr 'a,https://user:a-secret@b'
	assert_status 64
	assert_one_line "$stderr"
	assert_match "$stderr" 'CONSUL_HTTP_AUTH'
	refute_match "$stderr" 'a-secret'
	once env CONSUL_HTTP_ADDR=user:a-secret@b consul-watch --once
	assert_status 64
	refute_match "$stderr" 'a-secret'
}

# --- patience, descriptors, time

@test "Retry-After in seconds is waited for, anything else is not" {
	local status
	fake_start
	fake_service web '[{}]'
	for status in 429 503; do
		: >"$T/fake/requests"
		fake_rule '{"path": "catalog/services", "status": '$status', "headers": {"Retry-After": "4"}, "times": 1}'
		local before=${EPOCHREALTIME/[.,]/}
		once consul-watch --once --timeout 15s
		assert_status 0
		[ $((${EPOCHREALTIME/[.,]/} - before)) -ge 4000000 ]
	done
	local text
	for text in 'Fri, 01 Jan 2038 00:00:00 GMT' -5 4.5 soon ''; do
		fake_rule '{"path": "catalog/services", "status": 503, "headers": {"Retry-After": "'"$text"'"}, "times": 1}'
		before=${EPOCHREALTIME/[.,]/}
		once consul-watch --once --timeout 15s
		assert_status 0
		[ $((${EPOCHREALTIME/[.,]/} - before)) -lt 3000000 ]
	done
	# Not that of other answers.
	fake_rule '{"path": "catalog/services", "status": 500, "headers": {"Retry-After": "9"}, "times": 1}'
	before=${EPOCHREALTIME/[.,]/}
	once consul-watch --once --timeout 15s
	assert_status 0
	[ $((${EPOCHREALTIME/[.,]/} - before)) -lt 3000000 ]
}

@test "too low a limit of open files is raised where that is allowed, else said at the start" {
	fake_start
	fake_service web '[{}]'
	once bash -c 'ulimit -Sn 40; ulimit -Hn 100; exec consul-watch --once'
	assert_status 71
	assert_equal "$output" ""
	assert_one_line "$stderr"
	assert_match "$stderr" "only 100 files may be open, '--max-conns' of 64 needs 160; raise the limit"
	once bash -c 'ulimit -Sn 40; ulimit -Hn 100; exec consul-watch --once --max-conns 34'
	assert_status 0
	once bash -c 'ulimit -Sn 40; exec consul-watch --once'
	assert_status 0
}

@test "descriptors that run out later are an agent that is away: no spin, and back with them" {
	fake_start
	fake POST /many '{"count": 20}'
	watch --wait 1s
	wait_for 5 synced
	prlimit --pid "$(watch_pid)" --nofile=3:4096
	kill -KILL "$(<"$T/fake.pid")"
	wait_for 10 warned 'cannot reach consul'
	mark
	spawn again "$REPO/tests/peers/fake-consul" "$T/again" --port "${CONSUL_HTTP_ADDR#*:}"
	wait_for 30 test -e "$T/again/addr"
	local before
	before=$(ticks)
	stays 4 eval '! logged "msg=connected"'
	[ $(($(ticks) - before)) -lt 50 ]
	prlimit --pid "$(watch_pid)" --nofile=4096:4096
	wait_for 35 logged 'msg=connected'
}

@test "a process that was stopped is back at once" {
	fake_start
	fake_service web '[{"port": 1}]'
	watch --wait 1s
	wait_for 5 synced
	kill -STOP "$(watch_pid)"
	sleep 20
	fake_service web '[{"port": 2}]'
	mark
	kill -CONT "$(watch_pid)"
	wait_for 2 ports_are web '[2]'
	nothing_lost
}
