# SPDX-License-Identifier: GPL-3.0-or-later
"""What machine series cannot have, and Google refuses when an instance is made or changed."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ZONE, Client

ENDS = {"onHostMaintenance": "TERMINATE"}


def of_type(name: str) -> dict[str, str]:
    """The field of an instance that asks for a machine type."""
    return {"machineType": f"zones/{ZONE}/machineTypes/{name}"}


@pytest.mark.parametrize("name", ["e2-micro", "e2-standard-4", "e2-custom-2-4096"])
async def test_e2_machines_migrate_unless_they_may_be_preempted(
    api: Client, spec: Any, name: str
) -> None:
    """https://cloud.google.com/compute/docs/instances/setting-vm-host-options#limitations; the
    answer is quoted at https://github.com/jenkinsci/google-compute-engine-plugin/issues/215."""
    refusal = await api.refused("instances.insert", spec(scheduling=ENDS, **of_type(name)))
    assert (refusal.status, refusal.reason) == (400, "badRequest")
    assert refusal.message == (
        "e2 instances do not support onHostMaintenance=TERMINATE unless they are preemptible."
    )
    spot = {"provisioningModel": "SPOT", **ENDS}
    await api.done("instances.insert", spec("spot", scheduling=spot, **of_type(name)))
    old = {"preemptible": True, "automaticRestart": False, **ENDS}
    await api.done("instances.insert", spec("old", scheduling=old, **of_type(name)))


async def test_e2_machines_are_not_changed_to_end_at_maintenance(api: Client, spec: Any) -> None:
    """The same page: it is about setScheduling."""
    await api.done("instances.insert", spec(**of_type("e2-small")))
    await api.done("instances.stop", instance="vm")
    refusal = await api.refused("instances.setScheduling", ENDS, instance="vm")
    assert refusal.message.startswith("e2 instances do not support")
    held = await api.instance()
    refusal = await api.refused("instances.update", held | {"scheduling": ENDS}, instance="vm")
    assert refusal.message.startswith("e2 instances do not support")
    assert (await api.instance())["scheduling"]["onHostMaintenance"] == "MIGRATE"
    await api.done("instances.setMachineType", of_type("n1-standard-1"), instance="vm")
    await api.done("instances.setScheduling", ENDS, instance="vm")
    assert (await api.instance())["scheduling"]["onHostMaintenance"] == "TERMINATE"
