# SPDX-License-Identifier: GPL-3.0-or-later
"""Access configs: the external address of an interface.

https://cloud.google.com/compute/docs/ip-addresses/configure-static-external-ip-address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import leases, names, refusals
from cloudspill_sandbox.compute.catalogue.regions import ZONES
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_UNSUPPORTED = ("externalIpv6", "externalIpv6PrefixLength", "ipCollection", "securityPolicy")
_FIXED = ("natIP", "networkTier", "type")


def planned(cloud: Cloud, tx: Transaction, instance: str, field: str, body: Document) -> Document:
    """Return an access config with its external address, static when the request names one.

    Raises:
        ApiError: 400 when the named address is not reserved, in use or of another network tier;
            403 when none is free.
    """
    _check_sound(field, body)
    config = {
        "kind": "compute#accessConfig",
        "type": body.get("type") or "ONE_TO_ONE_NAT",
        "name": body.get("name") or "External NAT",
        "networkTier": body.get("networkTier") or "PREMIUM",
    }
    if asked := body.get("natIP"):
        _use_static(tx, instance, f"{field}.natIP", asked, config["networkTier"])
        return config | {"natIP": asked}
    return config | {"natIP": cloud.addresses.allocate(tx, cloud.network.external_range, instance)}


def patched(field: str, config: Document, body: Document) -> Document:
    """Return an access config as a patch has it: under another name.

    Its address stays: https://cloud.google.com/compute/docs/ip-addresses/configure-static-external-ip-address#IP_assign
    has it removed with its access config, and another one added.

    Raises:
        ApiError: 400 for what Google would refuse.
    """
    _check_sound(field, body)
    for key in _FIXED:
        if body.get(key) and body[key] != config.get(key):
            raise refusals.invalid_value(
                f"{field}.{key}",
                body[key],
                "The field cannot be changed. Use deleteAccessConfig and addAccessConfig.",
            )
    return config | {"name": body.get("name") or config["name"]}


def _check_sound(field: str, body: Document) -> None:
    """Return when an access config asks for nothing that nobody here can have.

    No domain is anybody's here: https://cloud.google.com/compute/docs/instances/create-ptr-record.
    The words are of https://github.com/hashicorp/terraform-provider-google/issues/14626.
    """
    refusals.check_supported(field, body, *_UNSUPPORTED)
    if body.get("type") not in (None, "ONE_TO_ONE_NAT"):
        raise refusals.invalid_value(
            f"{field}.type", body["type"], "An IPv4 access config is ONE_TO_ONE_NAT."
        )
    domain = body.get("publicPtrDomainName") or ""
    if domain or body.get("setPublicPtr"):
        raise refusals.invalid_value(
            f"{field}.publicPtrDomainName",
            domain,
            "Please verify ownership of the PTR domain. See more information at "
            "https://cloud.google.com/compute/docs/instances/create-ptr-record#domain_ownership.",
        )


def _use_static(tx: Transaction, instance: str, field: str, asked: str, tier: str) -> None:
    region = ZONES[instance.split("/")[3]].name
    holder = leases.holder(tx, asked) or ""
    address = tx.get(holder)
    if (
        address is None
        or address.get("addressType") != "EXTERNAL"
        or names.scope(holder) != f"regions/{region}"
    ):
        raise refusals.invalid_value(
            field,
            asked,
            f"The specified external IP address '{asked}' was not found in region '{region}'.",
        )
    if address["status"] == "IN_USE":
        raise refusals.invalid_value(
            field, asked, "Specified IP address is in-use and would result in a conflict."
        )
    if (own := address["networkTier"]) != tier:
        # https://cloud.google.com/compute/docs/reference/rest/v1/instances/addAccessConfig
        # (networkTier); the words are of https://github.com/doitintl/kubeip/issues/155.
        raise refusals.bad_request(
            f"External IP address: {asked} has a different network tier {own} from the network "
            f"tier in instance access config {tier}."
        )
    leases.put_in_use(tx, address, instance)
