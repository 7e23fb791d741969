# A second object for each service, under the host that the module gives it.
import "meshpipe" as m;

m::settings($config) as $set
| m::host($set) as $host
| {
    apiVersion: $set.apiVersion,
    kind: "VirtualService",
    metadata: ($host | m::metadata($set)),
    spec: {
      hosts: [$host],
      http: [{timeout: "3s", route: [{destination: {host: $host}}]}]
    }
  }
