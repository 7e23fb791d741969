# What the files share that feed records to k8s-apply and look at the directory that it keeps: $D.
# shellcheck shell=bash disable=SC2016 # bash -c gets its words as arguments

load ../lib

setup() {
	common_setup
	unset MESHPIPE_LOG_LEVEL MESHPIPE_LOG_FORMAT
	D=$T/D
}

# Records. entry NAME [CONTENT]: an object; apply KEY OBJECT...: it is all that the key has.
entry() {
	printf '{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"%s"},"spec":{"hosts":["%s"]}}' \
		"$1" "${2:-$1.consul}"
}

apply() {
	local key=$1 IFS=,
	shift
	printf '{"type":"apply","source":"dc1","key":"%s","at":1732345678901,"objects":[%s],"keep":[]}\n' "$key" "$*"
}

start() { # SNAPSHOT [SCOPE]
	printf '{"type":"start","source":"dc1","snapshot":"%s","scope":"%s"}\n' "$1" "${2:-all}"
}

synced() { # SNAPSHOT SERVICES
	printf '{"type":"synced","source":"dc1","snapshot":"%s","services":%s}\n' "$1" "$2"
}

keep() { # KEY
	printf '{"type":"keep","source":"dc1","key":"%s","error":"mapping failed"}\n' "$1"
}

# A whole snapshot of the services that are named.
snapshot() { # SNAPSHOT KEY...
	local id=$1 key
	shift
	start "$id"
	for key; do
		apply "$key" "$(entry "$key")"
	done
	synced "$id" $#
}

# An apply of one object for each of so many keys: k1, k2, ...
many() { # COUNT CONTENT
	apply kNUMBER "$(entry kNUMBER "$2")" |
		awk -v count="$1" '{ for (i = 1; i <= count; i++) { line = $0; gsub("NUMBER", i, line); print line } }'
}

# One run that ends by itself, on the records of the standard input.
once() {
	run --separate-stderr timeout 20 k8s-apply "$@"
}

# Everything in the directory that matters for "was it touched": names, inodes, times, bytes.
fingerprint() {
	find "$D" -path '*/.meshpipe' -prune -o -type f -printf '%P %i %T@ %C@ %s\n' | sort
}

# A run that goes on: what is written to $in is its input.
continuous() { # OPTION...
	mkfifo "$T/in"
	spawn k8s-apply bash -c 'exec k8s-apply "$@" <"$0"' "$T/in" --dir "$D" "$@"
	exec {in}>"$T/in"
}

end_of_input() {
	exec {in}>&-
}

# --- options
