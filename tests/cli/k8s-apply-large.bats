# k8s-apply and input of odd size and shape: fault scenario 32.
# shellcheck disable=SC2154 # some variables come from bats
load ../lib

setup() {
	common_setup
	D=$T/D
}

# measure OPTION...: one run on the records of the standard input, its peak of memory in $peak_mb.
measure() {
	run --separate-stderr timeout -k 5 240 python3 -c '
import resource, subprocess, sys
status = subprocess.run(["k8s-apply"] + sys.argv[2:]).returncode
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024))
sys.exit(status)' "$T/peak" "$@"
	peak_mb=$(<"$T/peak")
	echo "$peak_mb MB"
}

# A sanitizer has memory of its own.
peak_is_below() { # MB
	is_sanitized || [ "$peak_mb" -lt "$1" ]
}

records() { # PYTHON-EXPRESSION of an iterable of texts
	python3 -c '
import json, sys
def apply(key, *objects):
    return json.dumps({"type": "apply", "source": "dc1", "key": key, "objects": objects}) + "\n"
def entry(name, **spec):
    return {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": {"name": name, "namespace": "mesh"}, "spec": {"address": "10.0.0.1", **spec}}
for text in eval(sys.argv[1]):
    sys.stdout.buffer.write(text if isinstance(text, bytes) else text.encode())' "$1"
}

@test "scenario 32: 200,000 objects in one line are all taken, in bounded memory" {
	local count=200000
	! is_sanitized || count=10000
	measure --dir "$D" --dry-run=client < <(records "[apply('all', *(entry(f'w{i}') for i in range($count)))]")
	assert_status 0
	[ "$(wc -l <<<"$output")" -eq "$count" ]
	assert_equal "$(tail -n 1 <<<"$output" | sed 's/w[0-9]* /w /')" 'workloadentry.networking.istio.io/w created (dry run)'
	peak_is_below 900
}

@test "scenario 32: a line of 10 MB is a line like any other; one of more than 64 MiB is named and costs only itself" {
	measure --dir "$D" < <(records "[apply('a', entry('a', text='x' * 10_000_000)), apply('b', entry('b'))]")
	assert_status 0
	assert_equal "$output" $'workloadentry.networking.istio.io/a created\nworkloadentry.networking.istio.io/b created'
	[ "$(stat -c %s "$D/dc1/a.yaml")" -gt 10000000 ]
	peak_is_below 250

	measure --dir "$D" < <(records "[*(['x' * 1_000_000] * 100), '\n', apply('c', entry('c'))]")
	assert_status 1
	assert_one_line "$stderr"
	assert_match "$stderr" 'level=warn msg="cannot read input" error="stdin:1: longer than 67108864 bytes'
	assert_equal "$output" 'workloadentry.networking.istio.io/c created'
	peak_is_below 250
}

@test "scenario 32: a line that comes in pieces is one line, whatever the pieces" {
	records "[apply('a', entry('a', text='\u00e4\U0001F600' * 50)), apply('b', entry('b'))]" >"$T/records"
	python3 -c '
import os, sys, time
data = open(sys.argv[1], "rb").read()
for i in range(0, len(data), 7):
    os.write(1, data[i:i + 7])
    time.sleep(0.0005)' "$T/records" | timeout 60 k8s-apply --dir "$D" >"$T/out"
	assert_equal "$(<"$T/out")" $'workloadentry.networking.istio.io/a created\nworkloadentry.networking.istio.io/b created'
	timeout 60 k8s-apply --dir "$T/whole" <"$T/records" >/dev/null
	diff -r "$D/dc1" "$T/whole/dc1"
}

@test "scenario 32: a NUL byte is named and costs only its line or its object" {
	measure --dir "$D" < <(records "[apply('a', entry('a')).encode().replace(b'10.0.0.1', b'10.0\0.0.1'), apply('b', entry('b'))]")
	assert_status 1
	assert_one_line "$stderr"
	assert_match "$stderr" 'level=warn msg="cannot read input" error="stdin:1: '
	assert_equal "$output" 'workloadentry.networking.istio.io/b created'
	measure --dir "$D" < <(records "[apply('c', entry('c', text='a\0b'), entry('d'))]")
	assert_status 1
	assert_match "$output" '^workloadentry\.networking\.istio\.io/c failed: .*NUL'
	assert_match "$output" '^workloadentry\.networking\.istio\.io/d created$'
}
