# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines and volumes that exist in memory only: the API without guests, for fast tests.

Volumes have files instead of content; a copy has its source's files at that moment, so a test can
tell whether a clone is one. Machines boot at once and say so on their console.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field, replace

from cloudspill_sandbox.runtime.console import READ_LIMIT
from cloudspill_sandbox.runtime.interface import (
    ExitCallback,
    MachineError,
    MachineExit,
    MachineSpec,
    VolumeError,
    check_shared,
)

_BASE = "debian-12"
_BOOTS_KEPT = 100


@dataclass(slots=True)
class MemoryVolume:
    """A volume.

    Attributes:
        files: what stands in it, by path.
        lineage: ids of the volumes it was copied from, the nearest first.
        frozen: read-only.
    """

    files: dict[str, str] = field(default_factory=dict)
    lineage: tuple[str, ...] = ()
    frozen: bool = False
    size_gb: int = 0


class MemoryRuntime:
    """Implements interface.Runtime without a process.

    Tests reach for what a real machine would show: `volumes`, `running`, and the methods below the
    interface's (`guest_power_off`, `guest_write`, `guest_print`).

    Args:
        volumes: where volumes are kept, with those of an earlier runtime.
    """

    def __init__(self, volumes: MutableMapping[str, MemoryVolume] | None = None) -> None:
        self.volumes = {} if volumes is None else volumes
        self.volumes[_BASE] = MemoryVolume({"/etc/os-release": "12"}, frozen=True)
        self.running: dict[str, MachineSpec] = {}
        self.boots: list[str] = []
        """Ids of the machines that booted last, each time."""
        self.failures: dict[str, Exception] = {}
        """Next error of a method by its name; raised once."""
        self.on_boot: Callable[[MachineSpec], None] | None = None
        """Does what the guest does when it has booted."""
        self.dies_at_boot = False
        """Whether machines go off as soon as they are on."""
        self.full: set[str] = set()
        """Machines whose boot disk has no free space."""
        self.suspended: set[str] = set()
        """Machines that are on and stand still."""
        self._serial: dict[str, bytearray] = {}
        self._boot_volumes: dict[str, str] = {}
        self._on_exit: ExitCallback | None = None

    async def start(self, on_exit: ExitCallback, expected: Iterable[MachineSpec] = ()) -> None:
        """Forget all machines but the expected ones, keep volumes."""
        ids = {spec.id for spec in expected}
        self.running = {machine: spec for machine, spec in self.running.items() if machine in ids}
        self.suspended &= ids
        self._on_exit = on_exit

    async def stop(self) -> None:
        """Power every machine off."""
        self.running.clear()
        self.suspended.clear()

    def made_volumes(self) -> frozenset[str]:
        """Ids of the volumes that were made and not deleted since."""
        return frozenset(self.volumes) - {_BASE}

    async def create_volume(self, volume: str, source: str | None, size_gb: int) -> None:
        """Make a volume with the source's files."""
        self._fail("create_volume")
        self.volumes[volume] = self._copy(volume, source, size_gb, frozen=False)

    async def freeze_volume(self, volume: str, source: str) -> None:
        """Make a read-only copy."""
        self._fail("freeze_volume")
        size = self._volume(source).size_gb
        self.volumes[volume] = self._copy(volume, source, size, frozen=True)

    async def resize_volume(self, volume: str, size_gb: int) -> None:
        """Give a volume another size."""
        self._fail("resize_volume")
        self.volumes[volume] = replace(self._volume(volume), size_gb=size_gb)

    async def stored_bytes(self, volume: str) -> int:
        """Return what the files take that are not those of the base volume."""
        base = self.volumes[_BASE].files
        files = self._volume(volume).files
        return sum(len(text) for path, text in files.items() if base.get(path) != text)

    async def delete_volume(self, volume: str) -> None:
        """Remove a volume; what was copied from it keeps its files. No error when it is gone."""
        self._fail("delete_volume")
        if volume == _BASE:
            raise VolumeError(f"volume {volume} ships with the runtime")
        if any(spec.has(volume) for spec in self.running.values()):
            raise VolumeError(f"volume {volume} is in use")
        self.volumes.pop(volume, None)
        for machine in [m for m, boot in self._boot_volumes.items() if boot == volume]:
            self._serial.pop(machine, None)
            del self._boot_volumes[machine]

    async def boot(self, spec: MachineSpec) -> None:
        """Power a machine on."""
        self._fail("boot")
        if spec.id in self.running:
            raise MachineError(f"machine {spec.name} is on")
        try:
            self._check_disks(spec)
        except VolumeError as error:
            raise MachineError(f"machine {spec.name} cannot boot: {error}") from error
        self._boot_volumes[spec.id] = spec.boot_volume
        self.running[spec.id] = spec
        self._note_boot(spec.id)
        self.guest_print(
            spec.id, "You are in emergency mode.\n" if spec.emergency else f"{spec.name} login: \n"
        )
        if self.on_boot is not None and not spec.emergency:
            self.on_boot(spec)
        if self.dies_at_boot:
            self.guest_power_off(spec.id, MachineExit.CRASH)

    async def plug(self, machine: str, device: str, volume: str, *, read_only: bool) -> None:
        """Give a running machine a further disk."""
        self._fail("plug")
        if machine not in self.running:
            raise MachineError(f"machine {machine} is not running")
        spec = self.running[machine].plugged(device, volume, read_only=read_only)
        others = (other for other in self.running.values() if other.id != machine)
        try:
            self._volume(volume)
            check_shared(spec, others)
        except VolumeError as error:
            raise MachineError(f"machine {spec.name} gets no disk {device}: {error}") from error
        self.running[machine] = spec

    async def unplug(self, machine: str, device: str) -> None:
        """Take a further disk from a machine."""
        self._fail("unplug")
        if machine in self.running:
            self.running[machine] = self.running[machine].unplugged(device)

    async def shut_down(self, machine: str, grace: float) -> None:  # noqa: ARG002
        """Power a machine off; guests in memory take no time."""
        self._fail("shut_down")
        if self.running.pop(machine, None) and machine not in self.suspended:
            self.guest_print(machine, "reboot: Power down\n")
        self.suspended.discard(machine)

    async def power_off(self, machine: str) -> None:
        """Cut the power."""
        self._fail("power_off")
        self.running.pop(machine, None)
        self.suspended.discard(machine)

    async def suspend(self, machine: str) -> None:
        """Note that a machine stands still."""
        self._fail("suspend")
        if machine not in self.running:
            raise MachineError(f"machine {machine} is not running")
        self.suspended.add(machine)

    async def resume(self, machine: str) -> None:
        """Note that a machine goes on."""
        self._fail("resume")
        self.suspended.discard(machine)

    async def crash(self, machine: str) -> None:
        """Let a machine die."""
        self._fail("crash")
        if machine in self.running:
            self.guest_power_off(machine, MachineExit.CRASH)

    async def fill_disk(self, machine: str) -> None:
        """Note that a machine's boot disk is full."""
        self._fail("fill_disk")
        if machine not in self.running:
            raise MachineError(f"machine {machine} is not running")
        self.full.add(machine)

    async def empty_disk(self, machine: str) -> None:
        """Note that a machine's boot disk has space again."""
        self.full.discard(machine)

    def is_running(self, machine: str) -> bool:
        """Whether the machine is on."""
        return machine in self.running

    def is_suspended(self, machine: str) -> bool:
        """Whether the machine is on and stands still."""
        return machine in self.running and machine in self.suspended

    def console_command(self, machine: str, tty: bool) -> list[str]:  # noqa: ARG002
        """Refuse: nothing runs that could be entered. Raises MachineError."""
        if machine not in self.running:
            raise MachineError(f"machine {machine} is not running")
        raise MachineError(f"machine {machine} exists in memory only: there is nothing to enter")

    def serial_output(self, machine: str, start: int) -> tuple[bytes, int]:
        """Return what was printed from byte `start`, and the position after it."""
        printed = self._serial.get(machine, bytearray())
        begin = max(len(printed) + start, 0) if start < 0 else min(start, len(printed))
        content = bytes(printed[begin : begin + READ_LIMIT])
        return content, begin + len(content)

    def guest_print(self, machine: str, text: str) -> None:
        """Print on a machine's console."""
        self._serial.setdefault(machine, bytearray()).extend(text.encode())

    def guest_write(self, machine: str, path: str, text: str) -> None:
        """Write a file on a running machine's boot volume."""
        self.volumes[self.running[machine].boot_volume].files[path] = text

    def guest_power_off(self, machine: str, reason: MachineExit = MachineExit.POWER_OFF) -> None:
        """Let a machine go off by itself."""
        del self.running[machine]
        self.suspended.discard(machine)
        self.guest_print(machine, "reboot: Power down\n")
        if self._on_exit is not None:
            self._on_exit(machine, reason)

    def guest_reboot(self, machine: str) -> None:
        """Let a machine boot anew by itself."""
        self._note_boot(machine)
        self.guest_print(machine, "reboot: Restarting system\n")
        self.guest_print(machine, f"{self.running[machine].name} login: \n")

    def _note_boot(self, machine: str) -> None:
        self.boots.append(machine)
        del self.boots[:-_BOOTS_KEPT]

    def _fail(self, method: str) -> None:
        if error := self.failures.pop(method, None):
            raise error

    def _check_disks(self, spec: MachineSpec) -> None:
        check_shared(spec, self.running.values())
        for volume in spec.volumes:
            if self._volume(volume).frozen:
                raise VolumeError(f"volume {volume} is read-only")
        if not any(path.startswith("/etc/") for path in self._volume(spec.boot_volume).files):
            raise VolumeError(f"volume {spec.boot_volume} has no /etc")

    def _volume(self, volume: str) -> MemoryVolume:
        if volume not in self.volumes:
            raise VolumeError(f"volume {volume} does not exist")
        return self.volumes[volume]

    def _copy(self, volume: str, source: str | None, size_gb: int, *, frozen: bool) -> MemoryVolume:
        if volume in self.volumes:
            raise VolumeError(f"volume {volume} exists")
        if source is None:
            return MemoryVolume(frozen=frozen, size_gb=size_gb)
        origin = self._volume(source)
        lineage = (source, *origin.lineage)
        return MemoryVolume(dict(origin.files), lineage, frozen, size_gb)
