# One ServiceEntry that selects by a private label, and one WorkloadEntry with its own labels for
# each instance that takes traffic. A change of one instance changes one WorkloadEntry.
import "meshpipe" as m;

m::settings($config) as $set
| m::host($set) as $host
| m::ports($set) as $ports
| m::selector as $selector
| m::serving($set) as $serving
| {
    apiVersion: $set.apiVersion,
    kind: "ServiceEntry",
    metadata: ($host | m::metadata($set)),
    spec: {
      hosts: [$host],
      location: "MESH_INTERNAL",
      ports: $ports,
      resolution: ($serving | m::resolution),
      workloadSelector: {labels: $selector}
    }
  },
  ( $serving[]
    | {
        apiVersion: $set.apiVersion,
        kind: "WorkloadEntry",
        metadata: ("\($host)-\(.uid)" | m::metadata($set)),
        spec: (
          {
            address: .address,
            ports: m::target_ports($ports),
            labels: (m::labels($set) + $selector)
          }
          + m::weighted
          + m::locality($set)
        )
      }
  )
