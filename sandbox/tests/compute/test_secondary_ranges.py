# SPDX-License-Identifier: GPL-3.0-or-later
"""Secondary ranges and flow logs of subnetworks, as tutorials for clusters ask for them.

https://cloud.google.com/vpc/docs/create-modify-vpc-networks#edit-secondary and
https://cloud.google.com/compute/docs/reference/rest/v1/subnetworks/insert.
"""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Client

PODS = {"rangeName": "pods", "ipCidrRange": "10.4.0.0/14"}
SERVICES = {"rangeName": "services", "ipCidrRange": "10.8.0.0/20"}
FAR = {"rangeName": "far", "ipCidrRange": "10.100.0.0/16"}
OWN = {"name": "own", "network": "global/networks/custom", "ipCidrRange": "10.0.0.0/24"}


@pytest.fixture(autouse=True)
async def network(api: Client) -> None:
    """A custom network with one subnetwork that has two secondary ranges."""
    await api.done("networks.insert", {"name": "custom", "autoCreateSubnetworks": False})
    more = {"secondaryIpRanges": [PODS, SERVICES], "logConfig": {"enable": True}}
    await api.done("subnetworks.insert", OWN | more)


async def own(api: Client) -> dict[str, Any]:
    return dict(await api.call("subnetworks.get", subnetwork="own"))


async def patch(api: Client, **fields: Any) -> None:
    body = {"fingerprint": (await own(api))["fingerprint"]} | fields
    await api.done("subnetworks.patch", body, subnetwork="own")


async def test_they_are_kept(api: Client) -> None:
    made = await own(api)
    assert made["secondaryIpRanges"] == [PODS, SERVICES]
    assert made["logConfig"] == {"enable": True}


async def test_a_patch_replaces_them(api: Client) -> None:
    await patch(api, secondaryIpRanges=[PODS, FAR])
    assert (await own(api))["secondaryIpRanges"] == [PODS, FAR]
    await patch(api, secondaryIpRanges=[])
    assert "secondaryIpRanges" not in await own(api)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([FAR, FAR | {"ipCidrRange": "10.200.0.0/16"}], "[1].rangeName': 'far'"),
        ([FAR, SERVICES | {"ipCidrRange": "10.100.1.0/24"}], "[1].ipCidrRange': '10.100.1.0/24'"),
        ([PODS | {"ipCidrRange": "10.1.0.0/20"}], "[0].ipCidrRange': '10.1.0.0/20'"),
        ([PODS | {"ipCidrRange": "10.1.0.1/20"}], "Must be a valid, aligned IPv4 CIDR range."),
        ([{"ipCidrRange": "10.40.0.0/20"}], "rangeName' not specified"),
        ([SERVICES], "10.8.0.0/20 conflicts with existing subnetwork 'own' in region 'us-west1'."),
    ],
)
async def test_what_cannot_be_is_refused(
    api: Client, ranges: list[dict[str, Any]], words: str
) -> None:
    body = OWN | {"name": "other", "ipCidrRange": "10.1.0.0/24", "secondaryIpRanges": ranges}
    assert words in (await api.refused("subnetworks.insert", body)).message


async def test_primary_ranges_stay_clear_of_them(api: Client) -> None:
    body = OWN | {"name": "other", "ipCidrRange": "10.5.0.0/24"}
    refusal = await api.refused("subnetworks.insert", body)
    assert "conflicts with existing subnetwork 'own'" in refusal.message
    wider = {"ipCidrRange": "10.0.0.0/12"}
    refusal = await api.refused("subnetworks.expandIpCidrRange", wider, subnetwork="own")
    assert "conflicts with existing subnetwork 'own'" in refusal.message


@pytest.mark.parametrize(
    "fields",
    [{"purpose": "REGIONAL_MANAGED_PROXY"}, {"stackType": "IPV4_IPV6"}, {"role": "ACTIVE"}],
)
async def test_what_the_sandbox_does_not_have_is_refused_by_name(
    api: Client, fields: dict[str, str]
) -> None:
    (name,) = fields
    body = OWN | {"name": "other", "ipCidrRange": "10.1.0.0/24"} | fields
    refusal = await api.refused("subnetworks.insert", body)
    assert f"'resource.{name}'" in refusal.message
    assert "Not supported by this sandbox" in refusal.message
