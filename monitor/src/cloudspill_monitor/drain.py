# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's order that every task stay home: kept in a file, so that it outlives a restart."""

from __future__ import annotations

from pathlib import Path

_NAME = "drained"


class DrainOrder:
    """The order of the state directory `directory`; `since` is its wall time, None without one."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME
        self.since: float | None = None
        if self._path.exists():
            self.since = self._path.stat().st_mtime

    def give(self, wall: float) -> None:
        """From now (`wall`) on; one that was given before stays. Raises OSError."""
        if self.since is None:
            self._path.touch(mode=0o600)
            self.since = wall

    def take_back(self) -> None:
        """The rule decides again. Raises OSError."""
        self._path.unlink(missing_ok=True)
        self.since = None
