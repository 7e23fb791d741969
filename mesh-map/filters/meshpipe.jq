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
# it there, or copy this file beside your program and change it for all of them. What starts with _
# is for the others here. All of it is in meshpipe-filters(7).

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
  # Left open: meta "protocol" as most instances say it, else the name of the port, else HTTP.
  protocol: null,

  # Parts of the ServiceEntry. Resolution left open: DNS where an instance has a name for an
  # address, else STATIC. Virtual addresses are for TCP; others get theirs from Istio.
  location: "MESH_INTERNAL",
  resolution: null,
  addresses: null,
  exportTo: null,
  subjectAltNames: null,

  # Which instances take traffic: "warning" (passing and warning) or "passing" (only those).
  health: "warning",
  # Consul's weights; without them all instances are equal.
  weights: true,
  # With fewer healthy instances than this percentage of all, all of them take traffic; 0: never.
  panicThreshold: 0,

  # Meta keys that become labels: a list, * and ? stand for anything, or {metaKey: labelKey}.
  metaLabels: ["version"],
  # Which tags written k=v, k:v or k|v become labels: true, false, or a list of their keys.
  tagLabels: true,
  # Labels of every instance.
  labels: {},

  # Locality of the instances that Consul knows none of, by datacenter: {"dc1": "eu-west-1/a"}.
  # The bare datacenter is not used: Istio would take it for the region, and far from every node.
  localities: {},

  # For instances that have a sidecar: the account is that of those whose tlsMode is "istio". Meta
  # "service-account" and "tls-mode" of an instance count more; a tag never says either.
  serviceAccount: null,
  tlsMode: null,

  # Which of Consul's tagged addresses is taken where an instance has it. Left open: "wan" for
  # sources other than mainSource, else none.
  taggedAddress: null,
  # Instances at 127.0.0.1 and the like take no traffic: there, a sidecar would call itself.
  allowLoopback: false,

  # Settings for single services, by their name in Consul or a pattern with * and ?:
  # {"redis": {"protocol": "redis"}}. Longer patterns count more than shorter ones, a name most.
  services: {},

  # For programs of your own.
  custom: null
};

# Text -> does the pattern match it? * stands for any characters, ? for one.
def matches($pattern):
  if $pattern == "*" then true
  elif $pattern | contains("*") or contains("?") | not then . == $pattern
  else
    test( "(?s)\\A"
          + ($pattern | gsub("(?<c>[^*?\\w])"; "\\\(.c)") | gsub("\\*"; ".*") | gsub("\\?"; "."))
          + "\\z" )
  end;

def _given: if any(.[]; . == null) then with_entries(select(.value != null)) else . end;

# Service record -> its own parts of the configuration, those that count more coming later. Case does
# not matter, as it does not to Consul.
def _own_settings($config):
  if ($config.services // {}) == {} then empty
  else
    (.service | ascii_downcase) as $name
    | [ $config.services | to_entries[]
        | .pattern = (.key | ascii_downcase)
        | select(.value != null and (.pattern as $pattern | $name | matches($pattern))) ]
    | sort_by(.pattern == $name, (.key | length), .key)[].value
  end;

# Key of a label -> is it one that even the settings have no say in, but by keys of their own?
def _is_private: . == "security.istio.io/tlsMode" or startswith("meshpipe.io/");

# Service record -> its settings: the defaults, then the configuration, then its own parts of that.
def settings($config):
  . as $record
  |  defaults + ($config | _given)
  | reduce ($record | _own_settings($config) | _given) as $own (.; . + $own)
  | if .taggedAddress == null and .mainSource != null and .mainSource != $record.source then
      .taggedAddress = "wan"
    else .
    end
  | if .labels == {} then . else .labels |= with_entries(select(.key | _is_private | not)) end;

# ---- Names ----

# Text -> eight hex digits. A polynomial modulo the largest prime below 2^32, the factor being small
# enough for every step to be exact in the doubles that jq computes with.
def hash:
  reduce explode[] as $c (5381; (. * 1000003 + $c) % 4294967291)
  | . as $n
  | [range(7; -1; -1) as $i | ($n / pow(16; $i) | floor) % 16 | "0123456789abcdef"[.:. + 1]]
  | add;

def _trim($chars): sub("\\A[" + $chars + "]+"; "") | sub("[" + $chars + "]+\\z"; "");

def _is_dns_name:
  test("\\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*\\z"; null);

# Text -> a name that is valid in DNS and for Kubernetes objects, of at most $max characters. Case
# is folded, as Consul and DNS do. A name that has to change otherwise ends in a hash of what it was,
# so that no two become one.
def dns_name($max):
  if length <= $max and _is_dns_name then .
  else
    ascii_downcase
    | if length <= $max and _is_dns_name then .
      else
        hash as $hash
        | .[:$max - 9]
        | gsub("[^-.a-z0-9]"; "-")
        | split(".")
        | map(.[:63] | _trim("-") | select(. != ""))
        | if length == 0 then ["x"] else . end
        | .[-1] |= (.[:54] | _trim("-"))
        | join(".") + "-" + $hash
      end
  end;

# Text -> the same as a single label of DNS, without dots; $max is 63 at most.
def dns_label($max):
  # Not contains: that of jq 1.6 ends at a NUL.
  if test("\\."; null) | not then dns_name($max)
  else
    ascii_downcase
    | hash as $hash
    | .[:$max - 9] | gsub("[^a-z0-9]+"; "-") | _trim("-") | if . == "" then "x" else . end
    | . + "-" + $hash
  end;

# Text -> a valid label value, of at most 63 characters; one that has to change ends in a hash.
def label_value:
  if length <= 63 and test("\\A[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\\z"; null) then .
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
  | def is_uid: type == "string" and test("\\A[0-9a-z]{1,16}\\z"; null);
  [.instances[] | objects]
  # One look at all of them is faster than one at each.
  | if [.[].uid] | tojson | test("\\A\\[(\"[0-9a-z]{1,16}\",?)+\\]\\z"; null) then .
    else
      map(if .uid | is_uid then .
          else .uid = ([$record.source, .node, .id, (.uid | values) | tostring] | join("\n") | hash)
          end)
    end
  | sort_by(.uid);

# Service record -> its host. Short enough for any name made of it and an instance's uid. Services
# whose names differ in case only have one host, as they have in Consul.
def host($set):
  ( $set.hostSuffix
    | if test("[A-Z]|\\A\\.|\\.\\z"; null) then ascii_downcase | _trim(".") else . end ) as $suffix
  | ( if $set.mainSource == null or $set.mainSource == .source then $suffix
      else
        (.source | dns_name(63)) as $source
        | if $suffix | startswith("service.") then "service." + $source + $suffix[7:]
          else [$source, $suffix | select(. != "")] | join(".")
          end
      end ) as $suffix
  | (.service | dns_name(235 - ($suffix | length))) as $name
  | if $suffix != "" then $name + "." + $suffix
    # Nobody takes a host that ends in a number.
    elif $name | test("(\\A|\\.)[0-9]+\\z"; null) then $name + "-" + ($name | hash)
    else $name
    end;

# Service record -> the label by which its ServiceEntry finds its WorkloadEntries, and nobody else's:
# it follows source and name (whose case means nothing to Consul), also where two services claim one
# host. The first dot ends the source.
def selector:
  { "meshpipe.io/service":
      ( if .source | test("\\."; null) then .source + "\n" + (.service | ascii_downcase)
        else .source + "." + (.service | ascii_downcase)
        end | label_value ) };

# ---- Ports ----

# Anything -> the port number that it is, as a number or in digits; nothing for others.
def _port_number:
  if type == "number" then select(. >= 1 and . <= 65535 and . == floor) | floor
  elif type == "string" and test("\\A[1-9][0-9]{0,4}\\z"; null) then tonumber | select(. <= 65535)
  else empty
  end;

# Instance -> its ports where Consul has several: an object of numbers by name, the names made valid.
def named_ports:
  if .ports == null then {}
  else
    reduce (.ports[]? | objects) as $one ({};
      [$one.port | _port_number] as $number
      | if $one.name | type == "string" and . != "" and $number != [] then
          ($one.name | dns_label(62)) as $name | .[$name] = (.[$name] // $number[0])
        else .
        end)
  end;

# Instance -> its port: the default one where Consul has several, else the first; 0 for none.
def port:
  [ (.port | _port_number),
    if .ports == null then empty
    else (.ports[]? | objects | select(.default == true)), (.ports[]? | objects) | .port | _port_number
    end ][0]
  // 0;

# Text -> the protocol as Istio calls it; nothing when Istio does not know it.
def known_protocol:
  strings | ascii_upcase
  | select(IN("HTTP", "HTTP2", "HTTPS", "GRPC", "GRPC-WEB", "HTTP_PROXY", "TLS", "TCP", "UDP",
              "MONGO", "REDIS", "MYSQL"));

# Service record -> what its ports and protocol are read from: all instances, also those that take no
# traffic (a service port that comes and goes with an instance's health is a full push of the mesh
# each time), and when there are none any more, what the record remembers of the last.
def described: if .instances == [] then [.last | objects] else .instances end;

# List -> what is in it most often, the least of them where there are several; null for nothing.
def _most: if . == [] then null else group_by(.) | sort_by(- length)[0][0] end;

# Service record -> the name of its own port, where Consul has several for most instances; else null.
def own_port_name:
  [described[] | select(.ports != null) | .ports[]? | objects | select(.default == true) | .name
   | strings | select(. != "") | dns_label(62)]
  | _most;

# Name of a port -> the protocol that it starts with (grpc, http-admin), as Kubernetes reads names.
def protocol_of_name:
  strings | if startswith("grpc-web") then "grpc-web" else split("-")[0] end | known_protocol;

# Service record -> its protocol: said by the settings, else by the meta of most instances (the least
# name where as many say another; TCP for one that Istio does not know), else by the name of its own
# port, else HTTP.
def protocol($set):
  first(
    ($set.protocol | known_protocol),
    ([described[].meta.protocol? | strings | select(. != "") | [known_protocol][0] // "TCP"]
     | _most | values),
    (own_port_name | protocol_of_name),
    "HTTP");

# Service record -> its own port: said by the settings, else by meta, else the lowest; null for none.
def own_port($set):
  first(
    ($set.port | _port_number),
    ([described[].meta["service-port"]? | _port_number] | min | values),
    ([described[] | port | select(. > 0)] | min));

def _port_prefix: if . == "HTTP" then "http" else ascii_downcase | split("_") | join("-") end;

# Service record -> the ports of its ServiceEntry: those of the settings (or 80), its own, and those
# that Consul has names for, each at the lowest number that is free of those that instances have it at.
def ports($set):
  protocol($set) as $protocol
  | own_port_name as $own_name
  | ( $set.ports
      // (if $protocol | IN("HTTP", "HTTP2", "GRPC", "GRPC-WEB") then [{number: 80}] else [] end)
    ) as $said
  | [ $said[],
      (own_port($set) | numbers | {number: ., name: $own_name}),
      ( [described[] | select(.ports != null) | named_ports | to_entries[]]
        | group_by(.key)[]
        | select(.[0].key as $name | $name != $own_name and all($said[]; .name != $name))
        | {name: .[0].key, numbers: (map(.value) | unique)} ) ]
  | reduce .[] as $port ([];
      ([$port | .number // .numbers[]] - map(.number))[0] as $number
      | if $number == null or length == 128 then .
        else
          ([($port.protocol | known_protocol),
            (if $port.numbers then $port.name | protocol_of_name else empty end)][0]
           // $protocol) as $p
          | ([($port.name | strings | dns_label(62)), "\($p | _port_prefix)-\($number)", "port-\($number)"]
             - map(.name)) as $names
          | . + [{$number, name: $names[0], protocol: $p}]
        end);

# ---- Addresses ----

def is_ipv4: test("\\A(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\\.(?!\\z)|\\z)){4}\\z"; null);

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
        | ($parts | add | all(test("\\A[0-9A-Fa-f]{1,4}\\z"; null)))
          and ( (($parts | length) == 1 and $count == 8)
                or (($parts | length) == 2 and $count <= 7) ) );

def is_ip: is_ipv4 or is_ipv6;

def is_hostname:
  length <= 253
  and test("\\A([A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\\.)*[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\\z"; null)
  and (test("(\\A|\\.)[0-9]+\\z"; null) | not);

# Address -> "IPv4", "IPv6", "FQDN" for a name, null for what is no address.
def address_type:
  if is_ipv4 then "IPv4"
  elif contains(":") then if is_ipv6 then "IPv6" else null end
  elif is_hostname then "FQDN"
  else null
  end;

# Instance -> its address: without the brackets of IPv6 and the last dot of a name; "" for none.
def address:
  .address
  | if type != "string" then ""
    elif startswith("[") and endswith("]") then .[1:-1]
    else rtrimstr(".")
    end;

# Instance -> {address, port} by which it is reached, as they are to be used: those of the tagged address
# that the settings want where it has it, else its own.
def reached($set):
  if $set.taggedAddress == null then {address: address, port: port}
  else
    port as $port
    | ([(.taggedAddresses | objects)[$set.taggedAddress]][0]
       | if type == "string" then {address: .}
         elif type == "object" then {address: (.address // .Address), port: (.port // .Port)}
         else {}
         end) as $tagged
    | if $tagged | address == "" then {address: address, port: $port}
      else {address: ($tagged | address), port: ([$tagged.port | _port_number][0] // $port)}
      end
  end;

# IPv6 address -> the one form of it that is canonical (RFC 5952): 64:FF9B::192.0.2.1 is 64:ff9b::c000:201.
def canonical_ipv6:
  def short: sub("\\A0+(?=.)"; "");
  def hex: . as $n | [range(3; -1; -1) as $i | ($n / pow(16; $i) | floor) % 16 | "0123456789abcdef"[.:. + 1]] | add;
  ascii_downcase
  | if contains(".") then
      split(":")
      | (.[-1] | split(".") | map(tonumber)) as $bytes
      | .[:-1] + [$bytes[0] * 256 + $bytes[1], $bytes[2] * 256 + $bytes[3] | hex]
      | join(":")
    else .
    end
  | split("::") | map(if . == "" then [] else split(":") end)
  | if length == 2 then .[0] + [range(8 - (add | length)) | "0"] + .[1] else .[0] end
  | map(short) | join(":")
  | ([match("(?<![0-9a-f])0(:0)+(?![0-9a-f])"; "g")] | sort_by([- .length, .offset])[0]) as $zeros
  | if $zeros == null then .
    else (.[:$zeros.offset] | rtrimstr(":")) + "::" + (.[$zeros.offset + $zeros.length:] | ltrimstr(":"))
    end;

# Address -> the IPv4 address that an IPv6 one stands for (::ffff:10.0.0.1); "" for any other.
def mapped_ipv4:
  def number: reduce explode[] as $c (0; . * 16 + if $c > 96 then $c - 87 else $c - 48 end);
  if (test("[Ff]{4}:"; null) and is_ipv6) | not then ""
  else
    [ canonical_ipv6 | capture("\\A::ffff:(?<high>[0-9a-f]+):(?<low>[0-9a-f]+)\\z") | .high, .low
      | number | (. / 256 | floor), . % 256 | tostring ]
    | join(".")
  end;

# Address -> is it one of the machine's own?
def is_loopback:
  if startswith("127.") then is_ipv4
  elif contains(":") then test("\\A[0:]*:0*1\\z"; null) or (mapped_ipv4 | startswith("127."))
  else (endswith("t") or endswith("T")) and test("(\\A|\\.)localhost\\z"; "i")
  end;

# Address -> does it lead nowhere from here: this network, this link, everybody?
def is_unroutable:
  if contains(":") then
    test("\\A[0:]+\\z|\\A[Ff][Ee][89ABab]|\\A[Ff][Ff]"; null) or (mapped_ipv4 | . != "" and is_unroutable)
  elif startswith("0.") or startswith("169.254.") then is_ipv4
  else startswith("2") and test("\\A2(2[4-9]|[3-5][0-9])\\."; null) and is_ipv4
  end;

# ---- Instances ----

# Instance -> its weight: Consul's for the state it is in. Both Consul's and Istio's default is 1.
def weight($set):
  if $set.weights == false then 1
  else
    (if .status == "warning" then .weights.warning? else .weights.passing? end)
    | if type != "number" or . < 0 then 1 elif . > 0 and . < 1 then 1 else floor end
  end;

# Address of a type, port -> why no traffic can reach it; null when it can.
def _unusable($set; $port; $type):
  if $port == 0 then "it has no port"
  elif . == "" then "it has no address"
  elif $type == null then "its address is not valid: " + .
  elif $set.allowLoopback != true and is_loopback then "its address is the machine's own: " + .
  elif is_unroutable then "its address leads nowhere: " + .
  elif $type == "FQDN" and $set.resolution == "STATIC" then
    "its address is a name, which resolution STATIC does not take: " + .
  else null
  end;

# Instance -> why its state keeps it from traffic; null when it does not.
def _unfit($set):
  (if .status == null then "passing" else .status end) as $status
  | if $status == "passing" or ($status == "warning" and $set.health != "passing") then null
    else "its state is " + ($status | tostring)
    end;

# Instance -> itself with what is known of it: address and port by which it is reached, addressType,
# weight; unusable, why no traffic can reach it, and leftOut, why it takes none; null for no reason.
def judged($set):
  reached($set) as {$address, $port}
  | ($address | address_type) as $type
  | ($address | _unusable($set; $port; $type)) as $unusable
  | weight($set) as $weight
  | . + {
      $address, $port, $weight, addressType: $type, $unusable,
      leftOut: (_unfit($set) // $unusable // (if $weight == 0 then "its weight is 0" else null end))
    };

# Instance -> why it takes no traffic, as far as it is a matter of its own; null when it does.
def left_out($set): judged($set).leftOut;

# Judged instances -> the same; all that can be reached take traffic when too few do. What a person
# has put in maintenance stays out and does not count.
def _panic($set):
  def able: .unusable == null and .status != "maintenance";
  if ($set.panicThreshold // 0) == 0 then .
  elif (map(select(.leftOut == null)) | length) * 100
      < (map(select(able)) | length) * $set.panicThreshold then
    map(if able then .leftOut = null | .weight = ([.weight, 1] | max) else . end)
  else .
  end;

# Service record -> all its instances, sorted and judged, also by what is a matter of all of them: the
# panic threshold, and that a resolution takes no instance, or one.
def all_judged($set):
  instances
  | map(judged($set))
  | _panic($set)
  | if $set.resolution == "NONE" then map(.leftOut = "resolution NONE takes no instances")
    elif $set.resolution == "DNS_ROUND_ROBIN" then
      (map(select(.leftOut == null))[0].uid) as $first
      | map(if .leftOut == null and .uid != $first then
              .leftOut = "resolution DNS_ROUND_ROBIN takes one instance"
            else . end)
    else .
    end;

# Service record -> the judged instances that take traffic, sorted.
def serving($set): all_judged($set) | map(select(.leftOut == null));

# ---- Labels ----

# Key of a label -> has it a meaning of its own for Istio, Kubernetes or us? A tag must not set it. (By
# `istio` gateways are selected: istio=ingressgateway.)
def is_reserved:
  if contains("/") then test("\\A([^/]*\\.)?(istio|kubernetes|k8s|meshpipe)\\.io/"; null)
  else . == "istio-locality" or . == "istio"
  end;

# Text written k=v, k:v or k|v -> an object with that label, the first separator dividing; nothing when
# it is no valid one.
def label_of:
  def is_plain:
    test("\\A(?![-_.])[-A-Za-z0-9_.]+(?<![-_.])[=:|](?![-_.])[-A-Za-z0-9_.]*(?<![-_.])\\z"; null);
  def is_prefixed:
    test("\\A[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[^/]+\\z"; null)
    and (split("/")[1] | is_plain) and (split("/")[0] | length <= 253);
  # 253 and a slash, 63 and a separator, 63: what is longer is none.
  if type == "string" and length <= 381 and if contains("/") then is_prefixed else is_plain end then
    (split("=")[0] | split(":")[0] | split("|")[0]) as $key
    | .[($key | length) + 1:] as $value
    | if length <= 64 or ($value | length) <= 63 and ($key | split("/")[-1] | length) <= 63
      then {($key): $value}
      else empty
      end
  else empty
  end;

# Instance -> the labels that the settings want from its meta, an object each.
def _meta_labels($set):
  def is_pattern: contains("*") or contains("?");
  (.meta | objects) as $meta
  | $set.metaLabels
  | if type == "object" then
      to_entries | sort_by(.key)[]
      | select($meta[.key] | type == "string")
      | "\(.value)=\($meta[.key])"
      | label_of
      | select(keys[0] | _is_private | not)
    else
      (if any(.[]; is_pattern) then
         map(. as $pattern | if is_pattern then $meta | keys[] | select(matches($pattern)) else . end) | unique
       else sort
       end)[]
      | select($meta[.] | type == "string")
      | . + "=" + $meta[.]
      | label_of
      | select(keys[0] | is_reserved | not)
    end;

# Instance -> the labels that the settings want from its tags, an object each.
def _tag_labels($set):
  if $set.tagLabels == false or .tags == null then empty
  else
    (.tags | arrays) | sort[] | label_of
    | select(keys[0] | is_reserved | not)
    | if $set.tagLabels | type == "array" then select(any(keys[0] | matches($set.tagLabels[]); .)) else . end
  end;

# Instance -> {"security.istio.io/tlsMode"} where settings or meta say it, for adding to labels.
def tls_mode($set):
  ([.meta["tls-mode"]? | strings | ascii_downcase | select(. == "istio" or . == "disabled")][0]
   // $set.tlsMode) as $mode
  | if $mode then {"security.istio.io/tlsMode": $mode} else {} end;

# Instance -> its labels: from its meta, its tags (the greater of two with one key), the settings. What
# counts more comes later. Istio takes 256; one place is left for the selector's.
def labels($set):
  tls_mode($set) as $tls
  | reduce (_meta_labels($set), _tag_labels($set)) as $one ({}; . + $one)
  | (254 - ($set.labels | length)) as $room
  | if length > $room then to_entries | sort_by(.key) | .[:$room] | from_entries else . end
  | . + $set.labels + $tls;

# ---- Parts of objects ----

# Name -> metadata, with the namespace where the settings have one.
def metadata($set):
  {name: .} + (if $set.namespace then {namespace: $set.namespace} else {} end);

# Instances or endpoints -> the resolution that their addresses need: STATIC takes IP addresses only.
def resolution:
  if any(.[]; .unusable == null and (.addressType // (.address | address_type)) == "FQDN") then "DNS"
  else "STATIC"
  end;

# All judged instances -> the resolution of a ServiceEntry that selects them: as the settings say, else
# by the addresses of all, so that it does not follow their health. (DNS without endpoints
# makes Istio look up the host itself, but not where there is a selector.)
def resolution($set): $set.resolution // resolution;

# All judged instances -> the resolution of a ServiceEntry that holds those that take traffic. Without any
# it is STATIC: DNS would make Istio look up the host itself.
def inline_resolution($set):
  if all(.[]; .leftOut != null) and $set.resolution != "NONE" then "STATIC" else resolution($set) end;

# Settings -> {addresses, exportTo, subjectAltNames}, those that are there, for adding to a spec.
def entry_options:
  [{addresses, exportTo, subjectAltNames} | to_entries[] | select(.value != null and .value != [])] | from_entries;

# Judged instance -> its port for every service port, by its name: the port that Consul knows under that
# name, else its own. Istio sends each service port to each instance, and takes the service's number
# where the instance says nothing.
def target_ports($ports):
  .port as $port
  | named_ports as $named
  | reduce $ports[].name as $name ({}; .[$name] = ($named[$name] // $port));

# Instance -> {locality} where one is known, for adding to a spec: Consul's, else that of its datacenter.
def locality($set):
  def part: strings | select(test("\\A[^/]+\\z"; null));
  (if .locality == null then [] else [.locality.region? | part] end) as $region
  | if $region != [] then {locality: ($region + [.locality.zone? | part] | join("/"))}
    else [$set.localities[.datacenter | strings] | strings][0] | if . then {locality: .} else {} end
    end;

# Instance -> {weight}, unless it is Istio's default, for adding to a spec.
def weighted: if .weight == 1 then {} else {weight: .weight} end;

# Instance -> {serviceAccount} where settings or meta say it, for adding to a spec. That of the settings
# is for instances whose tlsMode is istio: to Istio an account means a sidecar, and it would speak mutual
# TLS to instances that have none.
def service_account($set):
  if .meta["service-account"]?
     | type == "string" and length <= 253 and test("\\A[a-z0-9]([-.a-z0-9]*[a-z0-9])?\\z"; null)
  then {serviceAccount: .meta["service-account"]}
  elif $set.serviceAccount and tls_mode($set)["security.istio.io/tlsMode"] == "istio" then
    {serviceAccount: $set.serviceAccount}
  else {}
  end;

# Judged instance -> what a WorkloadEntry and an endpoint of a ServiceEntry have alike.
def endpoint($set; $ports):
  { address, ports: target_ports($ports), labels: labels($set) }
  + weighted + locality($set) + service_account($set);
