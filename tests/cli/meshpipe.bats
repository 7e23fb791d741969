# The supervisor alone: options, restarts, signals, ends. The three programs are stand-ins here
# (fake-program); tests/pipeline runs it with the real ones.
load ../lib

setup() {
	common_setup
	export FAKE_DIR=$T/fake MESHPIPE_BIN=$T/bin
	mkdir "$FAKE_DIR" "$MESHPIPE_BIN"
	for name in consul-watch mesh-map k8s-apply; do
		cp "$REPO/tests/cli/fake-program" "$MESHPIPE_BIN/$name"
	done
	unset MESHPIPE_MIN_PAUSE MESHPIPE_MAX_PAUSE
}

args_of() {
	cat "$FAKE_DIR/$1.args"
}

pid_of() {
	cat "$FAKE_DIR/$1.pid"
}

nobody_left() {
	local name
	for name in consul-watch mesh-map k8s-apply; do
		# One that was ended before it could write its number has none.
		[ ! -s "$FAKE_DIR/$name.pid" ] || ! alive "$(pid_of "$name")" || return 1
	done
}

# Runs it in the background until something has gone through the pipe.
start_running() {
	spawn meshpipe meshpipe run --dir d "$@"
	wait_for 10 test -s "$FAKE_DIR/applied"
}

started() { # COUNT: all of them, that often
	local name
	for name in consul-watch mesh-map k8s-apply; do
		lines_are "$FAKE_DIR/starts" "^$name\$" "$1" || return 1
	done
}

@test "an option goes to the program that has it" {
	run meshpipe once --dir out --gone-after=2s -s 'a*' -s b --stale --config c.yaml -f x.jq --program y.jq
	assert_status 0
	assert_equal "$(args_of consul-watch)" '--gone-after=2s -s a* -s b --stale --once'
	assert_equal "$(args_of mesh-map)" '--config c.yaml -f x.jq --program y.jq'
	assert_equal "$(args_of k8s-apply)" '--dir out'
}

@test "an option that all have goes to all; namespace means the one in Kubernetes" {
	run meshpipe once --log-level debug -n mesh --namespace=mesh2
	assert_status 0
	assert_equal "$(args_of consul-watch)" '--log-level debug --once'
	assert_equal "$(args_of mesh-map)" '--log-level debug'
	assert_equal "$(args_of k8s-apply)" '--log-level debug -n mesh --namespace=mesh2'
}

@test "--timeout is for the servers, not for the mapping" {
	run meshpipe once --timeout 9s --mesh-map=--timeout=1s
	assert_status 0
	assert_equal "$(args_of consul-watch)" '--timeout 9s --once'
	assert_equal "$(args_of mesh-map)" '--timeout=1s'
	assert_equal "$(args_of k8s-apply)" '--timeout 9s'
	rm "$FAKE_DIR"/*
	start_running --timeout=9s
	assert_equal "$(args_of consul-watch)" ''
	assert_equal "$(args_of k8s-apply)" '--dir d --timeout=9s'
}

@test "an argument can be given to one program as it stands" {
	run meshpipe once --consul-watch --namespace --consul-watch 'team a' --k8s-apply=-v --k8s-apply=--token-file=t
	assert_status 0
	assert_equal "$(args_of consul-watch)" '--namespace team a --once'
	assert_equal "$(args_of k8s-apply)" '-v --token-file=t'
}

@test "wrong usage is one line and status 64, and starts nothing" {
	while IFS='|' read -r args message; do
		# shellcheck disable=SC2086 # several arguments
		run meshpipe $args
		assert_status 64
		assert_one_line "$output"
		assert_match "$output" "^meshpipe: $message"
	done <<-'END'
		|run or once\?
		walk|no such command: 'walk'
		run --nope|unknown option: '--nope'
		run -x|unknown option: '-x'
		run --once|'--once': use 'meshpipe once'
		run --dir|option '--dir' needs a value
		run --prefix a|option '--prefix' belongs to consul-watch and to mesh-map: say which with --consul-watch --prefix or --mesh-map --prefix$
		run --token-file t|option '--token-file' belongs to consul-watch and to k8s-apply: say which with --consul-watch --token-file or --k8s-apply --token-file, or set CONSUL_HTTP_TOKEN_FILE$
		once --dir d --client-key=k|option '--client-key' belongs to consul-watch and to k8s-apply: .*CONSUL_CLIENT_KEY
		run file|not an option: 'file'
		run --min-pause 3|--min-pause: '3' is not a duration
	END
	[ ! -e "$FAKE_DIR/starts" ]
}

@test "a missing program is one line and status 71" {
	rm "$MESHPIPE_BIN/mesh-map"
	run meshpipe once --dir d
	assert_status 71
	assert_equal "$output" "meshpipe: no program 'mesh-map' in MESHPIPE_BIN '$MESHPIPE_BIN'"
}

@test "help and version go to stdout" {
	run --separate-stderr meshpipe --help
	assert_status 0
	assert_match "$output" '^Usage: meshpipe run'
	run --separate-stderr meshpipe run --help
	assert_status 0
	assert_match "$output" '^Usage: meshpipe run'
	run --separate-stderr meshpipe --version
	assert_status 0
	assert_equal "$output" 'meshpipe 1.2.3'
}

@test "once: all that consul-watch says arrives, and the status is 0" {
	run meshpipe once --dir d
	assert_status 0
	assert_equal "$(<"$FAKE_DIR/applied")" $'mapped 1\nmapped 2\nmapped 3'
	nobody_left
}

@test "once: the status is that of k8s-apply, else of who failed before it" {
	echo 69 >"$FAKE_DIR/consul-watch.status"
	run meshpipe once --dir d
	assert_status 69
	echo 1 >"$FAKE_DIR/k8s-apply.status"
	run meshpipe once --dir d
	assert_status 1
	assert_equal "$output" ''
}

@test "once: a signal ends it with the status of the signal" {
	cat >"$T/bin/consul-watch" <<-'END' # one that never comes to an end
		#!/bin/bash
		[ "$1" = --help ] || exec sleep 60
	END
	spawn meshpipe meshpipe once --dir d
	wait_for 10 test -e "$FAKE_DIR/k8s-apply.pid"
	kill "$(<"$T/meshpipe.pid")"
	wait_exit meshpipe
	assert_status 143
}

@test "run: SIGTERM and SIGINT end all with status 0" {
	for signal in TERM INT; do
		rm -f "$FAKE_DIR/applied" "$FAKE_DIR/signals"
		# A background process of a script has SIGINT ignored, unlike one on a terminal.
		spawn meshpipe env --default-signal=INT meshpipe run --dir d
		wait_for 10 test -s "$FAKE_DIR/applied"
		kill -s "$signal" "$(<"$T/meshpipe.pid")"
		wait_exit meshpipe
		assert_status 0
		nobody_left
		has_line "$FAKE_DIR/signals" '^consul-watch TERM$'
	done
}

@test "run: when one is killed all start again, and one line says who" {
	start_running --min-pause 50ms --max-pause 10s
	count=1
	for name in consul-watch mesh-map k8s-apply; do
		before="$(pid_of consul-watch) $(pid_of mesh-map) $(pid_of k8s-apply)"
		kill -KILL "$(pid_of "$name")"
		wait_for 10 started $((count += 1))
		for pid in $before; do
			wait_for 5 eval "! alive $pid"
		done
		assert_match "$(tail -n 1 "$T/meshpipe.err")" \
			"^meshpipe: level=warn msg=\"a program ended, all start again\" ended=$name status=137 signal=KILL pause_ms=[0-9]+\$"
	done
	assert_equal "$(grep -c '' "$T/meshpipe.err")" 3
}

@test "run: who writes for nobody is ended at once, also when it has nothing to say" {
	touch "$FAKE_DIR/quiet"
	start_running --min-pause 20ms
	kill -KILL "$(pid_of k8s-apply)"
	wait_for 5 started 2 # left alone the others would have ten seconds
}

@test "run: the pauses grow up to the longest" {
	echo 71 >"$FAKE_DIR/k8s-apply.status"
	spawn meshpipe meshpipe run --dir d --min-pause 40ms --max-pause 5s
	wait_for 10 lines_are "$T/meshpipe.err" 'ended=k8s-apply status=71' 4
	kill "$(<"$T/meshpipe.pid")"
	wait_exit meshpipe
	assert_status 0
	assert_equal "$(sed 's/.*pause_ms=//' "$T/meshpipe.err" | head -n 4 | xargs)" '40 80 160 320'
}

@test "run: the longest pause holds, also from the environment" {
	echo 71 >"$FAKE_DIR/mesh-map.status"
	MESHPIPE_MIN_PAUSE=400ms MESHPIPE_MAX_PAUSE=500ms spawn meshpipe meshpipe run --dir d
	wait_for 10 lines_are "$T/meshpipe.err" 'pause_ms=500$' 2
	assert_match "$(head -n 1 "$T/meshpipe.err")" 'ended=mesh-map status=71 pause_ms=400$'
}

@test "run: who ran long enough starts again at the first pause" {
	start_running --min-pause 20ms --max-pause 200ms
	kill -KILL "$(pid_of k8s-apply)"
	wait_for 10 started 2
	stays 0.3 started 2 # longer than the longest pause
	kill -KILL "$(pid_of k8s-apply)"
	wait_for 10 lines_are "$T/meshpipe.err" 'signal=KILL pause_ms=20$' 2
}

@test "run: wrong usage or configuration of a program ends it with that status" {
	for status_wanted in 64 78; do
		echo "$status_wanted" >"$FAKE_DIR/mesh-map.status"
		rm -f "$FAKE_DIR/starts"
		spawn meshpipe meshpipe run --dir d
		wait_exit meshpipe
		assert_status "$status_wanted"
		lines_are "$FAKE_DIR/starts" '^mesh-map$' 1
		wait_for 5 nobody_left
	done
}

@test "run: SIGTERM during a pause ends it at once" {
	echo 71 >"$FAKE_DIR/k8s-apply.status"
	spawn meshpipe meshpipe run --dir d --min-pause 50s
	wait_for 10 has_line "$T/meshpipe.err" 'pause_ms=50000'
	kill "$(<"$T/meshpipe.pid")"
	wait_exit meshpipe 2
	assert_status 0
}

@test "run: SIGHUP goes to all and starts nothing again" {
	start_running
	kill -HUP "$(<"$T/meshpipe.pid")"
	wait_for 10 lines_are "$FAKE_DIR/signals" HUP 3
	stays 0.3 started 1
	assert_equal "$(<"$T/meshpipe.err")" ''
}

@test "run: when its terminal goes away it ends" {
	python3 - "$REPO/scripts/meshpipe" "$FAKE_DIR/applied" 3>&- <<-'END'
		import os, pty, signal, sys, time
		pid, terminal = pty.fork()
		if pid == 0:
		    os.execv(sys.argv[1], [sys.argv[1], "run", "--dir", "d"])
		until = time.monotonic() + 10
		while not os.path.exists(sys.argv[2]) and time.monotonic() < until:
		    time.sleep(0.02)
		os.close(terminal)
		ended, status = os.waitpid(pid, os.WNOHANG)
		while not ended and time.monotonic() < until:
		    time.sleep(0.02)
		    ended, status = os.waitpid(pid, os.WNOHANG)
		if not ended:
		    os.kill(pid, signal.SIGTERM)
		assert ended and status == 0
	END
	nobody_left
}

@test "run: nothing is left when it is killed without a chance to clean up" {
	start_running
	kill -KILL "$(<"$T/meshpipe.pid")"
	wait_for 5 nobody_left
}

@test "the log follows --log-format" {
	echo 71 >"$FAKE_DIR/k8s-apply.status"
	spawn meshpipe meshpipe run --dir d --min-pause 50s --log-format json
	wait_for 10 test -s "$T/meshpipe.err"
	assert_equal "$(jq -c 'del(.pause_ms)' "$T/meshpipe.err")" \
		'{"program":"meshpipe","level":"warn","msg":"a program ended, all start again","ended":"k8s-apply","status":"71"}'
}
