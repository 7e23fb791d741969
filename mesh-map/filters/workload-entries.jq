# One ServiceEntry that selects by a private label, and one WorkloadEntry with its own labels for
# each instance that takes traffic. A change of one instance changes one WorkloadEntry.
import "meshpipe" as m;

m::settings($config) as $set
| m::host($set) as $host
| m::ports($set) as $ports
| m::selector as $selector
| m::all_judged($set) as $instances
| {
    apiVersion: $set.apiVersion,
    kind: "ServiceEntry",
    metadata: ($host | m::metadata($set)),
    spec: (
      {
        hosts: [$host],
        location: $set.location,
        ports: $ports,
        resolution: ($instances | m::resolution($set))
      }
      # With resolution NONE there is nothing to select: traffic goes to the address that it was for.
      + (if $set.resolution == "NONE" then {} else {workloadSelector: {labels: $selector}} end)
      + ($set | m::entry_options)
    )
  },
  ( $instances[]
    | select(.leftOut == null)
    | {
        apiVersion: $set.apiVersion,
        kind: "WorkloadEntry",
        metadata: ("\($host)-\(.uid)" | m::metadata($set)),
        spec: (m::endpoint($set; $ports) | .labels += $selector)
      }
  )
