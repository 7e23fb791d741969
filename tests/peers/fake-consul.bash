# A consul-watch against the stand-in tests/peers/fake-consul: `source` it beside ../lib.
# shellcheck shell=bash
# shellcheck disable=SC2154 # $T is the test's folder

# fake_start [OPTION...]: the stand-in of this test; sets CONSUL_HTTP_ADDR.
fake_start() {
	spawn fake "$REPO/tests/peers/fake-consul" "$T/fake" "$@"
	wait_for 30 test -e "$T/fake/addr"
	CONSUL_HTTP_ADDR=$(<"$T/fake/addr")
	# A proxy of the machine has nothing to do with it.
	export CONSUL_HTTP_ADDR no_proxy='*'
}

# fake METHOD PATH [BODY]: controls it; prints its counts.
fake() {
	curl -sSf -m 10 --path-as-is --unix-socket "$T/fake/control" -X "$1" ${3+--data-binary "$3"} "http://fake$2"
}

uri() {
	jq -rn --arg s "$1" '$s | @uri'
}

# fake_service NAME INSTANCES-JSON
fake_service() {
	fake PUT "/service/$(uri "$1")" "$2" >/dev/null
}

fake_gone() { # NAME
	fake DELETE "/service/$(uri "$1")" >/dev/null
}

fake_rule() { # JSON
	fake PUT /rule "$1" >/dev/null
}

fake_heal() {
	fake DELETE /rules >/dev/null
}

# fake_is EXPRESSION: a jq condition on its counts holds.
fake_is() {
	fake GET /stats | jq -e "$1"
}

# Paths and queries that it was asked for.
fake_targets() {
	jq -r .target "$T/fake/requests"
}

# header NAME: what it was sent, once each; last_header NAME: with the last request.
header() {
	jq -r --arg name "$1" '.headers | with_entries(.key |= ascii_downcase)[$name | ascii_downcase] // "none"' \
		"$T/fake/requests" | sort -u
}

last_header() {
	tail -n 1 "$T/fake/requests" | jq -r --arg name "$1" \
		'.headers | with_entries(.key |= ascii_downcase)[$name | ascii_downcase] // "none"'
}

last_header_is() { # NAME VALUE
	[ "$(last_header "$1")" = "$2" ]
}

# watch [OPTION...]: a consul-watch of this test, its records in $T/watch.out.
watch() {
	spawn watch consul-watch --wait 2s "$@"
}

watch_pid() {
	cat "$T/watch.pid"
}

# records [FILTER]: what it wrote so far, one a line.
records() {
	jq -c "${1:-.}" "$T/watch.out"
}

# wrote N CONDITION: N records so far are such, by a jq condition.
wrote() {
	[ "$(jq -c "select($2)" "$T/watch.out" | wc -l)" -eq "$1" ]
}

wrote_any() { # CONDITION
	! wrote 0 "$1"
}

synced() { # [TIMES]
	wrote "${1:-1}" '.type == "synced"'
}

# ports NAME: of its instances, as its last record says.
ports() {
	jq -c --arg name "$1" 'select(.type == "service" and .service == $name) | [.instances[].port]' \
		"$T/watch.out" | tail -n 1
}

ports_are() { # NAME JSON
	[ "$(ports "$1")" = "$2" ]
}

nothing_lost() {
	wrote 0 '.type == "gone" or (.type == "service" and .instances == [])'
}

warned() { # REGEX
	has_line "$T/watch.err" "level=(warn|error) .*$1"
}

is_connected() {
	[ "$(records 'select(.type == "status") | .state' | tail -n 1)" = '"connected"' ]
}

# mark: what follows is told apart from what was written before.
mark() {
	MARKED_OUT=$(wc -l <"$T/watch.out")
	MARKED_ERR=$(wc -l <"$T/watch.err")
}

new_records() {
	tail -n "+$((MARKED_OUT + 1))" "$T/watch.out"
}

new_log() {
	tail -n "+$((MARKED_ERR + 1))" "$T/watch.err"
}

logged() { # REGEX, since the mark
	new_log | grep -qE -- "$1"
}

said() { # CONDITION, by jq, since the mark
	[ -n "$(new_records | jq -c "select($1)")" ]
}
