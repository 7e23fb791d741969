# Connections that fall silent: nobody hangs up, and nothing comes.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load records

@test "scenario 14: the connections lose every packet: noticed within a minute, and all goes on by new ones" {
	use_proxy tcp-
	go_on
	snapshot 12 >&"$in"
	wait_for 30 ports_are 12 80
	wait_for 30 said 'msg=synced'
	identities >"$T/before"
	[ "$(proxy GET /stats | jq .tcp)" -ge 2 ]
	tcp lose
	SECONDS=0
	# A write that is sent into the void, and a change that the watch does not show.
	many 1 1 81 >&"$in"
	person "$(entry_path s-6)" '{"spec": {"ports": {"http": 9999}}}'
	wait_for 90 port_is s-6 80
	wait_for 90 port_is s-1 81
	# 15 s of silence and 20 s without an acknowledgement, on a machine that may be busy.
	[ "$SECONDS" -le 60 ] || fail "it took $SECONDS s"
	assert_equal "$(entries | awk '/^s-[16] / { print $1, $3 }' | xargs)" 's-1 2 s-6 3'
	assert_equal "$(identities)" "$(<"$T/before")"
	assert_equal "$(grep -c ' failed' "$T/k8s-apply.out")" 0
	end_input 0
}
