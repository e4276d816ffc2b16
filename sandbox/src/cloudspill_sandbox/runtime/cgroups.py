# SPDX-License-Identifier: GPL-3.0-or-later
"""The control group that holds every machine of a sandbox, in cgroup v1, hybrid or v2.

It is named after the sandbox, so that one that was killed can be found and ended by its successor,
and so that others can subtract the machines' CPU time: `/cloudspill/<sandbox>`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from cloudspill_sandbox.runtime.trees import directories_below

_MOUNT = Path("/sys/fs/cgroup")
_PATIENCE = 10.0


class SandboxCgroup:
    """The group of one sandbox and its members' groups.

    Args:
        sandbox: name of the sandbox.
        mount: where the hierarchies are mounted.
    """

    def __init__(self, sandbox: str, mount: Path = _MOUNT) -> None:
        self._family = "cloudspill"
        self.path = f"/{self._family}/{sandbox}"
        self._mount = mount
        self._pauses: Counter[str] = Counter()
        self._pausing = threading.Lock()

    def _hierarchies(self) -> list[Path]:
        if (self._mount / "cgroup.controllers").exists():
            return [self._mount]
        return [entry for entry in self._mount.iterdir() if not entry.is_symlink()]

    def _directories(self, below: str = "", besides: Collection[str] = ()) -> list[Path]:
        """Every directory of the group in every hierarchy, innermost first.

        Args:
            below: only those at or below this one.
            besides: ids of containers whose directories are left out.
        """
        found: list[Path] = []
        for hierarchy in self._hierarchies():
            top = Path(f"{hierarchy}{self.path}{below}")
            found += [*directories_below(top)][::-1]
        theirs = {f"libpod-{container}" for container in besides}
        return [directory for directory in found if theirs.isdisjoint(directory.parts)]

    def processes(self, besides: Collection[str] = ()) -> set[int]:
        """Return the ids of all processes in the group but not in the containers `besides`."""
        found: set[int] = set()
        for directory in self._directories(besides=besides):
            with contextlib.suppress(OSError):
                found.update(map(int, (directory / "cgroup.procs").read_text().split()))
        return found

    @contextlib.contextmanager
    def paused(self, container: str) -> Iterator[None]:
        """Stop every process of a container while the block runs; one that has ended has none.

        Several blocks may run at a time, in threads too: the last to end lets it go on.

        Raises:
            TimeoutError: the kernel did not stop it.
        """
        with self._pausing:
            self._pauses[container] += 1
        try:
            self._freeze(container)
            yield
        finally:
            with self._pausing:
                self._pauses[container] -= 1
                if not self._pauses[container]:
                    del self._pauses[container]
                    self._thaw(container)

    def _freeze(self, container: str) -> None:
        group = f"{self.path}/libpod-{container}"
        unified = Path(f"{self._mount}{group}/cgroup.freeze")
        legacy = Path(f"{self._mount}/freezer{group}/freezer.state")
        deadline = time.monotonic() + _PATIENCE
        if unified.exists():
            unified.write_text("1")
            while "frozen 1" not in unified.with_name("cgroup.events").read_text():
                _look_again(deadline, container)
        elif legacy.exists():
            legacy.write_text("FROZEN")
            while legacy.read_text().strip() != "FROZEN":
                _look_again(deadline, container)
                # v1: a process that forked meanwhile is stopped by asking again.
                legacy.write_text("FROZEN")
        elif self._directories(f"/libpod-{container}"):
            raise TimeoutError(f"container {container} cannot be paused: no freezer")

    def _thaw(self, container: str = "") -> None:
        below = f"/libpod-{container}" if container else ""
        for directory in self._directories(below):
            for name, word in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
                if (directory / name).exists():
                    (directory / name).write_text(word)

    def end_processes(
        self, others: set[int], *, besides: Collection[str] = (), spared: Collection[int] = ()
    ) -> int:
        """Kill every process of the group, and `others`, and wait until they are gone.

        Nothing in the group stays paused.

        Args:
            others: processes outside of the group.
            besides: ids of containers that go on.
            spared: processes of the group, in no container, that go on.

        Returns:
            How many there were.

        Raises:
            TimeoutError: some would not go.
        """
        self._thaw()
        deadline = time.monotonic() + _PATIENCE
        ended: set[int] = set()
        while victims := (self.processes(besides) | others) - {os.getpid(), *spared}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {sorted(victims)} of {self.path} cannot be ended")
            ended |= victims
            others = set()
            _kill_and_wait(victims, deadline)
        return len(ended)

    def remove(self, besides: Collection[str] = ()) -> None:
        """Remove the empty group; the family's too when this was its last.

        Args:
            besides: ids of containers whose groups stay.
        """
        for directory in self._directories(besides=besides):
            with contextlib.suppress(OSError):
                directory.rmdir()
        for hierarchy in self._hierarchies():
            with contextlib.suppress(OSError):
                (hierarchy / self._family).rmdir()


def processes_naming(directory: Path, commands: frozenset[str]) -> dict[int, frozenset[str]]:
    """Return the processes of `commands` with `directory` or a path below it as an argument.

    Returns:
        All their arguments, by process id.
    """
    exact, below = os.fsencode(directory), os.fsencode(directory) + b"/"
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            command, *arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if Path(os.fsdecode(command)).name not in commands:
                continue
            if any(argument == exact or argument.startswith(below) for argument in arguments):
                found[int(entry.name)] = frozenset(map(os.fsdecode, arguments))
    return found


def _look_again(deadline: float, container: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"container {container} could not be paused")
    time.sleep(0.001)


def _kill_and_wait(victims: set[int], deadline: float) -> None:
    with contextlib.ExitStack() as stack:
        descriptors = []
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(victim)
                stack.callback(os.close, descriptor)
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                descriptors.append(descriptor)
        for descriptor in descriptors:
            select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
