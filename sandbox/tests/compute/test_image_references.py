# SPDX-License-Identifier: GPL-3.0-or-later
"""Every form in which clients name the image of a new disk."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Client

ROOT = "https://compute.googleapis.com/compute/v1"


@pytest.mark.parametrize(
    "form",
    [
        f"{ROOT}/projects/debian-cloud/zones/-/imageFamilyViews/debian-12",  # gcloud's default
        "projects/debian-cloud/zones/us-west1-b/imageFamilyViews/debian-12",
        "projects/debian-cloud/global/images/family/debian-12",
        f"{ROOT}/projects/debian-cloud/global/images/family/debian-12",
    ],
)
async def test_a_family_is_named_directly_or_by_its_view(api: Client, spec: Any, form: str) -> None:
    disks = [{"boot": True, "initializeParams": {"sourceImage": form}}]
    await api.done("instances.insert", spec("one", disks=disks))
    source = (await api.call("disks.get", disk="one"))["sourceImage"]
    newest = await api.call("images.getFromFamily", project="debian-cloud", family="debian-12")
    assert source == newest["selfLink"]


async def test_a_view_of_an_unknown_family_is_refused(api: Client, spec: Any) -> None:
    form = "projects/debian-cloud/zones/-/imageFamilyViews/debian-3"
    disks = [{"boot": True, "initializeParams": {"sourceImage": form}}]
    refusal = await api.refused("instances.insert", spec("one", disks=disks))
    assert refusal.status == 404
    assert "'projects/debian-cloud/global/images/family/debian-3'" in refusal.message


@pytest.mark.parametrize(
    "project",
    ["oracle-linux-cloud", "rocky-linux-accelerator-cloud", "ubuntu-os-accelerator-images"],
)
async def test_a_public_project_that_gcloud_lists_is_there_though_empty(
    api: Client, project: str
) -> None:
    assert (await api.call("images.list", project=project))["items"] == []
