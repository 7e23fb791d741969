# What Istio makes of manifests (the lines that `objects` prints): each ServiceEntry with the
# WorkloadEntries that its label selects, in the form of expected.jq. Names are taken as they
# are; an object that nothing selects, or that stands twice, is an error.

def selects($entry):
  .spec.workloadSelector.labels as $wanted
  | ($wanted | length > 0) and ($wanted | to_entries | all(.value == $entry.spec.labels[.key]));

def endpoint($service):
  .spec
  | {
      address, ports,
      labels: (.labels | delpaths([$service.spec.workloadSelector.labels | keys[] | [.]])),
      weight: (.weight // 1)
    };

[inputs] as $rows
| ($rows | map(.object)) as $objects
| ($objects | map(select(.kind == "ServiceEntry"))) as $services
| ($objects | map(select(.kind == "WorkloadEntry"))) as $entries
| ($objects | group_by([.kind, .metadata.name])[] | select(length > 1)[0]
    | error("twice: \(.kind) \(.metadata.name)")),
  ($objects[] | select(.apiVersion != "networking.istio.io/v1") | error("odd: \(.)")),
  ($entries[] | . as $entry
    | [$services[] | select(selects($entry))]
    | select(length != 1)
    | error("selected by \(length) services: \($entry.metadata.name)")),
  ($rows[] | select(.object.kind == "ServiceEntry")
    | select(.file != "dc1/\(.object.metadata.name | rtrimstr(".service.consul")).yaml")
    | error("in the wrong file: \(.object.metadata.name) in \(.file)")),
  ([ $services[] | . as $service
     | {
         host: .spec.hosts[0],
         location: .spec.location,
         resolution: .spec.resolution,
         ports: .spec.ports,
         endpoints: [$entries[] | . as $entry | select($service | selects($entry)) | endpoint($service)] | sort
       } ] | sort)
