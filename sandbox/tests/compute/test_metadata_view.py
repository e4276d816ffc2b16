# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance sees of itself, and when it is told of a change."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.guests_in_memory import publish_host_key
from cloudspill_sandbox.compute.metadata_view import MetadataView

from .conftest import Client

ADDRESS = "10.138.0.2"
EMAIL = "415104041262-compute@developer.gserviceaccount.com"
STORAGE = "https://www.googleapis.com/auth/devstorage.read_only"
COMPUTE = "https://www.googleapis.com/auth/compute"


@pytest.fixture
async def view(cloud: Cloud, api: Client, spec: Any) -> MetadataView:
    await api.done(
        "instances.insert",
        spec(
            tags={"items": ["web"]},
            metadata={"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]},
            serviceAccounts=[{"email": "default", "scopes": [STORAGE]}],
        ),
    )
    await api.done("instances.insert", spec("plain"))
    return MetadataView(cloud)


async def set_metadata(api: Client, **items: str) -> None:
    current = (await api.instance())["metadata"]["fingerprint"]
    body = {
        "items": [{"key": key, "value": value} for key, value in items.items()],
        "fingerprint": current,
    }
    await api.done("instances.setMetadata", body, instance="vm")


async def test_the_tree_of_an_instance(view: MetadataView, api: Client) -> None:
    tree = view.tree(ADDRESS)
    assert tree is not None
    instance = tree["instance"]
    assert instance["id"] == int((await api.instance())["id"])
    assert instance["name"] == "vm"
    assert instance["hostname"] == "vm.us-west1-b.c.cloudspill-sandbox.internal"
    assert instance["zone"] == "projects/415104041262/zones/us-west1-b"
    assert instance["machineType"] == "projects/415104041262/machineTypes/f1-micro"
    assert instance["attributes"] == {"enable-guest-attributes": "TRUE"}
    assert instance["tags"] == ["web"]
    assert "/ubuntu-os-cloud/global/images/" in instance["image"]
    assert instance["networkInterfaces"] == [
        {
            "accessConfigs": [{"externalIp": "198.19.0.2", "type": "ONE_TO_ONE_NAT"}],
            "dnsServers": ["169.254.169.254"],
            "forwardedIps": [],
            "gateway": "10.138.0.1",
            "ip": ADDRESS,
            "ipAliases": [],
            "mac": "42:01:0a:8a:00:02",
            "mtu": 1460,
            "network": "projects/415104041262/networks/default",
            "subnetmask": "255.255.240.0",
            "targetInstanceIps": [],
        }
    ]
    account = {"aliases": ["default"], "email": EMAIL, "scopes": [STORAGE]}
    assert instance["serviceAccounts"] == {"default": account, EMAIL: account}
    assert tree["project"] == {
        "attributes": {},
        "numericProjectId": 415104041262,
        "projectId": "cloudspill-sandbox",
    }


async def test_each_sees_only_itself(view: MetadataView) -> None:
    other = view.tree("10.138.0.3")
    assert other is not None
    assert other["instance"]["name"] == "plain"
    assert view.tree("10.138.0.4") is None


async def test_an_external_address_is_no_identity(view: MetadataView, api: Client) -> None:
    await api.done("addresses.insert", {"name": "front"})
    static = (await api.call("addresses.get", address="front"))["address"]
    assert view.tree("198.19.0.2") is None
    assert view.tree(static) is None


async def test_a_reserved_internal_address_is_one(
    view: MetadataView, api: Client, spec: Any
) -> None:
    await api.done("addresses.insert", {"name": "db", "addressType": "INTERNAL"})
    address = (await api.call("addresses.get", address="db"))["address"]
    assert view.tree(address) is None
    await api.done("instances.insert", spec("static", networkInterfaces=[{"networkIP": address}]))
    promoted = {"name": "vm", "addressType": "INTERNAL", "address": ADDRESS}
    await api.done("addresses.insert", promoted)
    for each, name in ((address, "static"), (ADDRESS, "vm")):
        tree = view.tree(each)
        assert tree is not None
        assert tree["instance"]["name"] == name
    assert await is_woken(view, set_metadata(api, key="value"))


async def is_woken(view: MetadataView, change: Any, address: str = ADDRESS) -> bool:
    """Whether a sleeper at `address` wakes up when `change` is awaited."""
    sleeper = asyncio.ensure_future(view.changed(address))
    await change
    await asyncio.sleep(0)
    woken = sleeper.done()
    sleeper.cancel()
    await asyncio.gather(sleeper, return_exceptions=True)
    return woken


async def test_a_change_of_metadata_wakes(view: MetadataView, api: Client) -> None:
    assert await is_woken(view, set_metadata(api, key="value"))
    tree = view.tree(ADDRESS)
    assert tree is not None
    assert tree["instance"]["attributes"] == {"key": "value"}


async def test_a_wider_subnetwork_wakes(view: MetadataView, api: Client) -> None:
    wider = api.done(
        "subnetworks.expandIpCidrRange", {"ipCidrRange": "10.138.0.0/16"}, subnetwork="default"
    )
    assert await is_woken(view, wider)
    tree = view.tree(ADDRESS)
    assert tree is not None
    (interface,) = tree["instance"]["networkInterfaces"]
    assert interface["subnetmask"] == "255.255.0.0"


async def test_a_change_of_another_instance_does_not(view: MetadataView, api: Client) -> None:
    assert not await is_woken(view, set_metadata(api, key="value"), "10.138.0.3")


async def test_a_change_of_the_project_wakes_everyone(view: MetadataView, api: Client) -> None:
    project = await api.call("projects.get")
    body = {
        "items": [{"key": "ssh-keys", "value": "me:ssh-ed25519 AAAA"}],
        "fingerprint": project["commonInstanceMetadata"]["fingerprint"],
    }
    change = api.done("projects.setCommonInstanceMetadata", body)
    assert await is_woken(view, change, "10.138.0.3")
    tree = view.tree("10.138.0.3")
    assert tree is not None
    assert tree["project"]["attributes"] == {"ssh-keys": "me:ssh-ed25519 AAAA"}
    assert (await api.refused("projects.setCommonInstanceMetadata", body)).status == 412


async def test_a_change_between_the_call_and_the_wait_counts(
    view: MetadataView, api: Client
) -> None:
    waiting = view.changed(ADDRESS)
    await set_metadata(api, key="value")
    await asyncio.wait_for(waiting, 1)


async def test_sleepers_leave_nothing_behind(view: MetadataView, cloud: Cloud) -> None:
    sleepers = [asyncio.ensure_future(view.changed(ADDRESS)) for _ in range(1000)]
    await asyncio.sleep(0)
    for sleeper in sleepers:
        sleeper.cancel()
    await asyncio.gather(*sleepers, return_exceptions=True)
    assert cloud.watchers._waiting == {}


async def test_guest_attributes_are_published_to_the_api(
    view: MetadataView, api: Client, cloud: Cloud
) -> None:
    view.put_guest_attribute(ADDRESS, "hostkeys", "ssh-rsa", "AAAA")
    view.put_guest_attribute(ADDRESS, "hostkeys", "ssh-ed25519", "BBBB")
    view.put_guest_attribute(ADDRESS, "lease", "expiry", "7")
    assert view.guest_attributes(ADDRESS) == {
        "hostkeys": {"ssh-rsa": "AAAA", "ssh-ed25519": "BBBB"},
        "lease": {"expiry": "7"},
    }
    ask = "instances.getGuestAttributes"
    answer = await api.call(ask, instance="vm", queryPath="hostkeys/")
    assert answer["queryValue"]["items"] == [
        {"namespace": "hostkeys", "key": "ssh-ed25519", "value": "BBBB"},
        {"namespace": "hostkeys", "key": "ssh-rsa", "value": "AAAA"},
    ]
    one = await api.call(ask, instance="vm", queryPath="hostkeys/ssh-rsa")
    assert one["queryValue"]["items"][0]["value"] == "AAAA"
    older = await api.call(ask, instance="vm", variableKey="lease/expiry")
    assert older["variableValue"] == "7"
    assert (await api.refused(ask, instance="vm", queryPath="none/")).status == 404
    assert (await api.refused(ask, instance="vm", variableKey="lease/none")).status == 404
    view.delete_guest_attribute(ADDRESS, "lease", "expiry")
    assert (await api.refused(ask, instance="vm", queryPath="lease/")).status == 404
    with pytest.raises(KeyError):
        view.delete_guest_attribute(ADDRESS, "lease", "expiry")
    await api.done("instances.delete", instance="vm")
    assert cloud.store.children("guestAttributes") == {}


async def test_guest_attributes_must_be_enabled(view: MetadataView, api: Client) -> None:
    assert view.guest_attributes("10.138.0.3") is None
    with pytest.raises(PermissionError):
        view.put_guest_attribute("10.138.0.3", "hostkeys", "ssh-rsa", "AAAA")
    refusal = await api.refused("instances.getGuestAttributes", instance="plain", queryPath="a/")
    assert refusal.status == 412
    await set_metadata(api, **{"enable-guest-attributes": "FALSE"})
    assert view.guest_attributes(ADDRESS) is None


async def test_an_instance_has_the_last_word_on_guest_attributes(
    view: MetadataView, api: Client
) -> None:
    project = await api.call("projects.get")
    body = {
        "items": [{"key": "enable-guest-attributes", "value": "TRUE"}],
        "fingerprint": project["commonInstanceMetadata"]["fingerprint"],
    }
    await api.done("projects.setCommonInstanceMetadata", body)
    assert view.guest_attributes("10.138.0.3") == {}
    await set_metadata(api, **{"enable-guest-attributes": "FALSE"})
    assert view.guest_attributes(ADDRESS) is None


async def test_tokens_are_those_of_the_attached_account(view: MetadataView, api: Client) -> None:
    identity = (await api.instance())["id"]
    for account in ("default", EMAIL):
        token = view.access_token(ADDRESS, account, frozenset())
        assert token.value == f"{EMAIL}|{STORAGE}|{identity}"
    standard = view.identity_token(ADDRESS, "default", "aud", full=False)
    assert standard == f"|aud|{identity}|null"
    for asked in ({COMPUTE}, {COMPUTE, STORAGE}):  # no more than the instance was given
        token = view.access_token(ADDRESS, "default", frozenset(asked))
        assert token.value == f"{EMAIL}|{STORAGE}|{identity}"
    for address, account in ((ADDRESS, "other@example.org"), ("10.138.0.3", "default")):
        with pytest.raises(KeyError):
            view.access_token(address, account, frozenset())


async def test_an_instance_without_scopes_gets_no_token(
    api: Client, spec: Any, view: MetadataView
) -> None:
    """One without scopes would be unrestricted: it is what a self-signed JWT stands for."""
    account = {"email": "default", "scopes": []}
    await api.done("instances.insert", spec("bare", serviceAccounts=[account]))
    address = (await api.instance("bare"))["networkInterfaces"][0]["networkIP"]
    for asked in (frozenset[str](), frozenset({STORAGE})):
        with pytest.raises(PermissionError):
            view.access_token(address, "default", asked)
    assert view.identity_token(address, "default", "https://example.org", full=False)


async def test_a_full_identity_token_names_the_instance(view: MetadataView, api: Client) -> None:
    """As in https://cloud.google.com/compute/docs/instances/verifying-instance-identity."""
    instance = await api.instance()
    email, _, _, claims = view.identity_token(ADDRESS, "default", "aud", full=True).split("|")
    assert email == EMAIL
    created = datetime.fromisoformat(instance["creationTimestamp"])
    assert json.loads(claims) == {
        "google": {
            "compute_engine": {
                "instance_creation_timestamp": int(created.timestamp()),
                "instance_id": instance["id"],
                "instance_name": instance["name"],
                "project_id": "cloudspill-sandbox",
                "project_number": api.cloud.settings.project_number,
                "zone": "us-west1-b",
            }
        }
    }


async def test_a_guest_in_memory_publishes_one_host_key_where_it_may(
    view: MetadataView, api: Client
) -> None:
    publish_host_key(view, ADDRESS)
    attributes = view.guest_attributes(ADDRESS)
    assert attributes is not None
    key = attributes["hostkeys"]["ssh-ed25519"]
    assert key.startswith("AAAAC3NzaC1lZDI1NTE5")
    publish_host_key(view, ADDRESS)
    assert view.guest_attributes(ADDRESS) == attributes
    (plain,) = (await api.instance("plain"))["networkInterfaces"]
    publish_host_key(view, plain["networkIP"])
    assert view.guest_attributes(plain["networkIP"]) is None
