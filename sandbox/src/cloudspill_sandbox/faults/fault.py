# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault: what was asked for, and what came of it."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.faults.kinds import KINDS, Kind
from cloudspill_sandbox.faults.order import Order

KEPT_FIRINGS = 100
"""A fault that fires for ever remembers what goes on and the last that is over, and counts all."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One time that a fault struck.

    Attributes:
        number: 1 for a fault's first.
        time: seconds since the epoch, by the cloud's clock.
        cause: the method, the step of an operation, or `boot` or `run` of an instance.
        target: the resource that was struck.
        boot: which run of an instance was struck; "" elsewhere.
        until: when what goes on ends by itself, None when it does not.
        ended: when it ended, None while it goes on; at once for what does not go on.
        problem: why it could not be done, "" when it was.
    """

    number: int
    time: float
    cause: str
    target: str
    boot: str = ""
    until: float | None = None
    ended: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        id: `stock-out-1`.
        created: seconds since the epoch, by the cloud's clock.
        fired: how often it struck.
        firings: those that go on and the last that are over, oldest first.
    """

    id: str
    order: Order
    created: float
    fired: int = 0
    firings: tuple[Firing, ...] = field(default=())

    @property
    def kind(self) -> Kind:
        """What goes wrong."""
        return KINDS[self.order.kind]

    @property
    def armed(self) -> bool:
        """Whether it may strike (again)."""
        return self.order.count == "forever" or self.fired < self.order.count

    @property
    def active(self) -> tuple[Firing, ...]:
        """The firings whose effect goes on."""
        return tuple(firing for firing in self.firings if firing.ended is None)

    @property
    def state(self) -> str:
        """`active` while something goes on, else `armed` or `spent`."""
        if self.active:
            return "active"
        return "armed" if self.armed else "spent"

    def hits(self, names: frozenset[str], zone: str | None) -> bool:
        """Whether a resource of one of these names, in this zone, is meant."""
        if self.order.zone is not None and self.order.zone != zone:
            return False
        return self.order.match == "*" or any(fnmatchcase(n, self.order.match) for n in names)

    def struck(self, firing: Firing) -> Fault:
        """Return the fault after one more firing."""
        firings = (*self.firings, firing)
        over = [each.number for each in firings if each.ended is not None][:-KEPT_FIRINGS]
        kept = tuple(each for each in firings if each.number not in over)
        return dataclasses.replace(self, fired=firing.number, firings=kept)

    def changed(self, number: int, **fields: Any) -> Fault:
        """Return the fault with another outcome of a firing."""
        firings = (
            dataclasses.replace(firing, **fields) if firing.number == number else firing
            for firing in self.firings
        )
        return dataclasses.replace(self, firings=tuple(firings))

    def document(self) -> Document:
        """Return what the store keeps."""
        return {
            "order": self.order.document(),
            "created": self.created,
            "fired": self.fired,
            "firings": [dataclasses.asdict(firing) for firing in self.firings],
        }

    @classmethod
    def kept(cls, identity: str, document: Document) -> Fault:
        """Return the fault that a document of the store holds."""
        return cls(
            identity,
            Order.model_validate(document["order"]),
            document["created"],
            document["fired"],
            tuple(Firing(**firing) for firing in document["firings"]),
        )

    def view(self) -> Document:
        """Return what the admin API shows: the order's own words, and times in RFC 3339."""
        return {
            "id": self.id,
            "scope": self.kind.scope.value,
            **self.order.document(),
            "state": self.state,
            "created": _timestamp(self.created),
            "fired": self.fired,
            "firings": [_firing_view(firing) for firing in self.firings],
        }


def _firing_view(firing: Firing) -> Document:
    view: Document = {
        "time": _timestamp(firing.time),
        "cause": firing.cause,
        "target": firing.target,
    }
    if firing.ended is None:
        view["until"] = None if firing.until is None else _timestamp(firing.until)
    elif firing.ended != firing.time:
        view["ended"] = _timestamp(firing.ended)
    if firing.problem:
        view["problem"] = firing.problem
    return view


def _timestamp(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")
