# The pipe goes on, the catalogue changes: each change does exactly what it should.
load pipe

maintenance() { # ID true|false
	consul_api PUT "/v1/agent/service/maintenance/$1?enable=$2&reason=test" >/dev/null
}

node_maintenance() { # true|false
	consul_api PUT "/v1/agent/maintenance?enable=$1&reason=test" >/dev/null
}

register_with_agent() { # NAME PORT ADDRESS
	consul_api PUT /v1/agent/service/register "$(jq -n --arg name "$1" --arg port "$2" --arg address "$3" \
		'{Name: $name, Port: ($port | tonumber), Address: $address}')" >/dev/null
}

deregister_with_agent() { # ID
	consul_api PUT "/v1/agent/service/deregister/$1" >/dev/null
}

weigh() { # PASSING WARNING: the instance of course-service on vm-5
	consul_api PUT /v1/catalog/register "$(jq -n --argjson p "$1" --argjson w "$2" '{
		Node: "vm-5", Address: "10.10.0.15", Service: {ID: "course-service-vm-5",
		Service: "course-service", Port: 8080, Weights: {Passing: $p, Warning: $w}}}')" >/dev/null
}

has_no_endpoint() { # SERVICE
	! grep -q WorkloadEntry "$D/dc1/$1.yaml"
}

@test "an instance comes, changes, fails, recovers and leaves: its own WorkloadEntry, and nothing else" {
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe
	right
	changes 'created student-service WorkloadEntry 10.10.0.16' -- \
		register_instance vm-6 10.10.0.16 student-service 9099 tag=version=v3 status=passing
	changes 'changed student-service WorkloadEntry 10.10.0.16' -- \
		register_instance vm-6 10.10.0.16 student-service 9099 tag=version=v4 status=passing
	changes 'changed student-service WorkloadEntry 10.10.0.16' -- \
		register_instance vm-6 10.10.0.16 student-service 9100 tag=version=v4 status=passing
	changes 'changed student-service WorkloadEntry 10.10.0.16' -- \
		register_instance vm-6 10.10.0.16 student-service 9100 meta.version=v5 status=passing
	changes 'changed student-service WorkloadEntry 10.10.0.26' -- \
		register_instance vm-6 10.10.0.16 student-service 9100 address=10.10.0.26 meta.version=v5 status=passing
	changes 'deleted student-service WorkloadEntry 10.10.0.12' -- set_check vm-2 student-service critical
	changes 'created student-service WorkloadEntry 10.10.0.12' -- set_check vm-2 student-service passing
	changes 'deleted student-service WorkloadEntry 10.10.0.11' -- set_node_check vm-1 critical
	changes 'created student-service WorkloadEntry 10.10.0.11' -- set_node_check vm-1 passing
	changes 'deleted student-service WorkloadEntry 10.10.0.13' -- deregister_instance vm-3 student-service
	changes 'deleted student-service WorkloadEntry 10.10.0.26' -- deregister_node vm-6
	stop_pipe
}

@test "maintenance of a service and of a node" {
	register_students
	register_with_agent course-service 8080 10.10.0.21
	start_pipe
	right
	changes 'deleted course-service WorkloadEntry 10.10.0.21' -- maintenance course-service true
	changes 'created course-service WorkloadEntry 10.10.0.21' -- maintenance course-service false
	changes 'deleted course-service WorkloadEntry 10.10.0.21' -- node_maintenance true
	changes 'created course-service WorkloadEntry 10.10.0.21' -- node_maintenance false
	deregister_with_agent course-service
	stop_pipe
}

@test "a warning has Consul's weight for it" {
	register_instance vm-5 10.10.0.15 course-service 8080 status=passing
	start_pipe
	right
	changes 'changed course-service WorkloadEntry 10.10.0.15' -- weigh 10 2
	changes 'changed course-service WorkloadEntry 10.10.0.15' -- set_check vm-5 course-service warning
	changes 'deleted course-service WorkloadEntry 10.10.0.15' -- weigh 10 0
	stop_pipe
}

@test "what the mapping does not use touches no file" {
	register_students
	start_pipe -o wide
	right
	take_picture before
	: >"$T/meshpipe.out"
	register_instance vm-1 10.10.0.11 student-service 9098 tag=version=v1 meta.owner=team-a status=passing
	wait_for 20 has_line "$T/meshpipe.out" 'student-service.service.consul unchanged'
	untouched
	refute_match "$(<"$T/meshpipe.out")" 'created|configured|deleted'
	stop_pipe
}

@test "a new lowest port is a new service port, for all instances" {
	register_students
	start_pipe
	right
	changes 'changed student-service ServiceEntry' 'changed student-service WorkloadEntry 10.10.0.11' \
		'changed student-service WorkloadEntry 10.10.0.12' 'changed student-service WorkloadEntry 10.10.0.13' -- \
		register_instance vm-2 10.10.0.12 student-service 9000 tag=version=v1 status=passing
	stop_pipe
}

@test "services come and go: endpoints at once, the name after --gone-after" {
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe --gone-after 4s
	right
	changes 'created grade-service ServiceEntry' 'created grade-service WorkloadEntry 10.10.0.15' -- \
		register_instance vm-5 10.10.0.15 grade-service 7070 status=passing

	cp "$D/dc1/student-service.yaml" "$T/with-instances.yaml"
	deregister_service student-service
	wait_for 20 has_no_endpoint student-service
	take_picture after
	assert_equal "$(differences before after)" "$(printf 'deleted student-service WorkloadEntry 10.10.0.1%d\n' 1 2 3)"
	assert_equal "$(touched before after)" dc1/student-service.yaml
	assert_equal "$(<"$D/dc1/student-service.yaml")" "$(sed '/^---/,$d' "$T/with-instances.yaml")"
	wait_for 20 test ! -e "$D/dc1/student-service.yaml"
	right
	take_picture before

	# Back before its time: nothing but the endpoints has ever gone.
	deregister_service course-service
	wait_for 20 has_no_endpoint course-service
	changes 'changed course-service WorkloadEntry 10.10.0.14' -- \
		register_instance vm-4 10.10.0.14 course-service 8080 tag=version=v2 status=passing
	stop_pipe
}

@test "an instance registered anew under another service's name moves there" {
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe --wait 2s
	right
	changes 'created course-service WorkloadEntry 10.10.0.13' 'deleted student-service WorkloadEntry 10.10.0.13' -- \
		register_instance vm-3 10.10.0.13 course-service 8080 id=student-service-vm-3 status=passing
	stop_pipe
}

@test "a mapping that fails for one service costs that service its update, and nothing else" {
	local line
	cat >"$T/mine.jq" <<-'END'
		if any(.instances[].tags[]; . == "bad") then error("a bad tag") else empty end
	END
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe -f workload-entries.jq -f "$T/mine.jq"
	right
	take_picture before

	register_instance vm-5 10.10.0.15 course-service 8080 tag=bad status=passing
	register_instance vm-6 10.10.0.16 student-service 9098 status=passing
	wait_for 20 grep -q 10.10.0.16 "$D/dc1/student-service.yaml"
	wait_for 20 warned course-service
	line=$(grep course-service "$T/meshpipe.err")
	assert_one_line "$line"
	assert_match "$line" '^mesh-map: .*mine\.jq.*a bad tag'
	take_picture after
	assert_equal "$(differences before after)" 'created student-service WorkloadEntry 10.10.0.16'
	assert_equal "$(touched before after)" dc1/student-service.yaml

	# Nor does a restart make it go.
	synced=$(count_synced)
	kill -KILL "$(pid_of consul-watch)"
	wait_for 20 synced_again "$synced"
	take_picture now
	assert_equal "$(touched after now)" ''

	# Mended: nothing that is said because of the signal meets the old program, also when mesh-map
	# gets to it later than to what consul-watch then says.
	echo empty >"$T/mine.jq"
	busy=$(pid_of mesh-map)
	mark
	kill -STOP "$busy"
	kill -HUP "$(<"$T/meshpipe.pid")"
	wait_for 20 said 1 '^consul-watch: .*msg=synced'
	kill -CONT "$busy"
	right
	stop_pipe
}

@test "a mapping that fails: once ends with status 1" {
	echo 'if .service == "course-service" then error("no") else empty end' >"$T/mine.jq"
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	run --separate-stderr meshpipe once --dir "$D" -f workload-entries.jq -f "$T/mine.jq"
	assert_status 1
	assert_equal "$(find "$D/dc1" -type f -printf '%f ')" 'student-service.yaml '
}

# Established TCP connections of a process.
connections() { # PID
	find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' | grep -oE '[0-9]+' |
		grep -cxFf <(awk '$4 == "01" { print $10 }' /proc/net/tcp)
}

bulk_one() { # NUMBER VERSION
	register_instance vm-many 10.20.0.1 "many-$1" 8080 id="many-$1-1" address="10.20.$1.1" tag="version=$2"
}

@test "more services than connections: all is right, and there are never more connections" {
	local watch number most=0 now
	bulk 40 1
	start_pipe --max-conns 8
	right
	watch=$(pid_of consul-watch)
	for number in 1 40; do
		changes "changed many-$number WorkloadEntry 10.20.$number.1" -- bulk_one "$number" v2
		bulk_one "$number" v3
		for _ in {1..20}; do
			now=$(connections "$watch")
			[ "$now" -le "$most" ] || most=$now
		done
		wait_for 10 grep -q 'version: v3' "$D/dc1/many-$number.yaml"
		right
		take_picture before
	done
	[ "$most" -gt 1 ] && [ "$most" -le 8 ] || fail "$most connections"
	lines_are "$T/meshpipe.err" 'level=warn .*more services than connections.*max_conns=8' 1
	stop_pipe
}

# The reader of the results, or a program, stops for so long that its pipe is full.
@test "results that nobody reads for a while are not lost and hold up nothing" {
	mkfifo "$T/results"
	spawn reader cat "$T/results"
	# shellcheck disable=SC2016 # the words are arguments
	spawn meshpipe setsid bash -c 'exec "$@" >"$0"' "$T/results" meshpipe run --dir "$D" -o json
	register_students
	wait_for 20 has_line "$T/reader.out" student-service
	kill -STOP "$(<"$T/reader.pid")"
	for version in v1 v2 v3; do
		bulk 40 8 "version=$version"
		right
	done
	kill -CONT "$(<"$T/reader.pid")"
	stop_pipe
	wait_exit reader
	assert_status 0
	[ "$(stat -c %s "$T/reader.out")" -gt 100000 ]
	assert_equal "$(jq -r 'select(.action == "created") | .name' "$T/reader.out" | sort -u | wc -l)" $((4 + 40 * 9))
}

@test "a program that stands still for a while: the latest state arrives" {
	register_students
	start_pipe
	for program in mesh-map k8s-apply; do
		stopped=$(pid_of "$program")
		kill -STOP "$stopped"
		for version in 1 2 3; do
			bulk 20 20 "version=$program$version"
		done
		kill -CONT "$stopped"
		right
	done
	assert_match "$(<"$D/dc1/many-20.yaml")" 'version: k8s-apply3'
	stop_pipe
}
