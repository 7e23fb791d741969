"""What the benchmarks share: the real servers, a catalogue in them, the pipeline, and what all of
them have used."""

import http.client
import json
import math
import os
import queue
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

REPO = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
PEERS = os.path.join(REPO, "tests/peers")
# As make gives them, relative to the repository.
BUILD = os.path.join(REPO, os.environ.get("BUILD", "build"))
BIN = os.path.join(REPO, os.environ.get("MESHPIPE_BIN", os.path.join(BUILD, "bin")))
MESHPIPE = os.path.join(REPO, "scripts/meshpipe")
PROGRAMS = ("consul-watch", "mesh-map", "k8s-apply")
ISTIO = "/apis/networking.istio.io/v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
RESOURCES = ("serviceentries", "workloadentries")

# A thread that has read something from a socket must not wait for one that computes.
sys.setswitchinterval(0.0005)


class Failed(Exception):
    """Something did not arrive, or a server cannot be had."""


def say(text=""):
    print(text, flush=True)


def end_at_signals():
    """SIGTERM and SIGHUP end it as Ctrl-C does: nothing that was started stays."""

    def stop(number, _):
        raise SystemExit(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)


def peer(name, *args, **more):
    """Runs tests/peers/NAME; its output."""
    done = subprocess.run([os.path.join(PEERS, name), *args], stdout=subprocess.PIPE, text=True,
                          check=False, **more)
    if done.returncode != 0:
        raise Failed(f"tests/peers/{name} {args[0]}: exit status {done.returncode}")
    return done.stdout


def peer_function(file, function, *args):
    """Calls a function of one of the files of tests/peers that are to be sourced."""
    return subprocess.run(["bash", "-c", 'source "$0" && "$@"', os.path.join(PEERS, file), function,
                           *args], stdout=subprocess.PIPE, text=True, check=True).stdout


# --- Kubernetes


class Kube:
    """An API server with its etcd in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.address = peer("kube", "start", folder, "--owner", str(os.getpid())).strip()
        self.kubeconfig = os.path.join(folder, "kubeconfig")
        self.ca, self.cert, self.key = (os.path.join(folder, "pki", name)
                                        for name in ("ca.crt", "admin.crt", "admin.key"))
        self.tls = ssl.create_default_context(cafile=self.ca)
        self.tls.load_cert_chain(self.cert, self.key)

    def stop(self):
        peer("kube", "stop", self.folder)

    def pids(self):
        return {name: [read_pid(os.path.join(self.folder, file))]
                for name, file in (("kube-apiserver", "apiserver.pid"), ("etcd", "etcd.pid"))}

    def connect(self):
        where = urllib.parse.urlsplit(self.address)
        return http.client.HTTPSConnection(where.hostname, where.port, context=self.tls, timeout=120)

    def call(self, method, path, body=None):
        """The answer as JSON."""
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        connection = self.connect()
        connection.request(method, path, body and json.dumps(body), {"Content-Type": kind})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        if response.status >= 300:
            raise Failed(f"{method} {path}: {response.status} {answer.decode()[:300]}")
        return json.loads(answer)

    def make_namespace(self, name):
        self.call("PATCH", f"/api/v1/namespaces/{name}?fieldManager=bench",
                  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def version(self, namespace, resource):
        """Where a watch starts."""
        path = f"{ISTIO}/namespaces/{namespace}/{resource}?limit=1"
        return self.call("GET", path)["metadata"]["resourceVersion"]

    def objects(self, namespace):
        return [each for resource in RESOURCES
                for each in self.call("GET", f"{ISTIO}/namespaces/{namespace}/{resource}")["items"]]

    def count(self, namespace):
        total = 0
        for resource in RESOURCES:
            answer = self.call("GET", f"{ISTIO}/namespaces/{namespace}/{resource}?limit=1")
            total += len(answer["items"]) + answer["metadata"].get("remainingItemCount", 0)
        return total

    def delete_objects(self, namespace):
        """In pieces: the API server deletes one after the other, and ends a request after a minute."""
        for resource in RESOURCES:
            path = f"{ISTIO}/namespaces/{namespace}/{resource}?limit=1000"
            while self.call("DELETE", path)["items"]:
                pass

    def counters(self):
        """Requests so far, by (verb, resource)."""
        lines = peer("kube", "counters", self.folder).splitlines()
        return {(verb, resource): int(count)
                for verb, resource, count in (line.split() for line in lines)}


class Watch(threading.Thread):
    """Follows one resource of a namespace on a connection of its own. Each change goes into
    `events`, as (microseconds since 1970 when it was read, type, object)."""

    def __init__(self, kube, namespace, resource, events):
        super().__init__(daemon=True)
        self.resource = resource
        self.events = events
        connection = kube.connect()
        connection.timeout = None
        connection.request("GET", f"{ISTIO}/namespaces/{namespace}/{resource}?watch=1&"
                           f"timeoutSeconds=36000&resourceVersion={kube.version(namespace, resource)}")
        self.response = connection.getresponse()
        if self.response.status != 200:
            raise Failed(f"watch of {resource}: {self.response.status}")
        self.start()

    def run(self):
        for line in self.response:
            now_us = time.time_ns() // 1000
            event = json.loads(line)
            self.events.put((now_us, event["type"], event["object"]))


# --- Consul


def own_certificate(folder):
    """A certificate for 127.0.0.1 that is its own authority."""
    cert, key = os.path.join(folder, "consul.crt"), os.path.join(folder, "consul.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=consul", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   stderr=subprocess.DEVNULL, check=True)
    return cert, cert, key


def kube_certificate(kube):
    """One of the API server's authority."""
    peer_function("kube.bash", "kube_certificate", kube.folder, "consul", "server", "/CN=consul")
    pki = os.path.join(kube.folder, "pki")
    return kube.ca, f"{pki}/consul.crt", f"{pki}/consul.key"


class Consul:
    """A server in a folder, also on HTTPS. `tls`: files of authority, certificate and key."""

    def __init__(self, folder, tls, config=None):
        port = int(peer_function("process.bash", "free_ports", "1"))
        os.makedirs(folder)
        ca, cert, key = tls
        with open(os.path.join(folder, "https.json"), "w", encoding="utf-8") as f:
            json.dump({"ports": {"https": port}, "tls": {"https": {
                "ca_file": ca, "cert_file": cert, "key_file": key}}, **(config or {})}, f)
        self.folder = folder
        self.ca = ca
        self.https_address = f"https://127.0.0.1:{port}"
        self.address = peer("consul", "start", folder, "--version", "1.20.5", "--owner",
                            str(os.getpid()), "--", f"-config-file={folder}/https.json").strip()
        self.connection = self.connect()

    def connect(self):
        # From an address of its own, since an agent counts the connections of each.
        return http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=30,
                                          source_address=("127.0.0.2", 0))

    def stop(self):
        peer("consul", "stop", self.folder)

    def pids(self):
        return {"consul": [read_pid(os.path.join(self.folder, "pid"))]}

    def environment(self, https):
        if not https:
            return {"CONSUL_HTTP_ADDR": self.address}
        return {"CONSUL_HTTP_ADDR": self.https_address, "CONSUL_CACERT": self.ca}

    def call(self, method, path, body=None, connection=None):
        """The answer's bytes."""
        connection = connection or self.connection
        connection.request(method, path, body and json.dumps(body).encode())
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise Failed(f"consul: {method} {path}: {response.status} {answer.decode()[:300]}")
        return answer

    def counters(self):
        """GETs that were answered so far, by path; a blocking query counts when it ends."""
        text = self.call("GET", "/v1/agent/metrics?format=prometheus").decode()
        found = re.findall(r'^consul_api_http_count\{method="GET",path="([^"]*)"\} (\S+)$', text, re.M)
        return {path: int(float(count)) for path, count in found
                if path != "v1_agent_metrics"}


class Instance:
    """One instance of a catalogue of our own making."""

    def __init__(self, service, number, nodes):
        self.service = f"svc-{service:05d}"
        self.id = f"{self.service}-{number}"
        self.node = f"node-{(service * 7 + number) % nodes:04d}"
        self.address = f"10.{1 + service // 250 % 250}.{service % 250}.{1 + number}"
        self.version = 1
        self.status = "passing"

    def service_entry(self):
        return {"ID": self.id, "Service": self.service, "Address": self.address, "Port": 8080,
                "Tags": [f"version=v{self.version}", "http"], "Meta": {"team": "bench"}}

    def check(self):
        return {"Node": self.node, "CheckID": f"service:{self.id}", "Name": "http",
                "Status": self.status, "ServiceID": self.id, "ServiceName": self.service}

    def registration(self):
        return {"Node": self.node, "SkipNodeUpdate": True, "Service": self.service_entry(),
                "Check": self.check()}


def fill(consul, services, instances, make=Instance):
    """Registers so many services of so many instances; about ten instances share a node."""
    nodes = max(instances, services * instances // 10)
    catalogue = [make(s, i, nodes) for s in range(services) for i in range(instances)]
    operations = [{"Node": {"Verb": "set", "Node": {"Node": f"node-{n:04d}",
                                                    "Address": f"10.0.{n // 250}.{1 + n % 250}"}}}
                  for n in range(nodes)]
    for each in catalogue:
        operations.append({"Service": {"Verb": "set", "Node": each.node,
                                       "Service": each.service_entry()}})
        operations.append({"Check": {"Verb": "set", "Check": each.check()}})
    for i in range(0, len(operations), 64):
        consul.call("PUT", "/v1/txn", operations[i : i + 64])
    return catalogue


# --- the pipeline


class Pipeline:
    """`meshpipe run` into a namespace. What k8s-apply did goes into `results`."""

    def __init__(self, kube, consul, namespace, https, log, extra=()):
        self.started_s = time.monotonic()
        self.synced = threading.Event()
        self.synced_s = None
        self.results = queue.SimpleQueue()
        # Blocking queries that run out, and snapshots anew, would count as reads of a change.
        self.process = subprocess.Popen(
            [MESHPIPE, "run", "-n", namespace, "-o", "json", "--wait", "10m", "--resync", "24h", *extra],
            env={**os.environ, "MESHPIPE_BIN": BIN, "KUBECONFIG": kube.kubeconfig, **consul.environment(https)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        self.log = log
        threading.Thread(target=self.read_results, daemon=True).start()
        threading.Thread(target=self.read_log, daemon=True).start()

    def read_results(self):
        for line in self.process.stdout:
            self.results.put(json.loads(line))

    def read_log(self):
        with open(self.log, "a", encoding="utf-8") as log:
            for line in self.process.stderr:
                if line.startswith("k8s-apply: ") and " msg=synced " in line and not self.synced_s:
                    self.synced_s = time.monotonic()
                    self.synced.set()
                log.write(line)
                log.flush()

    def wait_synced(self, limit_s):
        """How many seconds the first sync took."""
        deadline = time.monotonic() + limit_s
        while not self.synced.wait(0.2):
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(self.log, encoding="utf-8") as log:
                    sys.stderr.write("".join(log.readlines()[-10:]))
                raise Failed("no first sync")
        return self.synced_s - self.started_s

    def take_results(self):
        """What came since the last time."""
        found = []
        try:
            while True:
                found.append(self.results.get_nowait())
        except queue.Empty:
            return found

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise Failed("the pipeline did not end") from None

    def pids(self):
        """By program, its workers among them."""
        found = {name: [] for name in PROGRAMS}
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                    name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue
            parents[int(pid)] = (int(rest.split()[1]), name)
        for pid, (_, name) in parents.items():
            ancestor = pid
            while ancestor in parents and ancestor != self.process.pid:
                ancestor = parents[ancestor][0]
            if ancestor == self.process.pid and name in found:
                found[name].append(pid)
        return found


# --- what it cost


def read_pid(file):
    with open(file, encoding="utf-8") as f:
        return int(f.read())


def cpu_s(pids):
    """Seconds of processor time of these processes, user and system."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def cpu_of(*owners):
    """By program, of all that these run."""
    return {name: cpu_s(pids) for owner in owners for name, pids in owner.pids().items()}


def difference(after, before):
    """What grew, and by how much."""
    return {key: after[key] - before.get(key, 0) for key in sorted(after)
            if after[key] != before.get(key, 0)}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


# --- the setting


class Bench:
    """A folder with the servers; all ends and goes with it."""

    def __init__(self, kubernetes=True, consul=True, consul_config=None):
        self.kubernetes = kubernetes
        self.with_consul = consul
        self.consul_config = consul_config
        self.folder = tempfile.mkdtemp(prefix="meshpipe-bench.")
        self.ending = []
        self.kube = self.consul = None

    def __enter__(self):
        try:
            if self.kubernetes:
                self.kube = Kube(os.path.join(self.folder, "kube"))
                self.ending.append(self.kube)
            if self.with_consul:
                tls = kube_certificate(self.kube) if self.kube else own_certificate(self.folder)
                self.consul = Consul(os.path.join(self.folder, "consul"), tls, self.consul_config)
                self.ending.append(self.consul)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for each in reversed(self.ending):
            each.stop()
        self.ending = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def pipeline(self, namespace, https, extra=()):
        log = os.path.join(self.folder, f"{namespace}.log")
        pipeline = Pipeline(self.kube, self.consul, namespace, https, log, extra)
        self.ending.append(pipeline)
        return pipeline

    def end(self, pipeline):
        self.ending.remove(pipeline)
        pipeline.stop()


def run(main):
    """Runs main(); what failed is one line and exit status 1."""
    end_at_signals()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (Failed, OSError, http.client.HTTPException, subprocess.CalledProcessError) as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        sys.exit(1)
