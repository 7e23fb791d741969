#!/usr/bin/env bats
# mesh-map: a program that loops, eats memory or crashes costs its one service. Limits on memory
# cannot be set in a build with sanitizers, which reserves terabytes: there those cases are left out.
# shellcheck disable=SC2016,SC2154 # jq programs stand in single quotes; bats sets stderr

load ../lib

setup() {
	common_setup
	cat >"$T/bad.jq" <<-'END'
		def nested($n): reduce range($n) as $i (null; [.]);
		. as $record
		| .service
		| if startswith("loop") then last(range(1e18))
		  elif . == "outputs" then repeat({apiVersion: "v1", kind: "Endless", metadata: {name: "x"}})
		  elif . == "big" then reduce range(40) as $i ("x" * 1000; . + .) | length
		  elif . == "memory" then ("x" * 1000000) as $x | [range(1e9) as $i | $x + "\($i)"] | length
		  elif . == "recursion" then (def f: 1 + f; f)
		  elif . == "deep" then (def f($n): if $n == 0 then 0 else 1 + f($n - 1) end; f(100000))
		  elif . == "nested" then nested(1000000) | length
		  else . end
		| {apiVersion: "v1", kind: "ConfigMap", metadata: {name: $record.service},
		   data: {at: ($record.at | tostring)}}
	END
}

# service NAME [AT]
service() {
	jq -nc --arg name "$1" --argjson at "${2-1}" \
		'{type: "service", source: "dc1", service: $name, at: $at, instances: [], new: true}'
}

# What the records in $output say: "KEY apply" or "KEY keep", a line each.
said() {
	jq -r 'select(.key) | "\(.key) \(.type)"' <<<"$1"
}

# bad_ones: services that kill their worker, and why mesh-map says it was.
bad_ones() {
	echo 'loop did not end within (4000|800) ms of processor time \(--timeout\)'
	is_sanitized || cat <<-'END'
		outputs (did not end within (4000|800) ms|needs more than 300 MiB of memory)
		big needs more than 300 MiB of memory \(--memory\)
		memory needs more than 300 MiB of memory \(--memory\)
		recursion (needs more than 300 MiB of memory|ended the interpreter)
		nested ended the interpreter \(Segmentation fault\)
	END
}

# check_bad JOBS: each bad one between good ones
check_bad() {
	local n=0 name why
	service good0 >"$T/in"
	while read -r name why; do
		n=$((n + 1))
		service "$name" >>"$T/in"
		service "good$n" >>"$T/in"
	done < <(bad_ones)
	echo '{"type":"synced","source":"dc1","services":3}' >>"$T/in"
	run --separate-stderr timeout 300 mesh-map -f "$T/bad.jq" --jobs "$1" --timeout 4s --memory 300M <"$T/in"
	assert_status 1
	# Nothing is lost, nothing is said twice, and the barrier comes last.
	assert_equal "$(said "$output" | sort)" "$({
		for ((i = 0; i <= n; i++)); do echo "good$i apply"; done
		bad_ones | while read -r name why; do echo "$name keep"; done
	} | sort)"
	assert_equal "$(tail -n 1 <<<"$output" | jq -r .type)" synced
	assert_equal "$(jq -s 'map(select(.key)) | all(.new == true)' <<<"$output")" true
	while read -r name why; do
		assert_match "$(jq -r --arg name "$name" 'select(.type == "keep" and .key == $name).error' <<<"$output")" "$why"
		assert_match "$stderr" "level=error msg=\"mapping failed, left as it is\" service=dc1/$name error=\"it $why"
	done < <(bad_ones)
}

@test "what loops, eats memory or crashes costs its service: one worker" {
	check_bad 1
}

@test "what loops, eats memory or crashes costs its service: three workers" {
	check_bad 3
}

@test "recursion 100,000 deep is no fault" {
	service deep >"$T/in"
	run --separate-stderr mesh-map -f "$T/bad.jq" <"$T/in"
	assert_status 0
	assert_equal "$(said "$output")" "deep apply"
}

@test "while a program loops, the other services flow on, and what is not to be overtaken waits" {
	mkfifo "$T/pipe"
	spawn map bash -c 'exec mesh-map -f "$1/bad.jq" --jobs 2 --timeout 10s <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	# At once, so that some have been given to the worker that loops.
	for i in loop good{1..9}; do service "$i"; done >"$T/in"
	cat "$T/in" >&5
	wait_for 60 lines_are "$T/map.out" '"key":"good[1-9]"' 9
	run ! has_line "$T/map.out" '"key":"loop"'
	echo '{"type":"gone","source":"dc1","service":"other"}' >&5
	service good10 >&5
	wait_for 90 has_line "$T/map.out" '"key":"good10"'
	assert_equal "$(said "$(<"$T/map.out")" | tail -n 3)" "loop keep
other apply
good10 apply"
	exec 5>&-
	wait_exit map
}

@test "a service that kills its worker is tried again, with growing pauses, and nobody waits for it" {
	mkfifo "$T/pipe"
	spawn map bash -c 'exec mesh-map -f "$1/bad.jq" --jobs 1 --timeout 300ms --log-level debug <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service loop 1 >&5
	wait_for 20 has_line "$T/map.out" '"key":"loop".*"type":"keep"'
	# A newer record of it is answered at once: it is known what it does.
	service loop 2 >&5
	service good >&5
	wait_for 5 has_line "$T/map.out" '"key":"good"'
	assert_equal "$(said "$(<"$T/map.out")")" "loop keep
loop keep
good apply"
	wait_for 40 lines_are "$T/map.err" 'msg="tried again" service=dc1/loop' 3
	assert_equal "$(grep -c 'mapping failed' "$T/map.err")" 1
	exec 5>&-
	wait_exit map
	assert_equal "$status" 1
}

@test "programs that are better after SIGHUP: what was left is mapped at once, by its last record" {
	mkfifo "$T/pipe"
	spawn map bash -c 'exec mesh-map -f "$1/bad.jq" --jobs 2 --timeout 300ms <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service loop 1 >&5
	wait_for 20 has_line "$T/map.out" '"type":"keep"'
	service loop 2 >&5
	wait_for 20 lines_are "$T/map.out" '"type":"keep"' 2
	sed -i 's/startswith("loop")/false/' "$T/bad.jq"
	kill -HUP "$(<"$T/map.pid")"
	wait_for 10 has_line "$T/map.out" '"data":\{"at":"2"\}.*"type":"apply"'
	has_line "$T/map.err" 'msg="mapped again" service=dc1/loop'
	run ! has_line "$T/map.out" '"at":"1"'
	exec 5>&-
	wait_exit map
	assert_equal "$status" 0
}

@test "a record that is newer than the one tried again has the last word" {
	mkfifo "$T/pipe"
	cat >"$T/once.jq" <<-'END'
		. as $record
		| if .service == "web" and .at == 1 then last(range(1500000))
		  elif .service == "slow" then last(range(500000)) else . end
		| {apiVersion: "v1", kind: "ConfigMap", metadata: {name: $record.service}, data: {at: "\($record.at)"}}
	END
	# The first record takes longer than it may the first time; the limit is for one worker's try.
	spawn map bash -c 'exec mesh-map -f "$1/once.jq" --jobs 1 --timeout 100ms <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service web 1 >&5
	wait_for 30 has_line "$T/map.out" '"type":"keep"'
	sed -i 's/1500000/1000/' "$T/once.jq"
	for i in $(seq 30); do service slow "$i"; done >"$T/more"
	service web 2 >>"$T/more"
	kill -HUP "$(<"$T/map.pid")"
	cat "$T/more" >&5
	exec 5>&-
	wait_exit map 90
	assert_equal "$(jq -c 'select(.key == "web") | .objects[0].data.at' "$T/map.out" | tail -n 1)" '"2"'
}

@test "programs that are better after SIGHUP: many services are mapped at once, not one after the other" {
	mkfifo "$T/pipe"
	spawn map bash -c 'exec mesh-map -f "$1/bad.jq" --jobs 2 --timeout 20ms <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	for i in $(seq 60); do service "loop$i"; done >&5
	wait_for 90 lines_are "$T/map.out" '"type":"keep"' 60
	sed -i 's/startswith("loop")/false/' "$T/bad.jq"
	kill -HUP "$(<"$T/map.pid")"
	wait_for 10 has_line "$T/map.err" 'loaded anew'
	# What comes now is mapped by the new programs, whatever it did to the old ones.
	for i in $(seq 60); do service "loop$i" 2; done >&5
	wait_for 5 lines_are "$T/map.out" '"data":\{"at":"2"\}.*"type":"apply"' 60
	lines_are "$T/map.out" '"type":"keep"' 60
	exec 5>&-
	wait_exit map
	assert_equal "$status" 0
}

@test "what is gone, or not in the next snapshot, is not tried again" {
	mkfifo "$T/pipe"
	spawn map bash -c 'exec mesh-map -f "$1/bad.jq" --jobs 2 --timeout 300ms --log-level debug <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service loop1 >&5
	service loop2 >&5
	wait_for 20 lines_are "$T/map.out" '"type":"keep"' 2
	echo '{"type":"gone","source":"dc1","service":"loop1"}' >&5
	echo '{"type":"start","source":"dc1","snapshot":"2"}' >&5
	echo '{"type":"synced","source":"dc1","snapshot":"2","services":0}' >&5
	wait_for 5 has_line "$T/map.out" '"type":"synced"'
	lines_before=$(wc -l <"$T/map.out")
	sed -i 's/startswith("loop")/false/' "$T/bad.jq"
	kill -HUP "$(<"$T/map.pid")"
	wait_for 10 has_line "$T/map.err" 'loaded anew'
	stays 3 lines_are "$T/map.out" '' "$lines_before"
	exec 5>&-
	wait_exit map
}

@test "a worker that is killed costs nothing but the record in hand, an idle one nothing" {
	mkfifo "$T/pipe"
	spawn map bash -c 'exec mesh-map -f "$1/bad.jq" --jobs 1 <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service good1 >&5
	wait_for 10 has_line "$T/map.out" '"key":"good1"'
	kill -KILL "$(pgrep -P "$(<"$T/map.pid")")"
	service good2 >&5
	wait_for 10 has_line "$T/map.out" '"key":"good2"'
	exec 5>&-
	wait_exit map
	assert_equal "$status" 0
	assert_equal "$(<"$T/map.err")" ''
}

@test "workers end with mesh-map, also when it is killed, and in an endless loop" {
	mkfifo "$T/pipe"
	spawn map bash -c 'exec mesh-map -f "$1/bad.jq" --jobs 2 --timeout 0 <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service loop >&5
	service good >&5
	wait_for 10 has_line "$T/map.out" '"key":"good"'
	workers=$(pgrep -P "$(<"$T/map.pid")")
	[ "$(wc -l <<<"$workers")" -eq 2 ]
	kill -KILL "$(<"$T/map.pid")"
	none_alive() { for pid in $workers; do ! alive "$pid" || return 1; done; }
	wait_for 5 none_alive
	exec 5>&-
}

@test "a worker has no environment, no file and no room for one" {
	mkfifo "$T/pipe"
	echo '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "x"}, data: env}' >"$T/env.jq"
	spawn map env SECRET=value bash -c 'exec mesh-map -f "$1/env.jq" --jobs 1 <"$1/pipe"' - "$T"
	exec 5>"$T/pipe"
	service good >&5
	wait_for 10 has_line "$T/map.out" '"data":\{\}'
	pid=$(pgrep -P "$(<"$T/map.pid")")
	assert_equal "$(grep -c socket: <(readlink "/proc/$pid/fd/"*))" 1
	assert_equal "$(find "/proc/$pid/fd" -type l | wc -l)" 2
	grep -qE '^Max open files +0 +0 ' "/proc/$pid/limits"
	grep -qE '^Max processes +0 +0 ' "/proc/$pid/limits"
	exec 5>&-
	wait_exit map
}

@test "the order of the output is that of the input, whatever the number of workers" {
	for i in $(seq 400); do
		service "s$((i % 40))" "$i"
		[ $((i % 50)) -ne 0 ] || echo "{\"type\":\"status\",\"n\":$i}"
	done >"$T/in"
	cat >"$T/slow.jq" <<-'END'
		(.at % 7 * 3000) as $n | last(range($n + 1)) as $x
		| {apiVersion: "v1", kind: "ConfigMap", metadata: {name: .service}, data: {at: "\(.at)"}}
	END
	mesh-map -f "$T/slow.jq" --jobs 1 <"$T/in" >"$T/one"
	mesh-map -f "$T/slow.jq" --jobs 4 <"$T/in" >"$T/four"
	assert_equal "$(jq -c '[.at // .n]' <"$T/one" | wc -l)" 408
	cmp "$T/one" "$T/four"
}

@test "a slow reader stops the input, not the flow, and costs no memory" {
	service x | jq -c '.pad = "y" * 20000' >"$T/line"
	echo '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "x"}, data: {pad: .pad}}' >"$T/pad.jq"
	mkfifo "$T/pipe"
	# What the writer got rid of while nobody read shows how much is held.
	spawn map bash -c 'line=$(<"$1/line"); echo 0 >"$1/written"
		for ((i = 1; i <= 4000; i++)); do printf "%s\n" "$line" || exit; echo "$i" >"$1/written"; done |
		mesh-map -f "$1/pad.jq" --jobs 2 >"$1/pipe"' - "$T"
	exec 6<"$T/pipe"
	settled() { a=$(<"$T/written") && sleep 1 && [ "$a" = "$(<"$T/written")" ]; }
	wait_for 60 settled
	[ "$(<"$T/written")" -lt 1500 ] || fail "$(<"$T/written") lines were taken while nobody read"
	assert_equal "$(wc -l <&6)" 4000
	wait_exit map 60
}

@test "--jobs, --timeout and --memory say what they cannot be" {
	for args in '--jobs x' '--jobs 257' '--timeout 5' '--memory 5X' '--memory x' '--memory 2000000G'; do
		# shellcheck disable=SC2086 # an option and its value
		run --separate-stderr mesh-map $args </dev/null
		assert_status 64
		assert_one_line "$stderr"
		assert_match "$stderr" "${args%% *}"
	done
}
