# SPDX-License-Identifier: GPL-3.0-or-later
"""`reap`: what it asks of the playbook, and what it makes of its report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cloudspill_monitor.burst.failures import FailureKind
from cloudspill_monitor.burst.playbooks import PlayError
from cloudspill_monitor.config import MonitorConfig
from cloudspill_monitor.reaping import Findings, ReapError, look, reap

CONFIG = MonitorConfig.model_validate(
    {
        "burst": {"project": "p-1", "lease": "90s", "playbook_timeout": "5m"},
        "tasks": [{"name": "t", "command": "sleep 1"}],
    }
)


def machine(name: str, **values: object) -> dict[str, object]:
    """A machine of the report, its lease alive."""
    return {
        "name": name,
        "zone": "us-west1-b",
        "id": "7",
        "status": "RUNNING",
        "controller": "3f2a9c",
        "age": 4000.4,
        "expires": 1.7e9,
        "lease": 80.0,
        "expired": False,
        "why": "its lease lasts 80 s",
        "deleted": False,
        **values,
    }


LOST = {"lease": -600.0, "expired": True, "why": "its lease ended 600 s ago"}


@dataclass
class Playbook:
    """The playbook `reap`, that finds what the test says."""

    machines: list[dict[str, object]] | str
    failure: PlayError | None = None
    asked: list[tuple[str, dict[str, Any], float]] = field(default_factory=list)

    async def run(
        self,
        playbook: str,
        move: int,
        variables: dict[str, Any],
        timeout: float,  # noqa: ASYNC109 - of the interface
    ) -> None:
        self.asked.append((playbook, variables, timeout))
        if self.failure is not None:
            raise self.failure
        report = self.machines
        if not isinstance(report, str):
            report = json.dumps({"now": 1.7e9, "machines": report})
        Path(variables["burst_vm_reap_report"]).write_text(report)


async def found(directory: Path, *machines: dict[str, object], delete: bool = False) -> Findings:
    return await look(CONFIG, Playbook([*machines]), directory / "report", delete=delete)


@pytest.mark.parametrize("delete", [False, True])
async def test_nothing_is_deleted_unless_asked(tmp_path: Path, delete: bool) -> None:
    playbook = Playbook([])
    await look(CONFIG, playbook, tmp_path / "report", delete=delete)
    ((name, variables, limit),) = playbook.asked
    assert (name, limit) == ("reap", 300.0)
    assert variables["burst_vm_reap_delete"] is delete
    assert (variables["gcp_project"], variables["burst_vm_lease"]) == ("p-1", 90)


async def test_the_table_says_what_would_be_deleted_and_why(tmp_path: Path) -> None:
    silent = machine("b-3", lease=None, controller="", why="it has told no lease")
    findings = await found(
        tmp_path,
        machine("b-1"),
        machine("burst-2", **LOST | {"why": "its lease ended 10 m"}),
        silent,
    )
    assert findings.text().splitlines() == [
        "VM       zone        age    lease        monitor",
        "b-1      us-west1-b  1h06m  1m20s        3f2a9c   left alone: its lease lasts 80 s",
        "burst-2  us-west1-b  1h06m  over 10m00s  3f2a9c   would be deleted: its lease ended 10 m",
        "b-3      us-west1-b  1h06m  unknown      ?        left alone: it has told no lease",
        "nothing was deleted: `cloudspill-monitor reap --delete` does that",
    ]


async def test_what_was_deleted_is_told_and_what_was_not(tmp_path: Path) -> None:
    gone = machine("b-1", **LOST | {"deleted": True})
    kept = machine("b-2", **LOST)
    text = (await found(tmp_path, gone, kept, delete=True)).text()
    assert "  deleted: its lease ended" in text
    assert "  not deleted: its lease ended" in text
    assert "reap --delete" not in text


async def test_no_vm_at_all_is_told(tmp_path: Path) -> None:
    assert (await found(tmp_path)).text() == "there is no burst VM of this run"


async def test_programs_get_all_of_it(tmp_path: Path) -> None:
    (document,) = (await found(tmp_path, machine("b-1", **LOST))).as_json()
    assert document == {
        "name": "b-1",
        "zone": "us-west1-b",
        "controller": "3f2a9c",
        "age": 4000.4,
        "lease": -600.0,
        "expired": True,
        "why": "its lease ended 600 s ago",
        "deleted": False,
    }


async def test_a_playbook_that_fails_says_what_to_do(tmp_path: Path) -> None:
    playbook = Playbook([], PlayError(FailureKind.QUOTA, "QUOTA_EXCEEDED in p-1"))
    with pytest.raises(ReapError, match=r"QUOTA_EXCEEDED in p-1 \(quota: ask Google"):
        await look(CONFIG, playbook, tmp_path / "report", delete=True)


@pytest.mark.parametrize("report", ["", "[]", '{"machines": [{}]}', '{"machines": 1}'])
async def test_a_report_that_cannot_be_read_is_no_finding(tmp_path: Path, report: str) -> None:
    with pytest.raises(ReapError, match="no report that can be read"):
        await look(CONFIG, Playbook(report), tmp_path / "report", delete=False)


def test_without_an_inventory_no_cloud_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yml"
    path.write_text("tasks: [{name: t, command: sleep 1}]\n")
    with pytest.raises(ReapError, match=r"burst\.inventory"):
        reap(path, delete=True, say=lambda _: None)
