# A DestinationRule with a subset for each version of the service, for routes by version. Used beside
# a program that makes the ServiceEntry: mesh-map -f workload-entries.jq -f subsets.jq
#
# Versions are those of all instances, also of such that take no traffic: a route that names a subset
# which comes and goes with health would fail for another reason each time. A service without any
# version has no DestinationRule: an empty one does nothing.
import "meshpipe" as m;

# Label that tells versions apart, and that Istio selects by.
def version($set): m::labels($set).version | strings | select(. != "");

# Versions -> subsets. A name is the version as a route would write it, in lower case and with dashes
# for what a name cannot hold: 1.2 is 1-2. Where two versions come to one name, the one that is the name
# has it, so that V1 takes nothing away from v1; a hash sets the others apart.
def subsets:
  map({version: ., name: (ascii_downcase | gsub("[^a-z0-9]+"; "-") | m::dns_label(63))})
  | group_by(.name)
  | map(
      if length == 1 then .[]
      else .[] | if .name == .version then . else .name = .name[:54] + "-" + (.version | m::hash) end
      end
      | {name, labels: {version}})
  | sort_by(.labels.version);

m::settings($config) as $set
| m::host($set) as $host
| ([m::described[] | version($set)] | unique) as $versions
| select($versions != [] and $set.resolution != "NONE")
| {
    apiVersion: $set.apiVersion,
    kind: "DestinationRule",
    metadata: ($host | m::metadata($set)),
    spec: (
      {host: $host, subsets: ($versions | subsets)}
      # To nobody (~) only a ServiceEntry can be exported.
      + (if $set.exportTo and $set.exportTo != ["~"] then {exportTo: $set.exportTo} else {} end)
    )
  }
