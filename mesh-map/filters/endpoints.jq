# One ServiceEntry with its instances inside, as consul2istio writes it, for those who come from there.
# docs/migrating-from-consul2istio.md has the configuration under which nothing changes that was right,
# and the list of what does.
#
# Any change of an instance is a new version of the whole object, and 4,096 are all that it holds;
# workload-entries.jq has neither limit.
import "meshpipe" as m;

# Service record -> the protocols that its instances say in meta, known to Istio or not.
def said: [m::described[].meta.protocol? | strings | select(. != "")] | unique;

# Service record -> its settings, with the protocol of custom.defaultProtocol where nothing says another.
def settings:
  m::settings($config) as $set
  | [$set.custom | objects | .defaultProtocol | strings] as $default
  | if $default == [] or $set.protocol != null or said != [] or m::own_port_name != null then $set
    else $set + {protocol: $default[0]}
    end;

# Service record -> {port: name} for its own port, where nobody else names that: the protocol as meta says
# it, also one that Istio does not know, as that is where Aeraki looks for its own.
def own_name($set):
  m::own_port($set) as $own
  | if m::own_port_name != null or any($set.ports[]?; .number == $own) then {}
    else
      m::protocol($set) as $protocol
      | [ said
          | select(length == 1)[]
          | select(([m::known_protocol][0] // "TCP") == $protocol)
          | select(test("\\A[A-Za-z0-9][-A-Za-z0-9]{0,55}\\z"))
          | {"\($own)": "\(.)-\($own)"} ]
      | add // {}
    end;

# Service record -> the ports of its ServiceEntry, as consul2istio writes them: Istio takes a protocol in
# any case, and targetPort means nothing where each instance says its port for each of these.
def ports($set):
  {"GRPC-WEB": "GRPC-Web", MONGO: "Mongo", MYSQL: "MySQL", REDIS: "Redis"} as $spelled
  | own_name($set) as $names
  | m::ports($set)
  | map(
      .name = ($names["\(.number)"] // .name)
      | .protocol |= ($spelled[.] // .)
      | if $set.resolution == "NONE" then . else .targetPort = .number end
    );

# Service record -> is it outside of the mesh, as meta "external" of an instance says?
def is_external: any(m::described[].meta.external? | strings; IN("", "false") | not);

# Service record -> the endpoints of its ServiceEntry, sorted; one for what is registered twice.
def endpoints($set; $ports):
  m::serving($set)
  | if map(.weight) | unique | length == 1 then map(.weight = 1) else . end
  | map(m::endpoint($set; $ports) | if .labels == {} then del(.labels) else . end)
  | unique_by([.address, .ports])
  | if length > 4096 then
      error("\(length) instances, and a ServiceEntry holds 4096: take workload-entries.jq for it")
    else .
    end;

settings as $set
| m::host($set) as $host
| ports($set) as $ports
| endpoints($set; $ports) as $endpoints
| {
    apiVersion: $set.apiVersion,
    kind: "ServiceEntry",
    metadata: ($host | m::metadata($set)),
    spec: (
      {
        hosts: [$host],
        location: (if is_external then "MESH_EXTERNAL" else $set.location end),
        ports: $ports,
        resolution: (m::all_judged($set) | m::inline_resolution($set))
      }
      + (if $endpoints == [] then {} else {endpoints: $endpoints} end)
      + ($set | m::entry_options)
    )
  }
