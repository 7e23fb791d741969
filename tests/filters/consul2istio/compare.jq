# How ServiceEntries ($ours) differ from those that consul2istio wrote ($theirs), a line each:
#
#   HOST =                    not at all
#   HOST - FIELD VALUE        this was in consul2istio's only
#   HOST + FIELD VALUE        this is in ours only
#
# FIELD is one of spec; of a list each element is a line, as their order has no meaning.

def lines:
  [.spec // {} | to_entries[] | .key as $field | .value | (arrays[], scalars, objects) | "\($field) \(tojson)"]
  | group_by(.)
  | [.[] | to_entries[] | .value + if .key == 0 then "" else " once more" end];

def by_host: map({key: .spec.hosts[0], value: .}) | from_entries;

($theirs | by_host) as $theirs
| ($ours | by_host) as $ours
| ($theirs + $ours | keys[]) as $host
| ($theirs[$host] | lines) as $old
| ($ours[$host] | lines) as $new
| if $old == $new then "\($host) ="
  else
    ($old - $new | .[] | "\($host) - \(.)"),
    ($new - $old | .[] | "\($host) + \(.)")
  end
