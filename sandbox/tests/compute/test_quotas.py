# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotas of a region: https://cloud.google.com/compute/resource-usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute import quotas
from cloudspill_sandbox.compute.cloud import Cloud

from .conftest import ZONE, Client

Limit = Callable[..., None]


@pytest.fixture
def limit(cloud: Cloud) -> Limit:
    """Set limits, `limit(CPUS=2)`."""

    def setter(**limits: float) -> None:
        cloud.limits.update(limits)

    return setter


async def usage(api: Client, region: str = "us-west1") -> dict[str, float]:
    listed = (await api.call("regions.get", region=region))["quotas"]
    return {quota["metric"]: quota["usage"] for quota in listed if quota["usage"]}


def sized(kind: str) -> dict[str, Any]:
    return {"machineType": f"zones/{ZONE}/machineTypes/{kind}"}


async def test_a_region_says_what_is_used_and_an_instance_that_is_off_uses_its_disk(
    api: Client, spec: Any
) -> None:
    await api.done("instances.insert", spec(**sized("e2-standard-4")))
    await api.done("addresses.insert", {"name": "front"})
    ssd = {"name": "fast", "sizeGb": "20", "type": f"zones/{ZONE}/diskTypes/pd-ssd"}
    await api.done("disks.insert", ssd)
    there = {"INSTANCES": 1, "DISKS_TOTAL_GB": 10, "SSD_TOTAL_GB": 20, "STATIC_ADDRESSES": 1}
    assert await usage(api) == there | {"CPUS": 4, "IN_USE_ADDRESSES": 1}
    await api.done("instances.stop", instance="vm")
    assert await usage(api) == there
    assert await usage(api, "us-east1") == {}
    project = {q["metric"]: q["usage"] for q in (await api.call("projects.get"))["quotas"]}
    assert (project["NETWORKS"], project["FIREWALLS"]) == (1, 4)


async def test_what_exceeds_a_limit_is_refused_by_metric_limit_and_region(
    api: Client, spec: Any, limit: Limit
) -> None:
    limit(CPUS=4)
    await api.done("instances.insert", spec("one", **sized("e2-standard-2")))
    refusal = await api.refused("instances.insert", spec("two", **sized("e2-standard-4")))
    assert (refusal.status, refusal.reason) == (403, "quotaExceeded")
    assert refusal.message == "Quota 'CPUS' exceeded.  Limit: 4.0 in region us-west1."
    await api.done("instances.insert", spec("two", **sized("e2-standard-2")))
    await api.done("instances.delete", instance="one")
    await api.done("instances.insert", spec("three", **sized("e2-standard-2")))


async def test_what_is_off_needs_its_share_again_to_start_or_resume(
    api: Client, spec: Any, limit: Limit
) -> None:
    limit(IN_USE_ADDRESSES=1)
    await api.done("instances.insert", spec("one"))
    for off, on in (("stop", "start"), ("suspend", "resume")):
        await api.done(f"instances.{off}", instance="one")
        await api.done("instances.insert", spec("two"))
        refusal = await api.refused(f"instances.{on}", instance="one")
        assert "Quota 'IN_USE_ADDRESSES' exceeded" in refusal.message
        await api.done("instances.delete", instance="two")
        await api.done(f"instances.{on}", instance="one")


async def test_disks_and_addresses_have_their_limits(api: Client, limit: Limit) -> None:
    limit(DISKS_TOTAL_GB=30, STATIC_ADDRESSES=1)
    await api.done("disks.insert", {"name": "data", "sizeGb": "20"})
    for method, body, path in (
        ("disks.insert", {"name": "more", "sizeGb": "20"}, {}),
        ("disks.resize", {"sizeGb": "31"}, {"disk": "data"}),
    ):
        refusal = await api.refused(method, body, **path)
        assert "Quota 'DISKS_TOTAL_GB' exceeded.  Limit: 30.0" in refusal.message
    await api.done("disks.resize", {"sizeGb": "30"}, disk="data")
    await api.done("addresses.insert", {"name": "a"})
    refusal = await api.refused("addresses.insert", {"name": "b"})
    assert "Quota 'STATIC_ADDRESSES' exceeded" in refusal.message
    await api.done("addresses.insert", {"name": "b"}, region="us-east1")


async def test_limits_that_came_later_bar_only_what_uses_more(
    api: Client, spec: Any, limit: Limit
) -> None:
    await api.done("instances.insert", spec())
    limit(CPUS=0, INSTANCES=0, DISKS_TOTAL_GB=0)
    await api.done("addresses.insert", {"name": "front"})
    await api.done("instances.stop", instance="vm")
    await api.done("instances.delete", instance="vm")


def test_limits_are_read_from_the_settings() -> None:
    assert quotas.parsed("CPUS=24, IN_USE_ADDRESSES=8") == {"CPUS": 24, "IN_USE_ADDRESSES": 8}
    assert quotas.parsed("") == {}
    with pytest.raises(ValueError, match="quota 'GPUS' is none of CPUS, "):
        quotas.parsed("GPUS=1")
    with pytest.raises(ValueError, match="the limit is no number"):
        quotas.parsed("CPUS=many")
