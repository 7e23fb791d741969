#!/usr/bin/env bats
# k8s-apply: its options, records and manifests in, a directory out.

# shellcheck disable=SC2016,SC2030,SC2031 # bash -c gets its words as arguments; a test is a subshell

load directory

@test "--help and --version go to stdout" {
	once --help
	assert_status 0
	assert_match "$output" '^Usage: k8s-apply \[diff \| delete\] \[-n NS\] \[--dir DIR\]'
	[ -z "$stderr" ]

	once --version
	assert_status 0
	assert_match "$output" '^k8s-apply \(meshpipe\) [0-9]'
	[ -z "$stderr" ]
}

@test "what is wrong on the command line is one line and status 64" {
	local words expected
	touch "$T/empty"
	while IFS='|' read -r words expected; do
		eval "once $words" </dev/null
		echo "# k8s-apply $words: $stderr"
		assert_status 64
		assert_equal "$output" ""
		assert_one_line "$stderr"
		assert_match "$stderr" "$expected"
		[ ! -e "$D" ]
	done <<-'END'
		--dir ""|option '--dir': an empty name
		--dir "$D" --context dev|--dir is instead of a cluster
		--lease maybe|option '--lease': 'maybe' is not on or off
		--dir "$D" --adopt|--dir goes with neither --adopt nor --force-conflicts
		--force-conflicts|--force-conflicts goes with --adopt
		--dir|option '--dir' needs a value
		--nope|unknown option '--nope'
		--dir "$D" extra|unexpected argument 'extra'
		--dir "$D" -o yaml|option '--output': 'yaml' is not name, json or wide
		--dir "$D" --dry-run=maybe|option '--dry-run': 'maybe' is not none, client or server
		--dir "$D" --approve-deletes all|'all' is not a whole number
		--dir "$D" -f "$T/missing.yaml"|cannot open '.*/missing.yaml': No such file
		--dir "$D" -f "$T"|nothing to read in '.*': no file there ends in
	END
}

# --- records

@test "an apply becomes a file, and the lines are kubectl's" {
	once --dir "$D" -n mesh < <(start 1; apply student "$(entry b)" "$(entry a)"; synced 1 1)
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/a created
serviceentry.networking.istio.io/b created"
	assert_equal "$(cat "$D/dc1/student.yaml")" '# meshpipe: {"key":"student","set":"meshpipe","source":"dc1"}
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: a
  namespace: mesh
spec:
  hosts:
  - a.consul
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: b
  namespace: mesh
spec:
  hosts:
  - b.consul'

	once --dir "$D" -n mesh < <(start 2; apply student "$(entry a other.consul)"; synced 2 1)
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/a configured
serviceentry.networking.istio.io/b deleted"
	assert_match "$stderr" 'msg=synced source=dc1 keys=1 objects=1 written=1 deleted=1'
}

@test "the same again touches no file and says nothing" {
	snapshot 1 a b c | k8s-apply --dir "$D" >/dev/null
	local before
	before=$(fingerprint)
	once --dir "$D" < <(snapshot 2 c b a)
	assert_status 0
	assert_equal "$output" ""
	assert_equal "$(fingerprint)" "$before"
	once --dir "$D" -o wide < <(snapshot 2 c b a)
	assert_equal "$output" "serviceentry.networking.istio.io/c unchanged (dc1/c)
serviceentry.networking.istio.io/b unchanged (dc1/b)
serviceentry.networking.istio.io/a unchanged (dc1/a)"
}

@test "no namespace is put in without -n" {
	once --dir "$D" < <(apply a "$(entry a)")
	assert_status 0
	refute_match "$(cat "$D/dc1/a.yaml")" namespace
}

@test "a snapshot prunes what it does not name, and nothing when it cannot be sure" {
	snapshot 1 a b | k8s-apply --dir "$D" >/dev/null
	local case
	# The wrong count; no start; another start; a line that cannot be read; another scope.
	for case in \
		"start 2; apply a \"\$(entry a)\"; synced 2 2" \
		"apply a \"\$(entry a)\"; synced 2 1" \
		"start 2; apply a \"\$(entry a)\"; synced 3 1" \
		"start 2; echo oops; apply a \"\$(entry a)\"; synced 2 1" \
		"start 2 web-only; apply a \"\$(entry a)\"; synced 2 1"; do
		echo "# $case"
		once --dir "$D" < <(eval "$case")
		assert_status 1
		assert_equal "$output" ""
		assert_match "$stderr" 'msg="nothing pruned" source=dc1 why='
		[ -e "$D/dc1/b.yaml" ]
	done
	once --dir "$D" < <(start 2; apply a "$(entry a)")
	assert_status 0
	[ -e "$D/dc1/b.yaml" ]
	# Its own word is enough, whatever the snapshot is.
	once --dir "$D" < <(snapshot 2 a)
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/b deleted"
	[ ! -e "$D/dc1/b.yaml" ]
}

@test "a keep leaves all of its key, and counts" {
	snapshot 1 a b | k8s-apply --dir "$D" >/dev/null
	local before
	before=$(fingerprint)
	once --dir "$D" < <(start 2; apply a "$(entry a)"; keep b; synced 2 2)
	assert_status 0
	assert_equal "$output" ""
	assert_equal "$(fingerprint)" "$before"
}

@test "another scope is accepted when told so" {
	snapshot 1 a b | k8s-apply --dir "$D" >/dev/null
	once --dir "$D" --accept-scope < <(start 2 web-only; apply a "$(entry a)"; synced 2 1)
	assert_equal "$output" "serviceentry.networking.istio.io/b deleted"
	once --dir "$D" < <(start 3 web-only; apply a "$(entry a)"; synced 3 1)
	assert_equal "$output" ""
	refute_match "$stderr" 'nothing pruned'
}

@test "too many deletions are held, with status 3, until a person lets them go" {
	# shellcheck disable=SC2046
	snapshot 1 $(seq -f k%02.0f 1 25) | k8s-apply --dir "$D" >/dev/null
	once --dir "$D" < <(start 2; apply k01 "$(entry k01 new.consul)"; apply z "$(entry z)"; synced 2 2)
	assert_status 3
	assert_equal "$(grep -c ' held$' <<<"$output")" 24
	assert_match "$output" 'k01 configured$'
	assert_match "$output" '/z created$'
	refute_match "$output" 'deleted'
	assert_match "$stderr" 'msg="deletions held" source=dc1 keys=24 objects=24 .*--approve-deletes 24'

	once --dir "$D" --approve-deletes 23 < <(snapshot 3 k01 z)
	assert_status 3
	refute_match "$output" 'deleted'
	once --dir "$D" --approve-deletes 24 < <(snapshot 4 k01 z)
	assert_status 0
	assert_equal "$(grep -c ' deleted$' <<<"$output")" 24
	assert_equal "$(find "$D/dc1" -name '*.yaml' | wc -l)" 2
}

@test "held deletions are released in a running process by a file" {
	continuous
	snapshot 1 a b c >&"$in"
	wait_for 10 has_line "$T/k8s-apply.out" '/c created'
	snapshot 2 >&"$in"
	wait_for 10 lines_are "$T/k8s-apply.out" ' held$' 3
	echo 2 >"$D/.meshpipe/approve-deletes"
	wait_for 10 has_line "$T/k8s-apply.err" 'approved for fewer keys than are held'
	[ -e "$D/dc1/a.yaml" ]
	echo 3 >"$D/.meshpipe/approve-deletes"
	wait_for 10 lines_are "$T/k8s-apply.out" ' deleted$' 3
	[ ! -e "$D/.meshpipe/approve-deletes" ]
	end_of_input
	wait_exit k8s-apply
	assert_status 0
}

@test "a hold that grows says so, and what releases it" {
	continuous
	# shellcheck disable=SC2046
	snapshot 1 $(seq -f k%02.0f 1 30) >&"$in"
	wait_for 10 has_line "$T/k8s-apply.out" '/k30 created'
	local i
	for i in $(seq -f k%02.0f 1 23); do
		apply "$i"
	done >"$T/gone"
	cat "$T/gone" >&"$in"
	wait_for 10 has_line "$T/k8s-apply.err" 'msg="deletions held" source=dc1 keys=1 objects=1 '
	wait_for 10 has_line "$T/k8s-apply.err" 'msg="deletions held" keys=3 objects=3 .*--approve-deletes 3,'
	end_of_input
	wait_exit k8s-apply
	assert_status 3
	assert_equal "$(grep -c ' deleted$' "$T/k8s-apply.out")" 20
	assert_equal "$(grep -c 'deletions held' "$T/k8s-apply.err")" 2
}

@test "an approval from before does not release a later hold" {
	continuous
	snapshot 1 a b c >&"$in"
	wait_for 10 has_line "$T/k8s-apply.out" '/c created'
	echo 100 >"$D/.meshpipe/approve-deletes"
	snapshot 2 >&"$in"
	wait_for 10 lines_are "$T/k8s-apply.out" ' held$' 3
	stays 1.5 test -e "$D/dc1/a.yaml"
	# What is wanted again is simply wanted again.
	snapshot 3 a b c >&"$in"
	wait_for 10 has_line "$T/k8s-apply.err" 'no deletions are held any more'
	end_of_input
	wait_exit k8s-apply
	assert_status 0
	refute_match "$(cat "$T/k8s-apply.out")" deleted
}

@test "one object, two keys: who has it keeps it, then the other gets it" {
	once --dir "$D" < <(
		apply b "$(entry shared b)"
		apply a "$(entry shared a)"
		apply a "$(entry shared a)"
	)
	assert_status 1
	assert_equal "$output" "serviceentry.networking.istio.io/shared created
serviceentry.networking.istio.io/shared conflict: 'dc1/b' has it"
	once --dir "$D" < <(apply a "$(entry shared a)"; apply b "$(entry own)")
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/shared conflict: 'dc1/b' has it
serviceentry.networking.istio.io/own created
serviceentry.networking.istio.io/shared configured"
	assert_match "$(cat "$D/dc1/a.yaml")" 'name: shared'
	refute_match "$(cat "$D/dc1/b.yaml")" 'name: shared'
}

@test "an object that is no object costs itself, not its neighbours" {
	once --dir "$D" < <(
		apply a "$(entry good)" "$(entry bad)"
		apply a "$(entry good new)" '{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"bad"},"spec":{"n":1e300}}'
		apply b "$(entry other)"
		apply b '{"kind":"Nameless"}'
	)
	assert_status 1
	assert_equal "$output" "serviceentry.networking.istio.io/bad created
serviceentry.networking.istio.io/good created
serviceentry.networking.istio.io/bad failed: spec.n is a number that cannot be kept exactly (write it as a string)
serviceentry.networking.istio.io/good configured
serviceentry.networking.istio.io/other created"
	assert_match "$stderr" 'level=warn msg="failed: nothing of this key is deleted" source=dc1 key=b'
	assert_match "$(cat "$D/dc1/a.yaml")" 'name: bad'
	assert_match "$(cat "$D/dc1/b.yaml")" 'name: other'
}

@test "a line that cannot be read is named, and ends it only under --strict" {
	once --dir "$D" < <(apply a "$(entry a)"; echo '{"type":"apply"'; apply b "$(entry b)")
	assert_status 1
	assert_match "$stderr" 'msg="cannot read input" error="stdin:2: not JSON: '
	assert_equal "$(wc -l <<<"$output")" 2

	once --dir "$D" --strict < <(apply c "$(entry c)"; echo '{"type":"apply"}'; apply d "$(entry d)")
	assert_status 65
	assert_match "$stderr" "level=error msg=\"stdin:2: a record without 'source'\""
	assert_equal "$output" "serviceentry.networking.istio.io/c created"
	[ ! -e "$D/dc1/d.yaml" ]
}

@test "unknown records and fields are nothing" {
	once --dir "$D" --strict < <(
		echo '{"type":"status","program":"consul-watch","source":"dc1","state":"connected"}'
		echo '{"type":"from-the-future","x":[1]}'
		echo
		apply a "$(entry a)" | sed 's/"keep"/"more":{},"keep"/'
	)
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/a created"
}

@test "--once ends at synced, while the input is still open" {
	continuous --once
	snapshot 1 a >&"$in"
	wait_exit k8s-apply
	assert_status 0
	end_of_input

	once --dir "$D" --once < <(start 2; apply a "$(entry a)")
	assert_status 69
	assert_match "$stderr" "level=error msg=\"the input ended before 'synced'\""
}

@test "SIGTERM ends it with status 0" {
	continuous
	start 1 >&"$in"
	apply a "$(entry a)" >&"$in"
	wait_for 10 has_line "$T/k8s-apply.out" created
	kill -TERM "$(<"$T/k8s-apply.pid")"
	wait_exit k8s-apply
	assert_status 0
	end_of_input
}

@test "when nobody reads its output any more it ends with status 74" {
	mkfifo "$T/out" "$T/in"
	spawn reader bash -c 'read -r line <"$0"' "$T/out"
	spawn k8s-apply bash -c 'exec k8s-apply --dir "$2" <"$0" >"$1"' "$T/in" "$T/out" "$D"
	exec {in}>"$T/in"
	apply a "$(entry a)" >&"$in"
	wait_exit k8s-apply
	assert_status 74
	assert_match "$(cat "$T/k8s-apply.err")" 'level=error msg="nobody reads our output"'
	[ -e "$D/dc1/a.yaml" ]
	end_of_input
}

@test "a reader that leaves in the middle, and a full disk for the output: 74" {
	many 3000 x >"$T/records"
	run bash -c 'k8s-apply --dir "$0" <"$1" 2>"$2/err" | head -n 1; exit "${PIPESTATUS[0]}"' "$D" "$T/records" "$T"
	assert_status 74
	assert_equal "$output" "serviceentry.networking.istio.io/k1 created"
	assert_match "$(cat "$T/err")" 'level=error msg="nobody reads our output"'
	[ -w /dev/full ] || return 0
	rm -r "$D"
	run --separate-stderr bash -c 'k8s-apply --dir "$0" <"$1" >/dev/full' "$D" "$T/records"
	assert_status 74
	assert_match "$stderr" 'level=error msg="cannot write output: No space left on device"'
}

@test "-o json is a record a result, -o name the names" {
	once --dir "$D" -n mesh -o json < <(apply student "$(entry a)")
	assert_status 0
	assert_equal "$(jq -c 'del(.delay_ms)' <<<"$output")" \
		'{"action":"created","apiVersion":"networking.istio.io/v1","at":1732345678901,"key":"student","kind":"ServiceEntry","name":"a","namespace":"mesh","source":"dc1","type":"result"}'
	jq -e '.delay_ms > 0' <<<"$output"
	once --dir "$D" -n mesh -o name < <(apply student "$(entry b)")
	assert_equal "$output" "serviceentry.networking.istio.io/b
serviceentry.networking.istio.io/a"
}

@test "a dry run says what would be done, and does nothing" {
	once --dir "$D" --dry-run=client < <(snapshot 1 a b)
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/a created (dry run)
serviceentry.networking.istio.io/b created (dry run)"
	[ ! -e "$D" ]

	snapshot 1 a b | k8s-apply --dir "$D" >/dev/null
	local before
	before=$(fingerprint; cat "$D/.meshpipe/sources")
	once --dir "$D" --dry-run=client < <(start 2; apply a "$(entry a new)"; apply c "$(entry c)"; synced 2 2)
	assert_equal "$output" "serviceentry.networking.istio.io/a configured (dry run)
serviceentry.networking.istio.io/c created (dry run)
serviceentry.networking.istio.io/b deleted (dry run)"
	assert_equal "$(fingerprint; cat "$D/.meshpipe/sources")" "$before"
}

# --- the person's words

@test "while it is frozen nothing is written, afterwards all of it" {
	continuous
	start 1 >&"$in"
	apply a "$(entry a)" >&"$in"
	wait_for 10 has_line "$T/k8s-apply.out" 'a created'
	touch "$D/.meshpipe/freeze"
	apply a "$(entry a one)" >&"$in"
	apply b "$(entry b)" >&"$in"
	apply a "$(entry a two)" >&"$in"
	wait_for 10 has_line "$T/k8s-apply.err" 'frozen: nothing is written'
	stays 1 test ! -e "$D/dc1/b.yaml"
	rm "$D/.meshpipe/freeze"
	wait_for 10 has_line "$T/k8s-apply.out" 'b created'
	assert_match "$(cat "$D/dc1/a.yaml")" two
	assert_equal "$(grep -c configured "$T/k8s-apply.out")" 1
	end_of_input
	wait_exit k8s-apply
	assert_status 0

	touch "$D/.meshpipe/freeze"
	once --dir "$D" < <(apply c "$(entry c)")
	assert_status 3
	assert_match "$stderr" 'msg="frozen: not everything is written" objects=1'
	[ ! -e "$D/dc1/c.yaml" ]
}

@test "an object whose reconcile is disabled is left alone" {
	apply a "$(entry a)" "$(entry b)" | k8s-apply --dir "$D" >/dev/null
	sed -i '0,/^metadata:/s//metadata:\n  annotations:\n    meshpipe.io\/reconcile: disabled/' "$D/dc1/a.yaml"
	once --dir "$D" < <(apply a "$(entry a new)" "$(entry b new)")
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/a skipped: 'meshpipe.io/reconcile' is 'disabled' on it
serviceentry.networking.istio.io/b configured"
	refute_match "$(sed '/^---/,$d' "$D/dc1/a.yaml")" new
}

@test "a source that is not named any more is told of, and pruned on request" {
	snapshot 1 a b | k8s-apply --dir "$D" >/dev/null
	other() { snapshot 1 c | sed 's/"dc1"/"dc2"/'; }
	once --dir "$D" < <(other)
	assert_status 0
	assert_match "$stderr" 'msg="a source is not named any more" source=dc1 objects=2 .*--prune-source'
	once --dir "$D" --prune-source dc1 < <(other)
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/a deleted
serviceentry.networking.istio.io/b deleted"
	once --dir "$D" --prune-source dc2 < <(other)
	assert_status 1
	assert_equal "$output" ""
	assert_match "$stderr" 'source not pruned: it is unknown, or in use'
}

# --- manifests

@test "plain manifests, in YAML, in lines of JSON, pretty JSON and lists" {
	cat >"$T/two.yaml" <<-'END'
		# two of them
		apiVersion: v1
		kind: ConfigMap
		metadata:
		  name: one
		data:
		  answer: "no"
		---
		apiVersion: v1
		kind: Namespace
		metadata: {name: mesh}
	END
	once --dir "$D" -n mesh -f "$T/two.yaml"
	assert_status 0
	assert_equal "$output" "configmap/one created
namespace/mesh created"
	assert_match "$(cat "$D/manifests/mesh%2Fconfigmap%2Fone.yaml")" 'answer: "no"'
	refute_match "$(cat "$D/manifests/namespace%2Fmesh.yaml")" 'namespace:'

	once --dir "$D" -n mesh < <(entry a; echo; entry b)
	assert_equal "$output" "serviceentry.networking.istio.io/a created
serviceentry.networking.istio.io/b created"
	once --dir "$D" -n mesh < <(entry a | jq .; entry c | jq .)
	assert_equal "$output" "serviceentry.networking.istio.io/a unchanged
serviceentry.networking.istio.io/c created"
	once --dir "$D" -n mesh -f - < <({ entry a; entry d; } | jq -s '{apiVersion: "v1", kind: "List", items: .}')
	assert_equal "$output" "serviceentry.networking.istio.io/a unchanged
serviceentry.networking.istio.io/d created"
	# They are not pruned by their absence, nor by anybody's snapshot.
	once --dir "$D" -n mesh -f "$T/two.yaml"
	assert_equal "$output" "configmap/one unchanged
namespace/mesh unchanged"
	once --dir "$D" < <(snapshot 1 x)
	assert_equal "$output" "serviceentry.networking.istio.io/x created"
	assert_equal "$(find "$D/manifests" -name '*.yaml' | wc -l)" 6
}

@test "what a server has set is not part of a manifest" {
	entry a | k8s-apply --dir "$D" >/dev/null
	once --dir "$D" < <(entry a | jq -c '.metadata += {uid: "x", resourceVersion: "7", generation: 2,
		creationTimestamp: "2024-01-01T00:00:00Z", managedFields: []} | .status = {ok: true}')
	assert_equal "$output" "serviceentry.networking.istio.io/a unchanged"
}

@test "a name with a NUL in it is not taken for what a server has set: the object is refused" {
	once --dir "$D" <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","uid\u0000x":"1"},"status\u0000x":{}}'
	assert_status 1
	assert_equal "$output" 'configmap/a failed: metadata holds a NUL character'
}

@test "several files are read in turn" {
	entry a >"$T/a.json"
	entry b >"$T/b.json"
	once --dir "$D" -f "$T/a.json" -f - -f "$T/b.json" < <(entry c)
	assert_status 0
	assert_equal "$output" "serviceentry.networking.istio.io/a created
serviceentry.networking.istio.io/c created
serviceentry.networking.istio.io/b created"
}

@test "YAML that cannot be read is named by line and column" {
	printf 'apiVersion: v1\nkind: [\n' >"$T/bad.yaml"
	once --dir "$D" -f "$T/bad.yaml"
	assert_status 1
	assert_equal "$output" ""
	assert_match "$stderr" 'msg="cannot read input" error="/.*/bad.yaml:3:1: '
	printf 'apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\nkind: B\n' >"$T/half.yaml"
	once --dir "$D" -f "$T/half.yaml"
	assert_status 1
	assert_equal "$output" "a/a created"
	assert_match "$stderr" "half.yaml: document 2: neither a record nor a manifest"
}

@test "records behind a line of garbage are still records" {
	continuous
	echo "something: else" >&"$in"
	apply a "$(entry a)" >&"$in"
	wait_for 10 has_line "$T/k8s-apply.out" 'a created'
	assert_match "$(cat "$T/k8s-apply.err")" 'stdin:2: neither records nor a manifest before this line'
	end_of_input
	wait_exit k8s-apply
	assert_status 1
}

# --- the directory
