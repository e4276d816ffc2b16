# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for the VPC that exists only in namespaces, with a world behind it, and probes.

             world                               host                        lan
    203.0.113.80, 10.255.255.53,   eth0 192.0.2.2/24                eth0 172.31.99.2/24
    169.254.7.7 (host's metadata)  dock 172.31.99.1/24 ------------ (a container, say)
    eth0 192.0.2.1/24 ------------ 169.254.7.8, 10.77.0.1, 203.0.113.7 on lo

The world knows no way to 198.18.0.0/16. A test enters the host: every thread and command that it
starts takes it for the host. So nothing here touches the machine or its other sandboxes, and
what would be somebody's server on the internet is a socket of the test.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cloudspill_sandbox.network import links, namespaces
from cloudspill_sandbox.network.addressing import NAMESPACES
from cloudspill_sandbox.network.commands import ip_batch
from cloudspill_sandbox.network.namespaces import inside, inside_new

NAME = f"nt{os.getpid()}"
"""Of the sandbox and of its surroundings: two runs at once do not meet."""

HOST, WORLD, LAN = (NAMESPACES / f"{NAME}-{name}" for name in ("host", "world", "lan"))
SILENCE = 0.2
"""Seconds after which a packet on these links has been dropped."""


@contextlib.contextmanager
def host_of_its_own() -> Iterator[None]:
    """Make the three namespaces and stand in the host for the duration."""
    before = namespaces.directory_state()
    namespaces.open_directory()
    try:
        for path in (HOST, WORLD, LAN):
            namespaces.remove(path)
            with inside_new(path):
                ip_batch(["link set lo up"])
                # Addresses that the kernel makes up a moment later would look like leftovers.
                namespaces.write_sysctls({"net/ipv6/conf/default/addr_gen_mode": "1"})
        with inside(HOST):
            ip_batch(
                [
                    f"link add eth0 type veth peer name eth0 netns {WORLD.name}",
                    f"link add dock type veth peer name eth0 netns {LAN.name}",
                    "addr add 192.0.2.2/24 dev eth0",
                    "addr add 172.31.99.1/24 dev dock",
                    "addr add 169.254.7.8/32 dev lo",
                    "addr add 10.77.0.1/32 dev lo",
                    "addr add 203.0.113.7/32 dev lo",
                    "link set eth0 up",
                    "link set dock up",
                ]
            )
        with inside(WORLD):
            ip_batch(
                [
                    "addr add 192.0.2.1/24 dev eth0",
                    "addr add 203.0.113.80/32 dev lo",
                    "addr add 10.255.255.53/32 dev lo",
                    "addr add 169.254.7.7/32 dev lo",
                    "link set eth0 up",
                ]
            )
            links.settle("eth0")
        with inside(LAN):
            ip_batch(
                [
                    "addr add 172.31.99.2/24 dev eth0",
                    "link set eth0 up",
                    "route add default via 172.31.99.1",
                ]
            )
            links.settle("eth0")
        with inside(HOST):
            ip_batch(["route add default via 192.0.2.1"])
            links.settle("eth0", "dock")
            yield
    finally:
        for path in (HOST, WORLD, LAN):
            namespaces.remove(path)
        namespaces.close_directory(before)


def host_state() -> dict[str, str]:
    """Return all that the VPC could leave behind, in the namespace of the caller."""
    commands = {
        "links": "ip -o -d link show",
        "addresses": "ip -o addr show",
        "routes": "ip route show table all",
        "routes6": "ip -6 route show table all",
        "rules": "ip rule show",
        "ruleset": "nft list ruleset",
    }
    state = {
        name: subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout
        for name, command in commands.items()
    }
    # Life times of addresses count down.
    state["addresses"] = re.sub(r"\d+sec", "", state["addresses"])
    for family in ("ipv4", "ipv6"):
        for path in sorted(Path("/proc/sys/net", family, "conf").rglob("*")):
            if path.is_file() and path.name != "stable_secret":
                state[str(path)] = path.read_text()
    state["ip_forward"] = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    # Of namespaces only those of this test's names: other sandboxes may come and go meanwhile.
    state["namespaces"] = " ".join(sorted(path.name for path in NAMESPACES.glob(f"{NAME}-*")))
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    state["mounts"] = "\n".join(line for line in mounts if f"{NAMESPACES}/{NAME}-" in line)
    return state


def server(namespace: Path, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Return a socket that serves on every address of a namespace."""
    with inside(namespace):
        opened = socket.socket(socket.AF_INET, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("0.0.0.0", port))
    opened.settimeout(SILENCE)
    if kind == socket.SOCK_STREAM:
        opened.listen()
    return opened


def client(
    namespace: Path, kind: int = socket.SOCK_STREAM, source: str | None = None
) -> socket.socket:
    """Return a socket of a namespace, bound to a source address if one is given."""
    with inside(namespace):
        opened = socket.socket(socket.AF_INET, kind)
    opened.settimeout(SILENCE)
    if source is not None:
        opened.bind((source, 0))
    return opened


def connect(namespace: Path, address: str, port: int, source: str | None = None) -> str:
    """Try TCP: `open`, `refused` (somebody said no) or `silent` (nobody said anything)."""
    with client(namespace, source=source) as opened:
        try:
            opened.connect((address, port))
        except TimeoutError:
            return "silent"
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
                return "refused"
            raise
    return "open"


def source_seen(listener: socket.socket) -> str:
    """Return the address from which the next waiting connection came."""
    accepted, (address, _) = listener.accept()
    accepted.close()
    return str(address)


def received(listener: socket.socket) -> bytes | None:
    """Return the next datagram, None when none arrives."""
    try:
        return listener.recv(65535)
    except TimeoutError:
        return None
