# Everything that the pipe stands on, and the pipe itself, goes down and comes back at random while
# the catalogue changes without end: when it is over the cluster is what Consul says, and nothing
# that Consul had all the time was deleted on the way.
#
#   CHAOS_S     for so many seconds (90)
#   CHAOS_SEED  the same choices again, as far as the machine plays along
# shellcheck disable=SC2154 # some variables come from cluster.bash
load cluster

server_do() { # start|stop|kill [etcd|apiserver]
	"$REPO/tests/peers/kube" "$1" "$KUBE_DIR" "${@:2}" >/dev/null 3>&-
}

# One that stands still would not end.
teardown() {
	[ ! -e "$T/meshpipe.pid" ] || pkill -CONT -s "$(<"$T/meshpipe.pid")" || :
	common_teardown
}

# --- what must never be missing

# Services of three instances that nobody touches, whatever happens to others of the same services.
register_steady() {
	local n i
	for n in 1 2 3 4 5; do
		echo "steady-$n.service.consul" >>"$T/needs"
		for i in 1 2 3; do
			register_instance "vm-steady-$i" "10.40.0.$i" "steady-$n" 8080 status=passing address="10.40.$n.$i"
			echo "10.40.$n.$i" >>"$T/needs"
		done
	done
}

start_audit() {
	spawn watch "$REPO/tests/peers/kube-watch" "$KUBE_DIR" "$NS" "$T/changes"
	wait_for 10 has_line "$T/changes" '"READY"'
}

audit_says() {
	jq -Rnr --argjson needs "$(jq -Rn '[inputs]' <"$T/needs")" -f "$PIPELINE/audit.jq" "$T/changes"
}

audit_has() { # REGEX
	audit_says | grep -qE -- "$1"
}

# Nothing was missing.
stop_audit() {
	local says
	# It has seen all that was done until now.
	kube api PATCH "$istio/namespaces/$NS/workloadentries/last?fieldManager=tests" -d '{"kind": "WorkloadEntry",
		"apiVersion": "networking.istio.io/v1", "metadata": {"name": "last"}, "spec": {"address": "10.60.0.1"}}' >/dev/null
	wait_for 20 has_line "$T/changes" '"name": "last"'
	kube api DELETE "$istio/namespaces/$NS/workloadentries/last" >/dev/null
	kill "$(<"$T/watch.pid")"
	says=$(audit_says)
	changes=${says##*$'\n'}
	assert_equal "$says" "$changes"
}

# --- changes without end

# Nodes, ports, tags, meta, weights and checks come and go, also among the instances of the steady
# services. Consul may be away meanwhile.
churn() { # SERVICES SEED
	local service node
	RANDOM=$2
	while :; do
		service=churn-$((RANDOM % $1 + 1)) node=$((RANDOM % 5 + 1))
		[ $((RANDOM % 4)) -gt 0 ] || service=steady-$((RANDOM % 5 + 1))
		case $((RANDOM % 12)) in
		[0-4]) register_instance "churn-$node" "10.50.0.$node" "$service" $((8080 + RANDOM % 3)) \
			tag=version=v$((RANDOM % 4)) meta.owner=$((RANDOM % 3)) status=passing ;;
		[5-6]) set_check "churn-$node" "$service" critical ;;
		7) set_check "churn-$node" "$service" passing ;;
		[8-9]) deregister_instance "churn-$node" "$service" ;;
		10) set_node_check "churn-$node" "$([ $((RANDOM % 3)) -eq 0 ] && echo critical || echo passing)" ;;
		11) set_check "churn-$node" "$service" warning ;;
		esac || {
			sleep 0.05
			continue
		}
		echo changed
	done 2>/dev/null
}

# Ends it, and gives every service an instance: one without would be there until --gone-after.
end_churn() { # SERVICES
	local n name
	for name in churn-1 churn-2; do
		kill "$(<"$T/$name.pid")"
		wait_exit "$name"
	done
	for ((n = 1; n <= $1; n++)); do
		register_instance churn-1 10.50.0.1 "churn-$n" 8080 status=passing
	done
}

# --- faults: three at once, each in its own time

# Less than $1 seconds.
a_while() {
	sleep "$(printf '%d.%03d' $((RANDOM % $1)) $((RANDOM % 1000)))"
}

# again SEED FAULT SECONDS: one after another, with pauses of less than that, until the time is up.
again() {
	RANDOM=$1
	while [ "${EPOCHREALTIME/[.,]/}" -lt "$limit" ]; do
		a_while "$3"
		# One in three is told to end, the others cannot know.
		signal=KILL verb=kill
		[ $((RANDOM % 3)) -gt 0 ] || signal=TERM verb=stop
		"$2"
	done
}

say() {
	printf '%(%T)T %s\n' -1 "$*"
}

program_fault() {
	local programs=(consul-watch mesh-map k8s-apply) pid program
	program=${programs[RANDOM % 3]}
	# Perhaps it is just not there.
	pid=$(pid_of "$program") || return 0
	if [ $((RANDOM % 5)) -eq 0 ]; then
		say "$program STOP"
		kill -STOP "$pid" && a_while 4
		kill -CONT "$pid" || :
	else
		say "$program $signal"
		kill -s "$signal" "$pid" || :
	fi
}

consul_fault() {
	say "consul $signal"
	consul_do "$verb"
	a_while 5
	consul_do start
	say "consul is back"
}

server_fault() {
	local which=apiserver
	[ $((RANDOM % 3)) -gt 0 ] || which=
	say "${which:-etcd and apiserver} $signal"
	server_do "$verb" $which
	a_while 4
	server_do start
	say "${which:-etcd and apiserver} back"
}

@test "the audit says what was deleted or lost, also when it is made anew at once" {
	register_students
	printf '%s\n' student-service.service.consul 10.10.0.11 10.10.0.12 10.10.0.13 >"$T/needs"
	start_pipe
	right
	start_audit
	assert_equal "$(audit_says)" '0 changes'

	# The pipe makes it anew: that is no excuse.
	name=$(kube api GET "$istio/namespaces/$NS/workloadentries" |
		jq -r '.items[] | select(.spec.address == "10.10.0.12").metadata.name')
	kube api DELETE "$istio/namespaces/$NS/workloadentries/$name" >/dev/null
	wait_for 10 has_line "$T/changes" '"DELETED"'
	right
	assert_match "$(audit_says)" "WorkloadEntry $name was deleted, it had 10.10.0.12\$"
	assert_equal "$(audit_says | grep -vc ' changes$')" 1

	kube api DELETE "$istio/namespaces/$NS/serviceentries/student-service.service.consul" >/dev/null
	wait_for 10 lines_are "$T/changes" '"DELETED"' 2
	assert_match "$(audit_says)" 'ServiceEntry student-service.service.consul was deleted, it had student-service'
	right

	# A change of the address by another field manager counts as well.
	kube api PATCH "$istio/namespaces/$NS/workloadentries/$name?fieldManager=tests&force=true" -d '{"kind": "WorkloadEntry",
		"apiVersion": "networking.istio.io/v1", "metadata": {"name": "'"$name"'"}, "spec": {"address": "10.60.0.1"}}' >/dev/null
	wait_for 10 audit_has "WorkloadEntry $name has lost 10.10.0.12\$"
	right
	stop_pipe
}

@test "Consul, the API server, etcd and each program go at random: nothing is deleted, in the end it is right" {
	local limit name services=20 seed=${CHAOS_SEED:-$((${EPOCHREALTIME/[.,]/} % 32768))}
	echo "# CHAOS_SEED=$seed CHAOS_S=${CHAOS_S:-90}" | tee /dev/fd/3
	register_steady
	start_pipe --wait 5s
	right
	start_audit
	spawn churn-1 churn "$services" "$seed"
	spawn churn-2 churn "$services" $((seed + 1))
	deadline "${CHAOS_S:-90}"
	limit=$REPLY
	spawn programs again $((seed + 2)) program_fault 6
	spawn consul again $((seed + 3)) consul_fault 20
	spawn servers again $((seed + 4)) server_fault 16
	for name in programs consul servers; do
		wait_exit "$name" $((${CHAOS_S:-90} + 60))
		assert_status 0
	done
	end_churn "$services"
	wait_for 30 all_run
	right
	stop_audit
	sort "$T"/{programs,consul,servers}.out
	echo "# $(grep -hcv back "$T"/{programs,consul,servers}.out | paste -sd' ') faults of programs, Consul, API server;" \
		"$(cat "$T"/churn-?.out | wc -l) changes of the catalogue, $changes of the cluster" | tee /dev/fd/3
	for name in programs consul servers; do
		[ -s "$T/$name.out" ]
	done
	[ "${changes% *}" -ge 30 ]
	stop_pipe
}
