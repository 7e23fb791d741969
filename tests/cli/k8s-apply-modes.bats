#!/usr/bin/env bats
# k8s-apply beside apply, with a directory: diff, --prune of manifests, a set that is taken down;
# and what -f may name. The same with a real API server is in tests/pipeline/cluster-modes.bats.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # bash -c gets its words as arguments; a test is a subshell

load ../lib

setup() {
	common_setup
	unset MESHPIPE_LOG_LEVEL MESHPIPE_LOG_FORMAT NO_COLOR
	M=$T/m
	mkdir "$M"
	cd "$T" || return
}

# entry NAME [CONTENT]: a manifest, one line.
entry() {
	printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"k":"%s"}}\n' "$1" "${2:-1}"
}

once() {
	run --separate-stderr timeout 20 k8s-apply "$@"
}

apply() { # NAME...: those are what there is
	local name
	for name; do entry "$name"; done | k8s-apply --dir D >/dev/null 2>&1
}

files() {
	(cd D && find . -name '*.yaml' | sort)
}

# --- usage

@test "options that do not go together are one line" {
	local options message
	while IFS='|' read -r options message; do
		# shellcheck disable=SC2086 # several words
		once $options
		assert_status 64
		assert_equal "$stderr" "k8s-apply: level=error msg=\"$message\""
	done <<-'END'
		--dir D diff|unexpected argument 'diff' (use -f for files; a command comes first)
		diff --dir D --dry-run=client|'diff' writes nothing: it takes no --dry-run
		diff --dir D --color=red|option '--color': 'red' is not auto, always or never
		--dir D --dry-run=server|--dry-run=server asks a cluster: with --dir it is --dry-run=client
		--dir D --yes|--yes is for 'delete'
		--dir D -R|--recursive is for folders (-f)
		--dir D -o yaml|option '--output': 'yaml' is not name, json or wide
		delete --dir D --yes|'delete' takes a whole set: name it with --set
		delete --dir D --set s|'delete' asks on a terminal, and there is none (--yes if it is meant)
		delete --dir D --set s --yes -f m|'delete' takes a whole set, and reads no -f
		delete --dir D --set s --yes --prune|'delete' takes a whole set, and no --prune
	END
	[ ! -e D ]
}

# --- diff

@test "diff shows new, changed and deleted objects in the order of the input, and writes nothing" {
	once diff --dir D < <(entry a)
	assert_status 3
	[ ! -e D ]
	apply a b
	once diff --dir D --prune < <(entry c; entry a 2)
	assert_status 3
	assert_equal "$stderr" ''
	assert_equal "$output" '--- /dev/null
+++ wanted/configmap/c
@@ -0,0 +1,6 @@
+apiVersion: v1
+kind: ConfigMap
+metadata:
+  name: c
+data:
+  k: "1"
--- live/configmap/a
+++ wanted/configmap/a
@@ -3,4 +3,4 @@
 metadata:
   name: a
 data:
-  k: "1"
+  k: "2"
--- live/configmap/b
+++ /dev/null
@@ -1,6 +0,0 @@
-apiVersion: v1
-kind: ConfigMap
-metadata:
-  name: b
-data:
-  k: "1"'
	assert_equal "$(files)" './manifests/configmap%2Fa.yaml
./manifests/configmap%2Fb.yaml'
	once diff --dir D < <(entry a)
	assert_status 0
	assert_equal "$output$stderr" ''
	# A person has stopped all writes: what would be written then is no secret.
	touch D/.meshpipe/freeze
	once diff --dir D < <(entry a 2)
	assert_status 3
	assert_match "$output" '^\+  k: "2"$'
}

@test "patch(1) takes a diff" {
	command -v patch >/dev/null || skip "no patch here"
	apply a
	sed 1d 'D/manifests/configmap%2Fa.yaml' >a.yaml
	once diff --dir D < <(entry a 'one\ntwo\nthree')
	patch a.yaml <<<"$output"
	once diff --dir D -f a.yaml
	assert_match "$output" '^\+  k: "one'
}

@test "diff is in colour on a terminal, unless somebody minds" {
	apply a
	entry a 2 >m/a.json
	run script -qec 'k8s-apply diff --dir D -f m' /dev/null
	assert_match "$output" $'^\033\\[32m\\+  k: "2"\033\\[0m'
	assert_match "$output" $'^\033\\[1m--- live/configmap/a'
	run env NO_COLOR=1 script -qec 'k8s-apply diff --dir D -f m' /dev/null
	refute_match "$output" $'\033'
	run script -qec 'k8s-apply diff --dir D -f m --color=never' /dev/null
	refute_match "$output" $'\033'
	once diff --dir D -f m
	refute_match "$output" $'\033'
	once diff --dir D -f m --color=always
	assert_match "$output" $'^\033\\[31m-  k: "1"\033\\[0m'
}

@test "diff of records ends at synced, and says what is held or left alone" {
	local name
	record() { printf '{"type":"apply","source":"dc1","key":"%s","objects":[%s],"keep":[]}\n' "$1" "$(entry "$1" "$2")"; }
	snapshot() {
		echo '{"type":"start","source":"dc1","snapshot":"'"$1"'","scope":"all"}'
		for name in "${@:2}"; do record "$name"; done
		echo '{"type":"synced","source":"dc1","snapshot":"'"$1"'","services":'$(($# - 1))'}'
	}
	k8s-apply --dir D < <(snapshot 1 a b) >/dev/null 2>&1
	once diff --dir D < <(snapshot 2; sleep 30)
	assert_status 3
	assert_equal "$output" '# configmap/a is not wanted any more; its deletion would be held
# configmap/b is not wanted any more; its deletion would be held'
	assert_match "$stderr" 'msg="deletions held" source=dc1 keys=2'
	sed -i 's/^  name: a$/&\n  annotations: {meshpipe.io\/reconcile: disabled}/' D/dc1/a.yaml
	once diff --dir D < <(snapshot 3 b a | sed 's/"k":"1"/"k":"2"/'; sleep 30)
	assert_status 3
	assert_match "$output" "^# configmap/a would be left as it is: 'meshpipe.io/reconcile' is 'disabled' on it"
	assert_match "$output" '^--- live/configmap/b$'
	refute_match "$output" '^--- live/configmap/a$'
}

@test "a reader of a long diff may take his time" {
	seq 3000 | while read -r i; do entry "object-$i" "$(printf '%0100d' "$i")"; done >many.json
	run bash -c 'k8s-apply diff --dir D -f many.json | { sleep 1; grep -c "^--- /dev/null"; }'
	assert_equal "$output" 3000
}

# --- --prune

@test "--prune deletes what the input does not name, if all of it could be read" {
	apply a b c
	once --dir D --prune < <(entry a; echo '{"kind":'; entry c)
	assert_status 1
	assert_match "$stderr" 'msg="nothing pruned" why="not all of the input could be read"'
	once --dir D --prune < <(entry a; entry 'B B'; entry c)
	assert_status 1
	assert_equal "$(files | wc -l)" 3
	# It may have been a Secret.
	once --dir D --prune < <(entry a; echo '{"type":"Opaque","metadata":{"name":"s"}}'; entry c)
	assert_status 1
	assert_match "$stderr" "stdin:2: no manifest: a 'type' of 'Opaque', but not 'apiVersion' and 'kind'"
	assert_match "$stderr" 'msg="nothing pruned" why="not all of the input could be read"'
	once --dir D --prune -o name < <(entry a; entry c)
	assert_status 0
	assert_equal "$output" 'configmap/a
configmap/c
configmap/b'
	assert_equal "$(files)" './manifests/configmap%2Fa.yaml
./manifests/configmap%2Fc.yaml'
	# Without it nothing goes, and nothing is remembered of it.
	once --dir D < <(entry a)
	assert_equal "$(files | wc -l)" 2
	[ ! -e D/.meshpipe/sources ]
}

@test "--prune never empties a set, nor takes much of it at once" {
	apply a b
	once --dir D --prune </dev/null
	assert_status 3
	assert_equal "$output" 'configmap/a held
configmap/b held'
	assert_match "$stderr" 'msg="deletions held" keys=2 objects=2 why="nothing would be left'
	once --dir D --prune --approve-deletes 2 </dev/null
	assert_status 0
	assert_equal "$(files)" ''
	# shellcheck disable=SC2046 # many words
	apply $(seq -f 'm%g' 60)
	once --dir D --prune < <(for i in {1..30}; do entry "m$i"; done)
	assert_status 3
	assert_match "$stderr" 'msg="deletions held" keys=30 '
	assert_equal "$(files | wc -l)" 60
}

@test "--prune is not for records" {
	once --dir D --prune <<<'{"type":"start","source":"dc1","snapshot":"1","scope":"all"}'
	assert_status 64
	assert_match "$stderr" "msg=\"--prune is for plain manifests: records \(of source 'dc1'\) prune by their 'synced'\""
}

# --- delete

@test "delete takes a set down, and nothing else" {
	apply a b
	entry other | k8s-apply --dir D --set second >/dev/null
	echo 'kind: Foreign' >D/manifests/foreign.yaml
	once delete --dir D --set meshpipe --dry-run=client
	assert_status 0
	assert_equal "$output" 'configmap/a deleted (dry run)
configmap/b deleted (dry run)'
	assert_equal "$(files | wc -l)" 4
	once delete --dir D --set meshpipe --yes
	assert_status 0
	assert_equal "$output" 'configmap/a deleted
configmap/b deleted'
	assert_equal "$(files)" './manifests/configmap%2Fother.yaml
./manifests/foreign.yaml'
	rm D/manifests/foreign.yaml
	once delete --dir D --set second --yes
	assert_status 0
	assert_equal "$(ls -A D)" ''
	apply a
	once delete --dir D --set second --yes --dry-run=client
	assert_status 1
	rm -r D/* D/.meshpipe
	once delete --dir D --set second --yes
	assert_status 1
	assert_one_line "$stderr"
	assert_match "$stderr" "there is no set 'second' in directory 'D'"
	assert_equal "$(ls -A D)" ''
	once delete --dir nowhere --set second --yes
	assert_status 1
	[ ! -e nowhere ]
}

@test "delete asks on a terminal, with what there is by kind" {
	apply a b
	printf '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}' | k8s-apply --dir D
	run script -qec 'k8s-apply delete --dir D --set meshpipe' /dev/null <<<no
	assert_status 0
	assert_match "$output" '^ +2  ConfigMap'
	assert_match "$output" '^ +1  Secret'
	assert_match "$output" "^delete 3 objects of set 'meshpipe' in directory 'D'\? \[y/N\] nothing is deleted"
	assert_equal "$(files | wc -l)" 3
	run script -qec 'k8s-apply delete --dir D --set meshpipe' /dev/null <<<YES
	assert_status 0
	assert_equal "$(ls -A D)" ''
}

@test "delete leaves what a person protects, and nothing while a person has frozen the set" {
	apply a b
	touch D/.meshpipe/freeze
	once delete --dir D --set meshpipe --yes
	assert_status 3
	assert_match "$stderr" 'frozen'
	assert_equal "$(files | wc -l)" 2
	rm D/.meshpipe/freeze
	sed -i 's/^  name: a$/&\n  annotations: {meshpipe.io\/reconcile: disabled}/' 'D/manifests/configmap%2Fa.yaml'
	once delete --dir D --set meshpipe --yes
	assert_status 1
	assert_equal "$(sort <<<"$output")" "configmap/a skipped: 'meshpipe.io/reconcile' is 'disabled' on it
configmap/b deleted"
	assert_equal "$(files)" './manifests/configmap%2Fa.yaml'
	[ -e D/.meshpipe/lock ]
}

# --- what -f names

@test "a folder stands for its manifests, sorted, and with -R for those of its folders" {
	mkdir -p m/sub m/.hidden
	entry b >m/b.json
	printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n' | tee m/a.yaml | sed 's/: a/: c/' >m/c.yml
	{ entry e; entry f; } >m/d.ndjson
	entry s >m/sub/s.json
	entry x | tee m/x.txt m/.x.json m/.hidden/x.json >m/x.json~
	entry last >last.json
	once --dir D -f m -f last.json -o name
	assert_status 0
	assert_equal "$(xargs <<<"$output")" 'configmap/a configmap/b configmap/c configmap/e configmap/f configmap/last'
	once --dir D2 -f m/ -R -f - -o name < <(entry in)
	assert_equal "$(xargs <<<"$output")" \
		'configmap/a configmap/b configmap/c configmap/e configmap/f configmap/s configmap/in'
}

@test "a file or folder that is not there, or has nothing to read, is one line" {
	mkdir -p m/sub empty
	entry a >m/sub/a.json
	once --dir D -f m
	assert_status 64
	assert_equal "$stderr" "k8s-apply: level=error msg=\"nothing to read in 'm': no file there ends in .yaml, .yml, .json or .ndjson (--recursive looks into its folders, too)\""
	once --dir D -R -f empty
	assert_status 64
	assert_one_line "$stderr"
	once --dir D -f m/sub -f nowhere
	assert_status 64
	assert_equal "$stderr" "k8s-apply: level=error msg=\"cannot open 'nowhere': No such file or directory\""
	[ ! -e D ]
}

@test "thousands of files need no descriptor each" {
	ulimit -n 64
	for i in {1..200}; do entry "a$i" >"m/$i.json"; done
	once --dir D -f m
	assert_status 0
	assert_equal "$(files | wc -l)" 200
}

# --- the directory as others read it

@test "whoever reads the directory never sees a part of a file, and only what changed is touched" {
	local before
	seq 400 | while read -r i; do entry "o$i" "$(printf '%03000d' 0)"; done >one.json
	sed 's/0000"/1111"/' one.json >two.json
	k8s-apply --dir D -f one.json >/dev/null 2>&1
	spawn reader bash -c '
		while [ ! -e stop ]; do
			for file in D/manifests/*.yaml; do
				tail -n 1 "$file" | grep -qE "(0000|1111)\"$" || echo "part of $file"
			done
		done'
	for _ in 1 2 3; do
		k8s-apply --dir D -f two.json >/dev/null 2>&1
		k8s-apply --dir D -f one.json >/dev/null 2>&1
	done
	touch stop
	wait_for 20 ended reader
	assert_equal "$(cat reader.out reader.err)" ''
	before=$(find D/manifests -printf '%P %i %T@ %C@\n' | sort)
	{ entry o7 new; grep -v '"o7"' one.json; } | k8s-apply --dir D >/dev/null 2>&1
	assert_equal "$(diff <(echo "$before") <(find D/manifests -printf '%P %i %T@ %C@\n' | sort) |
		awk '/^>/ && NF > 4 { print $2 }')" 'configmap%2Fo7.yaml'
}
