# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the VPC: https://cloud.google.com/compute/docs/internal-dns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dnslib import QTYPE, RCODE, DNSRecord  # type: ignore[import-untyped]

from cloudspill_sandbox.network.interface import Nic, Topology
from cloudspill_sandbox.network.names import Zone

PROJECT = "c.cloudspill-sandbox.internal"


def _nic(address: str, name: str, network: str = "default") -> Nic:
    return Nic(address, None, network, "10.138.0.0/20", frozenset(), f"{name}.{PROJECT}")


ZONE = Zone(
    Topology(
        (
            _nic("10.138.0.2", "web.us-west1-b"),
            _nic("10.138.0.3", "db.us-west1-b"),
            _nic("10.128.0.2", "db.us-central1-a"),
            _nic("10.9.0.2", "hidden.us-west1-b", "other"),
            replace(_nic("10.9.0.3", "web.us-west1-b", "other"), index=1),
        )
    ),
    ["git.cloudspill.internal"],
)


def _ask(name: str, kind: str = "A", asker: str = "10.138.0.2") -> tuple[int, list[str]] | None:
    """Return (code, data) or None when the world would be asked; through the wire format."""
    query = DNSRecord.parse(DNSRecord.question(name, kind).pack())
    reply = ZONE.answer(query, asker)
    if reply is None:
        return None
    parsed = DNSRecord.parse(reply.pack())
    assert parsed.header.id == query.header.id
    return parsed.header.rcode, [str(record.rdata) for record in parsed.rr]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("compute.googleapis.com", "199.36.153.8"),
        ("OAuth2.GoogleAPIs.com", "199.36.153.8"),
        ("git.cloudspill.internal", "199.36.153.8"),
        ("metadata.google.internal", "169.254.169.254"),
        ("metadata", "169.254.169.254"),
        (f"db.us-west1-b.{PROJECT}", "10.138.0.3"),
        (f"DB.us-west1-b.{PROJECT}.", "10.138.0.3"),
        (f"db.us-central1-a.{PROJECT}", "10.128.0.2"),
        ("db", "10.138.0.3"),
        ("db.us-central1-a", "10.128.0.2"),
    ],
)
def test_a_name_of_the_vpc_has_its_address(name: str, address: str) -> None:
    assert _ask(name) == (RCODE.NOERROR, [address])


@pytest.mark.parametrize(
    "name",
    ["absent", f"absent.us-west1-b.{PROJECT}", "whatever.internal", "internal",
     f"hidden.us-west1-b.{PROJECT}", "hidden"],
)  # fmt: skip
def test_an_unknown_internal_name_does_not_exist(name: str) -> None:
    assert _ask(name) == (RCODE.NXDOMAIN, [])


def test_an_instance_of_another_network_is_known_there_only() -> None:
    assert _ask("hidden", asker="10.9.0.2") == (RCODE.NOERROR, ["10.9.0.2"])
    assert _ask("db", asker="10.9.0.2") == (RCODE.NXDOMAIN, [])
    assert _ask("db", asker="10.138.0.99") == (RCODE.NXDOMAIN, [])


def test_an_instance_with_several_interfaces_has_its_name_at_the_first_alone() -> None:
    """https://cloud.google.com/vpc/docs/multiple-interfaces-concepts#dns_resolution"""
    assert _ask("web", asker="10.9.0.2") == (RCODE.NXDOMAIN, [])
    assert _ask("3.0.9.10.in-addr.arpa", "PTR", "10.9.0.2") == (RCODE.NXDOMAIN, [])
    assert _ask("2.0.9.10.in-addr.arpa", "PTR", "10.9.0.3") == (
        RCODE.NOERROR,
        [f"hidden.us-west1-b.{PROJECT}."],
    )


@pytest.mark.parametrize("name", ["gnu.org", "googleapis.com.evil.example", "notgoogleapis.com"])
def test_any_other_name_is_a_matter_of_the_world(name: str) -> None:
    assert _ask(name) is None


def test_there_is_no_ipv6_address_and_no_error_either() -> None:
    assert _ask("db", "AAAA") == (RCODE.NOERROR, [])
    assert _ask("compute.googleapis.com", "HTTPS") == (RCODE.NOERROR, [])


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("10.138.0.3", (RCODE.NOERROR, [f"db.us-west1-b.{PROJECT}."])),
        ("169.254.169.254", (RCODE.NOERROR, ["metadata.google.internal."])),
        ("10.9.0.2", (RCODE.NXDOMAIN, [])),
        ("192.168.1.1", (RCODE.NXDOMAIN, [])),
        ("8.8.8.8", None),
    ],
)
def test_an_address_has_its_name(address: str, answer: tuple[int, list[str]] | None) -> None:
    reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert _ask(reverse, "PTR") == answer
    assert QTYPE.PTR == 12


def test_a_malformed_reverse_name_does_not_exist() -> None:
    assert _ask("999.x.in-addr.arpa", "PTR") == (RCODE.NXDOMAIN, [])
