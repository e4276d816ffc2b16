# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names an instance can look up, as a pure function of the topology.

Internal DNS: https://cloud.google.com/compute/docs/internal-dns. Names of the API lead to the
sandbox: https://cloud.google.com/vpc/docs/configure-private-google-access#domain-options.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from dnslib import PTR, QTYPE, RCODE, RR, SOA, A, DNSQuestion, DNSRecord  # type: ignore[import-untyped]

from cloudspill_sandbox.network.interface import API_ADDRESS, METADATA_ADDRESS, Nic, Topology
from cloudspill_sandbox.network.ruleset import SPECIAL_RANGES

TTL = 30
"""Seconds; short, since addresses come and go with instances."""

_METADATA_NAME = "metadata.google.internal"
_REVERSE = ".in-addr.arpa"


class Zone:
    """The names that the VPC answers for itself.

    Args:
        topology: whose instances have names.
        api_names: further host names that lead to the API, `*.` for all below a domain.
    """

    def __init__(self, topology: Topology, api_names: Iterable[str] = ()) -> None:
        self._by_address = {nic.internal_ip: nic for nic in topology.nics}
        # An instance's name is that of its first interface, in the network of that one:
        # https://cloud.google.com/vpc/docs/multiple-interfaces-concepts#dns_resolution.
        first = [nic for nic in topology.nics if nic.index == 0]
        self._by_name = {(nic.network, nic.hostname.lower()): nic for nic in first}
        names = ["*.googleapis.com", *map(str.lower, api_names)]
        self._exact = {name for name in names if not name.startswith("*.")}
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))

    def answer(self, query: DNSRecord, asker: str) -> DNSRecord | None:
        """Return the reply to a query with one question, None when the world has to be asked.

        Args:
            query: a parsed query.
            asker: its source address; instances of other networks do not exist for it.
        """
        question = query.q
        name = str(question.qname).rstrip(".").lower()
        if name.endswith(_REVERSE):
            return self._answer_reverse(query, name, self._by_address.get(asker))
        address = self._address(name, self._by_address.get(asker))
        if address is not None:
            return _reply(query, A(address), QTYPE.A)
        if name == "internal" or name.endswith(".internal") or "." not in name:
            return _no_such_name(query)
        return None

    def _address(self, name: str, asker: Nic | None) -> str | None:
        if name in self._exact or name.endswith(self._suffixes):
            return API_ADDRESS
        if name in (_METADATA_NAME, "metadata"):
            return METADATA_ADDRESS
        if asker is not None:
            for candidate in _qualified(name, asker):
                if (found := self._by_name.get((asker.network, candidate))) is not None:
                    return found.internal_ip
        return None

    def _answer_reverse(self, query: DNSRecord, name: str, asker: Nic | None) -> DNSRecord | None:
        labels = name.removesuffix(_REVERSE).split(".")
        try:
            address = ipaddress.IPv4Address(".".join(reversed(labels)))
        except ValueError:
            return _no_such_name(query)
        if str(address) == METADATA_ADDRESS:
            return _reply(query, PTR(_METADATA_NAME), QTYPE.PTR)
        found = self._by_address.get(str(address))
        if (
            found is not None
            and found.index == 0
            and asker is not None
            and found.network == asker.network
        ):
            return _reply(query, PTR(found.hostname), QTYPE.PTR)
        if found is not None or any(address in network for network in SPECIAL_RANGES):
            return _no_such_name(query)  # what private addresses mean on the host is no answer
        return None


def _qualified(name: str, asker: Nic) -> Iterator[str]:
    """Yield a name and what it becomes by the search list that Compute Engine hands out."""
    yield name
    zone_domain = asker.hostname.lower().partition(".")[2]
    yield f"{name}.{zone_domain}"
    yield f"{name}.{zone_domain.partition('.')[2]}"


def _reply(query: DNSRecord, data: A | PTR, kind: int) -> DNSRecord:
    question: DNSQuestion = query.q
    reply = query.reply(aa=1, ra=1)
    if question.qtype in (kind, QTYPE.ANY):
        reply.add_answer(RR(question.qname, kind, rdata=data, ttl=TTL))
    else:
        reply.add_auth(_authority())
    return reply


def _no_such_name(query: DNSRecord) -> DNSRecord:
    reply = query.reply(aa=1, ra=1)
    reply.header.rcode = RCODE.NXDOMAIN
    reply.add_auth(_authority())
    return reply


def _authority() -> RR:
    times = (1, TTL, TTL, TTL, TTL)
    start = SOA(_METADATA_NAME, "hostmaster.google.internal", times)
    return RR("internal", QTYPE.SOA, rdata=start, ttl=TTL)
