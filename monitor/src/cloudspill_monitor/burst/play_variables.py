# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook is told: the extra variables of `scale_out` and `scale_in`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudspill_monitor.config import BurstConfig


@dataclass(frozen=True, slots=True)
class VmShare:
    """What one VM has to do with a move.

    `files` is a tar with what its tasks need there; `delete` says that the VM goes afterwards.
    """

    name: str
    tasks: tuple[str, ...] = ()
    files: Path | None = None
    delete: bool = False


def play_variables(
    burst: BurstConfig, controller: str, move: int, control: Path, shares: tuple[VmShare, ...]
) -> dict[str, Any]:
    """The extra variables of a move, as the playbooks' documentation names them."""
    variables: dict[str, Any] = {
        "burst_move": move,
        "burst_control": str(control),
        "burst_vms": [
            {
                "name": share.name,
                "tasks": list(share.tasks),
                "files": None if share.files is None else str(share.files),
                "delete": share.delete,
            }
            for share in shares
        ],
        "burst_vm_zones": list(burst.zones),
        "burst_vm_machine_types": list(burst.machine_types),
        "burst_vm_image": burst.image,
        "burst_vm_disk_size_gb": burst.disk_size_gb,
        "burst_vm_network": burst.network,
        "burst_vm_external_address": burst.external_address,
        "burst_vm_spot": burst.spot,
        "burst_vm_max_lifetime": round(burst.max_lifetime),
        "burst_vm_lease": round(burst.lease),
        "burst_vm_controller": controller,
        # 300 by default; whoever gives a play longer has large checkpoints, or patient tasks.
        "burst_tasks_timeout": max(1, round(burst.handover_timeout)),
    }
    if burst.service_account is not None:
        variables["burst_vm_service_account"] = burst.service_account
    if burst.project is not None:
        variables["gcp_project"] = burst.project
    return variables
