# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rest of the sandbox asks of machines and volumes.

Two implementations pass the same tests: Podman (real machines) and memory (API only).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol


class MachineExit(Enum):
    """Why a machine went off without being asked."""

    POWER_OFF = "power-off"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class MachineNic:
    """An interface as the machine sees it; its namespace was made by the network."""

    namespace: str
    internal_ip: str
    mac: str


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine to boot.

    Attributes:
        id: the instance's numeric id; names every host resource of the machine.
        name: short host name.
        hostname: fully qualified internal name.
        boot_volume: volume that becomes the root file system.
        data_volumes: (device name, volume) of further disks.
        nic: the first interface.
        vcpus: CPU ceiling in cores once booted; booting itself is not limited.
        memory_mb: memory ceiling in MiB.
        read_only: device names of the further disks that it may only read; several machines may
            have such a disk at a time.
        emergency: whether its init stops in emergency mode, as after a damaged disk or fstab.
    """

    id: str
    name: str
    hostname: str
    boot_volume: str
    nic: MachineNic
    vcpus: float
    memory_mb: int
    data_volumes: tuple[tuple[str, str], ...] = ()
    read_only: frozenset[str] = frozenset()
    emergency: bool = False

    @property
    def volumes(self) -> tuple[str, ...]:
        """Every volume that it has."""
        return (self.boot_volume, *(volume for _, volume in self.data_volumes))

    def has(self, volume: str) -> bool:
        """Whether a volume is one of its volumes; made to be asked of many machines."""
        if self.boot_volume == volume:
            return True
        return bool(self.data_volumes) and any(volume == each for _, each in self.data_volumes)

    def plugged(self, device: str, volume: str, *, read_only: bool) -> MachineSpec:
        """Return the machine with a further disk."""
        kept = self.unplugged(device)
        also = frozenset({device}) if read_only else frozenset()
        return replace(
            kept,
            data_volumes=(*kept.data_volumes, (device, volume)),
            read_only=kept.read_only | also,
        )

    def unplugged(self, device: str) -> MachineSpec:
        """Return the machine without one of its further disks."""
        rest = tuple(each for each in self.data_volumes if each[0] != device)
        return replace(self, data_volumes=rest, read_only=self.read_only - {device})

    @property
    def written_volumes(self) -> tuple[str, ...]:
        """The volumes that it may write to."""
        written = (volume for device, volume in self.data_volumes if device not in self.read_only)
        return (self.boot_volume, *written)


class MachineError(RuntimeError):
    """A machine could not be booted or stopped; the message says which and why."""


class VolumeError(RuntimeError):
    """A volume could not be made, copied or removed; the message says which and why."""


def check_shared(spec: MachineSpec, running: Iterable[MachineSpec]) -> None:
    """Return when no volume would be written by one machine and had by another.

    Raises:
        VolumeError: one would be; two file systems at work on one disk would ruin it.
    """
    volumes = spec.volumes
    for other in running:
        for volume in volumes:
            if other.has(volume) and volume in {*spec.written_volumes, *other.written_volumes}:
                raise VolumeError(f"volume {volume} is in use")


ExitCallback = Callable[[str, MachineExit], None]
"""Called in the event loop with the machine's id when it went off by itself."""


class Runtime(Protocol):
    """Machines and volumes of a sandbox; ids are strings of [a-z0-9-]."""

    async def start(self, on_exit: ExitCallback, expected: Iterable[MachineSpec] = ()) -> None:
        """Make ready; take up the expected machines that outlived a sandbox, end all others.

        Volumes stay. A machine that went off by itself while nobody watched is taken up too, and
        its end reported to `on_exit` soon; one that rebooted comes back. Of the other expected
        ones is_running() is false.
        """

    async def stop(self) -> None:
        """Stop every machine (shutdown scripts run, bounded) and unmount; volumes stay."""

    def made_volumes(self) -> frozenset[str]:
        """Ids of the volumes that were made and not deleted since, in earlier lives too."""

    async def create_volume(self, volume: str, source: str | None, size_gb: int) -> None:
        """Make a writable volume, empty or with the content of another (base, frozen or writable).

        Raises:
            VolumeError: the source does not exist or the copy failed (nothing is left).
        """

    async def freeze_volume(self, volume: str, source: str) -> None:
        """Make a read-only, crash-consistent copy of a (possibly mounted) writable volume.

        A running machine is paused for the copy. The source may be deleted meanwhile.

        Raises:
            VolumeError: the source does not exist or the copy failed (nothing is left).
        """

    async def resize_volume(self, volume: str, size_gb: int) -> None:
        """Give a volume another size; what runs on it goes on.

        Raises:
            VolumeError: it does not exist.
        """

    async def stored_bytes(self, volume: str) -> int:
        """Return what the content of a frozen volume takes, its base volume's not counted.

        Raises:
            VolumeError: it does not exist.
        """

    async def delete_volume(self, volume: str) -> None:
        """Remove a volume; what others build on stays until they go. No error when it is gone.

        Raises:
            VolumeError: a machine uses it, or it ships with the runtime.
        """

    async def boot(self, spec: MachineSpec) -> None:
        """Power a machine on; returns when its init runs. A reboot from inside is the runtime's.

        Raises:
            MachineError: it is on, a volume is missing, read-only or written by another machine, or
                it could not be started (nothing is left of the attempt).
        """

    async def plug(self, machine: str, device: str, volume: str, *, read_only: bool) -> None:
        """Give a running machine a further disk, for good: reboots keep it.

        Raises:
            MachineError: it is not on, another machine writes to the volume, or it could not be
                done (nothing is left of the attempt).
        """

    async def unplug(self, machine: str, device: str) -> None:
        """Take a further disk from a machine; no error when it is off or has none of this name.

        Raises:
            MachineError: it could not be done.
        """

    async def shut_down(self, machine: str, grace: float) -> None:
        """Press the power button; cut the power after `grace` seconds. No error when it is off."""

    async def power_off(self, machine: str) -> None:
        """Cut the power at once."""

    async def suspend(self, machine: str) -> None:
        """Stop everything in a machine that is on, and keep its memory; idempotent.

        It stays on: only `resume` lets it go on, and what switches it off cuts its power.

        Raises:
            MachineError: it is not on, or it could not be stopped.
        """

    async def resume(self, machine: str) -> None:
        """Let a suspended machine go on where it was; no error when it is not suspended."""

    async def crash(self, machine: str) -> None:
        """Let a machine die as by itself: its end is reported. No error when it is off."""

    async def fill_disk(self, machine: str) -> None:
        """Leave no free space on a machine's boot disk until it goes off; idempotent.

        Raises:
            MachineError: it is not on, or it could not be done.
        """

    async def empty_disk(self, machine: str) -> None:
        """Give back the space that `fill_disk` took; no error when there is none.

        Raises:
            MachineError: it could not be done.
        """

    def is_running(self, machine: str) -> bool:
        """Whether the machine is powered on; a suspended one is."""

    def is_suspended(self, machine: str) -> bool:
        """Whether the machine is on and stands still."""

    def console_command(self, machine: str, tty: bool) -> list[str]:
        """Return the words that, with a command appended, run it in a machine as root.

        Raises:
            MachineError: the machine is not on, or has no console that can be entered.
        """

    def serial_output(self, machine: str, start: int) -> tuple[bytes, int]:
        """Return console output from byte `start`, and the position after it.

        A negative `start` counts from the end. What is older than a machine keeps is gone: output
        then begins later than asked for, at the returned position less the output's length.
        Kept over reboots and while the machine is off; forgotten by delete of its boot volume.
        """
