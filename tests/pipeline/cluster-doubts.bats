# An API server that is half there, hangs or forgets: nothing is deleted, or called well, on that.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load records

annotate_approval() { # TEXT
	kube api PATCH "/api/v1/namespaces/$NS/configmaps/meshpipe" -H 'Content-Type: application/merge-patch+json' \
		-d '{"metadata": {"annotations": {"meshpipe.io/approve-deletes": "'"$1"'"}}}' >/dev/null
}

approval_is() { # TEXT
	[ "$(kube api GET "/api/v1/namespaces/$NS/configmaps/meshpipe" |
		jq -r '.metadata.annotations["meshpipe.io/approve-deletes"]')" = "$1" ]
}

readyz_is() { # STATUS
	local address
	address=$(sed -n 's/.*at \/metrics" address=//p' "$T/k8s-apply.err")
	[ "$(curl -q -s -m 5 -o /dev/null -w '%{http_code}' "http://$address/readyz")" = "$1" ]
}

@test "an approval from before a hold counts no more, also when the server refuses to remove it" {
	use_proxy
	go_on
	snapshot 30 >&"$in"
	wait_for 30 said 'msg=synced'
	annotate_approval 29
	sleep 1
	rule '^PATCH .*/configmaps/meshpipe' "$(fault refused 503 ServiceUnavailable 'not now')"
	snapshot 1 >&"$in"
	wait_for 20 said 'deletions held.* keys=29 '
	wait_for 20 proxied_more_than 0 ' 503 refused '
	# It is shown once more, as after an outage: that is no new one.
	sever '^GET .*/configmaps.*watch=1'
	stays 3 count_is 30
	heal
	wait_for 60 approval_is null
	stays 1 count_is 30
	annotate_approval 29
	wait_for 20 count_is 1
	never_said 'held deletions released.* approved=29.*approved=29'
	end_input 0
}

@test "a server that does not know the kind yet: what was there counts towards the hold" {
	apply < <(snapshot 40)
	assert_status 0
	use_proxy
	rule '^GET /apis/networking' '{"name": "starts", "status": 404, "body": "404 page not found", "headers": {"Content-Type": "text/plain"}}'
	go_on
	{
		begin
		many 1 9
		for ((i = 10; i < 40; i++)); do
			echo '{"type": "apply", "source": "dc1", "key": "s-'"$i"'", "objects": []}'
		done
		synced 39
	} >&"$in"
	sleep 4
	heal
	wait_for 30 said 'deletions held'
	# The first twenty are nothing that a person has to look at.
	wait_for 30 count_is 20
	stays 2 count_is 20
	exec {in}>&-
	wait_exit k8s-apply 60
	assert_status 3
}

@test "an object that can never be made keeps the others waiting a few times, and is failed then" {
	local port
	use_proxy
	go_on
	snapshot 2 >&"$in"
	wait_for 30 said 'msg=synced'
	rule '^PATCH .*/workloadentries/s-3\?' "$(fault busy 503 ServiceUnavailable busy)"
	many 3 3 >&"$in"
	wait_for 60 result '/s-3 failed: .*busy'
	SECONDS=0
	for port in 81 82 83 84 85 86; do
		many 1 1 "$port" >&"$in"
		wait_for 10 port_is s-1 "$port"
	done
	# All of them together: one attempt of s-3 used to cost up to 5 s.
	[ "$SECONDS" -le 8 ]
	heal
	wait_for 90 count_is 3
	end_input 0
}

@test "--prune deletes nothing while a write of the same input is not answered" {
	local manifests
	manifests=$(many 1 2 | jq -c '.objects[]')
	run --separate-stderr timeout 60 k8s-apply -n "$NS" --prune <<<"$manifests"
	assert_status 0
	use_proxy
	rule '^PATCH .*/workloadentries/s-3\?' '{"name": "silent", "hold": true}'
	manifests=$(many 2 3 | jq -c '.objects[]')
	run --separate-stderr timeout 60 k8s-apply -n "$NS" --prune --timeout 5s <<<"$manifests"
	[ "$status" -ne 0 ]
	assert_match "$stderr" 'msg="nothing pruned" why="not all of the input could be applied"'
	refute_match "$output" deleted
	count_is 2
}

@test "one refusal while the server is asked what it knows: well again once it answers" {
	apply < <(snapshot 2)
	assert_status 0
	use_proxy
	rule '^GET /apis/networking' "$(fault starts 503 ServiceUnavailable starting '{times: 1}')"
	go_on --metrics 127.0.0.1:0
	snapshot 2 >&"$in"
	wait_for 30 said 'msg=synced'
	assert_equal "$(proxied ' 503 starts ')" 1
	wait_for 10 readyz_is 200
	end_input 0
}

@test "a server that takes a watch and says nothing is not well" {
	use_proxy
	go_on --metrics 127.0.0.1:0
	snapshot 2 >&"$in"
	wait_for 30 said 'msg=synced'
	wait_for 10 readyz_is 200
	rule 'watch=1' '{"name": "hangs", "hold": true}'
	sever 'watch=1' reset
	wait_for 20 said 'API server cannot be used'
	stays 6 never_said 'API server is back'
	readyz_is 503
	heal
	sever 'watch=1' reset
	wait_for 60 readyz_is 200
	end_input 0
}
