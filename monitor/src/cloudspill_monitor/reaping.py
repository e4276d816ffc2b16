# SPDX-License-Identifier: GPL-3.0-or-later
"""`reap`: burst VMs whose lease is over belong to no living monitor, and cost money.

What is found, and what is deleted, the playbook `reap` decides, by the clock and the labels of the
cloud; so it makes no difference whether a monitor runs here.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloudspill_monitor.burst.failures import advice
from cloudspill_monitor.burst.playbooks import AnsiblePlaybooks, Playbooks, PlayError
from cloudspill_monitor.config import MonitorConfig
from cloudspill_monitor.config_file import ConfigError, load
from cloudspill_monitor.console import duration

_HEADINGS = ("VM", "zone", "age", "lease", "monitor", "")


class ReapError(Exception):
    """Nothing could be looked for, or not all of it deleted; the message says why."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A burst VM of the run; `age` and `lease` (what is left; negative: over) are in seconds.

    `controller` is the id of the monitor that made it, `expired` whether that one has let it go,
    `why` how that is known.
    """

    name: str
    zone: str
    controller: str
    age: float
    lease: float | None
    expired: bool
    why: str
    deleted: bool

    def row(self, *, delete: bool) -> tuple[str, ...]:
        """As a row of the table."""
        if self.lease is None:
            lease = "unknown"
        else:
            lease = duration(self.lease) if self.lease >= 0 else f"over {duration(-self.lease)}"
        if self.deleted:
            fate = "deleted"
        elif self.expired:
            fate = "not deleted" if delete else "would be deleted"
        else:
            fate = "left alone"
        age = duration(self.age)
        return self.name, self.zone, age, lease, self.controller or "?", f"{fate}: {self.why}"


@dataclass(frozen=True, slots=True)
class Findings:
    """All burst VMs of the run; `delete` says whether they were to be deleted."""

    machines: tuple[Machine, ...]
    delete: bool

    def as_json(self) -> list[dict[str, Any]]:
        """For `--output json`."""
        return [asdict(machine) for machine in self.machines]

    def text(self) -> str:
        """For people: a table, and what to do."""
        if not self.machines:
            return "there is no burst VM of this run"
        rows = [_HEADINGS, *(machine.row(delete=self.delete) for machine in self.machines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
        lines = [
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]
            )
            for row in rows
        ]
        if not self.delete and any(machine.expired for machine in self.machines):
            lines.append("nothing was deleted: `cloudspill-monitor reap --delete` does that")
        return "\n".join(line.rstrip() for line in lines)


def reap(path: Path, *, delete: bool, say: Callable[[str], None]) -> Findings:
    """Look for VMs that nobody owns by the inventory of the configuration `path`, and delete them
    if `delete`. `say` is told of what takes long. Raises ReapError.
    """
    try:
        config = load(path)
    except ConfigError as error:
        raise ReapError(str(error)) from error
    inventory = config.burst.inventory
    if inventory is None:
        raise ReapError(f"{path}: burst.inventory names no inventory, so no cloud can be asked")
    with tempfile.TemporaryDirectory(prefix="cloudspill-reap-") as directory:
        # Not under the monitor's own id: what plays leave behind is ended by it.
        playbooks = AnsiblePlaybooks(inventory, f"reap-{os.getpid()}", Path(directory), say)
        return asyncio.run(look(config, playbooks, Path(directory) / "report.json", delete=delete))


async def look(
    config: MonitorConfig, playbooks: Playbooks, report: Path, *, delete: bool
) -> Findings:
    """Have the playbook write its `report`, and read it. Raises ReapError."""
    variables: dict[str, Any] = {
        "burst_vm_reap_delete": delete,
        "burst_vm_reap_report": str(report),
        "burst_vm_lease": round(config.burst.lease),
    }
    if config.burst.project is not None:
        variables["gcp_project"] = config.burst.project
    try:
        await playbooks.run("reap", 0, variables, config.burst.playbook_timeout)
    except PlayError as error:
        raise ReapError(f"{error} ({error.kind}: {advice(error.kind)})") from error
    try:
        found = json.loads(report.read_text())["machines"]
        return Findings(tuple(_machine(document) for document in found), delete)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReapError(f"the playbook reap left no report that can be read: {error!r}") from error


def _machine(document: dict[str, Any]) -> Machine:
    lease = document["lease"]
    return Machine(
        name=document["name"],
        zone=document["zone"],
        controller=document["controller"],
        age=float(document["age"]),
        lease=None if lease is None else float(lease),
        expired=bool(document["expired"]),
        why=document["why"],
        deleted=bool(document["deleted"]),
    )
