# What Istio should know of a Consul: computed from Consul's own answers to
# /v1/health/service/NAME, one after another, and from nothing of ours. The tests compare it with
# what the manifests say (seen.jq). It knows such services as the tests register: HTTP, with
# IP addresses, mapped by the default program without a configuration.

# 0 passing, 1 warning, 2 critical, 3 maintenance: the worst of all checks of instance and node.
def state:
  [ .Checks[]
    | if .CheckID | . == "_node_maintenance" or startswith("_service_maintenance:") then 3
      else {passing: 0, warning: 1}[.Status] // 2
      end ]
  | max // 0;

def labels:
  ((.Service.Meta // {}) | {version} | with_entries(select(.value != null)))
  + ([.Service.Tags[]? | select(test("^[a-z]+=[-a-z0-9]+$")) | split("=") | {(.[0]): .[1]}]
     | sort_by(tostring) | add // {});

def weight: if state == 1 then .Service.Weights.Warning else .Service.Weights.Passing end;

def service:
  (map(.Service.Port) | min) as $own
  | ([80] + ([$own] - [80])) as $ports
  | {
      host: (.[0].Service.Service + ".service.consul"),
      location: "MESH_INTERNAL",
      resolution: "STATIC",
      ports: [$ports[] | {name: "http-\(.)", number: ., protocol: "HTTP"}],
      endpoints: [
        .[] | select(state <= 1 and weight > 0)
        | . as $instance
        | {
            address: (.Service.Address | if . == "" then $instance.Node.Address else . end),
            ports: [$ports[] | {"http-\(.)": $instance.Service.Port}] | add,
            labels: labels,
            weight: weight
          }
      ] | sort
    };

[inputs | select(length > 0) | service] | sort
