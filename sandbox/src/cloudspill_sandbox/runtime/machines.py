# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines: Podman system containers that boot systemd on their own overlay disks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path

from cloudspill_sandbox.runtime import full_disk, hot_plugging
from cloudspill_sandbox.runtime.adoption import EarlierLife, MachineRecord, MachineRecords
from cloudspill_sandbox.runtime.cgroups import SandboxCgroup
from cloudspill_sandbox.runtime.console import SerialConsole
from cloudspill_sandbox.runtime.guest_files import renew_identity, write_names
from cloudspill_sandbox.runtime.guest_image import image_in_use
from cloudspill_sandbox.runtime.interface import (
    ExitCallback,
    MachineError,
    MachineExit,
    MachineSpec,
    VolumeError,
    check_shared,
)
from cloudspill_sandbox.runtime.leftovers import kernel_limits, podman_directory, sweep
from cloudspill_sandbox.runtime.machine import Machine
from cloudspill_sandbox.runtime.podman import Container, ContainerRequest, Podman
from cloudspill_sandbox.runtime.processes import ProcessId, WatchedProcess
from cloudspill_sandbox.runtime.proving import prove
from cloudspill_sandbox.runtime.volumes import VolumeStore
from cloudspill_sandbox.settings import Settings

_STOP_GRACE = 30.0
_REBOOT = 128 + signal.SIGHUP
_POWER_OFF = 128 + signal.SIGINT
"""How an init ends by reboot(2): https://man7.org/linux/man-pages/man2/reboot.2.html"""

_log = logging.getLogger(__name__)


class PodmanRuntime:
    """Implements `Runtime` with Podman.

    Args:
        settings: names and paths of the sandbox.
        guest_image: root file system of the base volume `debian-12`.
    """

    def __init__(self, settings: Settings, guest_image: Path) -> None:
        self._settings = settings
        self._cgroup = SandboxCgroup(settings.name)
        self._podman = Podman(podman_directory(settings), self._cgroup.path)
        self._records = MachineRecords(self._podman.containers)
        self._guest_image = guest_image
        self._volumes = VolumeStore(
            settings.volumes_dir, guest_image.parent, {"debian-12": guest_image.name}
        )
        self._machines: dict[str, Machine] = {}
        self._consoles: dict[str, SerialConsole] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_exit: ExitCallback = lambda _machine, _why: None
        self._image_in_use = contextlib.ExitStack()

    async def start(self, on_exit: ExitCallback, expected: Iterable[MachineSpec] = ()) -> None:
        """Make ready; take up the expected machines that outlived a sandbox, end all others.

        Raises:
            MachineError: containers do not start on this host; the message says why.
        """
        self._on_exit = on_exit
        try:
            await asyncio.to_thread(self._take_image)
            await asyncio.to_thread(self._volumes.load)
            earlier = EarlierLife(self._settings, self._podman, self._records, self._volumes)
            adopted = await earlier.take_up([*expected])
            kernel_limits(self._settings).raise_all()
            if not adopted:
                await prove(self._settings, self._guest_image, self._podman)
        except BaseException:
            await self.stop()
            raise
        for record in adopted:
            self._attend_to(Machine(record.spec), record.container)
            _log.info("machine %s of an earlier life goes on", record.spec.name)
        self._spawn(self._podman.remove_discarded())

    def _take_image(self) -> None:
        """Keep the base volume from being removed, from now until stop()."""
        try:
            self._image_in_use.enter_context(image_in_use(self._guest_image))
        except FileNotFoundError as error:
            raise MachineError(
                f"the guest image {self._guest_image} is gone; "
                "`cloudspill-sandbox image build` makes it anew"
            ) from error

    async def stop(self) -> None:
        """Stop every machine (shutdown scripts run, at most 30 s) and unmount; volumes stay."""
        await asyncio.gather(*(self.shut_down(name, _STOP_GRACE) for name in [*self._machines]))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.to_thread(sweep, self._settings)
        finally:
            self._image_in_use.close()

    def made_volumes(self) -> frozenset[str]:
        """Ids of the volumes that were made and not deleted since; see `Runtime`."""
        return self._volumes.made

    async def create_volume(self, volume: str, source: str | None, size_gb: int) -> None:
        """Make a writable volume, empty or with the content of another; see `Runtime`."""
        await self._copying(source, partial(self._volumes.create, volume, source, size_gb))

    async def freeze_volume(self, volume: str, source: str) -> None:
        """Make a read-only copy of a volume; of a running machine's as its disk is right now.

        The machine is paused; what it has not synced is missing, see extents.py and `Runtime`.
        """
        await self._copying(source, partial(self._volumes.freeze, volume, source))

    async def _copying(self, source: str | None, copy: Callable[..., None]) -> None:
        """Copy in a thread; the machine that writes to the source is paused since `live_since`."""
        container = self._container_writing(source)

        def paused() -> None:
            pause = self._cgroup.paused(container.id) if container else contextlib.nullcontext()
            with pause:
                copy(live_since=time.time() if container else None)

        try:
            await asyncio.to_thread(paused)
        except TimeoutError as error:
            raise VolumeError(str(error)) from error

    def _container_writing(self, volume: str | None) -> Container | None:
        for machine in self._machines.values():
            if volume in machine.spec.written_volumes:
                return machine.container
        return None

    async def resize_volume(self, volume: str, size_gb: int) -> None:
        """Note another size of a volume. Raises VolumeError: it does not exist."""
        await asyncio.to_thread(self._volumes.resize, volume, size_gb)

    async def stored_bytes(self, volume: str) -> int:
        """Return what the content of a volume takes. Raises VolumeError: it does not exist."""
        return await asyncio.to_thread(self._volumes.stored_bytes, volume)

    async def delete_volume(self, volume: str) -> None:
        """Remove a volume; content that others build on stays until they go; see `Runtime`."""
        await asyncio.to_thread(self._volumes.delete, volume)
        for machine in [*self._consoles]:
            if self._volumes.volume_of(machine) is None:
                self._consoles.pop(machine, None)

    async def boot(self, spec: MachineSpec) -> None:
        """Power a machine on; returns when its init runs; see `Runtime`."""
        if spec.id in self._machines:
            raise MachineError(f"machine {spec.name} is on")
        others = [other.spec for other in self._machines.values()]
        machine = self._machines[spec.id] = Machine(spec)
        try:
            check_shared(spec, others)
            await asyncio.to_thread(self._prepare_disks, spec)
            await self._run(machine)
        except (OSError, VolumeError) as error:
            self._forget(machine)
            raise MachineError(f"machine {spec.name} cannot boot: {error}") from error
        except BaseException:
            self._forget(machine)
            raise

    def _prepare_disks(self, spec: MachineSpec) -> None:
        root = self._volumes.mount(spec.boot_volume)
        if self._volumes.record(spec.boot_volume).copied:
            renew_identity(root)
        self._volumes.booted(spec.boot_volume, spec.id)
        write_names(root, spec)
        for _, volume in spec.data_volumes:
            self._volumes.mount(volume)

    async def _run(self, machine: Machine) -> None:
        spec = machine.spec
        request = ContainerRequest(
            spec=spec,
            root=self._volumes.mount_point(spec.boot_volume),
            data=tuple(
                (device, self._volumes.mount_point(volume)) for device, volume in spec.data_volumes
            ),
            console=self._volumes.console_log(spec.boot_volume),
        )
        name = f"{spec.name}-{spec.id}-{time.time_ns()}"
        container = await self._podman.run(request, name)
        if not machine.asked_to_stop:
            self._records.write(MachineRecord(spec, container))
        self._attend_to(machine, container)

    def _attend_to(self, machine: Machine, container: Container) -> None:
        self._machines[machine.spec.id] = machine
        machine.container, machine.init = container, WatchedProcess(container.init)
        self._spawn(self._attend(machine, container, machine.init))

    async def _attend(self, machine: Machine, container: Container, init: WatchedProcess) -> None:
        """Wait for the end of a boot and do what follows from it."""
        try:
            why = await self._outcome(machine, container, init)
        except Exception:  # noqa: BLE001 - whatever it is, others wait for the machine to be off
            _log.exception("machine %s is given up", machine.spec.name)
            why = MachineExit.CRASH
        if why is None:
            return
        self._forget(machine)
        if not machine.asked_to_stop:
            self._on_exit(machine.spec.id, why)

    async def _outcome(
        self, machine: Machine, container: Container, init: WatchedProcess
    ) -> MachineExit | None:
        """Wait for the end of a boot; return why the machine is off, None when it is on again."""
        try:
            monitor = WatchedProcess(container.monitor)
            try:
                await monitor.wait()
            finally:
                monitor.close()
                init.close()
            why = await self._why_it_ended(machine, container)
        finally:
            self._records.forget(container)
            self._podman.discard(container.name)
        return await self._reboot(machine) if why is None else why

    async def _reboot(self, machine: Machine) -> MachineExit | None:
        _log.info("machine %s reboots", machine.spec.name)
        try:
            await self._run(machine)
        except MachineError as error:
            _log.error("machine %s did not come back: %s", machine.spec.name, error)
            return MachineExit.CRASH
        return None

    async def _why_it_ended(self, machine: Machine, container: Container) -> MachineExit | None:
        """Return why a machine is off, None when it wants to be started again."""
        try:
            code = await self._podman.exit_code(container)
        except MachineError as error:
            _log.warning("%s", error)
            return MachineExit.CRASH
        if code == _REBOOT and not machine.asked_to_stop:
            return None
        return MachineExit.POWER_OFF if code in {0, _POWER_OFF} else MachineExit.CRASH

    def _forget(self, machine: Machine) -> None:
        del self._machines[machine.spec.id]
        self._let_go({*machine.spec.volumes})
        machine.off.set()

    def _let_go(self, volumes: set[str]) -> None:
        in_use = {volume for other in self._machines.values() for volume in other.spec.volumes}
        for volume in volumes - in_use:
            try:
                self._volumes.unmount(volume)
            except OSError as error:
                _log.error("volume %s stays mounted: %s", volume, error)

    async def plug(self, machine: str, device: str, volume: str, *, read_only: bool) -> None:
        """Give a running machine a further disk; see `Runtime`."""
        found, init = self._machines.get(machine), self._init_of(machine)
        if found is None or found.container is None or init is None:
            raise MachineError(f"machine {machine} is not running")
        spec = found.spec.plugged(device, volume, read_only=read_only)
        try:
            check_shared(spec, [m.spec for m in self._machines.values() if m is not found])
            await self._mount_in(found, init, device, volume, read_only=read_only)
        except (MachineError, OSError, VolumeError) as error:
            raise MachineError(f"machine {spec.name} gets no disk {device}: {error}") from error

    async def _mount_in(
        self, machine: Machine, init: ProcessId, device: str, volume: str, *, read_only: bool
    ) -> None:
        # From here on nobody lets the volume go, nor does a successor after a kill.
        machine.spec = machine.spec.plugged(device, volume, read_only=read_only)
        try:
            self._record(machine)
            folder = await asyncio.to_thread(self._volumes.mount, volume)
            await asyncio.to_thread(hot_plugging.plug, init, device, folder, read_only=read_only)
        except (MachineError, OSError, VolumeError):
            machine.spec = machine.spec.unplugged(device)
            self._let_go({volume})
            self._record(machine)
            raise

    async def unplug(self, machine: str, device: str) -> None:
        """Take a further disk from a machine; see `Runtime`."""
        found, init = self._machines.get(machine), self._init_of(machine)
        if found is None or init is None:
            return
        await asyncio.to_thread(hot_plugging.unplug, init, device)
        gone = {volume for each, volume in found.spec.data_volumes if each == device}
        found.spec = found.spec.unplugged(device)
        self._record(found)
        self._let_go(gone)

    def _record(self, machine: Machine) -> None:
        """Write what a successor must know of a machine, unless it is off or to go off."""
        on = self._machines.get(machine.spec.id) is machine and not machine.asked_to_stop
        if on and machine.container is not None:
            self._records.write(MachineRecord(machine.spec, machine.container))

    async def shut_down(self, machine: str, grace: float) -> None:
        """Press the power button; cut the power after `grace` seconds. No error when it is off."""
        if (found := self._machines.get(machine)) is None:
            return
        self._ask_to_stop(found)
        await found.shut_down(grace)

    async def power_off(self, machine: str) -> None:
        """Cut the power at once. No error when it is off."""
        if (found := self._machines.get(machine)) is None:
            return
        self._ask_to_stop(found)
        await found.cut_power()

    def _ask_to_stop(self, machine: Machine) -> None:
        machine.asked_to_stop = True
        if machine.container is not None:
            self._records.forget(machine.container)

    async def suspend(self, machine: str) -> None:
        """Stop a machine's processes and keep its memory; see `Runtime`."""
        found = self._machines.get(machine)
        if found is None or found.container is None:
            raise MachineError(f"machine {machine} is not running")
        await found.suspend(self._cgroup.paused(found.container.id))

    async def resume(self, machine: str) -> None:
        """Let a suspended machine go on; see `Runtime`."""
        if (found := self._machines.get(machine)) is not None:
            await found.resume()

    async def crash(self, machine: str) -> None:
        """Kill a machine's init: its end is reported as a crash. No error when it is off."""
        found = self._machines.get(machine)
        if found is not None and found.init is not None:
            found.init.send(signal.SIGKILL)

    async def fill_disk(self, machine: str) -> None:
        """Leave no free space on the root file system; see `Runtime` and full_disk.py."""
        if (init := self._init_of(machine)) is None:
            raise MachineError(f"machine {machine} is not running")
        await asyncio.to_thread(full_disk.fill, init)

    async def empty_disk(self, machine: str) -> None:
        """Give back the space that `fill_disk` took; see `Runtime`."""
        if (init := self._init_of(machine)) is not None:
            await asyncio.to_thread(full_disk.empty, init)

    def _init_of(self, machine: str) -> ProcessId | None:
        found = self._machines.get(machine)
        return found.container.init if found and found.container else None

    def is_running(self, machine: str) -> bool:
        """Whether the machine is powered on."""
        return machine in self._machines

    def is_suspended(self, machine: str) -> bool:
        """Whether the machine is on and stands still."""
        return self.is_running(machine) and self._machines[machine].suspension is not None

    def console_command(self, machine: str, tty: bool) -> list[str]:
        """Return the words that, with a command appended, run it in a machine; see `Runtime`."""
        running = self._machines.get(machine)
        if running is None or running.container is None:
            raise MachineError(f"machine {machine} is not running")
        return self._podman.console_command(running.container, tty)

    def serial_output(self, machine: str, start: int) -> tuple[bytes, int]:
        """Return console output from byte `start`, and the position after it; see `Runtime`."""
        volume = self._volumes.volume_of(machine)
        if volume is None:
            return b"", 0
        console = self._consoles.get(machine)
        if console is None:
            console = SerialConsole(self._volumes.console_log(volume))
            self._consoles[machine] = console
        return console.read(start)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
