# SPDX-License-Identifier: GPL-3.0-or-later
"""Access configs are changed, and what an interface asks for that nobody here can have.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/updateAccessConfig.
"""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Client

THERE = {"instance": "vm", "networkInterface": "nic0"}
PTR = (
    "Please verify ownership of the PTR domain. See more information at "
    "https://cloud.google.com/compute/docs/instances/create-ptr-record#domain_ownership."
)
"""Quoted in https://github.com/hashicorp/terraform-provider-google/issues/14626."""
FIXED = "The field cannot be changed. Use deleteAccessConfig and addAccessConfig."


@pytest.fixture
async def config(api: Client, spec: Any) -> dict[str, Any]:
    """The access config of `vm`."""
    await api.done("instances.insert", spec())
    return await held(api)


async def held(api: Client) -> dict[str, Any]:
    return dict((await api.instance())["networkInterfaces"][0]["accessConfigs"][0])


async def test_a_patch_gives_it_another_name_and_keeps_the_rest(
    api: Client, config: dict[str, Any]
) -> None:
    before = (await api.instance())["networkInterfaces"][0]["fingerprint"]
    await api.done("instances.updateAccessConfig", {"name": "My external IP"}, **THERE)
    assert await held(api) == config | {"name": "My external IP"}
    assert (await api.instance())["networkInterfaces"][0]["fingerprint"] != before


@pytest.mark.parametrize("body", [{}, {"setPublicPtr": False, "publicPtrDomainName": ""}])
async def test_what_asks_for_no_change_makes_none(
    api: Client, config: dict[str, Any], body: dict[str, Any]
) -> None:
    """As `gcloud compute instances update-access-config --no-public-ptr` sends it."""
    await api.done("instances.updateAccessConfig", {"type": "ONE_TO_ONE_NAT"} | body, **THERE)
    assert await held(api) == config


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({"setPublicPtr": True, "publicPtrDomainName": "a.example."}, "publicPtrDomainName", PTR),
        ({"natIP": "198.19.0.9"}, "natIP", FIXED),
        ({"networkTier": "STANDARD"}, "networkTier", FIXED),
        ({"type": "DIRECT_IPV6"}, "type", "An IPv4 access config is ONE_TO_ONE_NAT."),
        ({"securityPolicy": "p"}, "securityPolicy", "Not supported by this sandbox"),
    ],
)
async def test_a_patch_of_what_cannot_be_is_refused(
    api: Client, config: dict[str, Any], body: dict[str, Any], field: str, sentence: str
) -> None:
    refusal = await api.refused("instances.updateAccessConfig", body, **THERE)
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert f"'accessConfig.{field}'" in refusal.message
    assert sentence in refusal.message


async def test_what_is_off_gets_an_ephemeral_address_when_it_starts(
    api: Client, config: dict[str, Any]
) -> None:
    """https://cloud.google.com/compute/docs/ip-addresses#ephemeraladdress"""
    await api.done("instances.deleteAccessConfig", accessConfig=config["name"], **THERE)
    await api.done("instances.stop", instance="vm")
    await api.done("instances.addAccessConfig", {"name": "other"}, **THERE)
    assert "natIP" not in await held(api)
    await api.done("instances.start", instance="vm")
    assert (await held(api))["natIP"]


async def test_an_interface_without_one_has_none_to_patch(
    api: Client, config: dict[str, Any]
) -> None:
    await api.done("instances.deleteAccessConfig", accessConfig=config["name"], **THERE)
    refusal = await api.refused("instances.updateAccessConfig", {"name": "a"}, **THERE)
    assert "Interface 'nic0' has no access config." in refusal.message


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"aliasIpRanges": [{"ipCidrRange": "/24"}]}, "aliasIpRanges"),
        ({"ipv6AccessConfigs": [{"type": "DIRECT_IPV6"}]}, "ipv6AccessConfigs"),
        ({"stackType": "IPV4_IPV6"}, "stackType"),
        ({"networkAttachment": "a"}, "networkAttachment"),
        ({"accessConfigs": [{"setPublicPtr": True}]}, "accessConfigs[0].publicPtrDomainName"),
        ({"accessConfigs": [{"securityPolicy": "p"}]}, "accessConfigs[0].securityPolicy"),
    ],
)
async def test_a_new_interface_is_not_less_than_was_asked_for(
    api: Client, spec: Any, fields: dict[str, Any], named: str
) -> None:
    refusal = await api.refused("instances.insert", spec(networkInterfaces=[fields]))
    assert f"'resource.networkInterfaces[0].{named}'" in refusal.message


async def test_the_type_of_an_interface_is_kept(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec(networkInterfaces=[{"nicType": "GVNIC"}]))
    interface = (await api.instance())["networkInterfaces"][0]
    assert interface["nicType"] == "GVNIC"
    await api.done("instances.updateNetworkInterface", interface, **THERE)  # says nothing new
