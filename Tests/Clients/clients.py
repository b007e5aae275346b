#!/usr/bin/env python3
"""Runs programs that were written for Consul against a Roost cluster, unchanged.

usage: clients.py ROOST_BINARY [NAME...]

Each test needs a program or a Python package; one that is not there is skipped, and said so
loudly. The last line counts: `N passed, N failed, N skipped`.
"""
import http.client
import http.server
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from harness import Cluster, Program, free_ports, wait_for


# Where install.py put Python packages.
PACKAGES = os.environ.get("ROOST_PYTHON_PACKAGES", "")


class Skip(Exception):
    pass


def need_program(*names):
    for name in names:
        path = shutil.which(os.path.join(PACKAGES, f"{name}-bin/bin/{name}")) or shutil.which(name)
        if path:
            return path
    raise Skip(f"{' or '.join(names)} is not installed")


class Server(http.server.ThreadingHTTPServer):
    """Clients may be killed in the middle of an answer."""

    def handle_error(self, *_):
        pass


def backend(text):
    """A web server of this process that answers with `text`; returns its port."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def get(url, headers=None):
    request = urllib.request.Request(url, headers=headers or {})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read().decode()


def run_python_client(cluster, python, folder=None):
    environment = dict(os.environ, PYTHONPATH=folder) if folder else None
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_client.py")
    ports = [str(node["http"]) for node in cluster.nodes[:2]]
    done = subprocess.run(
        [python, script] + ports, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-800:]


def has_consul(python, folder, distribution):
    """Whether that interpreter imports `consul` out of that distribution."""
    environment = dict(os.environ, PYTHONPATH=folder) if folder else None
    code = f"import consul, importlib.metadata as m; m.distribution('{distribution}')"
    return subprocess.run(
        [python, "-c", code], env=environment, capture_output=True).returncode == 0


def test_python3_consul(cluster):
    """KV, health, sessions, locks and blocking watches of Debian's client."""
    python = "/usr/bin/python3"
    if not os.path.exists(python) or not has_consul(python, None, "python-consul"):
        raise Skip("python3-consul is not installed")
    run_python_client(cluster, python)


def test_py_consul(cluster):
    """The same with the client that is maintained today, from PyPI."""
    folder = PACKAGES and os.path.join(PACKAGES, "py-consul")
    if not has_consul(sys.executable, folder, "py-consul"):
        raise Skip("py-consul is not installed")
    run_python_client(cluster, sys.executable, folder)


class Resource:
    """What a lock protects. It knows the highest fencing token that it has seen, and turns away
    whoever comes with a lower one; and it writes down who wrote when."""

    def __init__(self):
        self.lock = threading.Lock()
        self.highest = 0
        self.writes = []  # (time, name, token)
        self.refused = []  # (name, token)
        resource = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                name, token = self.path.strip("/").split("/")
                answer = resource.write(name, token)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.port = server.server_address[1]

    def write(self, name, token):
        with self.lock:
            token = int(token)
            if token < self.highest:
                self.refused.append((name, token))
                return b"too late"
            self.highest = token
            self.writes.append((time.time(), name, token))
            return b"ok"

    def holders(self):
        """Names in the order in which they held the lock, each once per token."""
        with self.lock:
            return list(dict.fromkeys((name, token) for _, name, token in self.writes))


    def others_than(self, name, begin):
        """Whether somebody else has written since the write number `begin`."""
        with self.lock:
            return any(other != name for _, other, _ in self.writes[begin:])

    def check(self):
        """One token has one holder, and tokens only grow: nobody wrote again once another had."""
        holders = self.holders()
        tokens = [token for _, token in holders]
        assert tokens == sorted(set(tokens)), holders
        return f"{len(tokens)} holders, {len(self.writes)} writes, {len(self.refused)} turned away"


class Rivals:
    """Two processes that want one lock, each with its own nodes to ask."""

    def __init__(self, cluster, ports):
        self.resource = Resource()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lock_process.py")
        self.programs = {
            name: Program(
                [sys.executable, script, ",".join(str(port) for port in ports[name]), name, "10",
                 str(self.resource.port)], f"{cluster.folder}/{name}.log")
            for name in ("a", "b")}

    def __enter__(self):
        wait_for("both to have held the lock", lambda: len(
            {name for name, _ in self.resource.holders()}) == 2)
        return self

    def __exit__(self, *_):
        for program in self.programs.values():
            program.process.kill()
            program.process.wait()

    def holder(self):
        """Who has the lock and has only begun to work under it."""
        with self.resource.lock:
            at, name, token = self.resource.writes[-1]
            count = sum(1 for _, _, other in self.resource.writes if other == token)
        return name if time.time() - at < 0.3 and count < 100 else None


def test_locks(cluster):
    """Two processes and one lock: never both, though the holder is frozen and killed."""
    one, other = cluster.nodes[:2]
    with Rivals(cluster, {"a": [one["http"]], "b": [other["http"]]}) as rivals:
        resource = rivals.resource
        name = wait_for("a holder", rivals.holder)
        begin = len(resource.writes)
        rivals.programs[name].process.send_signal(signal.SIGSTOP)
        wait_for("the other, though the holder is frozen",
                 lambda: resource.others_than(name, begin), 20)
        rivals.programs[name].process.send_signal(signal.SIGCONT)
        # It is turned away, unless it hears first that its session is gone: then it begins anew.
        wait_for("the one that was frozen to notice",
                 lambda: resource.refused or resource.holders()[-1][0] == name, 60)
        name = wait_for("a holder", rivals.holder)
        begin = len(resource.writes)
        rivals.programs[name].process.kill()
        killed = time.time()
        wait_for("the other, though the holder is dead",
                 lambda: resource.others_than(name, begin + 1), 20)
        took = time.time() - killed
        # A session is never ended before its TTL; the last renewal may be a third of it old.
        assert 6 < took < 14, f"{took:.1f} s"
    return resource.check()


class LoneSession:
    """A session with a TTL of 10 s that nobody renews."""

    def __init__(self, cluster, node):
        self.cluster = cluster
        body = json.dumps({"TTL": "10s", "LockDelay": "0s"}).encode()
        self.before = time.time()
        self.id = cluster.call(node, "PUT", "/v1/session/create", body)["ID"]
        self.lived = None
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while time.time() - self.before < 40:
            for node in self.cluster.nodes:
                try:
                    if not self.cluster.call(node, "GET", f"/v1/session/info/{self.id}"):
                        self.lived = time.time() - self.before
                        return
                    break
                except (OSError, http.client.HTTPException):
                    continue
            time.sleep(0.05)


class KeptSession:
    """A session with a TTL of 10 s that is renewed all the time, through whichever node answers."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.fault = None
        self.id = cluster.call(
            cluster.nodes[0], "PUT", "/v1/session/create", b'{"TTL": "10s"}')["ID"]
        self.is_done = threading.Event()
        threading.Thread(target=self.keep, daemon=True).start()

    def keep(self):
        last = time.time()
        while not self.is_done.wait(1):
            for node in self.cluster.nodes:
                try:
                    self.cluster.call(node, "PUT", f"/v1/session/renew/{self.id}")
                    last = time.time()
                    break
                except urllib.error.HTTPError as error:
                    if error.code == 404:
                        self.fault = f"lost {time.time() - last:.1f} s after its last renewal"
                        return
                except OSError:
                    continue


def test_failovers(cluster):
    """Leaders killed one after the other (ROOST_FAILOVERS of them): the lock never has two
    holders, a session that is renewed is never lost, and one that is not ends between its TTL and
    twice its TTL."""
    ports = [node["http"] for node in cluster.nodes]
    kept = KeptSession(cluster)
    lone = []
    with Rivals(cluster, {"a": ports, "b": ports[1:] + ports[:1]}) as rivals:
        for number in range(int(os.environ.get("ROOST_FAILOVERS", "2"))):
            leader = cluster.leader()
            others = [node for node in cluster.nodes if node is not leader]
            lone.append(LoneSession(cluster, others[number % 2]))
            time.sleep(number % 5)
            count = len(rivals.resource.holders())
            cluster.kill(leader)
            wait_for("a new leader", cluster.leader)
            wait_for("the lock to change hands", lambda: len(rivals.resource.holders()) > count)
            cluster.start(leader)
            wait_for("the node to be back", lambda: cluster.call(
                leader, "GET", "/v1/roost/status")["Leader"])
            # Another failover meanwhile would let it live on, as in Consul.
            lone[-1].thread.join()
    kept.is_done.set()
    assert kept.fault is None, f"the session that is renewed was {kept.fault}"
    assert cluster.call(cluster.nodes[0], "GET", f"/v1/session/info/{kept.id}")
    for session in lone:
        assert session.lived and 10 <= session.lived <= 21.5, f"it lived {session.lived} s"
    lives = [session.lived for session in lone]
    return (f"{len(lone)} leaders killed, {rivals.resource.check()}; sessions of 10 s that nobody "
            f"renewed lived {min(lives):.1f} to {max(lives):.1f} s")


def test_victoria_metrics(cluster):
    """consul_sd_configs pointed at a follower finds services and follows changes."""
    program = need_program("victoria-metrics")
    follower = cluster.follower()
    port = free_ports(1)[0]
    settings = os.path.join(cluster.folder, "vm.yml")
    with open(settings, "w") as file:
        file.write(
            "scrape_configs:\n- job_name: roost\n  scrape_interval: 1s\n  consul_sd_configs:\n"
            f"  - server: 127.0.0.1:{follower['http']}\n    services: [scraped]\n")

    def targets():
        answer = json.loads(get(f"http://127.0.0.1:{port}/api/v1/targets"))
        return sorted(t["labels"]["instance"] for t in answer["data"]["activeTargets"])

    cluster.register(
        cluster.nodes[0], Name="scraped", ID="s1", Address="127.0.0.1", Port=backend("up 1\n"))
    with Program(
            [program, f"-promscrape.config={settings}", "-promscrape.consulSDCheckInterval=1s",
             f"-storageDataPath={cluster.folder}/vm", f"-httpListenAddr=127.0.0.1:{port}"],
            cluster.folder + "/vm.log"):
        wait_for("the first target", lambda: len(targets()) == 1)
        cluster.register(
            cluster.nodes[1], Name="scraped", ID="s2", Address="127.0.0.1", Port=backend("up 1\n"))
        wait_for("the second target", lambda: len(targets()) == 2)
        cluster.call(cluster.nodes[2], "PUT", "/v1/agent/service/deregister/s1")
        wait_for("one target to go", lambda: len(targets()) == 1)


def test_traefik(cluster):
    """Routes by its Consul catalog and KV providers."""
    program = need_program("traefik")
    port = free_ports(1)[0]
    settings = os.path.join(cluster.folder, "traefik.yml")
    with open(settings, "w") as file:
        file.write(
            f"entryPoints:\n  web:\n    address: 127.0.0.1:{port}\nproviders:\n  consulCatalog:\n"
            f"    endpoint:\n      address: 127.0.0.1:{cluster.follower()['http']}\n"
            "      scheme: http\n    refreshInterval: 1s\n  consul:\n"
            f"    endpoints: ['127.0.0.1:{cluster.nodes[0]['http']}']\n    rootKey: traefik\n")
    cluster.register(
        cluster.nodes[0], Name="web", ID="web1", Address="127.0.0.1", Port=backend("catalog"),
        Tags=["traefik.enable=true", "traefik.http.routers.web.rule=Host(`cat.test`)"])
    keys = {
        "http/routers/kv/rule": "Host(`kv.test`)", "http/routers/kv/service": "kv",
        "http/services/kv/loadBalancer/servers/0/url": f"http://127.0.0.1:{backend('store')}"}
    for key, value in keys.items():
        cluster.call(cluster.nodes[1], "PUT", "/v1/kv/traefik/" + key, value.encode())

    def ask(host):
        return get(f"http://127.0.0.1:{port}/", {"Host": host})

    with Program([program, f"--configFile={settings}"], cluster.folder + "/traefik.log"):
        wait_for("the catalog's route", lambda: ask("cat.test") == "catalog")
        wait_for("the store's route", lambda: ask("kv.test") == "store")
        cluster.call(
            cluster.nodes[2], "PUT", "/v1/kv/traefik/http/routers/kv/rule", b"Host(`new.test`)")
        wait_for("the changed route", lambda: ask("new.test") == "store")


def test_haproxy(cluster):
    """A server-template on SRV records follows scale up and down."""
    program = need_program("haproxy", "/usr/sbin/haproxy")
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.settimeout(1)
    question = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06consul\x00\x00\x06\x00\x01"
    probe.sendto(question, ("127.0.0.1", cluster.nodes[1]["dns"]))
    try:
        probe.recv(512)
    except OSError:
        raise AssertionError("the node does not answer DNS")
    port = free_ports(1)[0]
    settings = os.path.join(cluster.folder, "haproxy.cfg")
    with open(settings, "w") as file:
        file.write(
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n"
            f"resolvers roost\n  nameserver n 127.0.0.1:{cluster.nodes[1]['dns']}\n"
            "  accepted_payload_size 8192\n  hold valid 1s\n  hold obsolete 1s\n"
            "  timeout resolve 1s\n"
            f"frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\n"
            "backend b\n  balance roundrobin\n  server-template w 5 _ha._tcp.service.consul "
            "resolvers roost resolve-prefer ipv4 init-addr none check inter 500ms\n")

    def seen():
        return {get(f"http://127.0.0.1:{port}/") for _ in range(12)}

    for name in ("a", "b"):
        cluster.register(
            cluster.nodes[0], Name="ha", ID=name, Address="127.0.0.1", Port=backend(name))
    with Program([program, "-f", settings, "-db"], cluster.folder + "/haproxy.log"):
        wait_for("both servers", lambda: seen() == {"a", "b"})
        cluster.register(
            cluster.nodes[2], Name="ha", ID="c", Address="127.0.0.1", Port=backend("c"))
        wait_for("the third server", lambda: seen() == {"a", "b", "c"})
        cluster.call(cluster.nodes[1], "PUT", "/v1/agent/service/deregister/a")
        wait_for("the first to go", lambda: seen() == {"b", "c"})


def test_patroni(cluster):
    """A two-node PostgreSQL: switchover, and a kill of Roost's leader that nobody notices."""
    program = need_program("patroni")
    control = need_program("patronictl")
    versions = [f"/usr/lib/postgresql/{v}/bin" for v in sorted(
        os.listdir("/usr/lib/postgresql") if os.path.isdir("/usr/lib/postgresql") else [])]
    if not versions:
        raise Skip("postgresql is not installed")
    if os.getuid() != 0 or not any(u.pw_name == "postgres" for u in pwd.getpwall()):
        raise Skip("needs root to run PostgreSQL as its own user")
    leader = cluster.leader()
    folder = os.path.join(cluster.folder, "patroni")
    os.mkdir(folder)
    shutil.chown(folder, "postgres")
    database, rest = free_ports(2), free_ports(2)
    survivors = [n for n in cluster.nodes if n is not leader]
    for i in range(2):
        with open(f"{folder}/pg{i}.yml", "w") as file:
            json.dump({
                "scope": "demo", "name": f"pg{i}",
                "restapi": {"listen": f"127.0.0.1:{rest[i]}",
                            "connect_address": f"127.0.0.1:{rest[i]}"},
                "consul": {"host": f"127.0.0.1:{survivors[i]['http']}", "register_service": True},
                "bootstrap": {
                    "dcs": {"ttl": 20, "loop_wait": 2, "retry_timeout": 6},
                    "initdb": [{"encoding": "UTF8"}],
                    "pg_hba": ["host replication rep 127.0.0.1/32 md5",
                               "host all all 127.0.0.1/32 md5"]},
                "postgresql": {
                    "listen": f"127.0.0.1:{database[i]}",
                    "connect_address": f"127.0.0.1:{database[i]}",
                    "data_dir": f"{folder}/data{i}", "bin_dir": versions[-1],
                    "pgpass": f"{folder}/pgpass{i}",
                    "authentication": {
                        "replication": {"username": "rep", "password": "rep"},
                        "superuser": {"username": "postgres", "password": "pw"}},
                    "parameters": {"unix_socket_directories": folder}}}, file)

    def roles():
        answer = subprocess.run(
            [control, "-c", f"{folder}/pg0.yml", "list", "-f", "json"], capture_output=True,
            timeout=20, check=True)
        return {m["Member"]: (m["Role"], m["State"]) for m in json.loads(answer.stdout)}

    def leads(name, other):
        now = roles()
        return now.get(name) == ("Leader", "running") and now.get(other, ("",))[0] == "Replica" \
            and now[other][1] in ("running", "streaming")

    def start(i):
        return Program(
            [program, f"{folder}/pg{i}.yml"], f"{cluster.folder}/pg{i}.log", user="postgres",
            cwd=folder)

    with start(0):
        wait_for("PostgreSQL to lead", lambda: roles()["pg0"] == ("Leader", "running"), 60)
        with start(1):
            wait_for("the replica", lambda: leads("pg0", "pg1"), 60)
            subprocess.run(
                [control, "-c", f"{folder}/pg0.yml", "switchover", "demo", "--master", "pg0",
                 "--candidate", "pg1", "--force"], check=True, timeout=60, capture_output=True)
            wait_for("the switchover", lambda: leads("pg1", "pg0"), 60)
            cluster.kill(leader)
            for _ in range(12):
                time.sleep(1)
                assert roles()["pg1"] == ("Leader", "running"), roles()
    cluster.start(leader)


TESTS = [
    test_python3_consul, test_py_consul, test_locks, test_failovers, test_victoria_metrics,
    test_traefik, test_haproxy, test_patroni]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for test in TESTS:
        name = test.__name__.removeprefix("test_")
        if names and name not in names:
            continue
        cluster = Cluster(binary)
        begin = time.time()
        try:
            facts = test(cluster)
            result, note = "passed", f"{time.time() - begin:.1f} s" + (f", {facts}" if facts else "")
        except Skip as reason:
            result, note = "skipped", f"SKIPPED, NOT TESTED: {reason}"
        except Exception as error:
            result, note = "failed", f"{type(error).__name__}: {error}"
        counts[result] += 1
        print(f"{result:8} {name}: {note}", flush=True)
        cluster.close()
    print(", ".join(f"{count} {result}" for result, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
