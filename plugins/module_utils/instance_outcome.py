# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What became of one of many instances, and how long each stage of it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from .links import resource_name

Document = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What became of one instance.

    Attributes:
        name: of the instance.
        result: made, started, changed, unchanged, deleted, absent; failed or skipped, with the
            `reason`.
        made: whether this run made it, whatever came later.
        document: the instance as it is now.
        began: when its creation was asked for, seconds since the epoch; None if it was not.
        seconds: from then: `api` (operation done), `running`, and by name of check.
        answers: what each zone and machine type said that could not have it.
        changes: what was changed on an existing one.
    """

    name: str
    result: str = ""
    made: bool = False
    reason: str = ""
    document: Document = field(default_factory=dict)
    began: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    _begun: float = 0.0

    def begin(self) -> None:
        """Note that its creation is asked for, unless it was before (in another zone)."""
        if self.began is None:
            self.began, self._begun = time.time(), time.monotonic()

    def passed(self, stage: str) -> None:
        """Note that a stage is reached."""
        self.seconds[stage] = time.monotonic() - self._begun

    @property
    def in_vain(self) -> bool:
        """Whether it is not as it should be."""
        return self.result in {"failed", "skipped"}

    @property
    def line(self) -> str:
        """Say in one line what became of it."""
        details = f": {self.reason}" if self.in_vain else ""
        if self.changes:
            details = f" ({', '.join(self.changes)})"
        return f"{self.name}: {self.result}{details}"

    @property
    def foreseen(self) -> str:
        """Say in one line what would become of it."""
        if self.in_vain or self.result in {"unchanged", "absent"}:
            return self.line
        return self.line.replace(": ", ": would be ", 1)

    def described(self) -> Document:
        """Return what a module returns of it."""

        document = self.document
        interface = (document.get("networkInterfaces") or [{}])[0]
        access = (interface.get("accessConfigs") or [{}])[0]
        return {
            "name": self.name,
            "result": self.result,
            "reason": self.reason,
            "made": self.made,
            "zone": resource_name(document.get("zone", "")),
            "machine_type": resource_name(document.get("machineType", "")),
            "id": document.get("id", ""),
            "internal_ip": interface.get("networkIP", ""),
            "external_ip": access.get("natIP", ""),
            "began": self.began,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "answers": self.answers,
            "changes": self.changes,
        }
