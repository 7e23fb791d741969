# Runs that end by themselves and write to a cluster: what they make, what they leave alone.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

@test "the example: one ServiceEntry, three WorkloadEntries; again, and nothing at all is written" {
	register_students
	take_picture before
	run --separate-stderr meshpipe once -n "$NS" --dry-run=client
	assert_status 0
	assert_equal "$(grep -c ' created (dry run)$' <<<"$output")" 4
	nothing_written

	# shellcheck disable=SC2016 # the words are arguments
	run --separate-stderr timeout -k 5 60 bash -c 'consul-watch --once | mesh-map | k8s-apply -n "$0"
		echo "${PIPESTATUS[*]}"' "$NS"
	assert_match "$output" '^0 0 0$'
	refute_match "$stderr" 'level=(warn|error)'
	assert_equal "$(object ServiceEntry student-service.service.consul '[.spec.hosts, [.spec.ports[].number]]')" \
		'[["student-service.service.consul"],[80,9098]]'
	assert_equal "$(objects | jq -c 'select(.kind == "WorkloadEntry") | [.spec.address, .spec.labels.version]' | sort)" \
		$'["10.10.0.11","v1"]\n["10.10.0.12","v1"]\n["10.10.0.13","v2"]'
	right
	take_picture after
	assert_equal "$(results_for before after)" "$(sed '$d' <<<"$output" | sort)"
	assert_equal "$(writes before after | grep -v configmaps)" $'APPLY serviceentries 1\nAPPLY workloadentries 3'

	take_picture before
	for again in 'pipe_once' 'run --separate-stderr meshpipe once -n '"$NS" 'pipe_once --dry-run=client'; do
		$again
		assert_status 0
		assert_equal "$output" ''
		refute_match "$stderr" 'level=(warn|error)'
		nothing_written
	done
}

@test "every object says whose it is, and the set has its ConfigMap" {
	local set
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	pipe_once
	assert_status 0
	set=$(set_id)
	assert_equal "$(objects | jq -r 'select(.kind != "ConfigMap") | .metadata | .annotations["meshpipe.io/key"],
		(.labels | tostring)' | sort | uniq -c | sed 's/^ *//')" "$(printf '%s\n' '2 dc1/course-service' \
		'4 dc1/student-service' "6 {\"applyset.kubernetes.io/part-of\":\"$set\"}")"
	# The mark: hashes, the generation of the object, identity; another one for each object.
	assert_equal "$(objects | jq -r 'select(.kind != "ConfigMap") | . as $o | .metadata.annotations["meshpipe.io/applied"]
		| select(test("^1\\.[0-9a-f]{16}\\.[0-9a-f]{16}\\.\($o.metadata.generation)\\.[0-9a-f]{8}$"))' | sort -u | wc -l)" 6
	assert_equal "$(kube api GET "$istio/namespaces/$NS/workloadentries" |
		jq -c '[.items[].metadata.managedFields[] | [.manager, .operation]] | unique')" '[["meshpipe-meshpipe","Apply"]]'
	assert_equal "$(object ConfigMap meshpipe '.metadata | [.labels, .annotations]' | jq -S .)" "$(jq -nS --arg set "$set" '
		[{"applyset.kubernetes.io/id": $set}, {
			"applyset.kubernetes.io/tooling": "meshpipe/v1",
			"applyset.kubernetes.io/contains-group-kinds": "ServiceEntry.networking.istio.io,WorkloadEntry.networking.istio.io",
			"applyset.kubernetes.io/additional-namespaces": ""}]')"
	assert_equal "$(object ConfigMap meshpipe '.data.sources | fromjson | keys[]')" dc1
}

@test "while nobody looked the catalogue has changed: the next run writes the difference" {
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	pipe_once
	assert_status 0
	take_picture before
	deregister_service course-service
	set_check vm-2 student-service critical
	register_instance vm-3 10.10.0.13 student-service 9098 tag=version=v3 status=passing
	pipe_once
	assert_status 0
	right
	take_picture after
	assert_equal "$(differences before after)" "$(printf '%s\n' 'changed student-service WorkloadEntry 10.10.0.13' \
		'deleted course-service ServiceEntry' 'deleted course-service WorkloadEntry 10.10.0.14' \
		'deleted student-service WorkloadEntry 10.10.0.12')"
	assert_equal "$(writes before after)" $'APPLY workloadentries 1\nDELETE serviceentries 1\nDELETE workloadentries 2'
	assert_equal "$(sort <<<"$output")" "$(results_for before after)"
}

@test "while nobody looked somebody changed what is ours: the next run puts it right" {
	register_students
	pipe_once
	assert_status 0
	kube api DELETE "$(path_of 10.10.0.11)" >/dev/null
	person "$(path_of 10.10.0.12)" '{"spec": {"labels": {"version": "mine"}}}'
	annotate "$(path_of student-service)" mine yes
	take_picture before
	pipe_once
	assert_status 0
	right
	take_picture after
	assert_equal "$(differences before after)" "$(printf '%s\n' 'changed student-service WorkloadEntry 10.10.0.12' \
		'created student-service WorkloadEntry 10.10.0.11')"
	assert_equal "$(writes before after)" 'APPLY workloadentries 2'
	assert_equal "$(object ServiceEntry student-service.service.consul .metadata.annotations.mine)" yes
}

@test "a foreign object of the same name is left alone and reported, all else goes on" {
	register_students
	kube apply "$NS" <<-END
		apiVersion: networking.istio.io/v1
		kind: ServiceEntry
		metadata: {name: student-service.service.consul}
		spec: {hosts: [mine.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
	END
	# One request to see that it is there, each time.
	for written in $'APPLY serviceentries 1\nAPPLY workloadentries 3' 'APPLY serviceentries 1'; do
		take_picture before
		pipe_once
		assert_status 1
		assert_match "$output" '^serviceentry.networking.istio.io/student-service.service.consul conflict: '
		assert_one_line "$(grep level=warn <<<"$stderr")"
		assert_match "$stderr" "level=warn .*msg=conflict .*student-service.*by 'tests'"
		take_picture after
		assert_equal "$(writes before after | grep -v configmaps)" "$written"
		refute_match "$(differences before after)" ServiceEntry
	done
	assert_equal "$(objects | jq -r 'select(.kind == "WorkloadEntry") | .spec.address' | sort | xargs)" '10.10.0.11 10.10.0.12 10.10.0.13'
}

@test "many services vanish at once: held and said, all else goes on, a person releases them" {
	local approval
	bulk 25 1
	for n in {1..5}; do
		register_instance vm-kept 10.20.0.2 "kept-$n" 8080
	done
	pipe_once
	assert_status 0
	right

	deregister_node vm-many
	register_instance vm-new 10.20.0.3 new-service 8080
	register_instance vm-kept 10.20.0.2 kept-1 8080 tag=version=v2
	take_picture before
	for approval in '' --approve-deletes=24; do
		# shellcheck disable=SC2086 # none or one word
		pipe_once $approval
		assert_status 3
		assert_match "$stderr" '^k8s-apply: level=warn .*deletions held.* keys=25 .*--approve-deletes 25'
		assert_equal "$(grep -c ' held' <<<"$output")" 50
	done
	take_picture after
	assert_equal "$(differences before after)" "$(printf '%s\n' 'changed kept-1 WorkloadEntry 10.20.0.2' \
		'created new-service ServiceEntry' 'created new-service WorkloadEntry 10.20.0.3')"

	pipe_once --approve-deletes=25
	assert_status 0
	right
}

@test "two catalogues in one pipe and one set: each prunes its own" {
	local one=$CONSUL_HTTP_ADDR two
	two=$("$REPO/tests/peers/consul" start "$T/consul-2" --version "$consul_version" --owner "$$" \
		-- -datacenter dc2 3>&-)
	both() {
		# shellcheck disable=SC2016 # the words are arguments
		run --separate-stderr timeout -k 5 60 bash -o pipefail -c '{ consul-watch --once --http-addr "$1" &&
			consul-watch --once --http-addr "$2"; } | mesh-map --config "$3" | k8s-apply -n "$0"' \
			"$NS" "$one" "$two" "$T/config.yaml"
	}
	echo 'mainSource: dc1' >"$T/config.yaml"
	register_students
	register_instance vm-4 10.10.0.14 course-service 8080 status=passing
	CONSUL_HTTP_ADDR=$two register_instance vm-1 10.30.0.1 student-service 9098 status=passing
	CONSUL_HTTP_ADDR=$two register_instance vm-2 10.30.0.2 grade-service 7070 status=passing
	both
	assert_status 0
	assert_equal "$(objects | jq -c 'select(.kind == "ServiceEntry") | [.metadata.annotations["meshpipe.io/key"], .spec.hosts[0]]' | sort)" \
		"$(printf '["%s","%s"]\n' dc1/course-service course-service.service.consul dc1/student-service student-service.service.consul \
			dc2/grade-service grade-service.service.dc2.consul dc2/student-service student-service.service.dc2.consul)"

	take_picture before
	CONSUL_HTTP_ADDR=$two deregister_service student-service
	both
	assert_status 0
	take_picture after
	assert_equal "$(differences before after)" $'deleted student-service ServiceEntry\ndeleted student-service WorkloadEntry 10.30.0.1'

	# One of them alone has nothing to say about the other.
	take_picture before
	deregister_service student-service
	run --separate-stderr meshpipe once -n "$NS" --config "$T/config.yaml"
	assert_status 0
	take_picture after
	assert_equal "$(differences before after)" "$(printf 'deleted student-service %s\n' ServiceEntry \
		'WorkloadEntry 10.10.0.11' 'WorkloadEntry 10.10.0.12' 'WorkloadEntry 10.10.0.13')"
}

@test "objects of two namespaces, and a kind of one's own" {
	make_namespace "$NS-other"
	cat >"$T/mine.jq" <<-END
		{apiVersion: "networking.istio.io/v1", kind: "DestinationRule",
		 metadata: {name: .service, namespace: "$NS-other"},
		 spec: {host: (.service + ".service.consul"), trafficPolicy: {loadBalancer: {simple: "LEAST_REQUEST"}}}}
	END
	register_students
	mine() { run --separate-stderr meshpipe once -n "$NS" -f workload-entries.jq -f "$T/mine.jq"; }
	mine
	assert_status 0
	right
	assert_equal "$(objects_of "$NS-other" | jq -r '[.kind, .metadata.name, .spec.host, .metadata.labels[]] | join(" ")')" \
		"DestinationRule student-service student-service.service.consul $(set_id)"
	assert_equal "$(object ConfigMap meshpipe '.metadata.annotations | .["applyset.kubernetes.io/contains-group-kinds"],
		.["applyset.kubernetes.io/additional-namespaces"]')" \
		"$(printf '%s\n' DestinationRule.networking.istio.io,ServiceEntry.networking.istio.io,WorkloadEntry.networking.istio.io "$NS-other")"
	take_picture before
	mine
	assert_status 0
	assert_equal "$output" ''
	nothing_written

	# The ConfigMap is what remembers where else there is something to delete.
	pipe_once
	assert_status 0
	assert_equal "$output" 'destinationrule.networking.istio.io/student-service deleted'
	assert_equal "$(objects_of "$NS-other")" ''
	right
}
