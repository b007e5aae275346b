#!/usr/bin/env python3
"""What programs do with the Python clients of Consul; run with one of them on the path.

usage: python_client.py PORT OTHER_PORT

KV, catalog, health, sessions, locks, events and blocking watches, through two nodes.
"""
import inspect
import sys
import threading
import time
import urllib.request

import consul

# Before 0.8 the agent's writes were sent with GET, which Consul refuses since its version 1.0.
WRITES_WITH_GET = "http.get" in inspect.getsource(consul.Consul().agent.check.ttl_pass)


def agent(client, path, ask):
    """An agent's write: by the client, or by hand where it uses the wrong method."""
    if not WRITES_WITH_GET:
        return ask()
    request = urllib.request.Request(
        client.http.base_uri + "/v1/agent/" + path, method="PUT")
    return urllib.request.urlopen(request, timeout=10).read()


def key_values(one, other):
    assert one.kv.put("py/a", "1")
    index, entry = other.kv.get("py/a")
    assert entry["Value"] == b"1" and int(index) == entry["ModifyIndex"], entry
    assert one.kv.put("py/a", "2", cas=entry["ModifyIndex"])
    assert not one.kv.put("py/a", "3", cas=entry["ModifyIndex"])
    assert one.kv.put("py/flagged", b"\x00\xff", flags=2**64 - 1)
    _, entry = other.kv.get("py/flagged")
    assert entry["Value"] == b"\x00\xff" and entry["Flags"] == 2**64 - 1
    assert one.kv.put("py/empty", "")
    assert other.kv.get("py/empty")[1]["Value"] in (None, b"")
    assert other.kv.get("py/none")[1] is None
    assert one.kv.put("py/dir/x", "y")
    keys = other.kv.get("py/", keys=True)[1]
    assert keys == ["py/a", "py/dir/x", "py/empty", "py/flagged"], keys
    keys = other.kv.get("py/", keys=True, separator="/")[1]
    assert keys == ["py/a", "py/dir/", "py/empty", "py/flagged"], keys
    assert len(other.kv.get("py/", recurse=True)[1]) == 4
    assert one.kv.delete("py/dir/x")
    assert one.kv.delete("py/", recurse=True)
    assert other.kv.get("py/", recurse=True)[1] is None


def sessions_and_locks(one, other):
    session = one.session.create(name="holder", ttl=10, lock_delay=0)
    rival = other.session.create(name="rival", ttl=10, behavior="delete", lock_delay=0)
    names = {s["Name"] for s in one.session.list()[1]}
    assert {"holder", "rival"} <= names, names
    assert other.session.info(session)[1]["TTL"] in ("10s", "10"), other.session.info(session)
    node = other.session.info(session)[1]["Node"]
    assert session in [s["ID"] for s in other.session.node(node)[1]]
    assert one.kv.put("py/lock", "me", acquire=session)
    assert not other.kv.put("py/lock", "you", acquire=rival)
    fence = one.kv.get("py/lock")[1]["LockIndex"]
    assert one.session.renew(session)["ID"] == session
    assert one.kv.put("py/lock", "me", release=session)
    assert other.kv.put("py/lock", "you", acquire=rival)
    assert one.kv.get("py/lock")[1]["LockIndex"] == fence + 1
    assert other.session.destroy(rival)
    assert one.kv.get("py/lock")[1] is None, "the session's behaviour is delete"
    assert one.session.destroy(session)
    try:
        one.session.renew(session)
        raise AssertionError("a destroyed session was renewed")
    except consul.NotFound:
        pass


def services_and_health(one, other):
    one.agent.service.register(
        "pysvc", service_id="pysvc-1", port=99, tags=["a", "b"], check=consul.Check.ttl("10s"))
    assert other.health.service("pysvc", passing=True)[1] == []
    agent(one, "check/pass/service:pysvc-1?note=fine",
          lambda: one.agent.check.ttl_pass("service:pysvc-1", "fine"))
    found = other.health.service("pysvc", passing=True)[1]
    assert len(found) == 1 and found[0]["Service"]["Port"] == 99, found
    assert found[0]["Service"]["Tags"] == ["a", "b"]
    assert "pysvc-1" in one.agent.services()
    assert one.agent.checks()["service:pysvc-1"]["Status"] == "passing"
    assert other.catalog.services()[1]["pysvc"] == ["a", "b"]
    assert other.catalog.service("pysvc", tag="b")[1][0]["ServicePort"] == 99
    assert other.health.checks("pysvc")[1][0]["Output"] == "fine"
    agent(one, "check/warn/service:pysvc-1",
          lambda: one.agent.check.ttl_warn("service:pysvc-1", "so so"))
    assert other.health.state("warning")[1][0]["CheckID"] == "service:pysvc-1"
    one.agent.service.maintenance("pysvc-1", "true", "testing")
    assert other.health.service("pysvc", passing=True)[1] == []
    one.agent.service.maintenance("pysvc-1", "false")
    agent(one, "service/deregister/pysvc-1",
          lambda: one.agent.service.deregister("pysvc-1"))
    assert other.health.service("pysvc")[1] == []

    one.catalog.register(
        "pynode", "10.1.1.1", service={"Service": "ext", "ID": "ext1", "Port": 5})
    assert other.catalog.node("pynode")[1]["Services"]["ext1"]["Port"] == 5
    assert "pynode" in [n["Node"] for n in other.catalog.nodes()[1]]
    assert one.catalog.deregister("pynode")
    assert other.catalog.node("pynode")[1] is None


def watches(one, other):
    index, _ = one.kv.get("py/watched")
    threading.Timer(0.4, lambda: other.kv.put("py/watched", "x")).start()
    begin = time.time()
    index, entry = one.kv.get("py/watched", index=index, wait="10s")
    assert entry["Value"] == b"x" and time.time() - begin < 5, entry
    begin = time.time()
    again, entry = one.kv.get("py/watched", index=index, wait="1s")
    assert again == index and 0.9 < time.time() - begin < 3, time.time() - begin

    index, nodes = one.health.service("pywatched")
    assert nodes == []
    threading.Timer(0.4, lambda: other.agent.service.register("pywatched", port=1)).start()
    index, nodes = one.health.service("pywatched", index=index, wait="10s")
    assert len(nodes) == 1
    agent(other, "service/deregister/pywatched",
          lambda: other.agent.service.deregister("pywatched"))


def the_rest(one, other):
    event = one.event.fire("deploy", "payload")
    end = time.time() + 5
    while event["ID"] not in [e["ID"] for e in other.event.list()[1]]:
        assert time.time() < end, "the event is not listed"
        time.sleep(0.05)
    assert one.status.leader() == other.status.leader() != ""
    assert len(one.status.peers()) == 3
    assert len(one.agent.members()) == 3
    assert one.agent.self()["Config"]["Datacenter"] == "dc1"
    assert one.catalog.datacenters() == ["dc1"]


def main():
    one, other = [consul.Consul(port=int(port)) for port in sys.argv[1:3]]
    for part in (key_values, sessions_and_locks, services_and_health, watches, the_rest):
        part(one, other)
    print("all right")


if __name__ == "__main__":
    main()
