# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-memory runtime keeps the promises of the interface, and some of its own to tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cloudspill_sandbox.runtime.console import READ_LIMIT
from cloudspill_sandbox.runtime.interface import MachineError, MachineExit, MachineNic, MachineSpec
from cloudspill_sandbox.runtime.memory import MemoryRuntime
from sandbox.tests.runtime.runtime_table import RuntimeTable

SPEC = MachineSpec(
    id="7",
    name="vm",
    hostname="vm.z.c.p.internal",
    boot_volume="d1",
    nic=MachineNic("/nowhere", "10.0.0.2", "42:01:0a:00:00:02"),
    vcpus=1.0,
    memory_mb=614,
)


class MemoryLab:
    """Implements the table's `Lab`."""

    def __init__(self) -> None:
        self.runtime = MemoryRuntime()
        self.exits: list[tuple[str, MachineExit]] = []

    async def machine(self, number: int, boot_volume: str, **fields: Any) -> MachineSpec:
        identity = {"id": str(number), "name": f"vm{number}", "boot_volume": boot_volume}
        return dataclasses.replace(SPEC, **identity | fields)

    async def ready(self, spec: MachineSpec) -> None:
        assert self.runtime.is_running(spec.id)

    def _place(self, spec: MachineSpec, path: str) -> tuple[dict[str, str], str]:
        for device, volume in self.runtime.running[spec.id].data_volumes:
            if path.startswith(f"/mnt/disks/{device}/"):
                return self.runtime.volumes[volume].files, path.removeprefix(f"/mnt/disks/{device}")
        return self.runtime.volumes[spec.boot_volume].files, path

    async def write(self, spec: MachineSpec, path: str, text: str) -> None:
        await self.ready(spec)
        files, inside = self._place(spec, path)
        files[inside] = text

    async def read(self, spec: MachineSpec, path: str) -> str | None:
        await self.ready(spec)
        files, inside = self._place(spec, path)
        return files.get(inside)

    async def power_off_inside(self, spec: MachineSpec) -> None:
        self.runtime.guest_power_off(spec.id)

    async def reboot_inside(self, spec: MachineSpec) -> None:
        self.runtime.guest_reboot(spec.id)

    async def reported(self, spec: MachineSpec) -> None:
        assert spec.id in dict(self.exits)


@pytest.fixture
async def lab() -> MemoryLab:
    lab = MemoryLab()
    await lab.runtime.start(lambda machine, why: lab.exits.append((machine, why)))
    return lab


class TestMemoryRuntime(RuntimeTable):
    """In the table of all runtimes."""


@pytest.fixture
def runtime(lab: MemoryLab) -> MemoryRuntime:
    return lab.runtime


async def test_a_copy_tells_what_it_was_made_from(runtime: MemoryRuntime) -> None:
    await runtime.create_volume("d1", "debian-12", 10)
    await runtime.boot(SPEC)
    runtime.guest_write("7", "/a", "1")
    await runtime.freeze_volume("s1", "d1")
    await runtime.create_volume("d2", "s1", 20)
    assert runtime.volumes["d2"].files["/a"] == "1"
    assert runtime.volumes["d2"].lineage == ("s1", "d1", "debian-12")
    sizes = {name: volume.size_gb for name, volume in runtime.volumes.items()}
    assert sizes == {"debian-12": 0, "d1": 10, "s1": 10, "d2": 20}


async def test_nothing_can_be_entered(runtime: MemoryRuntime) -> None:
    await runtime.create_volume("d1", "debian-12", 10)
    await runtime.boot(SPEC)
    with pytest.raises(MachineError, match="in memory only"):
        runtime.console_command("7", tty=True)


async def test_machines_say_what_they_do_on_their_console(runtime: MemoryRuntime) -> None:
    await runtime.create_volume("d1", "debian-12", 10)
    await runtime.boot(SPEC)
    await runtime.shut_down("7", 0)
    assert runtime.serial_output("7", 0)[0] == b"vm login: \nreboot: Power down\n"


async def test_a_console_is_read_in_the_portions_of_a_real_one(runtime: MemoryRuntime) -> None:
    runtime.guest_print("7", "x" * (READ_LIMIT + 5))
    first, position = runtime.serial_output("7", 0)
    assert (len(first), position) == (READ_LIMIT, READ_LIMIT)
    assert runtime.serial_output("7", position) == (b"xxxxx", READ_LIMIT + 5)


async def test_an_error_that_was_asked_for_comes_once(runtime: MemoryRuntime) -> None:
    runtime.failures["create_volume"] = OSError("full")
    with pytest.raises(OSError, match="full"):
        await runtime.create_volume("d1", "debian-12", 10)
    await runtime.create_volume("d1", "debian-12", 10)


@pytest.mark.parametrize("end", ["crash", "start"])
async def test_a_machine_that_was_suspended_in_an_earlier_life_is_not_in_this_one(
    runtime: MemoryRuntime, end: str
) -> None:
    await runtime.start(lambda *_: None)
    await runtime.create_volume("d1", "debian-12", 10)
    await runtime.boot(SPEC)
    await runtime.suspend("7")
    await (runtime.crash("7") if end == "crash" else runtime.start(lambda *_: None))
    await runtime.boot(SPEC)
    assert not runtime.is_suspended("7")
