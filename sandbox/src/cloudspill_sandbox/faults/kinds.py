# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong: the kinds of faults, where each strikes, and which options it takes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class Scope(enum.StrEnum):
    """Where a fault strikes."""

    CALL = "call"
    OPERATION = "operation"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        summary: what happens, in a sentence's tail.
        method: which methods it strikes when none is named (glob).
        takes: its options besides `match`, `zone` and `count`.
        needs: those of them that have to be given.
        lasts: whether it goes on after it has struck, until something ends it.
    """

    name: str
    scope: Scope
    summary: str
    method: str = "*"
    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    lasts: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """Every option that it takes, in alphabetical order."""
        return tuple(sorted({"match", "zone", "count", *self.takes}))


def _call(name: str, summary: str, *takes: str, method: str = "*", needs: str = "") -> Kind:
    return Kind(
        name, Scope.CALL, summary, method, frozenset({"method", *takes}), frozenset(needs.split())
    )


def _operation(name: str, summary: str, *takes: str, method: str = "*", needs: str = "") -> Kind:
    options = frozenset({"method", "step", *takes})
    return Kind(name, Scope.OPERATION, summary, method, options, frozenset(needs.split()))


def _instance(name: str, summary: str, *takes: str, lasts: bool = False) -> Kind:
    return Kind(name, Scope.INSTANCE, summary, takes=frozenset(takes), lasts=lasts)


_INSERT = "compute.instances.insert"

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _call("quota", "the call is refused with 403 quotaExceeded", method=_INSERT),
            _call("forbidden", "the call is refused with 403 forbidden: a permission is missing"),
            _call(
                "rate-limit",
                "the call is refused with rateLimitExceeded, 403 by Compute Engine and 429 by "
                "others, or with another `status`",
                "status",
            ),
            _call("unavailable", "the call is refused with 503 backendError"),
            _call(
                "error",
                "the call is refused with `error`: STATUS:REASON:MESSAGE",
                "error",
                needs="error",
            ),
            _call(
                "reset",
                "the connection is closed without an answer, `when` before (default) or after the "
                "call was handled",
                "when",
            ),
            _call(
                "unreachable",
                "the zone does not answer: its calls are refused with 503 backendError, and so are "
                "aggregated lists unless they ask for partial success",
                method="compute.*",
                needs="zone",
            ),
            _call("slow", "the call is answered `delay` seconds late", "delay", needs="delay"),
            _operation(
                "stock-out",
                "the operation fails with ZONE_RESOURCE_POOL_EXHAUSTED",
                method=_INSERT,
            ),
            _operation(
                "operation-quota", "the operation fails with QUOTA_EXCEEDED", method=_INSERT
            ),
            _operation(
                "operation-fails",
                "the operation fails before a step and is undone, with `error` "
                "(STATUS:CODE:MESSAGE) or INTERNAL_ERROR",
                "error",
            ),
            _operation(
                "operation-slow",
                "the operation stays RUNNING for `delay` seconds more",
                "delay",
                needs="delay",
            ),
            _instance("boot-failure", "the guest stops in systemd's emergency mode: no ssh"),
            _instance("preemption", "a Spot instance is preempted, with notice", "after"),
            _instance("crash", "the guest dies at once, as by a kernel panic", "after"),
            _instance(
                "network-cut",
                "packets from and to the instance are dropped; `from` host (default: the host and "
                "the world), api (metadata server and API), or all",
                "after",
                "for",
                "from",
                lasts=True,
            ),
            _instance(
                "disk-full", "writes to the boot disk fail with ENOSPC", "after", "for", lasts=True
            ),
        )
    }
)
"""Every kind by its name."""
