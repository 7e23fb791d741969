# The pipe goes on, the catalogue changes: each change is written to the cluster by the requests
# that it needs, and by no other.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

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

weigh() { # PASSING WARNING: the instance of course-service on vm-5
	consul_api PUT /v1/catalog/register "$(jq -n --argjson p "$1" --argjson w "$2" '{
		Node: "vm-5", Address: "10.10.0.15", Service: {ID: "course-service-vm-5",
		Service: "course-service", Port: 8080, Weights: {Passing: $p, Warning: $w}}}')" >/dev/null
}

has_object() { # KIND NAME-OR-ADDRESS
	[ -n "$(object "$1" "$2" .kind)" ]
}

has_no_object() {
	! has_object "$@"
}

# No instance of the service is in the cluster.
has_no_endpoint() { # SERVICE
	! objects | jq -e --arg key "dc1/$1" \
		'select(.kind == "WorkloadEntry" and .metadata.annotations["meshpipe.io/key"] == $key)'
}

@test "an instance comes, changes, fails, recovers and leaves: one request for its own WorkloadEntry" {
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
	end_pipe
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
	end_pipe
	consul_api PUT /v1/agent/service/deregister/course-service >/dev/null
}

@test "a warning has Consul's weight for it" {
	register_instance vm-5 10.10.0.15 course-service 8080 status=passing
	start_pipe
	right
	changes 'changed course-service WorkloadEntry 10.10.0.15' -- weigh 10 2
	changes 'changed course-service WorkloadEntry 10.10.0.15' -- set_check vm-5 course-service warning
	changes 'deleted course-service WorkloadEntry 10.10.0.15' -- weigh 10 0
	end_pipe
}

@test "what the mapping does not use writes nothing" {
	register_students
	start_pipe -o wide
	right
	roll
	register_instance vm-1 10.10.0.11 student-service 9098 tag=version=v1 meta.owner=team-a status=passing
	wait_for 20 has_result 'student-service.service.consul unchanged'
	refute_match "$(tail -n "+$results_from" "$T/meshpipe.out")" 'created|configured|deleted'
	stop_pipe
	untouched
}

@test "a new lowest port is a new service port, for all instances" {
	register_students
	start_pipe
	right
	changes 'changed student-service ServiceEntry' 'changed student-service WorkloadEntry 10.10.0.11' \
		'changed student-service WorkloadEntry 10.10.0.12' 'changed student-service WorkloadEntry 10.10.0.13' -- \
		register_instance vm-2 10.10.0.12 student-service 9000 tag=version=v1 status=passing
	end_pipe
}

@test "services come and go: endpoints at once, the name after --gone-after" {
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe --gone-after 4s
	right
	changes 'created grade-service ServiceEntry' 'created grade-service WorkloadEntry 10.10.0.15' -- \
		register_instance vm-5 10.10.0.15 grade-service 7070 status=passing

	deregister_service student-service
	wait_for 20 has_no_endpoint student-service
	followed 'deleted student-service WorkloadEntry 10.10.0.11' \
		'deleted student-service WorkloadEntry 10.10.0.12' 'deleted student-service WorkloadEntry 10.10.0.13'
	wait_for 20 has_no_object ServiceEntry student-service.service.consul
	right
	followed 'deleted student-service ServiceEntry'

	# Back before its time: nothing but the endpoints has ever gone.
	deregister_service course-service
	wait_for 20 has_no_endpoint course-service
	followed 'deleted course-service WorkloadEntry 10.10.0.14'
	changes 'created course-service WorkloadEntry 10.10.0.14' -- \
		register_instance vm-4 10.10.0.14 course-service 8080 tag=version=v2 status=passing
	end_pipe
}

@test "an instance registered anew under another service's name moves there" {
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe --wait 2s
	right
	changes 'created course-service WorkloadEntry 10.10.0.13' 'deleted student-service WorkloadEntry 10.10.0.13' -- \
		register_instance vm-3 10.10.0.13 course-service 8080 id=student-service-vm-3 status=passing
	end_pipe
}

@test "a mapping that fails for one service, its mending, and one that is changed" {
	cat >"$T/mine.jq" <<-'END'
		if any(.instances[].tags[]; . == "bad") then error("a bad tag") else empty end
	END
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	start_pipe -f workload-entries.jq -f "$T/mine.jq"
	right
	roll

	register_instance vm-5 10.10.0.15 course-service 8080 tag=bad status=passing
	wait_for 20 warned course-service
	register_instance vm-6 10.10.0.16 student-service 9098 status=passing
	wait_for 20 has_object WorkloadEntry 10.10.0.16
	followed 'created student-service WorkloadEntry 10.10.0.16'

	echo empty >"$T/mine.jq"
	changes 'created course-service WorkloadEntry 10.10.0.15' -- kill -HUP "$(<"$T/meshpipe.pid")"

	# A second kind: the ConfigMap names it before the first of them is made.
	cat >"$T/mine.jq" <<-'END'
		{apiVersion: "networking.istio.io/v1", kind: "DestinationRule",
		 metadata: {name: .service}, spec: {host: (.service + ".service.consul")}}
	END
	kill -HUP "$(<"$T/meshpipe.pid")"
	wait_for 20 has_object DestinationRule course-service
	wait_for 20 has_object DestinationRule student-service
	followed 'changed meshpipe ConfigMap' 'created course-service DestinationRule' 'created student-service DestinationRule'
	echo empty >"$T/mine.jq"
	kill -HUP "$(<"$T/meshpipe.pid")"
	wait_for 20 has_no_object DestinationRule course-service
	wait_for 20 has_no_object DestinationRule student-service
	followed 'deleted course-service DestinationRule' 'deleted student-service DestinationRule'
	end_pipe
}

@test "k8s-apply starts again, another program does, the whole pipe does: nothing is written" {
	register_students
	bulk 20 5
	start_pipe
	right
	roll
	for program in k8s-apply mesh-map consul-watch; do
		synced=$(count_synced)
		kill -KILL "$(pid_of "$program")"
		wait_for 20 synced_again "$synced"
		followed
	done
	changes 'changed student-service WorkloadEntry 10.10.0.12' -- \
		register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v3 status=passing
	end_pipe
	start_pipe
	followed
	changes 'changed student-service WorkloadEntry 10.10.0.12' -- \
		register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v4 status=passing
	end_pipe
}

@test "k8s-apply stands still for a while: the latest state arrives, by one write an object" {
	register_students
	bulk 20 5
	start_pipe
	right
	roll
	stopped=$(pid_of k8s-apply)
	kill -STOP "$stopped"
	for version in 1 2 3 4; do
		bulk 20 5 "version=v$version"
	done
	kill -CONT "$stopped"
	right
	take_picture after
	assert_equal "$(differences before after | sort | uniq -c | awk '{ print $2, $4 }' | sort | uniq -c | xargs)" '100 changed WorkloadEntry'
	assert_match "$(writes before after)" '^APPLY workloadentries [1-4]?[0-9][0-9]$'
	stop_pipe
}

@test "six hundred new objects at once: one request for each" {
	register_students
	start_pipe
	right
	roll
	bulk 100 5
	right
	take_picture after
	assert_equal "$(writes before after)" $'APPLY serviceentries 100\nAPPLY workloadentries 500'
	assert_equal "$(tail -n "+$results_from" "$T/meshpipe.out" | awk '{ print $2 }' | sort | uniq -c | xargs)" '600 created'
	stop_pipe
}
