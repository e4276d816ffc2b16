# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of the test's VPC, their rules, and the frames that a hostile one sends."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import replace
from pathlib import Path

from cloudspill_sandbox.network.addressing import NAMESPACES
from cloudspill_sandbox.network.interface import FirewallRule, Nic
from cloudspill_sandbox.network.namespaces import inside
from tests.system.network.vpc_host import NAME, client


def instance(number: int, network: str = "default") -> Nic:
    """Return an interface with the internal and external address of that number."""
    return Nic(
        f"10.138.0.{number}",
        f"198.18.0.{number}",
        network,
        "10.138.0.0/20",
        frozenset(),
        f"vm{number}.us-west1-b.c.p.internal",
        f"vm{number}@p.iam.gserviceaccount.com",
    )


A, B, C = instance(2), instance(3), instance(4, "other")
ANY = (("all", ()),)
OPEN = tuple(
    FirewallRule(network, "open", 1000, "INGRESS", "allow", ANY, ("0.0.0.0/0",))
    for network in ("default", "other")
)
"""Nothing between the guests but the VPC itself: what is refused now is never reachable."""


def at(nic: Nic) -> Path:
    """Return the namespace of an interface."""
    return NAMESPACES / f"{NAME}-{nic.hex_address}"


def rule(name: str, **fields: object) -> FirewallRule:
    """Return a rule that allows tcp 5000 from anywhere, with some fields changed."""
    plain = FirewallRule("default", name, 1000, "INGRESS", "allow", (("tcp", ("5000",)),))
    return replace(plain, **fields)  # type: ignore[arg-type]


def send_frame(nic: Nic, source: str, target: str, port: int, data: bytes) -> None:
    """Send a UDP packet with any source address, below the guest's IP layer."""
    with inside(at(nic)):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        gateway_mac = _gateway_mac(nic)
    udp = struct.pack("!HHHH", 40000, port, 8 + len(data), 0) + data
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
        socket.inet_aton(source), socket.inet_aton(target),
    )  # fmt: skip
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    own_mac = bytes.fromhex(nic.mac.replace(":", ""))
    with wire:
        wire.bind(("eth0", 0x0800))
        wire.send(gateway_mac + own_mac + b"\x08\x00" + head + udp)


def _gateway_mac(nic: Nic) -> bytes:
    """Return the router's hardware address, after making the guest ask for it."""
    with client(at(nic), socket.SOCK_DGRAM) as asker:
        asker.sendto(b"", ("10.138.0.1", 9))
    for _ in range(100):
        for line in Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[0] == "10.138.0.1" and fields[2] != "0x0":
                return bytes.fromhex(fields[3].replace(":", ""))
        os.sched_yield()
    raise AssertionError("the gateway does not answer ARP")


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return int(~(total + (total >> 16)) & 0xFFFF)
