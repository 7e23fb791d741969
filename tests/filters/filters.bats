#!/usr/bin/env bats
# The filters that ship, run by mesh-map and by stock jq. What is tested stands in *.test and cases/:
# adding a test means adding three lines or a folder.

bats_require_minimum_version 1.5.0

setup() {
	bin=$(cd "$BATS_TEST_DIRNAME/../.." && realpath "${MESHPIPE_BIN:-build/bin}")
	export MESHPIPE_BIN=$bin
	cd "$BATS_TEST_DIRNAME" || return
}

# made_of RECORDS: the default program's apply records
made_of() {
	"$bin/mesh-map" <"$1"
}

@test "functions: names" {
	./run-test names.test
}

@test "functions: hosts, selectors, localities, settings" {
	./run-test hosts.test
}

@test "functions: ports and protocols" {
	./run-test ports.test
}

@test "functions: addresses" {
	./run-test addresses.test
}

@test "functions: health, weights, why an instance is left out" {
	./run-test health.test
}

@test "functions: labels" {
	./run-test labels.test
}

@test "no .test file is forgotten" {
	for file in *.test; do
		grep -qF "./run-test $file" filters.bats || {
			echo "'$file' is run by no test"
			return 1
		}
	done
}

@test "whole programs: every case gives what was recorded" {
	./run-test cases/*
}

@test "what run-test compares can fail" {
	mkdir "$BATS_TEST_TMPDIR/case"
	cp cases/example/input.ndjson "$BATS_TEST_TMPDIR/case"
	sed 's/10\.0\.0\.3/10.0.0.4/' cases/example/expected.ndjson >"$BATS_TEST_TMPDIR/case/expected.ndjson"
	run -1 ./run-test "$BATS_TEST_TMPDIR/case"
	[[ $output == *"mesh-map differs"* ]]
	[[ $output == *"stock jq differs"* ]]

	printf '1 + 1\nnull\n3\n' >"$BATS_TEST_TMPDIR/wrong.test"
	run -1 ./run-test "$BATS_TEST_TMPDIR/wrong.test"
	[[ $output == *"mesh-map differs"* ]]
	[[ $output == *"stock jq differs"* ]]
	[[ $output == *"1 run, 2 wrong"* ]]
}

@test "odd catalogues: every object is one that Istio and Kubernetes take" {
	./odd-records 1 1500 >"$BATS_TEST_TMPDIR/records"
	made_of "$BATS_TEST_TMPDIR/records" >"$BATS_TEST_TMPDIR/applies"
	./check-objects "$BATS_TEST_TMPDIR/records" "$BATS_TEST_TMPDIR/applies"
}

@test "odd catalogues: mesh-map and stock jq make the same" {
	./odd-records 2 500 >"$BATS_TEST_TMPDIR/records"
	made_of "$BATS_TEST_TMPDIR/records" | jq -cS '.objects[]' >"$BATS_TEST_TMPDIR/ours"
	"${JQ:-jq}" -cS -L ../../mesh-map/filters --argjson config '{}' -f ../../mesh-map/filters/workload-entries.jq \
		"$BATS_TEST_TMPDIR/records" >"$BATS_TEST_TMPDIR/theirs"
	[ -s "$BATS_TEST_TMPDIR/ours" ]
	cmp "$BATS_TEST_TMPDIR/ours" "$BATS_TEST_TMPDIR/theirs"
}

@test "odd catalogues: the order of instances and tags does not matter" {
	./odd-records 3 500 >"$BATS_TEST_TMPDIR/records"
	./odd-records 3 500 --shuffle >"$BATS_TEST_TMPDIR/shuffled"
	run ! cmp -s "$BATS_TEST_TMPDIR/records" "$BATS_TEST_TMPDIR/shuffled"
	made_of "$BATS_TEST_TMPDIR/records" >"$BATS_TEST_TMPDIR/one"
	made_of "$BATS_TEST_TMPDIR/shuffled" >"$BATS_TEST_TMPDIR/other"
	[ -s "$BATS_TEST_TMPDIR/one" ]
	cmp "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/other"
}

@test "odd catalogues: health, tags, meta and weights of instances leave the ServiceEntry as it was" {
	./odd-records 4 1000 >"$BATS_TEST_TMPDIR/records"
	./odd-records 4 1000 --sicken >"$BATS_TEST_TMPDIR/sick"
	for name in records sick; do
		made_of "$BATS_TEST_TMPDIR/$name" >"$BATS_TEST_TMPDIR/$name.out"
		jq -cS '.objects[] | select(.kind == "ServiceEntry")' "$BATS_TEST_TMPDIR/$name.out" >"$BATS_TEST_TMPDIR/$name.entries"
	done
	run ! cmp -s "$BATS_TEST_TMPDIR/records.out" "$BATS_TEST_TMPDIR/sick.out"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/records.entries")" -eq 1000 ]
	cmp "$BATS_TEST_TMPDIR/records.entries" "$BATS_TEST_TMPDIR/sick.entries"
}

@test "the programs need no file but the module, and stock jq can read them where they lie" {
	for program in ../../mesh-map/filters/*.jq; do
		env -i PATH="$PATH" jq -L ../../mesh-map/filters --argjson config '{}' -c -f "$program" </dev/null
	done
}

@test "the manual names every function of the module, and no other" {
	grep -oE '^def [a-z][a-z0-9_]*' ../../mesh-map/filters/meshpipe.jq | cut -d' ' -f2 | sort -u >"$BATS_TEST_TMPDIR/module"
	grep -oE 'Fn [a-z0-9_]+' ../../docs/meshpipe-filters.7 | cut -d' ' -f2 | sort -u >"$BATS_TEST_TMPDIR/manual"
	[ -s "$BATS_TEST_TMPDIR/module" ]
	diff "$BATS_TEST_TMPDIR/module" "$BATS_TEST_TMPDIR/manual"
}

# slices FILE: the EndpointSlices of one service of 2,500 instances, changed by the jq program $2
slices() {
	jq -nc '{type: "service", source: "dc1", service: "web", instances: [range(2500)
		| {uid: ("\(. * 7919 % 10000 + 10000)" + "00000000000" | .[1:]), port: 80, status: "passing",
		   address: "10.0.\(. / 250 | floor).\(. % 250)"}]}' |
		jq -c "$2" | "$bin/mesh-map" -f kubernetes-service.jq |
		jq -cS '.objects[] | select(.kind == "EndpointSlice")' >"$1"
}

@test "kubernetes-service.jq: no slice has over 1,000 endpoints, and one instance changes one of them" {
	cd "$BATS_TEST_TMPDIR"
	slices all .
	slices sick '.instances[1234].status = "critical"'
	slices fewer 'del(.instances[77])'
	[ "$(jq -s 'map(.endpoints | length) | max <= 1000 and add == 2500' all)" = true ]
	[ "$(diff all sick | grep -c '^<')" -eq 1 ]
	[ "$(diff all sick | grep -c '^>')" -eq 1 ]
	[ "$(diff all fewer | grep -c '^<')" -eq 1 ]
	[ "$(diff all fewer | grep -c '^>')" -eq 1 ]
}

@test "odd catalogues: the other programs make the same in stock jq, in any order, whatever the health" {
	./odd-records 5 300 >"$BATS_TEST_TMPDIR/records"
	./odd-records 5 300 --shuffle >"$BATS_TEST_TMPDIR/shuffled"
	for program in subsets kubernetes-service; do
		"$bin/mesh-map" -f "$program.jq" <"$BATS_TEST_TMPDIR/records" | jq -cS '.objects[]' >"$BATS_TEST_TMPDIR/ours"
		"$bin/mesh-map" -f "$program.jq" <"$BATS_TEST_TMPDIR/shuffled" | jq -cS '.objects[]' >"$BATS_TEST_TMPDIR/other"
		"${JQ:-jq}" -cS -L ../../mesh-map/filters --argjson config '{}' -f "../../mesh-map/filters/$program.jq" \
			"$BATS_TEST_TMPDIR/records" >"$BATS_TEST_TMPDIR/theirs"
		[ -s "$BATS_TEST_TMPDIR/ours" ]
		cmp "$BATS_TEST_TMPDIR/ours" "$BATS_TEST_TMPDIR/theirs"
		cmp "$BATS_TEST_TMPDIR/ours" "$BATS_TEST_TMPDIR/other"
	done
}
