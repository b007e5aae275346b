"""A Roost cluster of real processes, for programs that were written for Consul.

Everything listens on loopback, on ports that were free a moment ago, in a folder of its own.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_for(what, condition, seconds=30):
    """Polls until `condition` gives something true; says what was missing otherwise."""
    end = time.time() + seconds
    last = None
    while time.time() < end:
        try:
            value = condition()
            if value:
                return value
        except Exception as error:  # the program under test may not be up yet
            last = error
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what} ({last})")


class Cluster:
    def __init__(self, binary, count=3):
        self.binary = binary
        self.folder = tempfile.mkdtemp(prefix="roost-clients-")
        os.chmod(self.folder, 0o755)
        ports = free_ports(3 * count)
        self.nodes = [
            {"name": f"node{i + 1}", "http": ports[3 * i], "peer": ports[3 * i + 1],
             "dns": ports[3 * i + 2], "process": None}
            for i in range(count)]
        members = [{"name": n["name"], "peer": f"127.0.0.1:{n['peer']}"} for n in self.nodes]
        for node in self.nodes:
            node["file"] = os.path.join(self.folder, node["name"] + ".json")
            with open(node["file"], "w") as file:
                json.dump({
                    "node_name": node["name"], "cluster": "clients",
                    "data_dir": os.path.join(self.folder, node["name"]),
                    "ports": {k: node[k] for k in ("http", "peer", "dns")},
                    "members": members}, file)
            self.start(node)
        wait_for("a leader", self.leader)

    def start(self, node):
        log = open(os.path.join(self.folder, node["name"] + ".log"), "a")
        node["process"] = subprocess.Popen(
            [self.binary, "agent", "--config", node["file"]], stdout=log, stderr=log)

    def leader(self):
        for node in self.nodes:
            try:
                if self.call(node, "GET", "/v1/roost/status")["Role"] == "leader":
                    return node
            except OSError:
                continue
        return None

    def follower(self):
        leader = self.leader()
        return next(n for n in self.nodes if n is not leader and n["process"].poll() is None)

    def kill(self, node):
        node["process"].send_signal(signal.SIGKILL)
        node["process"].wait()

    def call(self, node, method, path, body=None):
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{node['http']}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def register(self, node, **service):
        self.call(node, "PUT", "/v1/agent/service/register", service)

    def close(self):
        for node in self.nodes:
            if node["process"] and node["process"].poll() is None:
                node["process"].terminate()
        for node in self.nodes:
            if node["process"]:
                try:
                    node["process"].wait(timeout=10)
                except subprocess.TimeoutExpired:
                    node["process"].kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Program:
    """A foreign program, ended by its pid when the block is left."""

    def __init__(self, command, log, **options):
        self.log = log
        self.process = subprocess.Popen(
            command, stdout=open(log, "w"), stderr=subprocess.STDOUT, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
