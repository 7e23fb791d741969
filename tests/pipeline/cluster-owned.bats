# Whose an object is: others' objects, objects that change hands, and sources that are not the
# present; k8s-apply alone, with records written by hand, to a real API server.
# shellcheck disable=SC2154 # some variables come from records.bash
load records

start() { # SOURCE
	jq -nc --arg source "$1" '{type: "start", source: $source, snapshot: "1", scope: "all"}'
}

apply_of() { # SOURCE KEY OBJECT...
	jq -nc --arg source "$1" --arg key "$2" '{type: "apply", source: $source, key: $key, objects: [inputs]}' < <(printf '%s\n' "${@:3}")
}

state() { # SOURCE STATE
	jq -nc --arg source "$1" --arg state "$2" '{type: "status", program: "consul-watch", source: $source, state: $state}'
}

# whole KEY OBJECT...: a snapshot of dc1 with this one key.
whole() {
	begin
	apply_of dc1 "$@"
	synced 1
}

entry() { # NAME ADDRESS
	jq -nc --arg name "$1" --arg address "$2" '{apiVersion: "networking.istio.io/v1",
		kind: "WorkloadEntry", metadata: {name: $name, labels: {app: $name}}, spec: {address: $address}}'
}

# Somebody else's.
foreign() { # NAME ADDRESS
	entry "$1" "$2" | kube apply "$NS"
}

address_is() { # NAME ADDRESS
	[ "$(object WorkloadEntry "$1" .spec.address)" = "$2" ]
}

is_gone() { # NAME
	[ -z "$(object WorkloadEntry "$1" .)" ]
}

uid_of() { # NAME
	object WorkloadEntry "$1" .metadata.uid
}

key_is() { # NAME SOURCE/KEY
	[ "$(object WorkloadEntry "$1" '.metadata.annotations["meshpipe.io/key"]')" = "$2" ]
}

name=workloadentry.networking.istio.io

@test "scenario 17: a foreign object that is as ours would be is a conflict; --adopt takes it over as it is" {
	local before
	foreign a 10.0.0.1
	before=$(object WorkloadEntry a)
	apply < <(whole k "$(entry a 10.0.0.1)")
	assert_status 1
	assert_equal "$output" "$name/a conflict: it is there and was not made by this set (but by 'tests') (--adopt takes such objects over)"
	assert_equal "$(object WorkloadEntry a)" "$before"

	apply --adopt -o json < <(whole k "$(entry a 10.0.0.1)" "$(entry b 10.0.0.2)")
	assert_status 0
	assert_equal "$(jq -sc 'map([.name, .action, .adopted]) | sort' <<<"$output")" '[["a","configured",true],["b","created",null]]'
	assert_equal "$(uid_of a)" "$(jq -r .metadata.uid <<<"$before")"
	take_picture before
	apply --adopt < <(whole k "$(entry a 10.0.0.1)" "$(entry b 10.0.0.2)")
	assert_status 0
	nothing_written
	# It is the set's like any other now.
	apply < <(whole k "$(entry a 10.0.0.9)")
	address_is a 10.0.0.9
	is_gone b
}

@test "a field that somebody else has set keeps an object from being taken over, but for --force-conflicts" {
	foreign a 10.0.0.9
	take_picture before
	apply --adopt < <(whole k "$(entry a 10.0.0.1)")
	assert_status 1
	assert_match "$output" "^$name/a conflict: .*field \.spec\.address belongs to 'tests' .*--force-conflicts"
	take_picture after
	assert_equal "$(differences before after | grep -v ConfigMap)" ''
	apply --adopt --force-conflicts -o wide < <(whole k "$(entry a 10.0.0.1)")
	assert_status 0
	assert_equal "$output" "$name/a configured (adopted) (dc1/k)"
	address_is a 10.0.0.1
}

@test "what another set, an owner or a person has a say in is never adopted, and whose it is is said" {
	local before
	apply --set green < <(whole k "$(entry a 10.0.0.1)" "$(entry d 10.0.0.4)")
	label "$(entry_path d)" applyset.kubernetes.io/part-of
	foreign b 10.0.0.2
	person "$(entry_path b)" '{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "1"}]}}'
	foreign c 10.0.0.3
	annotate "$(entry_path c)" meshpipe.io/reconcile disabled
	before=$(objects | grep '"kind":"WorkloadEntry"')
	apply --adopt --force-conflicts < <(whole k "$(entry a 10.1.0.1)" "$(entry b 10.1.0.2)" "$(entry c 10.1.0.3)" "$(entry d 10.1.0.4)")
	assert_status 1
	assert_match "$output" "$name/a conflict: it belongs to another set, 'green' \(applyset-"
	assert_match "$output" "$name/b conflict: it belongs to ConfigMap 'mine' \(ownerReferences\)"
	assert_match "$output" "$name/c conflict: .*meshpipe.io/reconcile"
	assert_match "$output" "$name/d conflict: it belongs to another set, 'green' \(by its mark"
	assert_equal "$(objects | grep '"kind":"WorkloadEntry"')" "$before"
}

@test "scenario 19: an object that was deleted and made again by somebody else is his" {
	local pid before
	go_on
	whole k "$(entry a 10.0.0.1)" >&"$in"
	wait_for 20 said msg=synced
	pid=$(<"$T/k8s-apply.pid")
	kill -STOP "$pid"
	kube api DELETE "$(entry_path a)" >/dev/null
	foreign a 10.0.0.9
	before=$(object WorkloadEntry a)
	kill -CONT "$pid"
	wait_for 20 result "^$name/a conflict: it is there and was not made by this set \(but by 'tests'\)"
	apply_of dc1 k "$(entry a 10.0.0.2)" >&"$in"
	apply_of dc1 k "$(entry b 10.0.0.2)" >&"$in"
	wait_for 20 address_is b 10.0.0.2
	assert_equal "$(object WorkloadEntry a)" "$before"
	end_input 0
}

@test "scenario 23: what has got an owner of its own, or is protected, is not deleted but reported" {
	go_on
	whole k "$(entry a 10.0.0.1)" "$(entry b 10.0.0.2)" "$(entry c 10.0.0.3)" >&"$in"
	wait_for 20 said msg=synced
	person "$(entry_path a)" '{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "1"}]}}'
	annotate "$(entry_path b)" meshpipe.io/reconcile disabled
	apply_of dc1 k "$(entry c 10.0.0.4)" >&"$in"
	wait_for 20 result "^$name/a conflict: it has an owner of its own"
	wait_for 20 result "^$name/b skipped: .*meshpipe.io/reconcile"
	wait_for 20 address_is c 10.0.0.4
	address_is a 10.0.0.1
	address_is b 10.0.0.2
	# No longer: they go.
	person "$(entry_path a)" '{"metadata": {"ownerReferences": null}}'
	annotate "$(entry_path b)" meshpipe.io/reconcile
	wait_for 20 is_gone a
	wait_for 20 is_gone b
	end_input 0
}

@test "scenario 24: an object that changes between the decision to delete it and the deletion is looked at again" {
	local path
	use_proxy
	go_on
	whole k "$(entry a 10.0.0.1)" "$(entry b 10.0.0.2)" "$(entry c 10.0.0.3)" >&"$in"
	wait_for 20 said msg=synced
	for path in a b; do
		rule "^DELETE .*/$path(\\?|$)" '{"hold": true, "times": 1}'
	done
	apply_of dc1 k "$(entry c 10.0.0.4)" >&"$in"
	wait_for 20 address_is c 10.0.0.4
	wait_for 20 held_are 2
	label "$(entry_path a)" team blue
	annotate "$(entry_path b)" meshpipe.io/reconcile disabled
	heal
	wait_for 20 is_gone a
	wait_for 20 result "^$name/b skipped: "
	# That of what was seen before is refused, for both.
	[ "$(proxied '^DELETE .*/[ab](\?[^ ]*)? 409')" -eq 2 ] || fail "$(<"$T/proxy/requests")"
	[ "$(proxied '^DELETE .*/b(\?[^ ]*)? 2')" -eq 0 ] || fail "$(<"$T/proxy/requests")"
	address_is b 10.0.0.2
	end_input 0
}

# So many requests are held.
held_are() {
	[ "$(proxy GET /stats | jq .held)" -eq "$1" ]
}

@test "scenario 33: of two keys that want one object the one that has it keeps it, however often they say so" {
	local uid
	go_on
	{
		begin
		apply_of dc1 b "$(entry x 10.0.0.2)"
	} >&"$in"
	wait_for 20 address_is x 10.0.0.2
	uid=$(uid_of x)
	apply_of dc1 a "$(entry x 10.0.0.1)" >&"$in"
	wait_for 20 result "^$name/x conflict: 'dc1/b' has it"
	take_picture before
	for _ in 1 2 3; do
		apply_of dc1 a "$(entry x 10.0.0.1)" >&"$in"
		apply_of dc1 b "$(entry x 10.0.0.2)" >&"$in"
	done
	apply_of dc1 c "$(entry y 10.0.0.3)" >&"$in"
	wait_for 20 address_is y 10.0.0.3
	take_picture after
	assert_equal "$(differences before after)" 'created c WorkloadEntry 10.0.0.3'
	assert_equal "$(grep -c '/x conflict' "$T/k8s-apply.out")" 1
	apply_of dc1 b "$(entry z 10.0.0.4)" >&"$in"
	wait_for 20 address_is x 10.0.0.1
	assert_equal "$(uid_of x)" "$uid"
	end_input 0

	# With none that has it, the lesser one in byte order gets it, whichever speaks first.
	{
		begin
		apply_of dc1 q "$(entry w 10.0.0.2)"
		apply_of dc1 p "$(entry w 10.0.0.1)"
	} >"$T/records"
	apply <"$T/records"
	assert_status 1
	assert_match "$output" "$name/w conflict: 'dc1/p' has it"
	address_is w 10.0.0.1
}

@test "scenario 34: an object that moves between keys, in any order, is never deleted" {
	local uid
	go_on --prune-delay 8s
	{
		begin
		apply_of dc1 a "$(entry x 10.0.0.1)" "$(entry rest 10.0.0.2)"
		apply_of dc1 c "$(entry y 10.0.0.3)"
		synced 2
	} >&"$in"
	wait_for 20 said msg=synced
	uid=$(uid_of x)
	take_picture before
	# Who loses it speaks first.
	{
		apply_of dc1 a "$(entry rest 10.0.0.2)"
		apply_of dc1 b "$(entry x 10.0.0.1)"
	} >"$T/records"
	cat "$T/records" >&"$in"
	wait_for 20 key_is x dc1/b
	# Who gets it speaks first.
	apply_of dc1 a "$(entry rest 10.0.0.2)" "$(entry x 10.0.0.1)" >&"$in"
	wait_for 20 result "^$name/x conflict: 'dc1/b' has it"
	apply_of dc1 b "$(entry other 10.0.0.5)" >&"$in"
	wait_for 20 key_is x dc1/a
	# From one that loses everything, and to one that is only said later.
	apply_of dc1 a >&"$in"
	apply_of dc1 c "$(entry y 10.0.0.4)" >&"$in"
	wait_for 20 address_is y 10.0.0.4
	apply_of dc1 d "$(entry x 10.0.0.1)" >&"$in"
	wait_for 20 key_is x dc1/d
	assert_equal "$(uid_of x)" "$uid"
	# What nobody wants goes.
	wait_for 30 is_gone rest
	take_picture after
	assert_equal "$(writes before after | grep DELETE)" 'DELETE workloadentries 1'
	end_input 0
}

@test "a source that is not connected writes nothing, the others go on; with none the lease is for another" {
	local holder="/apis/coordination.k8s.io/v1/namespaces/$NS/leases/meshpipe"
	go_on
	{
		state dc1 connected
		state dc2 connected
		start dc1
		start dc2
		apply_of dc1 k "$(entry a 10.0.0.1)" "$(entry b 10.0.0.2)"
		apply_of dc2 k "$(entry c 10.0.0.3)"
	} >&"$in"
	wait_for 20 address_is c 10.0.0.3
	wait_for 20 address_is b 10.0.0.2
	{
		state dc1 disconnected
		state dc1 disconnected
		apply_of dc1 k "$(entry a 10.0.0.9)"
		apply_of dc2 k "$(entry c 10.0.0.4)"
	} >&"$in"
	wait_for 20 address_is c 10.0.0.4
	address_is a 10.0.0.1
	address_is b 10.0.0.2
	lines_are "$T/k8s-apply.err" 'source is not connected.*source=dc1' 1

	state dc2 unauthorized >&"$in"
	apply < <(state dc1 connected && begin && apply_of dc1 k "$(entry a 10.0.0.7)")
	assert_status 0
	address_is a 10.0.0.7
	is_gone b
	# It is the only one again, and stands when it is connected.
	assert_equal "$(kube api GET "$holder" | jq -r .spec.holderIdentity)" ''
	state dc1 connected >&"$in"
	wait_for 20 address_is a 10.0.0.9
	end_input 0
}

approval_is() { # TEXT
	[ "$(object ConfigMap meshpipe '.metadata.annotations["meshpipe.io/approve-deletes"]')" = "$1" ]
}

# one_of_two NAME: what is written to descriptor ${in_of[NAME]} is its input.
one_of_two() { # NAME
	mkfifo "$T/$1.in"
	# shellcheck disable=SC2016 # the words are arguments
	spawn "$1" bash -c 'exec k8s-apply "$@" <"$0"' "$T/$1.in" -n "$NS"
	exec {in}>"$T/$1.in"
	in_of[$1]=$in
}

@test "an approval is for the process that writes the set: one that waits leaves it alone" {
	local -A in_of
	local name
	one_of_two first
	snapshot 30 >&"${in_of[first]}"
	wait_for 20 has_line "$T/first.err" 'msg=synced'
	one_of_two second
	snapshot 30 >&"${in_of[second]}"
	wait_for 20 has_line "$T/second.err" 'another process writes this set'
	for name in first second; do
		snapshot 2 >&"${in_of[$name]}"
		wait_for 10 has_line "$T/$name.err" 'deletions held.* keys=28 '
	done
	kill -STOP "$(<"$T/first.pid")"
	annotate "$(configmap)" meshpipe.io/approve-deletes 28
	sleep 2
	kill -CONT "$(<"$T/first.pid")"
	wait_for 10 count_is 2
	has_line "$T/first.err" 'held deletions released'
	lines_are "$T/second.err" 'held deletions released' 0
	approval_is null
}

@test "an approval from before the hold is for something else, also for who may not write yet" {
	apply < <(snapshot 30)
	assert_status 0
	annotate "$(configmap)" meshpipe.io/approve-deletes 28
	go_on
	snapshot 2 >&"$in"
	wait_for 10 said 'deletions held.* keys=28 '
	# Once it leads.
	wait_for 20 approval_is null
	sleep 1
	count_is 30
	annotate "$(configmap)" meshpipe.io/approve-deletes 28
	wait_for 10 count_is 2
	end_input 0
}
