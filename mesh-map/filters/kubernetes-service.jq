# A headless Service and its EndpointSlices, for clusters without Istio: <name>.<namespace>.svc finds the
# instances. Kubernetes knows neither weights nor other ports than those that instances listen on.
#
# A slice holds instances of one kind of address that have the same ports. More than 1,000 are divided by
# the next digit of their uids, which are hashes: a change of one instance is a change of one slice.
import "meshpipe" as m;

# Service record -> name of the Service: one label that starts with a letter.
def service_name($set):
  ( if $set.mainSource == null or $set.mainSource == .source then .service
    else .service + "." + .source
    end )
  | if test("\\A[A-Za-z]") then m::dns_label(63) else "x-" + (. + "." | m::dns_label(61)) end;

# Ports of a ServiceEntry -> those of a Service.
def service_ports:
  map(
    { name, port: .number, protocol: (if .protocol == "UDP" then "UDP" else "TCP" end) }
    + (if .protocol | IN("TCP", "UDP") then {} else {appProtocol: (.protocol | ascii_downcase)} end)
  );

# Judged instance -> the same with an address as Kubernetes wants it; nothing for what it does not take: a
# name without a dot, the machine's own address.
def plain_address:
  (.address | m::mapped_ipv4) as $ipv4
  | if .addressType != "IPv6" then .address |= ascii_downcase
    elif $ipv4 != "" then .addressType = "IPv4" | .address = $ipv4
    else .address |= m::canonical_ipv6
    end
  | select(.address | m::is_loopback | not)
  | select(.addressType != "FQDN" or (.address | contains(".")));

# Instances of one slice, too many or not -> [[prefix of their uids, instances]...]
def divide($prefix):
  if length <= 1000 or ($prefix | length) == 16 then [$prefix, .]
  else group_by(.uid[:$prefix | length + 1])[] | divide(.[0].uid[:$prefix | length + 1])
  end;

# Instances -> endpoints. The same one may be registered twice.
def endpoints:
  group_by(.address)
  | map({addresses: [.[0].address], conditions: {ready: any(.[]; .leftOut == null)}});

m::settings($config) as $set
| service_name($set) as $name
| m::ports($set) as $ports
| ($ports | service_ports) as $service_ports
| {
    apiVersion: "v1",
    kind: "Service",
    metadata: ($name | m::metadata($set)),
    spec: {clusterIP: "None", ports: $service_ports}
  },
  ( m::all_judged($set)
    | map(select(.unusable == null) | plain_address | .targets = m::target_ports($ports))
    | group_by([.addressType, [.targets[$ports[].name]]])[]
    | .[0] as $one
    | ($one.targets | [.[$ports[].name] | tostring] | join(" ") | m::hash) as $hash
    | divide("") as [$prefix, $instances]
    | {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: (
          ([$name, ($one.addressType | ascii_downcase), $hash, ($prefix | select(. != ""))] | join("-"))
          | m::metadata($set)
          | .labels = {
              "kubernetes.io/service-name": $name,
              "endpointslice.kubernetes.io/managed-by": "meshpipe.io"
            }
        ),
        addressType: $one.addressType,
        endpoints: ($instances | endpoints),
        ports: [$service_ports[] | .port = $one.targets[.name]]
      }
  )
