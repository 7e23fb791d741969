# Between a client and the API server in $KUBE_DIR: tests/peers/fault-proxy, whose head says what
# it can do. `source` it beside ../lib.
# shellcheck shell=bash
# shellcheck disable=SC2154 # $T is the test's folder

# proxy_start [OPTION...]: this test's own, until its end.
proxy_start() {
	spawn proxy "$REPO/tests/peers/fault-proxy" "$T/proxy" "$KUBE_DIR" "$@"
	wait_for 30 test -e "$T/proxy/pid"
}

# proxy METHOD PATH [JSON]: controls it; prints its counts.
proxy() {
	curl -q -sSf -m 10 --unix-socket "$T/proxy/control" -X "$1" ${3+--data-binary "$3"} "http://proxy$2"
}

# rule PATH JSON: what is to happen to "METHOD PATH?QUERY" that match a regular expression.
rule() {
	proxy PUT /rule "$(jq -c --arg path "$1" '{path: $path} + .' <<<"$2")" >/dev/null
}

heal() {
	proxy DELETE /rules >/dev/null
}

# tcp pass|cut|hold|vanish|lose: what happens to connections to tcp-addr.
tcp() {
	proxy POST /tcp '{"do": "'"$1"'"}' >/dev/null
}

# sever PATH [reset]: requests that are not answered to their end, as watches are, end here.
sever() {
	proxy POST /cut "$(jq -nc --arg path "$1" --arg how "${2-}" '{$path, reset: ($how == "reset")}')" >/dev/null
}

# fault NAME CODE REASON MESSAGE [MORE]: a rule that answers with a Status; MORE is jq of more of the
# rule, such as {times: 1}.
fault() {
	jq -nc --arg name "$1" --argjson code "$2" --arg reason "$3" --arg message "$4" "{\$name, status: \$code,
		body: ({kind: \"Status\", apiVersion: \"v1\", metadata: {}, status: \"Failure\", \$message, \$code}
			+ (if \$reason == \"\" then {} else {\$reason} end) | tojson)} + ${5:-{\}}"
}

# proxied REGEX: how many lines of its log match ("METHOD PATH STATUS FAULT").
proxied() {
	grep -cE -- "$1" "$T/proxy/requests" || :
}

proxied_more_than() { # COUNT REGEX
	[ "$(proxied "$2")" -gt "$1" ]
}
