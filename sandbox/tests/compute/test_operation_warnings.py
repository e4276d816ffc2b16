# SPDX-License-Identifier: GPL-3.0-or-later
"""What operations warn of.

Codes: https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations. Words: real answers,
as gcloud printed them, quoted at https://github.com/ThalesGroup/chaos-engine (size, in its guide to
Compute Engine) and https://github.com/adamhoek/Honeypot (deprecation).
"""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import UBUNTU, Client
from .test_bulk_insert import bulk

OLD = "projects/cloudspill-sandbox/global/images/old"
LARGER = {
    "code": "DISK_SIZE_LARGER_THAN_IMAGE_SIZE",
    "message": "Disk size: '20 GB' is larger than image size: '10 GB'. You might need to resize "
    "the root repartition manually if the operating system does not support automatic resizing. "
    "See https://cloud.google.com/compute/docs/disks/add-persistent-disk#resize_pd for details.",
    "data": [{"key": "disk_size_gb", "value": "20"}, {"key": "image_size_gb", "value": "10"}],
}
DEPRECATED = {
    "code": "DEPRECATED_RESOURCE_USED",
    "message": f"The resource '{OLD}' is deprecated. "
    "A suggested replacement is 'projects/cloudspill-sandbox/global/images/new'.",
    "data": [
        {"key": "resource_name", "value": OLD},
        {
            "key": "replacement_suggestion",
            "value": "A suggested replacement is 'projects/cloudspill-sandbox/global/images/new'.",
        },
    ],
}


@pytest.fixture
async def old(api: Client) -> str:
    """An image that is deprecated."""
    await api.done("images.insert", {"name": "old", "sourceImage": UBUNTU})
    change = {"state": "DEPRECATED", "replacement": "global/images/new"}
    await api.done("images.deprecate", change, image="old")
    return "global/images/old"


def disks(**params: Any) -> list[dict[str, Any]]:
    return [{"boot": True, "autoDelete": True, "initializeParams": params}]


async def test_a_disk_larger_than_its_image(api: Client, spec: Any) -> None:
    body = {"name": "d", "sizeGb": "20", "sourceImage": UBUNTU}
    assert (await api.done("disks.insert", body))["warnings"] == [LARGER]
    vm = spec(disks=disks(sourceImage=UBUNTU, diskSizeGb="20"))
    assert (await api.done("instances.insert", vm))["warnings"] == [LARGER]


async def test_a_deprecated_image(api: Client, spec: Any, old: str) -> None:
    inserted = await api.done("instances.insert", spec(disks=disks(sourceImage=old)))
    assert inserted["warnings"] == [DEPRECATED]
    copied = await api.done("images.insert", {"name": "copy", "sourceImage": old})
    assert copied["warnings"] == [DEPRECATED]
    both = await api.done("disks.insert", {"name": "d", "sizeGb": "20", "sourceImage": old})
    assert both["warnings"] == [DEPRECATED, LARGER]


async def test_instances_in_bulk_warn_each_by_its_own_operation(api: Client, old: str) -> None:
    body = bulk(2)
    body["instanceProperties"] = body["instanceProperties"] | {"disks": disks(sourceImage=old)}
    operation = await api.done("instances.bulkInsert", body)
    listed = (await api.call("zoneOperations.list", filter="operationType=insert"))["items"]
    assert [each["warnings"] for each in listed] == [[DEPRECATED], [DEPRECATED]]
    assert "warnings" not in operation


async def test_what_is_as_it_should_be_warns_of_nothing(api: Client, spec: Any, old: str) -> None:
    """Larger than a snapshot is no matter, nor an image that is active again."""
    await api.done("images.deprecate", {"state": "ACTIVE"}, image="old")
    plain = await api.done("instances.insert", spec(disks=disks(sourceImage=old)))
    await api.done("disks.createSnapshot", {"name": "s"}, disk="vm")
    body = {"name": "d", "sizeGb": "20", "sourceSnapshot": "global/snapshots/s"}
    assert "warnings" not in plain | await api.done("disks.insert", body)
