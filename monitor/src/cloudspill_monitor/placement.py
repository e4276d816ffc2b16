# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs where: a value, changed only by making another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cloudspill_monitor.policy_types import LOCAL


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of every task that is away; all others are local. A task has one place."""

    away: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, task: str) -> str:
        """Where `task` is."""
        return self.away.get(task, LOCAL)

    def moved(self, tasks: Iterable[str], place: str) -> Placement:
        """The placement after `tasks` have gone to `place`."""
        away = {**self.away, **dict.fromkeys(tasks, place)}
        return Placement(MappingProxyType({t: p for t, p in away.items() if p != LOCAL}))
