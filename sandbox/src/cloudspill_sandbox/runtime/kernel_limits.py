# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel parameters that many machines need raised, and their return to what they were.

The previous value is recorded on disk first: whoever stops the sandbox next restores it, even
after a kill.
"""

from __future__ import annotations

import json
from pathlib import Path

_WANTED = {"fs/inotify/max_user_instances": 8192}
"""Every systemd takes five inotify instances of root's; the default of 128 is enough for 24."""


class KernelLimits:
    """The parameters as one thing to raise and restore.

    Args:
        record: file that outlives the process.
        root: where the parameters are.
        boot_id: identifies the running kernel; a record of an earlier boot is void.
    """

    def __init__(
        self,
        record: Path,
        root: Path = Path("/proc/sys"),
        boot_id: Path = Path("/proc/sys/kernel/random/boot_id"),
    ) -> None:
        self._record = record
        self._root = root
        self._boot_id = boot_id.read_text().strip()

    def raise_all(self) -> None:
        """Raise what is too low; what a killed sandbox has raised already is still its record's."""
        previous = self._previous()
        for name, wanted in _WANTED.items():
            current = int((self._root / name).read_text())
            if current < wanted:
                previous[name] = current
        self._record.parent.mkdir(parents=True, exist_ok=True)
        draft = self._record.with_suffix(".new")
        draft.write_text(json.dumps({"boot_id": self._boot_id, "previous": previous}))
        draft.replace(self._record)
        for name in previous:
            (self._root / name).write_text(str(_WANTED[name]))

    def restore(self) -> None:
        """Put back what raise_all() changed, unless somebody else has set it since."""
        for name, value in self._previous().items():
            if int((self._root / name).read_text()) == _WANTED.get(name):
                (self._root / name).write_text(str(value))
        self._record.unlink(missing_ok=True)

    def _previous(self) -> dict[str, int]:
        try:
            record = json.loads(self._record.read_text())
            values = record["previous"] if record["boot_id"] == self._boot_id else {}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}
        return {name: int(value) for name, value in values.items() if name in _WANTED}
