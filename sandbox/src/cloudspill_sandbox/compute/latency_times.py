# SPDX-License-Identifier: GPL-3.0-or-later
"""How long Compute Engine takes: published times, and the steps of operations they belong to.

What nobody has published is an estimate and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_LAB = (
    "TIMING.md of 15 public repositories of CSCI 4253/5253 lab 5 "
    "(f1-micro, ubuntu-2204-lts, us-west1-b)"
)
_DISK_LOGS = (
    "Terraform logs in github.com/gravitational/workshop/pull/80 and "
    "github.com/terraform-google-modules/terraform-google-container-vm/pull/31"
)
_DELETE_LOG = (
    "one Terraform log, 27 s: "
    "github.com/terraform-google-modules/terraform-google-container-vm/pull/31; "
    "the spread is an estimate"
)
_ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Times:
    """How long something takes, in seconds.

    Attributes:
        low: nothing was faster.
        median: half was faster; the middle of the range where only the range is published.
        high: nothing was slower.
        source: where the figures come from.
    """

    low: float
    median: float
    high: float
    source: str

    def part(self, share: float) -> Times:
        """Return the times of a step that takes `share` (0 to 1) of the whole."""
        return Times(share * self.low, share * self.median, share * self.high, self.source)

    def at(self, fraction: float) -> float:
        """Return the seconds that `fraction` (0 to 1) of all cases do not exceed.

        The density rises in a line from `low` to `median` and falls in one to `high`; each side
        holds half of the cases, so that all three figures come out as published.
        """
        if fraction < 0.5:
            rise: float = (2 * fraction) ** 0.5
            return self.low + (self.median - self.low) * rise
        fall: float = (2 * (1 - fraction)) ** 0.5
        return self.high - (self.high - self.median) * fall


CREATE = Times(8.9, 25.4, 41.6, _LAB)
"""`instances.insert` from the request to DONE; a guest answers ssh about a second later: in the
middle, within the 23 to 42 s published for that."""

SNAPSHOT = Times(63.0, 69.5, 76.0, _LAB)
IMAGE = Times(123.0, 125.0, 127.0, _LAB)
DELETE = Times(20.0, 27.0, 34.0, _DELETE_LOG)
DISK_DELETE = Times(3.0, 3.0, 5.0, _DISK_LOGS)
STOP = Times(10.0, 18.0, 30.0, _ESTIMATE)
FIREWALL = Times(5.0, 10.0, 17.0, _ESTIMATE)

AT_ONCE = Times(0.0, 0.0, 0.0, "its operation's other steps hold the time")
OTHER = Times(2.0, 4.0, 8.0, _ESTIMATE)
"""Steps that are not in the table."""

STEPS: Mapping[str, Times] = MappingProxyType(
    {
        # How a creation is shared out between its steps is an estimate.
        "instances.insert.provision": CREATE.part(0.4),
        "instances.insert.boot": CREATE.part(0.6),
        "instances.start.connect": AT_ONCE,
        "instances.start.boot": CREATE.part(0.6),
        # Power goes off, or its button is pressed, when it was asked for; the rest of a reset is
        # OTHER. A guest that shuts down gets no more time than it has on Google Cloud.
        "instances.reset.powerOff": AT_ONCE,
        "instances.stop.shutDown": AT_ONCE,
        "instances.stop.release": STOP,
        "instances.delete.shutDown": AT_ONCE,
        "instances.delete.remove": DELETE,
        # A snapshot holds what the disk held when it was asked for; the upload takes the time.
        "disks.createSnapshot.freeze": AT_ONCE,
        "disks.createSnapshot.upload": SNAPSHOT,
        "snapshots.insert.freeze": AT_ONCE,
        "snapshots.insert.upload": SNAPSHOT,
        "images.insert.freeze": AT_ONCE,
        "images.insert.copy": IMAGE,
        "disks.insert.copy": AT_ONCE,
        "disks.delete.volume": DISK_DELETE,
        "firewalls.insert.apply": FIREWALL,
        "firewalls.patch.apply": FIREWALL,
        "firewalls.update.apply": FIREWALL,
        "firewalls.delete.apply": FIREWALL,
    }
)
