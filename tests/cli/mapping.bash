# What the files share that feed service records to mesh-map.
# shellcheck shell=bash disable=SC2016 # jq programs stand in single quotes

load ../lib

# service NAME [JQ]: a service record with one instance, changed by the jq program.
service() {
	jq -nc --arg name "$1" '{type: "service", source: "dc1", service: $name, index: "7", at: 1732345678901,
		instances: [{id: "i1", uid: "0123456789abcdef", node: "n1", address: "10.0.0.1", port: 9098,
			tags: ["version=v1"], status: "passing"}]} | '"${2-.}"
}

# program NAME TEXT: a mapping program in $T
program() {
	printf '%s\n' "$2" >"$T/$1"
}

# object NAME: a jq expression for the least object that there is.
object() {
	printf '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "%s"}}' "$1"
}

# map ARG...: runs mesh-map on the lines of $T/in; sets $status, $output and $stderr
map() {
	run --separate-stderr mesh-map "$@" <"$T/in"
}
