# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks' log files: where they are, and following them for the console.

Tasks write straight to their files, so that nothing is lost when the monitor is not there; the
monitor only reads. Files are opened for appending, so a rotation by copy and truncate is safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_MOST_AT_ONCE = 256 * 1024
_KEPT = 20  # logs of each task's runs on VMs
_REMOTE = re.compile(r"[a-z][-a-z0-9]*-[0-9]+\.([0-9]+)\.log")  # what follows the slug


class LogFiles:
    """The logs in `state_dir`/logs: one of each task's runs here, one of each run on a VM.

    Raises OSError when there is no such directory and it cannot be made.
    """

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "logs"
        self._directory.mkdir(mode=0o700, exist_ok=True)

    def local(self, slug: str) -> Path:
        """What the task writes here, run after run."""
        return self._directory / f"{slug}.log"

    def remote(self, slug: str, vm: str, run: int) -> Path:
        """What one run of the task has written on `vm`."""
        return self._directory / f"{slug}.{vm}.{run}.log"

    def forget_old(self, slug: str) -> None:
        """Remove all but the last logs of the task's runs on VMs."""
        found = (
            (match, log)
            for log in self._directory.glob(f"{slug}.*.log")
            if (match := _REMOTE.fullmatch(log.name.removeprefix(f"{slug}.")))
        )
        for _, log in sorted((int(match[1]), log) for match, log in found)[:-_KEPT]:
            log.unlink(missing_ok=True)


class LogTail:
    """New whole lines of the file `path`, from its present end on; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = self._size()
        self._partial = b""

    def lines(self) -> list[str]:
        """Lines completed since the last call, at most 256 KiB at once."""
        size = self._size()
        if size < self._offset:
            self._offset, self._partial = 0, b""  # it was truncated
        if size == self._offset:
            return []
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                data = log.read(_MOST_AT_ONCE)
        except FileNotFoundError:  # removed since; the next call sees that
            return []
        self._offset += len(data)
        *whole, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _MOST_AT_ONCE:  # a line without end must not fill the memory
            whole, self._partial = [*whole, self._partial], b""
        return [line.decode("utf-8", errors="replace").rstrip("\r") for line in whole]

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0


class LogTails:
    """The tails of several tasks' logs, by name."""

    def __init__(self) -> None:
        self._tails: dict[str, LogTail] = {}

    def follow(self, logs: Mapping[str, Path]) -> None:
        """These from now on, and no others; a name that was followed before goes on."""
        self._tails = {name: self._tails.get(name) or LogTail(log) for name, log in logs.items()}

    def lines(self) -> Iterator[tuple[str, str]]:
        """The name, and a line completed since the last call."""
        for name, tail in self._tails.items():
            for line in tail.lines():
                yield name, line
