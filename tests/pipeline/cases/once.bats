# Runs that end by themselves: what they make, what they leave alone, how they fail.
# shellcheck disable=SC2154 # some variables come from pipe.bash
load pipe

# The three as a user types them; sets $output (results), $stderr and $status.
pipe_once() { # CONSUL-WATCH OPTIONS, MESH-MAP OPTIONS, K8S-APPLY OPTIONS: a string each
	# shellcheck disable=SC2016 # the words are arguments
	run --separate-stderr timeout -k 5 60 bash -o pipefail -c \
		"consul-watch --once $1 | mesh-map $2 | k8s-apply --dir \"\$0\" $3" "$D"
}

# The only complaint on stderr matches this. (That its writers end as well is no news.)
assert_complaint() { # REGEX
	local complaints
	complaints=$(grep -vE 'level=info|nobody reads our output' <<<"$stderr")
	assert_one_line "$complaints"
	assert_match "$complaints" "$1"
}

object() { # KIND JQ-FILTER
	"$PIPELINE/objects" "$D" | jq -c --arg kind "$1" ".object | select(.kind == \$kind) | $2"
}

@test "the example: one ServiceEntry, three WorkloadEntries; again, and no file is touched" {
	register_students
	# shellcheck disable=SC2016 # the words are arguments
	run --separate-stderr timeout -k 5 60 bash -c 'consul-watch --once | mesh-map | k8s-apply --dir "$0"
		echo "${PIPESTATUS[*]}"' "$D"
	assert_match "$output" '^0 0 0$'
	assert_equal "$(object ServiceEntry '[.spec.hosts, [.spec.ports[].number], (.spec.workloadSelector.labels | length)]')" \
		'[["student-service.service.consul"],[80,9098],1]'
	assert_equal "$(object WorkloadEntry '[.spec.address, .spec.labels.version]' | sort)" \
		$'["10.10.0.11","v1"]\n["10.10.0.12","v1"]\n["10.10.0.13","v2"]'
	right
	assert_equal "$(cd "$D" && find . -name '.?*' -prune -o -type f -print)" ./dc1/student-service.yaml

	take_picture before
	pipe_once '' '' ''
	assert_status 0
	assert_equal "$output" ''
	untouched
	run --separate-stderr meshpipe once --dir "$D"
	assert_status 0
	assert_equal "$output" ''
	untouched
}

@test "while nobody looked the catalogue has changed: the next run makes up for it" {
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	register_instance vm-5 10.10.0.15 grade-service 7070 status=passing
	pipe_once '' '' ''
	assert_status 0
	take_picture before
	deregister_service course-service
	set_check vm-2 student-service critical
	pipe_once '' '' ''
	assert_status 0
	right
	take_picture after
	assert_equal "$(differences before after)" "$(printf '%s\n' 'deleted course-service ServiceEntry' \
		'deleted course-service WorkloadEntry 10.10.0.14' 'deleted student-service WorkloadEntry 10.10.0.12')"
	assert_equal "$(touched before after)" $'dc1/course-service.yaml\ndc1/student-service.yaml'
}

@test "what is wrong is one clear line and the right status, and changes nothing" {
	local nobody=127.0.0.1:1
	register_students
	pipe_once '' '' ''
	take_picture before
	printf 'a: [\n' >"$T/bad.yaml"
	printf 'foo(\n' >"$T/bad.jq"
	: >"$T/file"
	# expected status | whose line | message | options of consul-watch | mesh-map | k8s-apply
	while IFS='|' read -r expected who message watch map apply; do
		pipe_once "$watch" "$map" "$apply"
		assert_status "$expected"
		assert_complaint "^$who: .*$message"
		assert_equal "$output" ''
		untouched

		run --separate-stderr eval "meshpipe once --dir '$D' $watch $map $apply"
		assert_status "$expected"
		assert_complaint "^($who|meshpipe): .*$message"
		assert_equal "$output" ''
		untouched
	done <<-END
		64|consul-watch|unknown option.* '--no-such'|--no-such||
		64|mesh-map|unknown option.* '--no-such'||--no-such|
		64|k8s-apply|unknown option.* '--no-such'|||--no-such
		69|consul-watch|$nobody.*[Cc]onnect|--http-addr $nobody||
		78|consul-watch|cannot read CA file '$T/none'|--ca-file $T/none||
		78|mesh-map|cannot read program '$T/none.jq': No such file||-f $T/none.jq|
		78|mesh-map|$T/bad.jq:1: syntax error||-f $T/bad.jq|
		78|mesh-map|cannot read '$T/none.yaml': No such file||--config $T/none.yaml|
		78|mesh-map|$T/bad.yaml:2:1: ||--config $T/bad.yaml|
		71|k8s-apply|cannot make directory '$T/file/x': Not a directory|||--dir $T/file/x
	END
}

@test "what is wrong is not tried again by meshpipe run, unless it may pass" {
	printf 'a: [\n' >"$T/bad.yaml"
	run --separate-stderr timeout 20 meshpipe run --dir "$D" --config "$T/bad.yaml"
	assert_status 78
	assert_complaint "^mesh-map: .*$T/bad.yaml:2:1: "

	# Consul is not there yet: said once, not at every try.
	consul_do stop
	spawn meshpipe setsid meshpipe run --dir "$D"
	wait_for 20 has_line "$T/meshpipe.err" 'cannot reach consul'
	consul_do start
	register_students
	wait_for 30 test -e "$D/dc1/student-service.yaml"
	right
	assert_equal "$(grep -cE 'level=(warn|error)' "$T/meshpipe.err")" 1
	stop_pipe
}

@test "one writer to a directory: the second is refused" {
	register_students
	start_pipe
	right
	take_picture before
	run --separate-stderr meshpipe once --dir "$D"
	assert_status 77
	assert_complaint "^k8s-apply: .*'$D'"
	untouched
	stop_pipe
	run meshpipe once --dir "$D"
	assert_status 0
}

@test "two catalogues in one pipe and one directory: each prunes its own" {
	local one=$CONSUL_HTTP_ADDR two
	two=$("$REPO/tests/peers/consul" start "$T/consul-2" --version "$consul_version" --owner "$$" \
		-- -datacenter dc2 3>&-)
	both() {
		# shellcheck disable=SC2016 # the words are arguments
		run --separate-stderr timeout -k 5 60 bash -o pipefail -c '{ consul-watch --once --http-addr "$1" &&
			consul-watch --once --http-addr "$2"; } | mesh-map --config "$3" | k8s-apply --dir "$0"' \
			"$D" "$one" "$two" "$T/config.yaml"
	}
	hosts() { object ServiceEntry '.spec.hosts[0]' | tr -d '"' | sort | paste -sd ' '; }
	echo 'mainSource: dc1' >"$T/config.yaml"
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	CONSUL_HTTP_ADDR=$two register_instance vm-1 10.30.0.1 student-service 9098 status=passing
	CONSUL_HTTP_ADDR=$two register_instance vm-1 10.30.0.1 grade-service 7070 status=passing
	both
	assert_status 0
	assert_equal "$(hosts)" 'course-service.service.consul grade-service.service.dc2.consul student-service.service.consul student-service.service.dc2.consul'
	assert_equal "$(object WorkloadEntry .spec.address | sort | uniq -c | xargs)" \
		'1 10.10.0.11 1 10.10.0.12 1 10.10.0.13 1 10.10.0.14 2 10.30.0.1'

	take_picture before
	CONSUL_HTTP_ADDR=$two deregister_service student-service
	both
	assert_status 0
	take_picture after
	assert_equal "$(touched before after)" dc2/student-service.yaml
	assert_equal "$(hosts)" 'course-service.service.consul grade-service.service.dc2.consul student-service.service.consul'

	# One of them alone has nothing to say about the other.
	take_picture before
	deregister_service student-service
	run --separate-stderr meshpipe once --dir "$D" --config "$T/config.yaml"
	assert_status 0
	take_picture after
	assert_equal "$(touched before after)" dc1/student-service.yaml
}

@test "many services vanish at once: held and said, all else goes on, a person releases them" {
	local n
	for n in {1..25}; do
		register_instance vm-lost 10.20.0.1 "lost-$n" 8080
	done
	for n in {1..5}; do
		register_instance vm-kept 10.20.0.2 "kept-$n" 8080
	done
	meshpipe once --dir "$D"
	right

	deregister_node vm-lost
	register_instance vm-new 10.20.0.3 new-service 8080
	register_instance vm-kept 10.20.0.2 kept-1 8080 tag=version=v2
	take_picture before
	for approval in '' '--approve-deletes 24'; do
		# shellcheck disable=SC2086 # none or two words
		run --separate-stderr meshpipe once --dir "$D" $approval
		assert_status 3
		assert_match "$stderr" '^k8s-apply: level=warn .*deletions held.* keys=25 .*--approve-deletes 25'
		assert_equal "$(grep -c ' held' <<<"$output")" 50
	done
	take_picture after
	assert_equal "$(differences before after)" "$(printf '%s\n' 'changed kept-1 WorkloadEntry 10.20.0.2' \
		'created new-service ServiceEntry' 'created new-service WorkloadEntry 10.20.0.3')"

	run --separate-stderr meshpipe once --dir "$D" --approve-deletes 25
	assert_status 0
	right
}

@test "many services vanish from a pipe that goes on: held until the word comes" {
	local n
	bulk 30 1
	register_students
	start_pipe --gone-after 1s
	right
	deregister_node vm-many
	wait_for 30 warned 'deletions held'
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	wait_for 20 test -e "$D/dc1/course-service.yaml"
	find "$D/dc1" -name 'many-*' | grep -q .
	# More than the threshold (20) did not go by itself.
	[ "$(find "$D/dc1" -name 'many-*' | wc -l)" -ge 10 ]
	echo 30 >"$D/.meshpipe/approve-deletes"
	right
	stop_pipe
}
