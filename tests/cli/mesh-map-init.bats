#!/usr/bin/env bats
# mesh-map init as a user meets it.
# shellcheck disable=SC2016,SC2154 # the text of bash -c; bats sets stderr

load ../lib

# refused DIR MESSAGE: status 71, one line, and nothing below $T/w has changed.
refused() {
	listing >"$T/before"
	run --separate-stderr mesh-map init "$1"
	assert_status 71
	assert_equal "$output" ""
	assert_one_line "$stderr"
	assert_match "$stderr" "$2"
	listing | diff "$T/before" -
}

listing() {
	find "$T/w" -printf '%p %y %s %T@\n' | sort
}

@test "init copies everything that ships, and says what to do with it" {
	run --separate-stderr mesh-map init "$T/mine"
	assert_status 0
	assert_equal "$stderr" ""
	for file in "$REPO"/mesh-map/filters/*; do
		cmp "$file" "$T/mine/${file##*/}"
		assert_match "${lines[0]}" " ${file##*/}( |\$)"
	done
	assert_equal "$(find "$T/mine" -type f | wc -l)" "$(find "$REPO/mesh-map/filters" -type f | wc -l)"
	assert_match "$output" "^  mesh-map test $T/mine\$"
}

@test "what init made works as it said: its tests pass, and its programs map" {
	mesh-map init "$T/mine" >/dev/null
	cd "$T/mine"
	run mesh-map test .
	assert_status 0
	assert_match "$output" '^[1-9][0-9]* passed, 0 failed$'
	echo '{"type":"service","source":"dc1","service":"web","instances":[]}' >"$T/in"
	assert_equal "$(mesh-map -f workload-entries.jq --config mesh.yaml <"$T/in")" "$(mesh-map <"$T/in")"
}

@test "its test fails when the mapping is changed, and --accept takes the change" {
	mesh-map init "$T/mine" >/dev/null
	cd "$T/mine"
	sed -i 's/^#namespace: null/namespace: mesh/' mesh.yaml
	run mesh-map test .
	assert_status 1
	run mesh-map test --accept .
	run mesh-map test .
	assert_status 0
}

@test "the configuration that init makes has every key, commented out, with its default" {
	mesh-map init "$T/mine" >/dev/null
	assert_equal "$(grep -v '^#' "$T/mine/mesh.yaml" | sort -u)" ""
	# The lines without a blank behind the # are the keys.
	sed 's/^#\([A-Za-z]\)/\1/' "$T/mine/mesh.yaml" >"$T/all.yaml"
	assert_equal "$(grep -oE '^[A-Za-z]+' "$T/all.yaml")" "$(mesh-map --print-config | grep -oE '^[A-Za-z]+')"
	# No value hides what the file says: each is given, and is the default.
	mesh-map --print-config >"$T/defaults"
	mesh-map --print-config --config "$T/all.yaml" | diff "$T/defaults" -
	[ "$(grep -c ': null$' "$T/all.yaml")" -eq "$(grep -c ': null$' "$T/defaults")" ]
	# A line or more before each says what it is.
	awk '/^#[A-Za-z]/ && before !~ /^# / { print "nothing explains " $0; wrong = 1 } { before = $0 }
		END { exit wrong }' "$T/mine/mesh.yaml"
}

@test "the examples in its comments are valid" {
	mesh-map init "$T/mine" >/dev/null
	# "#   ports: [...]" above "#ports: null"; each key once, so that all of them are one file.
	sed -n 's/^#   \( *[^ ]*:\)/\1/p' "$T/mine/mesh.yaml" >"$T/examples.yaml"
	[ "$(grep -c '^[a-z]' "$T/examples.yaml")" -ge 8 ]
	mesh-map --config "$T/examples.yaml" </dev/null
}

@test "an empty directory that is there is taken" {
	mkdir "$T/mine"
	mesh-map init "$T/mine/" >/dev/null
	[ -e "$T/mine/mesh.yaml" ]
}

@test "nothing is overwritten, and what cannot be made is said" {
	local w=$T/w
	mkdir -p "$w/full" "$w/hidden"
	echo mine >"$w/full/mesh.yaml"
	echo mine >"$w/hidden/.keep"
	echo mine >"$w/file"
	ln -s nowhere "$w/link"
	refused "$w/full" "'$w/full' is not empty, and nothing is overwritten: name a new directory"
	refused "$w/hidden" 'is not empty'
	refused "$w/file" "cannot use '$w/file': Not a directory"
	refused "$w/link" "cannot use '$w/link': No such file or directory"
	refused "$w/none/mine" "cannot make directory '$w/none/mine': No such file or directory"
	refused "" "cannot make directory '': No such file or directory"
}

@test "where there is no room for all of it, nothing is left" {
	# Files of at most 4 blocks: some fit, others do not.
	run --separate-stderr bash -c 'trap "" XFSZ; ulimit -f 4; exec mesh-map init "$0"' "$T/mine"
	assert_status 71
	assert_match "$stderr" "cannot write '$T/mine/[a-z.-]+': File too large"
	[ ! -e "$T/mine" ]
}

@test "usage" {
	for arguments in "" "a b"; do
		# shellcheck disable=SC2086 # none, or two
		run --separate-stderr mesh-map init $arguments
		assert_status 64
		assert_match "$stderr" 'give one directory: mesh-map init DIR'
	done
	run --separate-stderr mesh-map init --force "$T/mine"
	assert_status 64
	run --separate-stderr mesh-map init --help
	assert_status 0
	assert_match "$output" '^Usage: mesh-map init DIR$'
}

@test "an installed mesh-map has all that init copies" {
	make -s -C "$REPO" install BUILD="${MESHPIPE_BIN%/bin}" DESTDIR="$T/root" PREFIX=/usr
	"$T/root/usr/bin/mesh-map" init "$T/mine" >/dev/null
	diff -r "$REPO/mesh-map/filters" "$T/mine"
}
