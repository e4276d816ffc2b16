# SPDX-License-Identifier: GPL-3.0-or-later
"""Egress through forward chains of others that drop what they do not know.

Docker and ufw leave a FORWARD chain with the policy drop, firewalld one that ends in reject. Two
rules at the end of such a chain (before its reject) open the one pair of interfaces; every rule
of its owner is still asked first. They carry the sandbox's mark, by which they are found again.
When the owner loads its rules anew they are gone until the sandbox is started again. Chains of
the old iptables-legacy are not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloudspill_sandbox.network.addressing import HostNames
from cloudspill_sandbox.network.commands import nft, nft_json

Json = dict[str, Any]

_FAMILIES = ("ip", "inet")


def pass_through(names: HostNames, uplink: str) -> None:
    """Open closed forward chains between the VPC's link and the uplink.

    Raises:
        NetworkError: nft refused.
    """
    pairs = ((names.link, uplink), (uplink, names.link))
    for chain, closing in closed_forward_chains(_host_rules(), names.table):
        place = (
            f"add rule {chain}" if closing is None else f"insert rule {chain} position {closing}"
        )
        rules = [
            f'{place} iifname "{source}" oifname "{target}" accept comment "{names.mark}"'
            for source, target in pairs
        ]
        nft("\n".join(rules))


def leave(names: HostNames) -> None:
    """Delete every rule that carries the sandbox's mark.

    Raises:
        NetworkError: nft refused.
    """
    deletions = [
        f"delete rule {_chain_of(rule)} handle {rule['handle']}"
        for rule in _of_kind("rule", _host_rules())
        if rule.get("comment") == names.mark
    ]
    if deletions:
        nft("\n".join(deletions))


def closed_forward_chains(ruleset: Iterable[Json], own_table: str) -> list[tuple[str, int | None]]:
    """Return (family table chain, handle of its closing rule) of chains that refuse the rest.

    Args:
        ruleset: objects as `nft --json --handle list ruleset` prints them.
        own_table: not looked at.
    """
    objects = list(ruleset)
    rules = _of_kind("rule", objects)
    found: list[tuple[str, int | None]] = []
    for chain in _of_kind("chain", objects):
        if chain.get("hook") != "forward" or chain["table"] == own_table:
            continue
        place = f"{chain['family']} {chain['table']} {chain['name']}"
        inside = [rule for rule in rules if _chain_of(rule) == place]
        if inside and _refuses_all(inside[-1]):
            found.append((place, inside[-1]["handle"]))
        elif chain.get("policy") == "drop":
            found.append((place, None))
    return found


def _refuses_all(rule: Json) -> bool:
    statements = [part for part in rule["expr"] if "counter" not in part]
    if len(statements) != 1:
        return False
    (only,) = statements
    # iptables-nft keeps its REJECT as an extension of its own.
    return "drop" in only or "reject" in only or only.get("xt", {}).get("name") == "REJECT"


def _host_rules() -> list[Json]:
    return [entry for family in _FAMILIES for entry in nft_json("list", "ruleset", family)]


def _of_kind(kind: str, objects: Iterable[Json]) -> list[Json]:
    return [entry[kind] for entry in objects if kind in entry]


def _chain_of(rule: Json) -> str:
    return f"{rule['family']} {rule['table']} {rule['chain']}"
