# Lists and watches that are cut, damaged, expired or odd: what is missing in them is not gone.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load records

resources='GET .*/workloadentries\?'

# Who starts with this fault before it finds all as it should be, and writes nothing.
starts_well() { # NAME-OF-FAULT
	go_on
	snapshot 30 >&"$in"
	wait_for 60 said 'msg=synced'
	[ "$(proxied " $1 ")" -ge 1 ] || fail "no fault:" "$(<"$T/proxy/requests")"
	end_input 0
	rm "$T/in"
	assert_equal "$(entries)" "$(<"$T/before")"
	assert_equal "$(proxied '^(PATCH|DELETE) .*/workloadentries')" 0
	assert_equal "$(<"$T/k8s-apply.out")" ''
	heal
	: >"$T/proxy/requests"
}

expired="$(fault none 410 Expired 'The provided continue parameter is too old to display a consistent list result')"

@test "scenario 6: a list that is cut, truncated or expires in the middle is read again: nothing is missing" {
	apply < <(snapshot 30)
	entries >"$T/before"
	use_proxy
	for how in '{"cut": 3000, "times": 2}' '{"cut": 3000, "reset": true, "times": 2}' '{"truncate": 3000, "times": 2}' \
		'{"drop": true, "times": 1}' '{"body": "{\"kind\": \"PartialObjectMetadataList\"}", "times": 1}'; do
		rule "$resources" "$(jq -c '.name = "list"' <<<"$how")"
		starts_well list
	done
	# Pages, for which a server that knows no lists by watch is needed; the second one is no good.
	for how in "$(jq -c '.times = 1' <<<"$expired")" '{"cut": 900, "times": 1}' '{"truncate": 900, "times": 1}'; do
		rule 'sendInitialEvents=true' "$(fault old 422 Invalid 'sendInitialEvents is forbidden for watch')"
		rule "$resources.*continue=" "$(jq -c '.name = "page" | .query = {limit: "10"}' <<<"$how")"
		rule "$resources.*limit=" '{"name": "small", "query": {"limit": "10"}}'
		starts_well page
	done
}

@test "scenario 8, lists: a 404 for the whole kind is nobody's end either" {
	apply < <(snapshot 30)
	entries >"$T/before"
	use_proxy
	rule "$resources" '{"name": "list", "times": 1, "status": 404, "body": "404 page not found"}'
	starts_well list
	# While it runs: the watch ends, and whatever is asked then is answered so.
	go_on
	snapshot 30 >&"$in"
	wait_for 60 said 'msg=synced'
	rule "$resources" '{"name": "list", "times": 3, "status": 404, "body": "404 page not found"}'
	sever workloadentries
	wait_for 60 proxied_more_than 2 ' list '
	person "$(entry_path s-6)" '{"spec": {"ports": {"http": 9999}}}'
	wait_for 60 port_is s-6 80
	assert_equal "$(identities)" "$(cut -d' ' -f1,2 "$T/before")"
	assert_equal "$(proxied '^(PATCH|DELETE) .*/workloadentries')" 1
	end_input 0
}

@test "scenario 13: a watch that expires, in three ways: listed again, and not in a rush when that goes on" {
	apply < <(snapshot 30)
	entries >"$T/before"
	use_proxy
	go_on
	snapshot 30 >&"$in"
	wait_for 60 said 'msg=synced'
	error='{"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired",
		"code": 410, "message": "too old resource version: 1 (2)"}}'
	port=1000
	for how in "$(jq -nc --arg error "$(jq -c . <<<"$error")" '{name: "expired", times: 1, body: ($error + "\n")}')" \
		"$(fault expired 410 Expired 'too old resource version' '{times: 1}')" \
		'{"name": "expired", "times": 1, "body": "nonsense\n"}'; do
		: >"$T/proxy/requests"
		# From a version; a list by a watch is none.
		rule 'workloadentries\?.*watch=(1|true).*resourceVersion=[1-9]' "$how"
		sever 'workloadentries'
		wait_for 30 proxied_more_than 0 ' expired '
		port=$((port + 1))
		person "$(entry_path s-6)" '{"spec": {"ports": {"http": '"$port"'}}}'
		wait_for 30 port_is s-6 80
		assert_equal "$(proxied ' expired ')" 1
		heal
	done

	: >"$T/proxy/requests"
	rule 'workloadentries\?.*watch=(1|true).*resourceVersion=[1-9]' \
		"$(fault expired 410 Expired 'too old resource version')"
	sever 'workloadentries'
	wait_for 60 proxied_more_than 4 ' expired '
	# Pauses of 0.2 to 5 s.
	assert_equal "$(awk '/ expired / { if (NR > 1 && $NF - last < 0.1) fast++; last = $NF } END { print fast + 0 }' "$T/proxy/requests")" 0
	[ "$(proxied "$resources")" -le 20 ] || fail "$(<"$T/proxy/requests")"
	heal
	person "$(entry_path s-6)" '{"spec": {"ports": {"http": 9999}}}'
	wait_for 30 port_is s-6 80
	assert_equal "$(identities)" "$(cut -d' ' -f1,2 "$T/before")"
	assert_equal "$(proxied '^DELETE')" 0
	end_input 0
}

@test "scenario 35: answers that are indented, huge, compressed, in small pieces or to the end of the connection" {
	apply < <(snapshot 30)
	entries >"$T/before"
	use_proxy
	for how in '{"pretty": true}' '{"pad_mb": 16}' '{"gzip": true}' '{"gzip": true, "pad_mb": 16}' '{"chunk": 7}' '{"http10": true}'; do
		rule 'sendInitialEvents=true' "$(fault old 422 Invalid 'sendInitialEvents is forbidden for watch')"
		rule "$resources.*limit=" "$(jq -c '.name = "odd"' <<<"$how")"
		starts_well odd
	done
	go_on
	snapshot 30 >&"$in"
	wait_for 60 said 'msg=synced'
	port=80
	for how in '{"pretty": true}' '{"pad_mb": 4}' '{"gzip": true}' '{"chunk": 7}' '{"http10": true}'; do
		rule '^PATCH ' "$(jq -c '.name = "odd"' <<<"$how")"
		port=$((port + 1))
		many 1 4 "$port" >&"$in"
		for i in 1 2 3 4; do wait_for 30 port_is "s-$i" "$port"; done
		heal
	done
	assert_equal "$(entries | awk '/^s-[1-4] / { print $3 }' | xargs)" '6 6 6 6'
	assert_equal "$(proxied '^PATCH .*/workloadentries.* odd ')" 20

	# A portal that answers in the API server's stead: said, not believed, not asked in a rush.
	: >"$T/proxy/requests"
	html='{"name": "html", "status": 200, "headers": {"Content-Type": "text/html"}, "body": "<html><body>Sign in</body></html>"}'
	rule '^PATCH .*/workloadentries' "$html"
	many 1 4 90 >&"$in"
	wait_for 30 proxied_more_than 7 ' html '
	[ "$(proxied ' html ')" -le 12 ]
	heal
	for i in 1 2 3 4; do wait_for 60 port_is "s-$i" 90; done
	rule "$resources" "$(jq -c '.times = 2' <<<"$html")"
	sever workloadentries
	wait_for 30 proxied_more_than 1 "$resources.* html "
	person "$(entry_path s-6)" '{"spec": {"ports": {"http": 9999}}}'
	wait_for 30 port_is s-6 80
	assert_equal "$(identities)" "$(cut -d' ' -f1,2 "$T/before")"
	assert_equal "$(proxied '^DELETE')" 0
	end_input 0
}
