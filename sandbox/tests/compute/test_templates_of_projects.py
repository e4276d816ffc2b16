# SPDX-License-Identifier: GPL-3.0-or-later
"""A template that another project uses: what it names without a project is of its own."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.service import compute_service
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.settings import Settings

from .conftest import UBUNTU, ZONE, Client, MakeCloud

ONE, TWO = "project-one", "project-two"
TEMPLATE = f"projects/{ONE}/global/instanceTemplates/t"
NETWORK = [{"network": "global/networks/default"}]


class Projects:
    """Two projects of one sandbox; a call goes to the one that it names."""

    def __init__(self, cloud: Cloud, compute: Api) -> None:
        self._client = Client(cloud, compute_service(cloud), compute)

    async def done(self, project: str, method: str, body: Any, **parameters: Any) -> None:
        await self._client.done(method, body, project=project, **parameters)

    async def image_of(self, project: str, disk: str) -> str:
        found = await self._client.call("disks.get", project=project, disk=disk)
        return str(found["sourceImage"])


@pytest.fixture
async def projects(make_cloud: MakeCloud, compute: Api) -> Projects:
    return Projects(await make_cloud(settings=Settings(projects=(ONE, TWO))), compute)


@pytest.mark.parametrize("image", ["global/images/img", "img", "global/images/family/own"])
@pytest.mark.parametrize("bulk", [False, True])
async def test_an_image_is_the_one_of_the_template_s_project(
    projects: Projects, image: str, bulk: bool
) -> None:
    await projects.done(ONE, "disks.insert", {"name": "d", "sourceImage": UBUNTU})
    made = {"name": "img", "family": "own", "sourceDisk": f"zones/{ZONE}/disks/d"}
    await projects.done(ONE, "images.insert", made)
    disk = {"boot": True, "initializeParams": {"sourceImage": image}}
    held = {"machineType": "f1-micro", "disks": [disk], "networkInterfaces": NETWORK}
    await projects.done(ONE, "instanceTemplates.insert", {"name": "t", "properties": held})
    own: dict[str, Any] = {"networkInterfaces": NETWORK}
    if bulk:
        count = {"count": "1", "namePattern": "vm-#"}
        body = count | {"sourceInstanceTemplate": TEMPLATE, "instanceProperties": own}
        await projects.done(TWO, "instances.bulkInsert", body)
    else:
        body = own | {"name": "vm-1"}
        await projects.done(TWO, "instances.insert", body, sourceInstanceTemplate=TEMPLATE)
    assert (await projects.image_of(TWO, "vm-1")).endswith(f"/projects/{ONE}/global/images/img")
