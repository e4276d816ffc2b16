# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines of a sandbox that was killed go on, by their records alone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.adoption import MachineRecord, MachineRecords, survivors
from cloudspill_sandbox.runtime.interface import MachineNic, MachineSpec
from cloudspill_sandbox.runtime.podman import Container
from cloudspill_sandbox.runtime.processes import ProcessId

SPEC = MachineSpec(
    id="7",
    name="vm",
    hostname="vm.z.c.p.internal",
    boot_volume="d1",
    nic=MachineNic("/proc/self/ns/net", "10.0.0.2", "42:01:0a:00:00:02"),
    vcpus=1.0,
    memory_mb=614,
    data_volumes=(("scratch", "d2"),),
    read_only=frozenset({"scratch"}),
)
HERE = ProcessId.of(os.getpid())
GONE = ProcessId(os.getpid(), HERE.born + 1)
"""A process whose id was given to another since."""

RECORD = MachineRecord(SPEC, Container("c1", "vm-7-1", HERE, HERE))


def test_a_machine_that_should_be_on_and_is_goes_on() -> None:
    assert survivors([RECORD], [SPEC], ()) == ({"7": RECORD}, {})


def test_what_only_the_next_boot_would_bring_is_no_obstacle() -> None:
    wanted = replace(SPEC, vcpus=2.0, memory_mb=1024, data_volumes=())
    assert survivors([RECORD], [wanted], ())[0] == {"7": RECORD}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([], "no machine of its id should be on"),
        ([replace(SPEC, boot_volume="d9")], "its disk or interface is another's"),
        (
            [replace(SPEC, nic=replace(SPEC.nic, internal_ip="10.0.0.3"))],
            "its disk or interface is another's",
        ),
        ([replace(SPEC, nic=replace(SPEC.nic, mac="42:01:0a:00:00:03"))], "its disk or interface"),
    ],
    ids=["deleted", "disk", "address", "mac"],
)
def test_a_machine_that_is_not_the_one_that_should_be_on_ends(
    wanted: list[MachineSpec], reason: str
) -> None:
    chosen, refused = survivors([RECORD], wanted, ())
    assert chosen == {}
    assert refused["vm-7-1"].startswith(reason)


def test_a_machine_in_a_namespace_that_was_made_anew_ends(tmp_path: Path) -> None:
    (tmp_path / "ns").touch()
    spec = replace(SPEC, nic=replace(SPEC.nic, namespace=str(tmp_path / "ns")))
    record = replace(RECORD, spec=spec)
    assert survivors([record], [spec], ()) == ({}, {"vm-7-1": "its network was made anew"})


def test_a_machine_whose_conmon_is_gone_goes_on_only_when_its_end_is_known() -> None:
    container = Container("c1", "vm-7-1", GONE, GONE)
    record = replace(RECORD, container=container)
    assert survivors([record], [SPEC], {"c1"})[0] == {"7": record}
    assert "nobody knows" in survivors([record], [SPEC], {"c2"})[1]["vm-7-1"]
    running = replace(RECORD, container=replace(container, init=HERE))
    assert survivors([running], [SPEC], ())[0] == {}


def test_of_two_boots_the_later_goes_on() -> None:
    later = replace(RECORD, container=replace(RECORD.container, name="vm-7-2"))
    chosen, refused = survivors([RECORD, later], [SPEC], ())
    assert chosen == {"7": later}
    assert refused == {"vm-7-1": "the machine was booted again"}


def test_records_are_read_as_they_were_written_until_they_are_forgotten(tmp_path: Path) -> None:
    records = MachineRecords(tmp_path)
    assert [*records.read()] == []
    (tmp_path / "vm-7-1").mkdir()
    (tmp_path / "vm-8-1").mkdir()  # a container that was being started
    records.write(RECORD)
    assert [*records.read()] == [RECORD]
    assert records.names() == ["vm-7-1", "vm-8-1"]
    records.forget(RECORD.container)
    records.forget(RECORD.container)
    assert [*records.read()] == []
    assert records.names() == ["vm-7-1", "vm-8-1"]


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "vm-7-1").mkdir()
    records = MachineRecords(tmp_path)
    records.write(RECORD)
    (tmp_path / "vm-7-1" / "machine.json").write_text('{"spec": {"id"')
    assert [*records.read()] == []
