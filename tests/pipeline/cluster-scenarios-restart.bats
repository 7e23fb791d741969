# The API server and its storage go, and come back, also as they were before.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load records

is_back() {
	grep -E 'the API server (is back|cannot)' "$T/k8s-apply.err" | tail -n 1 | grep -q 'is back'
}

at_least() { # N
	[ "$(entries | grep -c .)" -ge "$1" ]
}

# Those of the picture are as they were: the same, and not written since.
are_untouched() { # PICTURE
	entries | comm -23 "$1" - >"$T/lost"
	[ ! -s "$T/lost" ] || fail "of $1 these are not what they were:" "$(head "$T/lost")"
}

@test "scenario 7: the API server is killed, then told to end, in the middle of many writes: each is done once" {
	local total=1500
	go_on
	snapshot "$total" >&"$in" 3>&- &
	wait_for 60 at_least 300
	entries >"$T/first"
	server kill apiserver
	server start
	wait_for 60 at_least $(($(wc -l <"$T/first") + 300))
	are_untouched "$T/first"
	entries >"$T/second"
	server stop apiserver
	server start
	wait_for 120 count_is "$total"
	wait_for 60 said 'msg=synced'
	are_untouched "$T/first"
	are_untouched "$T/second"
	assert_equal "$(entries | awk '$3 != 1')" ''
	assert_equal "$(grep -c ' failed' "$T/k8s-apply.out")" 0
	assert_equal "$(sort "$T/k8s-apply.out" | uniq -d)" ''

	# What it knows of them is right: told again they are not written, changed they are.
	entries >"$T/first"
	snapshot 10 | head -n -1 >&"$in"
	many 11 11 81 >&"$in"
	wait_for 30 port_is s-11 81
	entries | comm -13 "$T/first" - >"$T/changed"
	assert_equal "$(cut -d' ' -f1 "$T/changed")" s-11
	end_input 0
}

@test "scenario 15: the storage is put back to an older state: what was written since is written again" {
	go_on
	snapshot 12 >&"$in"
	wait_for 30 ports_are 12 80
	server stop
	cp -a "$KUBE_DIR/data" "$T/data"
	server start
	wait_for 60 is_back
	# Since the copy: changed, made, deleted.
	many 1 5 81 >&"$in"
	many 13 14 81 >&"$in"
	echo '{"type": "apply", "source": "dc1", "key": "s-12", "objects": []}' >&"$in"
	wait_for 30 count_is 13
	wait_for 30 port_is s-5 81
	wait_for 30 port_is s-14 81
	identities >"$T/before"

	server stop
	rm -r "$KUBE_DIR/data"
	cp -a "$T/data" "$KUBE_DIR/data"
	server start
	wait_for 60 port_is s-5 81
	wait_for 60 port_is s-14 81
	wait_for 60 count_is 13
	assert_equal "$(entries | awk '{ print $1, $5 }' | sort -V | xargs)" \
		's-1 81 s-2 81 s-3 81 s-4 81 s-5 81 s-6 80 s-7 80 s-8 80 s-9 80 s-10 80 s-11 80 s-13 81 s-14 81'
	# Nobody was deleted that had been there all the time.
	assert_equal "$(identities | grep -vE '^s-1[34] ')" "$(grep -vE '^s-1[34] ' "$T/before")"
	# Its watch sees what happens now.
	person "$(entry_path s-6)" '{"spec": {"ports": {"http": 9999}}}'
	wait_for 30 port_is s-6 80
	assert_equal "$(grep -c ' failed' "$T/k8s-apply.out")" 0
	end_input 0
}
