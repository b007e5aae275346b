#!/usr/bin/env python3
"""A process that works under a lock the way Consul's clients do it; for clients.py.

usage: lock_process.py PORT[,PORT…] NAME TTL RESOURCE_PORT

Makes a session, takes the key `lock`, and while it holds it sends its fencing token (the key's
LockIndex) to the resource every few milliseconds. It stops when the resource turns it away or its
session is gone, and begins anew.
"""
import json
import sys
import threading
import time
import urllib.error
import urllib.request

PORTS, NAME, TTL, RESOURCE = sys.argv[1:5]
PORTS = PORTS.split(",")


def ask(port, method, path, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body or None, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read(), answer.headers


def call(method, path, body=b""):
    """Asks the first node; one that does not answer goes to the end of the list."""
    try:
        return ask(PORTS[0], method, path, body)
    except urllib.error.HTTPError:
        raise
    except OSError:
        PORTS.append(PORTS.pop(0))
        raise


def read_lock(index=0):
    wait = f"?index={index}&wait=5s" if index else ""
    try:
        body, headers = call("GET", "/v1/kv/lock" + wait)
        return json.loads(body)[0], int(headers["X-Consul-Index"])
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None, int(error.headers["X-Consul-Index"])


def keep_alive(session, lost):
    while not lost.wait(float(TTL) / 3):
        try:
            call("PUT", f"/v1/session/renew/{session}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                lost.set()
        except OSError:
            pass  # the session lives on until its TTL; the next try decides


def work(session, lost):
    entry, _ = read_lock()
    if entry is None or entry.get("Session") != session:
        return
    token = entry["LockIndex"]
    # Only so often, so that the lock changes hands also when nothing goes wrong.
    for _ in range(400):
        if lost.is_set():
            return
        answer, _ = ask(RESOURCE, "PUT", f"/{NAME}/{token}", b"")
        if answer != b"ok":
            return
        time.sleep(0.005)
    call("PUT", f"/v1/kv/lock?release={session}", NAME.encode())


def once():
    body = json.dumps({"Name": NAME, "TTL": TTL + "s", "LockDelay": "1s"}).encode()
    session = json.loads(call("PUT", "/v1/session/create", body)[0])["ID"]
    lost = threading.Event()
    threading.Thread(target=keep_alive, args=(session, lost), daemon=True).start()
    try:
        while not lost.is_set():
            entry, index = read_lock()
            if entry is not None and "Session" in entry:
                read_lock(index)  # until it is free
            elif call("PUT", f"/v1/kv/lock?acquire={session}", NAME.encode())[0] == b"true":
                return work(session, lost)
            else:
                time.sleep(0.2)  # the lock-delay
    finally:
        lost.set()


while True:
    try:
        once()
    except OSError:
        time.sleep(0.1)
