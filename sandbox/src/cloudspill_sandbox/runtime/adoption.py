# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that outlive the process that started them, and what its successor must know of them.

A container and its conmon are nobody's children: they run on when the sandbox is killed. Each
machine that is on has a record beside its container's process ids; one that is to go off has
none any more, so that nobody takes it for one that should run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cloudspill_sandbox.runtime.interface import MachineNic, MachineSpec, VolumeError
from cloudspill_sandbox.runtime.leftovers import end_all_but, sweep
from cloudspill_sandbox.runtime.podman import Container, Podman
from cloudspill_sandbox.runtime.volumes import VolumeStore
from cloudspill_sandbox.settings import Settings

_RECORD = "machine.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """A machine and the container that is its boot."""

    spec: MachineSpec
    container: Container


_FORM = TypeAdapter(MachineRecord)


class MachineRecords:
    """The records of one sandbox.

    Args:
        directory: holds a folder for each container, by its name; see Podman.containers.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, record: MachineRecord) -> None:
        """Write a record, whole or not at all."""
        path = self._path(record.container)
        draft = path.with_suffix(".new")
        draft.write_bytes(_FORM.dump_json(record))
        draft.replace(path)

    def forget(self, container: Container) -> None:
        """Remove the record of a machine that is to go off, or has; no error when it is gone."""
        self._path(container).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Names of all containers that were ever begun and not removed, oldest first."""
        if not self._directory.exists():
            return []
        return sorted(entry.name for entry in self._directory.iterdir())

    def read(self) -> Iterator[MachineRecord]:
        """Yield the whole records, oldest first."""
        for name in self.names():
            with contextlib.suppress(FileNotFoundError, ValidationError):
                yield _FORM.validate_json((self._directory / name / _RECORD).read_bytes())

    def _path(self, container: Container) -> Path:
        return self._directory / container.name / _RECORD


class EarlierLife:
    """What a sandbox of the same name left when it was killed.

    Args:
        settings: of the sandbox.
        podman: the same as the earlier one's; not started yet.
        records: of the machines.
        volumes: loaded.
    """

    def __init__(
        self, settings: Settings, podman: Podman, records: MachineRecords, volumes: VolumeStore
    ) -> None:
        self._settings = settings
        self._podman = podman
        self._records = records
        self._volumes = volumes

    async def take_up(self, expected: list[MachineSpec]) -> list[MachineRecord]:
        """End everything but the expected machines; return the records of those that go on.

        Raises:
            TimeoutError: a process would not end.
            OSError: a directory could not be removed.
        """
        return await asyncio.to_thread(self._end_all_but, expected, await self._known_ends())

    async def _known_ends(self) -> set[str]:
        """Return which containers have ended unwatched, and their conmon told Podman how."""
        ended = [r.container for r in self._records.read() if not r.container.monitor.exists()]
        codes = await asyncio.gather(*map(self._podman.exit_code, ended), return_exceptions=True)
        return {c.id for c, code in zip(ended, codes, strict=True) if isinstance(code, int)}

    def _end_all_but(self, expected: list[MachineSpec], ends: set[str]) -> list[MachineRecord]:
        chosen, refused = survivors(self._records.read(), expected, ends)
        mount_points = set[Path]()
        for record in [*chosen.values()]:
            try:
                mount_points |= {self._volumes.mount(volume) for volume in record.spec.volumes}
            except VolumeError as error:
                refused[record.container.name] = str(error)
                del chosen[record.spec.id]
        for name, reason in refused.items():
            _log.info("container %s of an earlier life does not go on: %s", name, reason)
        if not chosen:
            sweep(self._settings)
            return []
        containers = [record.container for record in chosen.values()]
        end_all_but({container.id for container in containers}, mount_points, self._settings)
        for name in {*self._records.names()} - {container.name for container in containers}:
            self._podman.discard(name)
        return [*chosen.values()]


def survivors(
    records: Iterable[MachineRecord], expected: Iterable[MachineSpec], ends: Collection[str]
) -> tuple[dict[str, MachineRecord], dict[str, str]]:
    """Choose the machines that go on.

    Args:
        records: of an earlier life, oldest first.
        expected: the machines that should be on.
        ends: ids of the containers of which it is known how they ended.

    Returns:
        The records of those that go on, by the machine's id; and for each other container that
        has a record why it does not, by its name.
    """
    wanted = {spec.id: spec for spec in expected}
    chosen: dict[str, MachineRecord] = {}
    refused: dict[str, str] = {}
    for record in records:
        container = record.container
        if reason := _obstacle(record, wanted, ends):
            refused[container.name] = reason
            continue
        if older := chosen.get(record.spec.id):
            refused[older.container.name] = "the machine was booted again"
        chosen[record.spec.id] = record
    return chosen, refused


def _obstacle(
    record: MachineRecord, wanted: Mapping[str, MachineSpec], ends: Collection[str]
) -> str:
    """Return why a machine cannot go on, "" when it can."""
    spec, container = record.spec, record.container
    should_be = wanted.get(spec.id)
    if should_be is None:
        return "no machine of its id should be on"
    if _identity(spec) != _identity(should_be):
        return "its disk or interface is another's"
    if not container.monitor.exists() and container.id not in ends:
        return "its conmon is gone, and nobody knows how it ended"
    if not container.init.exists():
        return ""  # it went off or rebooted by itself: whoever attends to it sees which
    return "" if _is_in(container, Path(spec.nic.namespace)) else "its network was made anew"


def _identity(spec: MachineSpec) -> tuple[str, MachineNic]:
    """Return what cannot change while a machine is on: disks come and go, the rest waits."""
    return spec.boot_volume, spec.nic


def _is_in(container: Container, namespace: Path) -> bool:
    try:
        own = Path(f"/proc/{container.init.pid}/ns/net").stat()
        other = namespace.stat()
    except OSError:
        return False
    return (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)
