# meshpipe.jq: the words that mapping programs are written in.
#
#   import "meshpipe" as m;
#
# A program's input is one `service` record, `$config` is the configuration, its outputs are
# Kubernetes objects. Most functions take the settings of the service, made once:
#
#   m::settings($config) as $set | ...
#
# Everything here runs in stock jq 1.6, 1.7 and 1.8. Copy a function into your program and change
# it there, or copy this file beside your program and change it for all of them.

# ---- Settings ----

# Keys of the configuration, and what holds without them.
def defaults: {
  # Host names are <name>.<hostSuffix>. Sources other than mainSource get their name put in, as
  # Consul does: <name>.service.<source>.consul. Without a mainSource every source is the main one.
  hostSuffix: "service.consul",
  mainSource: null,

  # Where the objects go; k8s-apply -n fills in what is left open here.
  namespace: null,
  apiVersion: "networking.istio.io/v1",

  # Service ports besides the service's own: [{number, protocol, name}], only number is needed.
  # Left open: port 80 for services that speak HTTP in one of its forms, none for others.
  ports: null,
  # The service's own port. Left open: meta "service-port", else the lowest port registered.
  port: null,
  # Left open: meta "protocol" as most instances say it, else HTTP.
  protocol: null,

  # Which instances take traffic: "warning" (passing and warning) or "passing" (only those).
  health: "warning",

  # Meta keys that become labels ("*": all). Tags written k=v, k:v or k|v always do.
  metaLabels: ["version"],

  # Locality of the instances that Consul knows none of, by datacenter: {"dc1": "eu-west-1/a"}.
  # The bare datacenter is not used: Istio would take it for the region, and far from every node.
  localities: {},

  # Instances at 127.0.0.1 and the like take no traffic: there, a sidecar would call itself.
  allowLoopback: false,

  # Settings for single services, by their name in Consul: {"redis": {"protocol": "redis"}}.
  services: {}
};

def _given: if any(.[]; . == null) then with_entries(select(.value != null)) else . end;

# Service record -> its settings: the defaults, then the configuration, then its own part of that.
def settings($config):
  defaults + ($config | _given) + (($config.services // {})[.service] // {} | _given);

# ---- Names ----

# Text -> eight hex digits. A polynomial modulo the largest prime below 2^32, the factor being small
# enough for every step to be exact in the doubles that jq computes with.
def hash:
  reduce explode[] as $c (5381; (. * 1000003 + $c) % 4294967291)
  | . as $n
  | [range(7; -1; -1) as $i | ($n / pow(16; $i) | floor) % 16 | "0123456789abcdef"[.:. + 1]]
  | add;

def _trim($chars): sub("\\A[" + $chars + "]+"; "") | sub("[" + $chars + "]+\\z"; "");

# Text -> a name that is valid in DNS and for Kubernetes objects, of at most $max characters. Case
# is folded, as Consul and DNS do. A name that has to change otherwise ends in a hash of what it was,
# so that no two become one.
def dns_name($max):
  ascii_downcase
  | if length <= $max
      and test("\\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*\\z")
    then .
    else
      hash as $hash
      | .[:$max - 9]
      | gsub("[^-.a-z0-9]"; "-")
      | split(".")
      | map(.[:63] | _trim("-") | select(. != ""))
      | if length == 0 then ["x"] else . end
      | .[-1] |= (.[:54] | _trim("-"))
      | join(".") + "-" + $hash
    end;

# Text -> a valid label value, of at most 63 characters; one that has to change ends in a hash.
def label_value:
  if length <= 63 and test("\\A[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\\z") then .
  else
    hash as $hash
    | [(.[:54] | gsub("[^-A-Za-z0-9_.]"; "-") | _trim("-_.") | select(. != "")), $hash]
    | join("-")
  end;

# ---- The service ----

# Service record -> its instances, sorted by uid; one without a usable uid gets it from what is known.
# (Which services and kinds of instances there are to map is consul-watch's business.)
def instances:
  . as $record
  | [ .instances[]
      | if .uid | type == "string" and test("\\A[0-9a-z]{1,16}\\z") then .
        else .uid = ([$record.source, .node, .id, (.uid | values) | tostring] | join("\n") | hash)
        end ]
  | sort_by(.uid);

# Service record -> its host. Short enough for any name made of it and an instance's uid.
def host($set):
  ($set.hostSuffix | ascii_downcase | _trim(".")) as $suffix
  | ( if $set.mainSource == null or $set.mainSource == .source then $suffix
      else
        (.source | dns_name(63)) as $source
        | if $suffix | startswith("service.") then "service." + $source + $suffix[7:]
          else [$source, $suffix | select(. != "")] | join(".")
          end
      end ) as $suffix
  | [(.service | dns_name(235 - ($suffix | length))), $suffix | select(. != "")]
  | join(".");

# Service record -> the label by which its ServiceEntry finds its WorkloadEntries, and nobody else's:
# it follows source and name, also where two services claim one host. The first dot ends the source.
def selector:
  { "meshpipe.io/service":
      ( if .source | contains(".") then .source + "\n" + .service
        else .source + "." + .service
        end | label_value ) };

# ---- Ports ----

def _number: if type == "string" then (tonumber? // 0) elif type == "number" then . else 0 end;

def _is_port: . >= 1 and . <= 65535 and . == floor;

# Instance -> its port, the default one where Consul has several; 0 when it has none.
def port:
  [(.port | _number), (.ports[]? | select(.default == true) | .port | _number) | select(_is_port)]
  | .[0] // 0;

# Text -> the protocol as Istio calls it; nothing when Istio does not know it.
def known_protocol:
  strings | ascii_upcase
  | select(IN("HTTP", "HTTP2", "HTTPS", "GRPC", "GRPC-WEB", "HTTP_PROXY", "TLS", "TCP", "UDP",
              "MONGO", "REDIS", "MYSQL"));

# Service record -> what its ports and protocol are read from: all instances, also those that take no
# traffic (a service port that comes and goes with an instance's health is a full push of the mesh
# each time), and when there are none any more, what the record remembers of the last.
def described: if .instances == [] then [.last | objects] else .instances end;

# Service record -> its protocol: said by the settings, else by most instances (by the least name
# where as many say another), else HTTP.
def protocol($set):
  [$set.protocol | known_protocol] as $said
  | [described[].meta.protocol? | known_protocol] as $votes
  | ($said + ($votes | group_by(.) | sort_by(- length) | map(.[0])) + ["HTTP"])[0];

# Service record -> its own port.
def own_port($set):
  [ [$set.port | _number],
    [described[].meta["service-port"]? | _number],
    [described[] | port]
    | map(select(_is_port)) | select(length > 0) | min ]
  | .[0];

# Service record -> the ports of its ServiceEntry.
def ports($set):
  protocol($set) as $protocol
  | ( $set.ports
      // (if $protocol | IN("HTTP", "HTTP2", "GRPC", "GRPC-WEB") then [{number: 80}] else [] end) )
    + [own_port($set) | numbers | {number: .}]
  | reduce .[] as $port ([];
      if any(.[]; .number == $port.number) then .
      else . + [
        ($port.protocol // null | [known_protocol] | .[0] // $protocol) as $p
        | { number: $port.number,
            name: ($port.name // ($p | ascii_downcase | split("_") | join("-")) + "-\($port.number)"),
            protocol: $p } ]
      end);

# ---- Addresses ----

def is_ipv4: test("\\A((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\\.(?!\\z)|\\z)){4}\\z");

def is_ipv6:
  def groups: if . == "" then [] else split(":") end;
  contains(":")
  and ( sub("(?<=:)[0-9]+\\.[0-9.]+\\z"; "") as $head
        | ( if $head == . then .
            elif .[$head | length:] | is_ipv4 then $head + "0:0"
            else "bad"
            end )
        | split("::")
        | map(groups) as $parts
        | ($parts | add | length) as $count
        | ($parts | add | all(test("\\A[0-9A-Fa-f]{1,4}\\z")))
          and ( (($parts | length) == 1 and $count == 8)
                or (($parts | length) == 2 and $count <= 7) ) );

def is_ip: is_ipv4 or is_ipv6;

def is_hostname:
  length <= 253
  and test("\\A([A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\\.)*[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\\z")
  and (test("(\\A|\\.)[0-9]+\\z") | not);

# Instance -> its address: without the brackets of IPv6 and the last dot of a name; "" for none.
def address:
  .address
  | if type != "string" then ""
    elif startswith("[") and endswith("]") then .[1:-1]
    else rtrimstr(".")
    end;

# IPv6 address -> the IPv4 address that it stands for (::ffff:10.0.0.1); "" for any other.
def _mapped: ascii_downcase | if startswith("::ffff:") and (.[7:] | is_ipv4) then .[7:] else "" end;

# The machine's own addresses.
def is_loopback:
  if startswith("127.") then is_ipv4
  elif contains(":") then test("\\A[0:]*:0*1\\z") or (_mapped | startswith("127."))
  else (split(".")[-1] // "" | length == 9 and ascii_downcase == "localhost")
  end;

# Addresses that lead nowhere from here: this network, this link, everybody.
def is_unroutable:
  if contains(":") then
    test("\\A[0:]+\\z|\\A[Ff][Ee][89ABab]|\\A[Ff][Ff]") or (_mapped | . != "" and is_unroutable)
  elif startswith("0.") or startswith("169.254.") then is_ipv4
  else startswith("2") and test("\\A2(2[4-9]|[3-5][0-9])\\.") and is_ipv4
  end;

# ---- Instances ----

# Instance -> its weight: Consul's for the state it is in. Both Consul's and Istio's default is 1.
def weight:
  (if .status == "warning" then .weights.warning? else .weights.passing? end)
  | if type == "number" and . >= 0 then floor else 1 end;

# Instance -> why it takes no traffic; null when it does.
def left_out($set):
  address as $address
  | (.status // "passing") as $status
  | if ($status == "passing" or ($status == "warning" and $set.health != "passing")) | not
      then "its state is " + ($status | tostring)
    elif port == 0 then "it has no port"
    elif $address == "" then "it has no address"
    elif $address | is_ip or is_hostname | not then "its address is not valid: " + $address
    elif ($address | is_loopback) and ($set.allowLoopback | not)
      then "its address is the machine's own: " + $address
    elif $address | is_unroutable then "its address leads nowhere: " + $address
    elif weight == 0 then "its weight is 0"
    else null
    end;

# Service record -> the instances that take traffic, sorted, with address, port and weight as they
# are to be used.
def serving($set):
  instances
  | map(select(left_out($set) == null)
      | .address = address | .port = port | .weight = weight);

# Key of a label that has a meaning of its own for Istio, Kubernetes or us: a tag must not set it.
def is_reserved:
  . == "istio-locality"
  or (contains("/") and test("\\A([^/]*\\.)?(istio|kubernetes|k8s|meshpipe)\\.io/"));

# Text written k=v, k:v or k|v -> {key, value}, the first separator dividing; nothing when that is no
# valid label, or a reserved one.
def label_of:
  def is_plain:
    test("\\A(?![-_.])[-A-Za-z0-9_.]+(?<![-_.])[=:|](?![-_.])[-A-Za-z0-9_.]*(?<![-_.])\\z");
  def is_prefixed:
    test("\\A[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[^/]+\\z")
    and (split("/")[1] | is_plain);
  strings
  | select(length <= 381 and if contains("/") then is_prefixed else is_plain end)
  | (split("=")[0] | split(":")[0] | split("|")[0]) as $key
  | select($key | is_reserved | not)
  | .[($key | length) + 1:] as $value
  | select(length <= 64 or ($value | length) <= 63 and ($key | split("/")[-1] | length) <= 63)
  | {key: $key, value: $value};

# Instance -> labels from its meta and its tags. What is not a valid label is left out. A tag counts
# more than meta, and of two tags with one key the greater.
def labels($set):
  [ ( .meta // {}
      | (if any($set.metaLabels[]; . == "*") then keys else $set.metaLabels end | sort[]) as $key
      | select(.[$key] | type == "string")
      | $key + "=" + .[$key]
      | label_of ),
    (.tags // [] | sort[] | label_of) ]
  | reduce .[:255][] as $one ({}; .[$one.key] = $one.value);

# Instance -> {locality} where one is known, for adding to a spec.
def locality($set):
  def part: strings | select(test("\\A[^/]+\\z"));
  [.locality.region? | part] as $region
  | [.locality.zone? | part] as $zone
  | ($set.localities[.datacenter // ""] // null) as $mapped
  | if $region != [] then {locality: ($region + $zone | join("/"))}
    elif $mapped then {locality: $mapped}
    else {}
    end;

# ---- Parts of objects ----

# Name -> metadata, with the namespace where the settings have one.
def metadata($set):
  {name: .} + (if $set.namespace then {namespace: $set.namespace} else {} end);

# Instances that take traffic -> how Istio finds them. STATIC takes IP addresses only; DNS without
# any endpoint would make Istio look up the host itself.
def resolution: if any(.[]; .address | is_ip | not) then "DNS" else "STATIC" end;

# Instance -> its port under the name of every service port: Istio sends each service port to each
# instance, and takes the service's number where the instance says nothing.
def target_ports($ports):
  .port as $port | reduce $ports[] as $p ({}; .[$p.name] = $port);

# Instance -> {weight}, unless it is Istio's default, for adding to a spec.
def weighted: if .weight == 1 then {} else {weight: .weight} end;
