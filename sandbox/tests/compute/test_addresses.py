# SPDX-License-Identifier: GPL-3.0-or-later
"""Static external addresses."""

from __future__ import annotations

from typing import Any

from .conftest import Client


async def test_a_reserved_address_is_used_by_one_and_freed(api: Client, spec: Any) -> None:
    await api.done("addresses.insert", {"name": "front", "labels": {"a": "b"}})
    address = await api.call("addresses.get", address="front")
    assert (address["status"], address["address"]) == ("RESERVED", "198.18.0.2")
    interface = [{"accessConfigs": [{"natIP": address["address"]}]}]
    await api.done("instances.insert", spec("one", networkInterfaces=interface))
    used = await api.call("addresses.get", address="front")
    assert used["status"] == "IN_USE"
    assert used["users"] == [(await api.instance("one"))["selfLink"]]
    second = await api.refused("instances.insert", spec("two", networkInterfaces=interface))
    assert "is in-use and would result in a conflict" in second.message
    busy = await api.refused("addresses.delete", address="front")
    assert busy.reason == "resourceInUseByAnotherResource"
    await api.done("instances.delete", instance="one")
    await api.done("addresses.delete", address="front")
    assert (await api.call("addresses.list"))["items"] == []


async def test_a_reserved_address_is_given_to_nobody_else(api: Client, spec: Any) -> None:
    await api.done("addresses.insert", {"name": "front"})
    await api.done("instances.insert", spec())
    config = (await api.instance())["networkInterfaces"][0]["accessConfigs"][0]
    assert config["natIP"] == "198.18.0.3"


async def test_an_address_of_another_region_is_not_found(api: Client, spec: Any) -> None:
    await api.done("addresses.insert", {"name": "far"}, region="us-east1")
    far = await api.call("addresses.get", address="far", region="us-east1")
    interface = [{"accessConfigs": [{"natIP": far["address"]}]}]
    refusal = await api.refused("instances.insert", spec(networkInterfaces=interface))
    assert "was not found in region 'us-west1'" in refusal.message


async def test_refusals(api: Client) -> None:
    await api.done("addresses.insert", {"name": "a"})
    assert (await api.refused("addresses.insert", {"name": "a"})).status == 409
    assert (await api.refused("addresses.insert", {"name": "A"})).status == 400
    internal = {"name": "b", "addressType": "INTERNAL"}
    assert (await api.refused("addresses.insert", internal)).status == 400
    chosen = {"name": "b", "address": "198.18.7.7"}
    assert (await api.refused("addresses.insert", chosen)).status == 400
    assert (await api.refused("addresses.get", address="none")).status == 404


async def test_aggregated(api: Client) -> None:
    await api.done("addresses.insert", {"name": "a"})
    items = (await api.call("addresses.aggregatedList"))["items"]
    assert [a["name"] for a in items["regions/us-west1"]["addresses"]] == ["a"]
