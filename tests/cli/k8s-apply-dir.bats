#!/usr/bin/env bats
# k8s-apply: a directory that is in a bad state, or in somebody else's hands.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # words are arguments; a test is a subshell; `run` sets variables

load directory

@test "a directory that cannot be written is one line and status 71" {
	touch "$T/file"
	local dir
	for dir in "$T/file" "$T/file/D" "$T/no/such/D" /proc/meshpipe; do
		once --dir "$dir" < <(apply a "$(entry a)")
		echo "# $dir: $stderr"
		assert_status 71
		assert_equal "$output" ""
		assert_one_line "$stderr"
		assert_match "$stderr" "level=error msg=\"cannot make directory '$dir'"
	done
}

@test "a second writer is one line and status 77" {
	continuous
	wait_for 10 test -s "$D/.meshpipe/lock"
	once --dir "$D" < <(apply a "$(entry a)")
	assert_status 77
	assert_one_line "$stderr"
	assert_match "$stderr" "'$D' has a writer already \(process $(<"$T/k8s-apply.pid") holds "
	# Looking is allowed.
	once --dir "$D" --dry-run=client < <(apply a "$(entry a)")
	assert_status 0
	end_of_input
	wait_exit k8s-apply
	once --dir "$D" < <(apply a "$(entry a)")
	assert_status 0
}

@test "a lock that is a link is not followed: one line and status 78" {
	mkdir -p "$D/.meshpipe"
	echo precious >"$T/file"
	ln -s "$T/file" "$D/.meshpipe/lock"
	once --dir "$D" < <(apply a "$(entry a)")
	assert_status 78
	assert_one_line "$stderr"
	assert_match "$stderr" "'$D/.meshpipe/lock' is a symbolic link \(remove it\)"
	assert_equal "$(<"$T/file")" precious
}

@test "a damaged memory is one line and status 78" {
	mkdir -p "$D/.meshpipe"
	echo '[' >"$D/.meshpipe/sources"
	once --dir "$D" < <(apply a "$(entry a)")
	assert_status 78
	assert_one_line "$stderr"
	assert_match "$stderr" "'$D/.meshpipe/sources' is damaged \(remove it"
}

@test "one file that cannot be written stops only its key, and is written later" {
	mkdir "$D"
	# A file where the folder of another source should go: root is stopped by it, too.
	touch "$D/dc2"
	continuous
	apply a "$(entry a)" | sed 's/"dc1"/"dc2"/' >&"$in"
	apply b "$(entry b)" >&"$in"
	wait_for 10 has_line "$T/k8s-apply.out" 'b created'
	assert_match "$(cat "$T/k8s-apply.out")" "/a failed: cannot write '$D/dc2/a.yaml': Not a directory"
	rm "$D/dc2"
	wait_for 10 has_line "$T/k8s-apply.out" 'a created'
	end_of_input
	wait_exit k8s-apply
	assert_status 0
}

@test "a full disk fails the key, and nothing is lost" {
	apply a "$(entry a)" | k8s-apply --dir "$D" >/dev/null
	# A limit on the size of files stands for the full disk.
	run --separate-stderr bash -c 'ulimit -f 1; trap "" XFSZ; exec k8s-apply --dir "$0"' "$D" < <(
		apply a "$(entry a "$(printf 'x%.0s' {1..4000})")"
	)
	assert_status 1
	assert_match "$output" "/a failed: cannot write '$D/dc1/a.yaml': File too large"
	assert_match "$(cat "$D/dc1/a.yaml")" 'a.consul'
	[ -z "$(find "$D" -name '*tmp*')" ]
}

@test "a file that is somebody else's is left alone" {
	mkdir -p "$D/dc1"
	echo 'kind: Mine' >"$D/dc1/a.yaml"
	once --dir "$D" < <(snapshot 1 a b)
	assert_status 1
	assert_match "$output" "/a conflict: '$D/dc1/a.yaml' is somebody else's file \(move it away\)"
	assert_match "$output" '/b created'
	once --dir "$D" < <(snapshot 2 b)
	assert_status 0
	assert_equal "$(cat "$D/dc1/a.yaml")" 'kind: Mine'
}

@test "names of sources and keys do not leave the directory" {
	once --dir "$D" < <(apply ../../evil "$(entry a)"; apply a "$(entry b)" | sed 's/"dc1"/".."/')
	assert_status 0
	assert_equal "$(cd "$T" && find . -name '*.yaml' | sort)" "./D/%2E./a.yaml
./D/dc1/%2E.%2F..%2Fevil.yaml"
}

@test "killed at any moment it leaves only whole files, and goes on from them" {
	local i
	many 1000 GENERATION >"$T/records"
	for i in {1..8}; do
		mkfifo "$T/in$i"
		spawn "k$i" bash -c 'exec k8s-apply --dir "$1" <"$0"' "$T/in$i" "$D"
		exec {in}>"$T/in$i"
		sed "s/GENERATION/$i/" "$T/records" >&"$in" &
		wait_for 10 has_line "$T/k$i.out" "k$((i * 50)) (created|configured)"
		kill -KILL "$(<"$T/k$i.pid")"
		wait_for 10 ended "k$i"
		exec {in}>&-
		wait $! || :
		# Whatever is there has its first and its last line.
		assert_equal "$(find "$D/dc1" -name '*.yaml' -empty)" ""
		assert_equal "$(awk 'FNR == 1 { if (file && !whole) print file; file = FILENAME; first = /^# meshpipe: {/ }
			{ whole = first && /^  - "[0-9]+"$/ }
			END { if (!whole) print file }' "$D"/dc1/*.yaml)" ""
	done
	once --dir "$D" < <(start last; sed 's/GENERATION/last/' "$T/records"; synced last 1000)
	assert_status 0
	assert_equal "$(grep -L -- '- last$' "$D"/dc1/*.yaml)" ""
	assert_equal "$(find "$D/dc1" -type f | wc -l)" 1000
}

@test "kubectl and istiod see manifests only: nothing else ends as they want it" {
	snapshot 1 a | k8s-apply --dir "$D" >/dev/null
	assert_equal "$(cd "$D" && find . -type f \( -name '*.yaml' -o -name '*.yml' -o -name '*.json' \))" ./dc1/a.yaml
}
