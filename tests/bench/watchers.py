"""Programs that watch a Consul, as tests/bench/watch compares them: what they have seen of the
changes that were made, and what they use."""

import collections
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import bench

KINDS = ("tag", "health", "port", "meta")
PIPE_BYTES = 1 << 20


class Change:
    """One change of one instance: times in ns of the steady clock."""

    def __init__(self, kind, instance, value):
        self.kind = kind
        self.instance = instance
        self.value = value
        self.sent_ns = self.answered_ns = self.arrived_ns = None
        self.arrived = threading.Event()

    def latency_ms(self):
        return (self.arrived_ns - self.sent_ns) / 1e6

    def is_in(self, value):
        """Versions only grow, so a later one shows this one too."""
        return value == self.value if self.kind == "health" else value >= self.value


class Instance(bench.Instance):
    """An instance of 3 tags, 2 meta and 1 check. Each change has a number that none had before."""

    made = 1  # as the version of all at first
    lock = threading.Lock()

    def __init__(self, service, number, nodes):
        super().__init__(service, number, nodes)
        self.port = 8080
        self.revision = 0

    def service_entry(self):
        return {"ID": self.id, "Service": self.service, "Address": self.address, "Port": self.port,
                "Tags": [f"version=v{self.version}", "http", "zone=a"],
                "Meta": {"team": "bench", "rev": str(self.revision)}}

    def change(self, kind):
        """Changes it here; the change, and what to register."""
        with Instance.lock:
            Instance.made += 1
            number = Instance.made
        body = {"Node": self.node, "SkipNodeUpdate": True}
        if kind == "health":
            value = self.status = "critical" if self.status == "passing" else "passing"
            return Change(kind, self, value), {**body, "Check": self.check()}
        # Ports are 16 bits: they begin anew after 50,000 changes, which no run makes.
        value = 10000 + number % 50000 if kind == "port" else number
        setattr(self, {"tag": "version", "port": "port", "meta": "revision"}[kind], value)
        return Change(kind, self, value), {**body, "Service": self.service_entry()}


class Tracker:
    """The changes that were sent and have not been seen yet."""

    def __init__(self):
        self.lock = threading.Lock()
        self.pending = {}  # (instance id, kind): change
        self.services = collections.Counter()  # how many are pending, by service

    def expect(self, change):
        with self.lock:
            self.services[change.instance.service] += 1
            self.pending[change.instance.id, change.kind] = change

    def forget(self, change):
        with self.lock:
            if self.pending.pop((change.instance.id, change.kind), None):
                self.services[change.instance.service] -= 1

    def waits_for(self, service):
        return self.services[service] > 0

    def is_pending(self, instance, kind):
        return (instance.id, kind) in self.pending

    def seen(self, now_ns, instance_id, values):
        """An instance was read that is so: values by kind."""
        for kind, value in values.items():
            change = self.pending.get((instance_id, kind))
            if change and change.is_in(value):
                self.forget(change)
                change.arrived_ns = now_ns
                change.arrived.set()


def version_in(tags):
    return max((int(tag[9:]) for tag in tags if tag.startswith("version=v")), default=-1)


class Watcher:
    """A program that runs until stop(). `first` is set when it has said all that there is."""

    name = "?"
    short = "?"  # as the head of a column
    kinds = KINDS  # what can be seen in its output
    wait_s = 60  # how long its queries stand, hence how long to look at it for the idle minute
    idle_reads = True  # do queries run out while it is looked at?
    end_signal = signal.SIGTERM
    telling = ""  # what those lines of its log have that say why

    def __init__(self, consul, https, folder, arguments, environment=None):
        self.port = int((consul.https_address if https else consul.address).rsplit(":", 1)[1])
        self.tracker = Tracker()
        self.first = threading.Event()
        self.first_s = None
        self.lines = 0
        self.most_connections = 0
        self.log = os.path.join(folder, self.name.replace(" ", "-") + ".log")
        with open(self.log, "wb") as log:
            self.started_s = time.monotonic()
            self.process = subprocess.Popen(
                arguments, env={**os.environ, **consul.environment(https), **(environment or {})},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        self.pid = self.process.pid
        fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        rest = []
        while chunk := os.read(self.process.stdout.fileno(), PIPE_BYTES):
            now_ns = time.monotonic_ns()
            head, *lines = chunk.split(b"\n")
            rest.append(head)
            if lines:
                self.line(b"".join(rest), now_ns)
                for line in lines[:-1]:
                    self.line(line, now_ns)
                rest = [lines[-1]]

    def line(self, line, now_ns):
        raise NotImplementedError

    def is_first(self, now_ns):
        if not self.first.is_set():
            self.first_s = now_ns / 1e9 - self.started_s
            self.first.set()

    def wait_first(self, limit_s):
        """Seconds from its start; Failed with its last words."""
        deadline = time.monotonic() + limit_s
        while not self.first.wait(0.05):
            self.look_at_connections()
            if self.process.poll() is not None:
                raise bench.Failed(f"{self.name} ended with status {self.process.returncode}: "
                                   f"{self.last_words()}")
            if time.monotonic() > deadline:
                raise bench.Failed(f"{self.name} said nothing whole within {limit_s:.0f} s; "
                                   f"{self.connections()} connections; {self.last_words()}")
        self.look_at_connections()
        return self.first_s

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            lines = [line.strip() for line in f if self.telling in line]
        return lines[-1] if lines else "it said nothing"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(self.end_signal)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    # What it uses.

    def cpu_s(self):
        """Its own, and that of its children that have ended."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self):
        """Now, and at most."""
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as f:
            lines = dict(line.split(":", 1) for line in f if line.startswith(("VmRSS", "VmHWM")))
        return [int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]

    def connections(self):
        """Those to the agent that are established."""
        mine = set()
        for each in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                mine.add(os.readlink(f"/proc/{self.pid}/fd/{each}").removeprefix("socket:[").rstrip("]"))
            except OSError:
                pass
        count = 0
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{self.pid}/net/{table}", encoding="ascii") as f:
                for fields in map(str.split, f.readlines()[1:]):
                    remote_port = int(fields[2].rsplit(":", 1)[1], 16)
                    count += fields[3] == "01" and remote_port == self.port and fields[9] in mine
        return count

    def look_at_connections(self):
        try:
            found = self.connections()
        except OSError:
            return None  # it has ended
        self.most_connections = max(self.most_connections, found)
        return found


class ConsulWatch(Watcher):
    name = short = "consul-watch"
    wait_s = 120

    def __init__(self, consul, https, folder, options):
        self.counters = {}
        self.said = 0  # services, until the first snapshot was whole
        self.services = 0  # as "synced" counts them
        super().__init__(consul, https, folder, [os.path.join(bench.BIN, self.name), *options])

    def line(self, line, now_ns):
        self.lines += 1
        # Keys are sorted: the type comes at the end.
        tail = line[-100:]
        if b'"type":"service"' in tail:
            if not self.first.is_set():
                self.said += 1
            elif self.tracker.pending:
                self.service(json.loads(line), now_ns)
        elif b'"type":"synced"' in tail:
            self.services = json.loads(line)["services"]
            self.is_first(now_ns)
        elif b'"type":"status"' in tail:
            self.counters = json.loads(line).get("counters", {})

    def service(self, record, now_ns):
        if not self.tracker.waits_for(record["service"]):
            return
        for each in record["instances"]:
            self.tracker.seen(now_ns, each["id"], {
                "tag": version_in(each["tags"]), "health": each["status"], "port": each["port"],
                "meta": int(each["meta"]["rev"])})


class ServiceWatch(Watcher):
    """consul watch on one service, with a program that passes on what it is given."""

    name = "consul watch -type=service"
    short = "-type=service"
    wait_s = 20  # its queries stand for 5 minutes: only for the processor time
    idle_reads = False

    def __init__(self, consul, https, folder, what):
        program = bench.peer("get", "consul-1.20.5").strip()
        super().__init__(consul, https, folder, [program, "watch", *what, "-shell=false", "cat"])

    def line(self, line, now_ns):
        self.lines += 1
        self.is_first(now_ns)
        for each in json.loads(line) if self.tracker.pending else ():
            service = each["Service"]
            self.tracker.seen(now_ns, service["ID"], {
                "tag": version_in(service["Tags"]), "health": each["Checks"][0]["Status"],
                "port": service["Port"], "meta": int(service["Meta"]["rev"])})


class ServicesWatch(ServiceWatch):
    """consul watch on the list of services, which names them with all tags that they have."""

    name = "consul watch -type=services"
    short = "-t=services"
    kinds = ("tag",)

    def line(self, line, now_ns):
        self.lines += 1
        self.is_first(now_ns)
        if not self.tracker.pending:
            return
        tags = json.loads(line)
        for change in list(self.tracker.pending.values()):
            if f"version=v{change.value}" in tags.get(change.instance.service, ()):
                self.tracker.seen(now_ns, change.instance.id, {change.kind: change.value})


TEMPLATE = """\
{{range services}}{{range service (printf "%s|any" .Name)}}
{{- .ID}} {{.Status}} {{.Port}} {{index .ServiceMeta "rev"}} {{.Tags | join ","}}
{{end}}{{end}}END
"""


class ConsulTemplate(Watcher):
    """consul-template with one template of all services and their instances, to its output."""

    name = "consul-template"
    short = "template"
    end_signal = signal.SIGINT
    telling = "(view)"

    def __init__(self, consul, https, folder):
        template = os.path.join(folder, "all.tpl")
        with open(template, "w", encoding="utf-8") as f:
            f.write(TEMPLATE)
        program = bench.peer("get", "consul-template").strip()
        # Without the variable it does not take the authority's certificate.
        super().__init__(consul, https, folder, [program, "-dry", "-template", f"{template}:{folder}/all"],
                         {"CONSUL_HTTP_SSL": "true" if https else "false"})

    def line(self, line, now_ns):
        if line == b"END":
            self.lines += 1
            self.is_first(now_ns)
            return
        name = line.partition(b" ")[0].decode()
        if not self.tracker.pending or not self.tracker.waits_for(name.rpartition("-")[0]):
            return
        _, status, port, revision, tags = line.decode().split(" ")
        self.tracker.seen(now_ns, name, {"tag": version_in(tags.split(",")), "health": status,
                                         "port": int(port), "meta": int(revision)})
