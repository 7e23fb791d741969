# Input that does not say all, and a cluster that is not fully known: nothing is deleted on that.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load records

# Since `before` nothing was deleted, and what was there is the same.
nothing_deleted() {
	take_picture after
	refute_match "$(writes before after)" '^DELETE'
	refute_match "$(differences before after)" '^deleted'
}

@test "scenario 1: the input ends before synced: what it said is applied, nothing is deleted" {
	apply < <(snapshot 30)
	assert_status 0
	count_is 30
	take_picture before
	apply < <(begin && many 1 3 81)
	assert_status 0
	assert_equal "$(sort <<<"$output")" "$(printf 'workloadentry.networking.istio.io/s-%s configured\n' 1 2 3)"
	nothing_deleted
	count_is 30
	apply --once < <(begin && many 4 4 81)
	assert_status 69
	assert_match "$stderr" 'level=error .*synced'
	nothing_deleted
	assert_equal "$(differences before after | sort -u)" "$(printf 'changed s-%s WorkloadEntry 10.0.0.%s\n' 1 1 2 2 3 3 4 4)"
}

@test "scenario 2: a line that cannot be read costs nobody anything, and nothing is pruned on that snapshot" {
	apply < <(snapshot 30)
	take_picture before
	# s-2 is damaged, s-5 to s-30 are not named: without the damage s-5 and on would be held or go.
	apply --approve-deletes 30 < <(begin && many 1 1 81 && many 2 2 81 | cut -c 1-90 && many 3 4 81 && synced 4)
	assert_status 1
	assert_match "$stderr" 'level=(warn|error) .*line'
	assert_equal "$(sort <<<"$output")" "$(printf 'workloadentry.networking.istio.io/s-%s configured\n' 1 3 4)"
	nothing_deleted
	count_is 30
	port_is s-2 80

	# A line that can be read, and an object in it that cannot be: its key keeps what it has.
	apply < <(begin && many 1 1 82 && many 2 2 82 | jq -c '.objects[0] |= del(.kind)' && many 3 30 && synced 30)
	assert_status 1
	nothing_deleted
	port_is s-1 82
	port_is s-2 80
}

@test "scenario 3: a snapshot of nothing with objects there: all held, status 3, and how to release them" {
	apply < <(snapshot 200)
	take_picture before
	apply < <(begin && synced 0)
	assert_status 3
	assert_equal "$(grep -c ' held$' <<<"$output")" 200
	assert_match "$stderr" 'deletions held.* keys=200 objects=200 .*--approve-deletes 200'
	nothing_deleted
	count_is 200
}

@test "scenario 4: 15 % of the keys are missing: what is new is applied, all their deletions are held" {
	apply < <(snapshot 200)
	take_picture before
	apply < <(begin && many 31 203 && synced 173)
	assert_status 3
	assert_equal "$(grep -c ' held$' <<<"$output")" 30
	assert_equal "$(grep ' created$' <<<"$output" | sort)" \
		"$(printf 'workloadentry.networking.istio.io/s-%s created\n' 201 202 203)"
	nothing_deleted
	count_is 203
	# Within the limit they go.
	apply < <(begin && many 6 203 && synced 198)
	assert_status 0
	count_is 198
}

@test "scenario 5: synced comes before the list of what is there is complete: it waits, and prunes once" {
	apply < <(snapshot 30)
	identities >"$T/before"
	use_proxy
	rule 'GET .*/workloadentries\?' '{"hold": true, "name": "held"}'
	go_on
	{ begin && many 1 10 && many 11 28 81 && synced 28; } >&"$in"
	wait_for 20 test "$(proxy GET /stats | jq .connections)" -ge 1
	stays 2 assert_equal "$(proxied '^(PATCH|DELETE|POST|PUT) .*/workloadentries')" 0
	count_is 30
	heal
	wait_for 30 count_is 28
	wait_for 30 result '/s-28 configured$'
	assert_equal "$(proxied '^DELETE .*/workloadentries/s-(29|30) 200')" 2
	assert_equal "$(proxied '^DELETE')" 2
	assert_equal "$(proxied '^PATCH .*/workloadentries')" 18
	assert_equal "$(identities)" "$(grep -vE '^s-(29|30) ' "$T/before")"
	end_input 0
}
