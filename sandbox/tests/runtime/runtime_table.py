# SPDX-License-Identifier: GPL-3.0-or-later
"""What runtime/interface.py promises, as one table of tests that every runtime has to pass.

A runtime passes when a class of its tests inherits `RuntimeTable` and has a fixture `lab`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Protocol

import pytest

from cloudspill_sandbox.runtime.interface import (
    MachineError,
    MachineExit,
    MachineSpec,
    Runtime,
    VolumeError,
)

BASE = "debian-12"
SHARED: dict[str, Any] = {
    "data_volumes": (("archive", "data"),),
    "read_only": frozenset({"archive"}),
}
NOTED = "/var/noted"
ARCHIVED = "/mnt/disks/archive/noted"


class Lab(Protocol):
    """A runtime that was started, and what a test does inside its machines.

    Attributes:
        runtime: the runtime.
        exits: what it reported, in order.
    """

    exits: list[tuple[str, MachineExit]]

    @property
    def runtime(self) -> Runtime: ...

    async def machine(self, number: int, boot_volume: str, **fields: Any) -> MachineSpec:
        """Return what to boot; fields of MachineSpec replace its own."""

    async def ready(self, spec: MachineSpec) -> None:
        """Return when what runs on a machine can be asked for something."""

    async def write(self, spec: MachineSpec, path: str, text: str) -> None:
        """Write a file on a running machine, to the disk."""

    async def read(self, spec: MachineSpec, path: str) -> str | None:
        """Return a file of a running machine, None when there is none."""

    async def power_off_inside(self, spec: MachineSpec) -> None:
        """Let a machine go off by itself."""

    async def reboot_inside(self, spec: MachineSpec) -> None:
        """Let a machine reboot by itself; returns when it is ready again."""

    async def reported(self, spec: MachineSpec) -> None:
        """Return when the runtime has reported a machine's end."""


async def booted(lab: Lab, number: int = 1, **fields: Any) -> MachineSpec:
    """Boot a machine from a new disk `disk<number>`."""
    await lab.runtime.create_volume(f"disk{number}", BASE, 10)
    spec = await lab.machine(number, f"disk{number}", **fields)
    await lab.runtime.boot(spec)
    await lab.ready(spec)
    return spec


async def content(lab: Lab, number: int, source: str) -> str | None:
    """Return what a machine finds noted that boots from a copy of a volume."""
    await lab.runtime.create_volume(f"disk{number}", source, 10)
    spec = await lab.machine(number, f"disk{number}")
    await lab.runtime.boot(spec)
    await lab.ready(spec)
    return await lab.read(spec, NOTED)


class RuntimeTable:
    """The table; `lab` is a fixture of the class that inherits it."""

    async def test_a_machine_is_on_until_it_is_shut_down(self, lab: Lab) -> None:
        spec = await booted(lab)
        assert lab.runtime.is_running(spec.id)
        with pytest.raises(MachineError, match=f"machine {spec.name} is on"):
            await lab.runtime.boot(spec)
        await lab.runtime.shut_down(spec.id, 30)
        assert not lab.runtime.is_running(spec.id)
        await lab.runtime.shut_down(spec.id, 30)
        await lab.runtime.power_off(spec.id)
        assert lab.exits == []

    async def test_a_reset_is_a_power_cut_and_a_boot_on_the_same_disk(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.write(spec, NOTED, "kept")
        await lab.runtime.power_off(spec.id)
        assert not lab.runtime.is_running(spec.id)
        await lab.runtime.boot(spec)
        await lab.ready(spec)
        assert await lab.read(spec, NOTED) == "kept"
        assert lab.exits == []

    async def test_no_grace_is_a_power_cut(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.runtime.shut_down(spec.id, 0.0)
        assert not lab.runtime.is_running(spec.id)
        assert lab.exits == []

    async def test_several_may_stop_a_machine_at_a_time(self, lab: Lab) -> None:
        spec = await booted(lab)
        await asyncio.gather(
            lab.runtime.shut_down(spec.id, 30),
            lab.runtime.shut_down(spec.id, 30),
            lab.runtime.power_off(spec.id),
        )
        assert not lab.runtime.is_running(spec.id)
        assert lab.exits == []

    async def test_a_machine_that_goes_off_by_itself_is_reported_once(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.power_off_inside(spec)
        await lab.reported(spec)
        assert lab.exits == [(spec.id, MachineExit.POWER_OFF)]
        assert not lab.runtime.is_running(spec.id)
        await lab.runtime.boot(spec)
        assert lab.runtime.is_running(spec.id)

    async def test_a_machine_that_dies_is_reported_as_crashed(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.runtime.crash(spec.id)
        await lab.reported(spec)
        assert lab.exits == [(spec.id, MachineExit.CRASH)]
        assert not lab.runtime.is_running(spec.id)
        await lab.runtime.crash(spec.id)
        assert len(lab.exits) == 1

    async def test_a_reboot_from_inside_is_nobody_s_business(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.write(spec, NOTED, "kept")
        await lab.reboot_inside(spec)
        assert lab.runtime.is_running(spec.id)
        assert await lab.read(spec, NOTED) == "kept"
        assert lab.exits == []

    async def test_a_suspended_machine_stands_still_and_goes_on_where_it_was(
        self, lab: Lab
    ) -> None:
        spec = await booted(lab)
        await lab.write(spec, NOTED, "before")
        for _ in range(2):
            await lab.runtime.suspend(spec.id)
        assert lab.runtime.is_running(spec.id)
        assert lab.runtime.is_suspended(spec.id)
        for _ in range(2):
            await lab.runtime.resume(spec.id)
        assert not lab.runtime.is_suspended(spec.id)
        assert await lab.read(spec, NOTED) == "before"
        assert lab.exits == []
        await lab.runtime.shut_down(spec.id, 30)
        with pytest.raises(MachineError, match=f"machine {spec.id} is not running"):
            await lab.runtime.suspend(spec.id)
        await lab.runtime.resume(spec.id)

    async def test_a_suspended_machine_loses_its_power_at_once(self, lab: Lab) -> None:
        spec = await booted(lab)
        for switch_off in (lab.runtime.shut_down(spec.id, 3000), lab.runtime.power_off(spec.id)):
            await lab.runtime.suspend(spec.id)
            await switch_off
            assert not lab.runtime.is_running(spec.id)
            await lab.runtime.boot(spec)
            await lab.ready(spec)
            assert not lab.runtime.is_suspended(spec.id)
        assert lab.exits == []

    async def test_a_disk_is_plugged_into_a_running_machine_and_taken_to_another(
        self, lab: Lab
    ) -> None:
        first, second = await booted(lab, 1), await booted(lab, 2)
        await lab.runtime.create_volume("data", None, 10)
        await lab.runtime.plug(first.id, "archive", "data", read_only=False)
        await lab.write(first, ARCHIVED, "kept")
        with pytest.raises(MachineError, match="volume data is in use"):
            await lab.runtime.plug(second.id, "archive", "data", read_only=True)
        with pytest.raises(VolumeError, match="in use"):
            await lab.runtime.delete_volume("data")
        await lab.runtime.unplug(first.id, "archive")
        await lab.runtime.unplug(first.id, "archive")
        assert await lab.read(first, ARCHIVED) is None
        await lab.runtime.plug(second.id, "archive", "data", read_only=True)
        assert await lab.read(second, ARCHIVED) == "kept"
        await lab.runtime.unplug(second.id, "archive")
        await lab.runtime.delete_volume("data")

    async def test_disks_that_are_plugged_in_at_once_are_all_there_and_can_all_go(
        self, lab: Lab
    ) -> None:
        spec, volumes = await booted(lab), ("first", "second")
        for volume in volumes:
            await lab.runtime.create_volume(volume, None, 10)
        plugged = (lab.runtime.plug(spec.id, volume, volume, read_only=False) for volume in volumes)
        await asyncio.gather(*plugged)
        for volume in volumes:
            with pytest.raises(VolumeError, match="in use"):
                await lab.runtime.delete_volume(volume)
        await asyncio.gather(*(lab.runtime.unplug(spec.id, volume) for volume in volumes))
        for volume in volumes:
            await lab.runtime.delete_volume(volume)

    async def test_a_disk_that_is_there_is_not_plugged_in_once_more(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.runtime.create_volume("data", None, 10)
        for _ in range(2):
            await lab.runtime.plug(spec.id, "archive", "data", read_only=False)
        await lab.write(spec, ARCHIVED, "kept")
        await lab.runtime.unplug(spec.id, "archive")
        assert await lab.read(spec, ARCHIVED) is None
        await lab.runtime.delete_volume("data")

    async def test_a_plugged_disk_is_there_after_a_reboot(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.runtime.create_volume("data", None, 10)
        await lab.runtime.plug(spec.id, "archive", "data", read_only=False)
        await lab.write(spec, ARCHIVED, "kept")
        await lab.reboot_inside(spec)
        assert await lab.read(spec, ARCHIVED) == "kept"
        await lab.runtime.shut_down(spec.id, 30)
        with pytest.raises(MachineError, match=f"machine {spec.id} is not running"):
            await lab.runtime.plug(spec.id, "archive", "data", read_only=False)
        await lab.runtime.unplug(spec.id, "archive")
        await lab.runtime.delete_volume("data")

    async def test_stopping_the_runtime_stops_machines_and_keeps_volumes(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.write(spec, NOTED, "kept")
        await lab.runtime.stop()
        assert not lab.runtime.is_running(spec.id)
        assert lab.exits == []
        await lab.runtime.start(lambda machine, why: lab.exits.append((machine, why)), [spec])
        assert not lab.runtime.is_running(spec.id)
        await lab.runtime.boot(spec)
        await lab.ready(spec)
        assert await lab.read(spec, NOTED) == "kept"

    async def test_what_is_not_there(self, lab: Lab) -> None:
        runtime = lab.runtime
        assert not runtime.is_running("4711")
        await runtime.shut_down("4711", 30)
        await runtime.power_off("4711")
        assert runtime.serial_output("4711", 0) == (b"", 0)
        assert runtime.serial_output("4711", -5) == (b"", 0)
        with pytest.raises(MachineError, match="machine 4711 is not running"):
            runtime.console_command("4711", tty=False)
        with pytest.raises(MachineError, match="machine 4711 is not running"):
            await runtime.fill_disk("4711")
        await runtime.empty_disk("4711")
        await runtime.delete_volume("nowhere")
        for refused in (
            runtime.create_volume("disk", "nowhere", 10),
            runtime.freeze_volume("disk", "nowhere"),
            runtime.resize_volume("nowhere", 10),
            runtime.stored_bytes("nowhere"),
        ):
            with pytest.raises(VolumeError, match="volume nowhere does not exist"):
                await refused

    async def test_a_volume_s_name_is_taken_once(self, lab: Lab) -> None:
        others = lab.runtime.made_volumes()
        await lab.runtime.create_volume("data", None, 10)
        for taken in ("data", BASE):
            with pytest.raises(VolumeError, match=f"volume {taken} exists"):
                await lab.runtime.create_volume(taken, None, 10)
            with pytest.raises(VolumeError, match=f"volume {taken} exists"):
                await lab.runtime.freeze_volume(taken, BASE)
        with pytest.raises(VolumeError, match=f"volume {BASE} ships with the runtime"):
            await lab.runtime.delete_volume(BASE)
        await lab.runtime.create_volume("copy", "data", 10)
        assert lab.runtime.made_volumes() == others | {"data", "copy"}
        await lab.runtime.delete_volume("data")
        assert lab.runtime.made_volumes() == others | {"copy"}
        await lab.runtime.create_volume("data", None, 10)

    async def test_copies_hold_what_was_on_the_disk_at_that_moment(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.write(spec, NOTED, "then")
        await lab.runtime.freeze_volume("snapshot", "disk1")
        await lab.runtime.create_volume("clone", "disk1", 10)
        assert await lab.runtime.stored_bytes("snapshot") >= len("then")
        await lab.write(spec, NOTED, "now")
        assert await content(lab, 2, "snapshot") == "then"
        assert await content(lab, 3, "clone") == "then"
        assert await lab.read(spec, NOTED) == "now"

    async def test_copies_outlive_what_they_were_made_from(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.write(spec, NOTED, "kept")
        await lab.runtime.power_off(spec.id)
        await lab.runtime.freeze_volume("snapshot", "disk1")
        await lab.runtime.freeze_volume("image", "snapshot")
        for source in ("disk1", "snapshot"):
            await lab.runtime.delete_volume(source)
        assert await content(lab, 2, "image") == "kept"

    async def test_many_copies_of_a_running_machine_at_a_time(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.write(spec, NOTED, "then")
        names = [f"snapshot{number}" for number in range(4)]
        await asyncio.gather(*(lab.runtime.freeze_volume(name, "disk1") for name in names))
        await lab.write(spec, NOTED, "it goes on")
        assert await content(lab, 2, names[-1]) == "then"

    async def test_a_volume_grows_under_a_running_machine(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.write(spec, NOTED, "kept")
        await lab.runtime.resize_volume("disk1", 20)
        assert await lab.read(spec, NOTED) == "kept"

    async def test_a_volume_in_use_stays(self, lab: Lab) -> None:
        await lab.runtime.create_volume("data", None, 10)
        spec = await booted(lab, data_volumes=(("archive", "data"),))
        await lab.write(spec, ARCHIVED, "saved")
        for volume in ("disk1", "data"):
            with pytest.raises(VolumeError, match=f"volume {volume} is in use"):
                await lab.runtime.delete_volume(volume)
        await lab.runtime.power_off(spec.id)
        await lab.runtime.delete_volume("disk1")
        other = await booted(lab, 2, data_volumes=(("archive", "data"),))
        assert await lab.read(other, ARCHIVED) == "saved"

    async def test_readers_share_a_volume_and_nobody_shares_one_that_is_written(
        self, lab: Lab
    ) -> None:
        await lab.runtime.create_volume("data", None, 10)
        readers = [await booted(lab, number, **SHARED) for number in (1, 2)]
        await lab.runtime.create_volume("disk3", BASE, 10)
        spec = await lab.machine(3, "disk3")
        takings: list[dict[str, Any]] = [
            {"data_volumes": SHARED["data_volumes"]},
            {"boot_volume": "disk1"},
        ]
        for volumes in takings:
            writer = replace(spec, **volumes)
            with pytest.raises(MachineError, match=f"{spec.name} cannot boot: .* is in use"):
                await lab.runtime.boot(writer)
            assert not lab.runtime.is_running(spec.id)
        await lab.runtime.power_off(readers[0].id)
        with pytest.raises(VolumeError, match="volume data is in use"):
            await lab.runtime.delete_volume("data")
        await lab.runtime.power_off(readers[1].id)
        await lab.runtime.delete_volume("data")

    @pytest.mark.parametrize(
        ("volume", "reason"),
        [
            ("nowhere", "volume nowhere does not exist"),
            (BASE, f"volume {BASE} is read-only"),
            ("frozen", "volume frozen is read-only"),
            ("empty", ".*etc"),
        ],
    )
    async def test_what_cannot_boot_is_refused_and_leaves_nothing(
        self, lab: Lab, volume: str, reason: str
    ) -> None:
        await lab.runtime.create_volume("empty", None, 10)
        await lab.runtime.freeze_volume("frozen", BASE)
        spec = await lab.machine(1, volume)
        with pytest.raises(MachineError, match=f"machine {spec.name} cannot boot: {reason}"):
            await lab.runtime.boot(spec)
        assert not lab.runtime.is_running(spec.id)
        for made in ("empty", "frozen"):
            await lab.runtime.delete_volume(made)
        assert lab.exits == []

    async def test_the_console_is_kept_over_boots_and_goes_with_the_disk(self, lab: Lab) -> None:
        spec = await booted(lab)
        await lab.runtime.shut_down(spec.id, 30)
        output, end = lab.runtime.serial_output(spec.id, 0)
        assert len(output) == end > 10
        assert lab.runtime.serial_output(spec.id, -4) == (output[-4:], end)
        assert lab.runtime.serial_output(spec.id, -end - 100) == (output, end)
        assert lab.runtime.serial_output(spec.id, end + 100) == (b"", end)
        await lab.runtime.boot(spec)
        await lab.ready(spec)
        await lab.runtime.power_off(spec.id)
        more, later = lab.runtime.serial_output(spec.id, end)
        assert later == end + len(more) > end
        assert lab.runtime.serial_output(spec.id, 0) == (output + more, later)
        await lab.runtime.delete_volume("disk1")
        assert lab.runtime.serial_output(spec.id, 0) == (b"", 0)

    async def test_machines_boot_beside_one_another(self, lab: Lab) -> None:
        specs = await asyncio.gather(*(booted(lab, number) for number in range(1, 5)))
        assert all(lab.runtime.is_running(spec.id) for spec in specs)
        await asyncio.gather(*(lab.runtime.shut_down(spec.id, 30) for spec in specs[:2]))
        assert [lab.runtime.is_running(spec.id) for spec in specs] == [False, False, True, True]
