# The numbered fault scenarios that one Consul with a catalogue shows: what a reader of
# consul-watch's output sees. The others are beside it in scenarios-*.bats, and those that need a
# stand-in in ../../cli/consul-watch-scenarios.bats.
# shellcheck disable=SC2154 # some variables come from pipe.bash
load scenarios

@test "1, 2: the agent is stopped, killed, and comes back: one line, no event, then what is new" {
	local end port=1
	web 1
	api 2
	bulk 30 1
	follow --wait 5s
	for end in stop kill; do
		mark
		consul_do "$end"
		lost_state disconnected
		consul_do start
		wait_for 30 is_connected
		port=$((port + 1))
		web "$port"
		web_is "$port"
		warnings_are 1
		assert_equal "$(said_services)" 'web '
		assert_equal "$(records_of web)" 1
	done
	nothing_lost
	synced 1
}

@test "4, 5: a restored snapshot is followed in seconds; what is written then is not missed" {
	local port
	web 1
	api 2
	follow --wait 60s
	snapshot
	web 3
	register_instance vm-3 10.10.0.13 late 7
	web_is 3
	wait_for 10 ports_are late '[7]'
	for port in {20..26}; do register_instance vm-4 10.10.0.14 other "$port"; done
	wait_for 10 ports_are other '[26]'
	mark
	restore
	web_is 1
	gone_is late
	gone_is other
	# Every write but one is a change, while the index is lower than before, the same, and higher.
	for port in {31..40}; do
		api "$port"
		api_is "$port" 5
	done
	web 41
	web_is 41
	wrote 2 '.type == "gone"'
}

@test "12: killed, and started again at once: what the old one's connections still hold is no harm" {
	bulk 55 1
	follow --wait 60s
	sleep 2
	kill -KILL "$(watch_pid)"
	rm "$T/watch.out"
	follow --wait 60s
	wrote 1 '.type == "synced" and .services == 55'
	register_instance vm-many 10.20.0.1 many-55 9090 id=many-55-1
	wait_for 5 ports_are many-55 '[9090]'
	warnings_are 0
}

# --- what is really gone

@test "15: the last services go, and all of them at once: that is said, and soon" {
	web 1
	api 2
	bulk 10 1
	follow --wait 10s
	deregister_service api
	gone_is api
	deregister_all
	wait_for 10 wrote 12 '.type == "gone"'
	warnings_are 0
	web 3
	web_is 3
	deregister_service web
	wait_for 10 wrote 2 '.type == "gone" and .service == "web"'
}

@test "16: the last instance goes and comes back: one event each; both at once: none or both" {
	local n
	web 1
	watch --wait 10s
	wait_for 10 synced
	mark
	deregister_service web
	wait_for 10 ports_are web '[]'
	web 1
	web_is 1
	assert_equal "$(records_of web)" 2
	mark
	for n in 1 2 3; do
		deregister_service web
		web 1
	done
	sleep 2
	web_is 1
	[ "$(records_of web)" -le 6 ] && [ $(($(records_of web) % 2)) -eq 0 ]
	wrote 0 '.type == "gone"'
}

@test "31: a reader that stops gets the latest; one that goes ends it" {
	local n
	web 1
	mkfifo "$T/pipe"
	# shellcheck disable=SC2016 # for the inner shell
	spawn watch bash -c 'exec consul-watch --wait 1s >"$0"' "$T/pipe"
	exec 7<"$T/pipe"
	bulk 40 50
	for n in {1..8}; do
		web "$n"
		kill -HUP "$(watch_pid)"
		wait_for 10 lines_are "$T/watch.err" 'saying everything again' "$n"
	done
	timeout 5 cat <&7 >"$T/watch.out" || :
	ports_are web '[8]'
	# Said each time it would be as many.
	[ "$(records 'select(.service == "many-1")' | wc -l)" -le 5 ]
	exec 7<&-
	wait_exit watch 5
	assert_status 74
}

@test "33: whatever answers, views of its own or the servers: no alarm and no extra queries while all is quiet" {
	local n
	bulk 10 1
	follow --wait 1s
	sleep 2
	mark
	# Reads without an index and the queries that stand do not agree about it.
	kill -HUP "$(watch_pid)"
	wait_for 10 synced 2
	n=$(answered_in 5 v1_health_service_)
	echo "# $n queries"
	# Ten services, once a second at most.
	[ "$n" -le 70 ]
	warnings_are 0
	refute_match "$(new_records)" '"state":"(disconnected|unauthorized)"'
	assert_equal "$(new_records | grep -c '"type":"service"')" 10
}

@test "35: a datacenter that does not exist: that is said and the end, at the start" {
	local words
	for words in --once --wait=5s; do
		run --separate-stderr timeout 20 consul-watch "$words" --datacenter nope
		assert_status 78
		assert_one_line "$stderr"
		assert_match "$stderr" "level=error .*--datacenter.*'nope'.*dc1"
		assert_equal "$output" ''
	done
}

@test "35: a filter that is wrong: what the server says, at the start" {
	run --separate-stderr timeout 20 consul-watch --once --filter 'Service.Port =='
	echo "# $stderr"
	[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
	assert_one_line "$stderr"
	assert_match "$stderr" 'level=error .*boolean expression.*no match found'
	refute_match "$output" synced
	watch --filter 'Service.Nope == "x"'
	wait_for 10 has_line "$T/watch.err" 'level=(error|warn) .*Service\.Nope\\*" is not valid'
	wrote 0 '.type == "synced" or .type == "service"'
}
