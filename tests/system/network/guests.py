# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of the test's VPC, their rules, and the frames that a hostile one sends."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from pathlib import Path

from cloudspill_sandbox.network.addressing import NAMESPACES, gateway
from cloudspill_sandbox.network.interface import FirewallRule, Nic, mac_of
from cloudspill_sandbox.network.namespaces import inside
from tests.system.network.vpc_host import NAME


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
    send_packets(nic, ipv4(source, target, socket.IPPROTO_UDP, udp(40000, port, data)))


def send_packets(nic: Nic, *packets: bytes) -> None:
    """Send IPv4 packets to the router, below the guest's IP layer."""
    send_raw(nic, *(ethernet(nic, gateway_mac(nic), 0x0800, packet) for packet in packets))


def send_raw(nic: Nic, *frames: bytes) -> None:
    """Send whole frames by the interface of an instance."""
    with inside(at(nic)):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with wire:
        wire.bind(("eth0", 0x0800))
        for frame in frames:
            wire.send(frame)


def ethernet(nic: Nic, target: bytes, kind: int, data: bytes) -> bytes:
    """Return a frame from an interface to a hardware address; `kind` is its EtherType."""
    return target + hardware(nic.mac) + struct.pack("!H", kind) + data


def udp(source: int, target: int, data: bytes) -> bytes:
    """Return a datagram without a checksum."""
    return struct.pack("!HHHH", source, target, 8 + len(data), 0) + data


def ipv4(source: str, target: str, protocol: int, data: bytes, fragment: int = 0) -> bytes:
    """Return a packet; `fragment` is the field of that name, flags and offset."""
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), 1, fragment, 64, protocol, 0,
        socket.inet_aton(source), socket.inet_aton(target),
    )  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def hardware(mac: str) -> bytes:
    """Return a hardware address as it is on the wire."""
    return bytes.fromhex(mac.replace(":", ""))


def gateway_mac(nic: Nic) -> bytes:
    """Return the hardware address of the router's end."""
    return hardware(mac_of(gateway(nic)))


def checksum(data: bytes) -> int:
    """Return the checksum of the internet protocols over an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return int(~(total + (total >> 16)) & 0xFFFF)
