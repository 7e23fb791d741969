# Says what was missing, however briefly, in what tests/peers/kube-watch has recorded (raw lines on
# the input; the last may not be whole): --argjson needs are hosts that some ServiceEntry, and IP addresses
# that some WorkloadEntry, must have had at each moment. An object that had one was never deleted,
# even if another one had it as well. Prints a line for each thing missing, and last how many
# changes there were.

def has: if .kind == "ServiceEntry" then .spec.hosts else [.spec.address] end
  | map(select(IN($ARGS.named.needs[])));

def missing: $ARGS.named.needs - ([.objects[][]] | unique);

def complain($text): .faults += ["\($text)"];

reduce (inputs | fromjson?) as $event ({objects: {}, faults: [], ready: false, changes: 0};
  "\($event.kind) \($event.name)" as $name
  | (.objects[$name] // []) as $before
  | if $event.type == "READY" then
      .ready = true | reduce missing[] as $need (.; complain("nothing has \($need)"))
    elif $event.type == "GAP" then .
    elif $event.type == "DELETED" then
      del(.objects[$name])
      | reduce $before[] as $need (.; complain("\($event.time) \($name) was deleted, it had \($need)"))
    else
      .objects[$name] = ($event | has)
      | reduce ($before - .objects[$name])[] as $need (.;
          complain("\($event.time) \($name) has lost \($need)"))
    end
  | if .ready and $event.type != "READY" then .changes += 1 else . end)
| if .ready then . else complain("it was never watched") end
| .faults[], "\(.changes) changes"
