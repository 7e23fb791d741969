# Two pipelines with the same set: one writes, the other waits, and goes on when the first is gone,
# however that goes. Each is a user of its own, so that the API server's audit log tells who did what.
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

lease=/apis/coordination.k8s.io/v1/namespaces

setup_file() {
	local starting user
	need_consul "$consul_version"
	"$REPO/tests/peers/get" etcd kube-apiserver istio-crds >/dev/null 3>&- || skip "no Kubernetes API server here"
	export CONSUL_DIR=$BATS_FILE_TMPDIR/consul KUBE_DIR=$BATS_FILE_TMPDIR/kube
	"$REPO/tests/peers/kube" start "$KUBE_DIR" --owner "$$" --audit >/dev/null 3>&- &
	starting=$!
	consul_start "$consul_version"
	wait "$starting"
	for user in first second; do
		kube user "$user" --group system:masters
	done
}

setup() {
	cluster_setup
	register_students
}

# One that stands still would not end.
teardown() {
	[ -z "${stopped-}" ] || kill -CONT "$stopped" 2>/dev/null || :
	[ -z "${slow-}" ] || kill -CONT "$slow" 2>/dev/null || :
	common_teardown
}

# --- the two

start() { # first|second [OPTION...]
	KUBECONFIG=$KUBE_DIR/$1.kubeconfig spawn "$1" setsid meshpipe run -n "$NS" "${@:2}"
}

# As pid_of, of one of the two.
program() { # first|second PROGRAM
	pgrep -P "$(<"$T/$1.pid")" -x "$2"
}

# All of it at once: nobody has the time for a last word, and nobody starts it again.
kill_all() { # first|second
	local pids
	pids=$(pgrep -P "$(<"$T/$1.pid")")
	# shellcheck disable=SC2086 # several
	kill -KILL "$(program "$1" k8s-apply)" "$(<"$T/$1.pid")" $pids 2>/dev/null || :
	wait_for 5 ended "$1"
}

end() { # first|second: as it should
	kill "$(<"$T/$1.pid")"
	wait_exit "$1"
	assert_status 0
}

holder() {
	kube api GET "$lease/$NS/leases/meshpipe" 2>/dev/null | jq -r '.spec.holderIdentity'
}

leads() { # first|second
	local pid
	pid=$(program "$1" k8s-apply) && [[ $(holder) == *_"$pid"_* ]]
}

# It has been seen to wait, for who leads now, as often as $2 says.
waits() { # first|second [COUNT]
	lines_are "$T/$1.err" 'msg="another process writes this set, waiting"' "${2:-1}"
}

# Sets leader and follower.
find_leader() {
	leader=first follower=second
	leads first || { leader=second follower=first && leads second; }
}

# Both have found out.
elected() {
	find_leader && waits "$follower"
}

# What a pipe has asked to be written in this namespace, but the Lease: one line a request.
wrote() { # first|second
	jq -Rr --arg user "$1" --arg namespace "$NS" 'fromjson?
		| select(.user.username == $user and .objectRef.namespace == $namespace)
		| select(.verb | IN("create", "update", "patch", "delete", "deletecollection"))
		| select(.objectRef.resource != "leases")
		| "\(.verb) \(.objectRef.resource) \(.objectRef.name) \(.responseStatus.code)"' "$KUBE_DIR/audit.log"
}

# What OTHER has written since HOLDER took or renewed the lease, first thing behind so many lines of
# the audit log.
wrote_beside() { # HOLDER OTHER LINES
	tail -n "+$(($3 + 1))" "$KUBE_DIR/audit.log" | jq -Rrn --arg holder "$1" --arg other "$2" --arg namespace "$NS" '
		[inputs | fromjson? | select(.objectRef.namespace == $namespace)] as $all
		| (first($all[] | select(.user.username == $holder and .verb == "update"
			and .objectRef.resource == "leases" and .responseStatus.code == 200)) // {}).requestReceivedTimestamp as $taken
		| $all[]
		| select(.user.username == $other and .objectRef.resource != "leases")
		| select(.verb | IN("create", "update", "patch", "delete", "deletecollection"))
		| select(.requestReceivedTimestamp > $taken)
		| "\(.verb) \(.objectRef.resource) \(.objectRef.name) at \(.requestReceivedTimestamp), lease taken at \($taken)"'
}

wrote_nothing() { # first|second
	assert_equal "$(wrote "$1")" ''
}

ms() {
	echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# takes_over first|second SECONDS: it leads, in so many at the most.
takes_over() {
	local start
	start=$(ms)
	wait_for "$2" leads "$1"
	took_ms=$(($(ms) - start))
	echo "$1 took over after $took_ms ms"
}

n=0
# Another one each time, which must arrive.
change() {
	n=$((n + 1))
	register_instance vm-1 10.10.0.11 student-service 9098 tag="version=v$((n + 10))" status=passing
	set_check vm-2 student-service "$([ $((n % 2)) -eq 1 ] && echo critical || echo passing)"
}

# --- tests

@test "scenario 28: started together one leads and the other writes nothing; told to end it hands over" {
	start first
	start second
	wait_for 20 elected
	right
	for _ in 1 2 3; do
		change
		right
	done
	wrote_nothing "$follower"
	[ "$(wrote "$leader" | wc -l)" -ge 10 ]
	leads "$leader"

	change
	end "$leader"
	takes_over "$follower" 3
	change
	right
	[ -n "$(wrote "$follower")" ]

	# The one that comes back waits, now it is the other's.
	before=$(wrote "$leader")
	start "$leader"
	wait_for 10 waits "$leader"
	change
	right
	assert_equal "$(wrote "$leader")" "$before"
	end "$follower"
	takes_over "$leader" 3
	change
	right
	end "$leader"
	assert_equal "$(holder)" ''
}

@test "the leader is killed: on the same machine the other takes over at once" {
	start first
	start second
	wait_for 20 elected
	right
	wrote_nothing "$follower"
	kill_all "$leader"
	change
	takes_over "$follower" 3
	right
	change
	right
	refute_match "$(<"$T/$follower.err")" 'level=(warn|error)'
	end "$follower"
}

@test "only its k8s-apply is killed: one of the two goes on, and one only" {
	start first
	start second
	wait_for 20 elected
	right
	# Who waits has seen what the other one wrote.
	wait_for 10 has_line "$T/$follower.err" '^k8s-apply: .*msg=synced '
	kill -KILL "$(program "$leader" k8s-apply)"
	change
	right
	wait_for 10 find_leader
	sleep 3
	find_leader
	before=$(wrote "$follower")
	change
	right
	leads "$leader"
	assert_equal "$(wrote "$follower")" "$before"
	end first
	end second
}

@test "scenario 27: a leader on another machine is silent: after the lease's 15 s, and not before, the other goes on" {
	kube api POST "$lease/$NS/leases" -d '{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": {"name": "meshpipe"}, "spec": {"holderIdentity": "elsewhere_1_1_0badcafe",
		"leaseDurationSeconds": 15, "leaseTransitions": 3, "acquireTime": "2026-01-01T00:00:00.000000Z",
		"renewTime": "2026-01-01T00:00:00.000000Z"}}' >/dev/null
	start first
	wait_for 10 waits first
	has_line "$T/first.err" 'holder=elsewhere_1_1_0badcafe'
	# Renewed once more; by a clock that has nothing to do with ours.
	sleep 2
	renewed=$(ms)
	person "$lease/$NS/leases/meshpipe" '{"spec": {"renewTime": "2026-01-01T00:00:02.000000Z"}}'
	change
	takes_over first 20
	[ $(($(ms) - renewed)) -ge 15000 ]
	right
	change
	right
	assert_equal "$(kube api GET "$lease/$NS/leases/meshpipe" | jq -c '[.spec | .leaseDurationSeconds, .leaseTransitions]')" '[15,4]'
	end first
}

@test "scenario 27: the leader stands still for 20 s: the other has taken over, and it has seen that before it writes" {
	start first
	start second
	wait_for 20 elected
	right
	stopped=$(program "$leader" k8s-apply)
	before=$(wrote "$leader")
	kill -STOP "$stopped"
	# What it is to write when it wakes up waits in its pipe.
	change
	takes_over "$follower" 20
	# It is no dead one's lease that is taken: the other runs, if only by its name. (It had renewed it
	# some seconds before.)
	[ "$took_ms" -ge 10000 ]
	right
	change
	right
	sleep "$(((20500 - took_ms) / 1000 + 1))"
	kill -CONT "$stopped"
	wait_for 10 waits "$leader"
	has_line "$T/$leader.err" 'msg="the lease is lost, nothing is written until it is ours again"'
	change
	right
	leads "$follower"
	assert_equal "$(program "$leader" k8s-apply)" "$stopped"
	assert_equal "$(wrote "$leader")" "$before"

	# It is as good as any other that waits.
	end "$follower"
	change
	takes_over "$leader" 3
	right
	change
	right
	end "$leader"
}

@test "scenario 27: the API server does not answer for 8 s, then for 12 s: one writes at a time, and it goes on" {
	local seconds since
	start first
	start second
	wait_for 20 elected
	right
	slow=$(<"$KUBE_DIR/apiserver.pid")
	for seconds in 8 12; do
		since=$(wc -l <"$KUBE_DIR/audit.log")
		kill -STOP "$slow"
		change
		sleep "$seconds"
		kill -CONT "$slow"
		wait_for 30 find_leader
		right
		change
		right
		# Which of the two it is now: the other one has written nothing since. (What was under way when
		# the server stood still is carried out as soon as it goes on, before anybody takes the lease.)
		find_leader
		assert_equal "$(wrote_beside "$leader" "$follower" "$since")" ''
	done
	# After 10 s without an answer nobody can know who leads.
	has_line "$T/first.err" 'msg="the lease is lost' || has_line "$T/second.err" 'msg="the lease is lost'
	end first
	end second
}

@test "scenario 27: clocks that jump by an hour, forward and back, move no lease" {
	local library each
	library=$(find /usr/lib -name libfaketimeMT.so.1 -print -quit 2>/dev/null)
	[ -n "$library" ] || skip "no libfaketime here"
	# Beside a sanitizer it hangs in the start of a program: the same without jumps then.
	! is_sanitized || library=
	for each in first second; do
		echo +0 >"$T/$each.clock"
		LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE=$T/$each.clock FAKETIME_NO_CACHE=1 \
			FAKETIME_DONT_FAKE_MONOTONIC=1 start "$each"
	done
	wait_for 20 elected
	right
	for each in "$leader" "$follower"; do
		for clock in +1h +0; do
			echo "$clock" >"$T/$each.clock"
			stays 3 leads "$leader"
			change
			right
		done
	done
	wrote_nothing "$follower"
	refute_match "$(<"$T/$leader.err")" 'msg="the lease is lost'
	end "$leader"
	takes_over "$follower" 3
	end "$follower"
}

@test "somebody takes the lease away from the leader: it stops writing until it has it again" {
	start first
	wait_for 20 leads first
	right
	person "$lease/$NS/leases/meshpipe" '{"spec": {"holderIdentity": "elsewhere_1_1_0badcafe"}}'
	wait_for 10 has_line "$T/first.err" "msg=\"the lease is lost.*'elsewhere_1_1_0badcafe' has it now"
	before=$(wrote first)
	change
	sleep 2
	assert_equal "$(wrote first)" "$before"
	kube api DELETE "$lease/$NS/leases/meshpipe" >/dev/null
	takes_over first 4
	right
	end first
}

@test "with --lease off there is no Lease" {
	start first --lease off
	wait_for 20 has_line "$T/first.err" '^k8s-apply: .*msg=synced '
	change
	right
	end first
	run --separate-stderr env KUBECONFIG="$KUBE_DIR/first.kubeconfig" meshpipe once -n "$NS" --lease off
	assert_status 0
	assert_equal "$(kube api GET "$lease/$NS/leases" | jq -c .items)" '[]'
	assert_equal "$(jq -Rc --arg namespace "$NS" 'fromjson? | .objectRef
		| select(.namespace == $namespace and .resource == "leases") | .name' "$KUBE_DIR/audit.log" | sort -u)" 'null'
	# What asks for no lease needs no right to one.
	refute_match "$stderr" 'level=(warn|error)'
}
