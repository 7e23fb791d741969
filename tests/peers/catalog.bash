# Changes a Consul's catalogue: what a registering agent would do, for nodes and
# instances of our own making. To be sourced; reads CONSUL_HTTP_ADDR and, if set,
# CONSUL_HTTP_TOKEN. Needs curl and jq. Every function fails when Consul refuses.
# shellcheck shell=bash

# consul_api METHOD PATH [BODY]: prints the answer.
consul_api() {
	local answer
	answer=$(curl -sS --fail-with-body -m 10 -X "$1" ${3+--data-binary "$3"} \
		${CONSUL_HTTP_TOKEN:+-H "X-Consul-Token: $CONSUL_HTTP_TOKEN"} \
		"${CONSUL_HTTP_ADDR%/}$2") || {
		echo "consul refused $1 $2: $answer" >&2
		return 1
	}
	printf '%s\n' "$answer"
}

# register_instance NODE NODE-ADDRESS SERVICE PORT [id=ID] [address=A] [tag=T]... [meta.KEY=V]...
#                   [nodemeta.KEY=V]... [status=passing|warning|critical]
# Puts the instance and the node that it is on; replaces what has the same node and id.
# Without id it is SERVICE-NODE; without status it has no health check.
register_instance() {
	consul_api PUT /v1/catalog/register "$(jq -n '
		$ARGS.positional as [$node, $node_address, $service, $port]
		| [$ARGS.positional[4:][] | capture("^(?<k>[^=]*)=(?<v>(.|\n)*)$")] as $options
		| def all($key): [$options[] | select(.k == $key) | .v];
		  def map_of($prefix): [$options[] | select(.k | startswith($prefix))
			| {key: .k[($prefix | length):], value: .v}] | from_entries;
		  (all("id")[0] // "\($service)-\($node)") as $id
		| {
			Node: $node, Address: $node_address, NodeMeta: map_of("nodemeta."),
			Service: {ID: $id, Service: $service, Port: ($port | tonumber),
				Address: (all("address")[0] // ""), Tags: all("tag"), Meta: map_of("meta.")},
			Checks: [all("status")[] | {Node: $node, CheckID: "service:\($id)", Name: "http",
				Status: ., ServiceID: $id, ServiceName: $service}]
		}' --args "$@")" >/dev/null
}

# set_check NODE SERVICE STATUS [ID]: the check that register_instance made.
set_check() {
	local id=${4:-$2-$1}
	consul_api PUT /v1/catalog/register "$(jq -n --arg node "$1" --arg service "$2" \
		--arg status "$3" --arg id "$id" '{Node: $node, SkipNodeUpdate: true,
		Check: {Node: $node, CheckID: "service:\($id)", Name: "http", Status: $status,
			ServiceID: $id, ServiceName: $service}}')" >/dev/null
}

# set_node_check NODE STATUS: a check of the node itself.
set_node_check() {
	consul_api PUT /v1/catalog/register "$(jq -n --arg node "$1" --arg status "$2" \
		'{Node: $node, SkipNodeUpdate: true, Check: {Node: $node, CheckID: "node-alive",
		Name: "node", Status: $status}}')" >/dev/null
}

# deregister_instance NODE SERVICE [ID]
deregister_instance() {
	consul_api PUT /v1/catalog/deregister "$(jq -n --arg node "$1" --arg id "${3:-$2-$1}" \
		'{Node: $node, ServiceID: $id}')" >/dev/null
}

# deregister_node NODE: with all that is on it.
deregister_node() {
	consul_api PUT /v1/catalog/deregister "$(jq -n --arg node "$1" '{Node: $node}')" >/dev/null
}

# deregister_service SERVICE: all its instances.
deregister_service() {
	local nodes node id
	nodes=$(consul_api GET "/v1/catalog/service/$(jq -rn --arg s "$1" '$s | @uri')" |
		jq -r '.[] | "\(.Node)\t\(.ServiceID)"')
	while IFS=$'\t' read -r node id; do
		[ -z "$node" ] || deregister_instance "$node" "$1" "$id"
	done <<<"$nodes"
}

# deregister_all: everything but the server itself.
deregister_all() {
	local nodes node
	nodes=$(consul_api GET /v1/catalog/nodes | jq -r '.[].Node | select(. != "server")')
	while IFS= read -r node; do
		[ -z "$node" ] || deregister_node "$node"
	done <<<"$nodes"
}

# The example that everybody knows from Spring Cloud: three instances on nodes of their own.
register_students() {
	register_instance vm-1 10.10.0.11 student-service 9098 tag=version=v1 status=passing
	register_instance vm-2 10.10.0.12 student-service 9098 tag=version=v1 status=passing
	register_instance vm-3 10.10.0.13 student-service 9098 tag=version=v2 status=passing
}
