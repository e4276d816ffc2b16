# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients whose endpoint is overridden, each by its own setting, and asked nothing of a proxy.

Tokens still come from the host that the key file names. google.cloud's modules and
libcloud's driver know no such setting: they have Google's hosts in their code.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .gcloud import Gcloud
from .target import Target

Named = Callable[[str], str]
DEADLINE = 60


@pytest.fixture(autouse=True)
def _sandbox_only(sandbox_only: Target) -> None:
    """There is no endpoint to point at but the sandbox's."""


def test_google_cloud_compute_makes_an_instance(target: Target, rest: Any, named: Named) -> None:
    from google.cloud import compute_v1

    name = named("vm")
    at = {"project": target.project, "zone": target.zone}
    options = {"api_endpoint": target.endpoint}
    opened: Any = compute_v1.InstancesClient(client_options=options)
    with opened as client:
        resource = compute_v1.Instance.from_json(json.dumps(rest.instance(name)))
        client.insert(**at, instance_resource=resource).result(timeout=DEADLINE)
        assert client.get(**at, instance=name).status == "RUNNING"
        assert name in [each.name for each in client.list(**at)]
        client.delete(**at, instance=name).result(timeout=DEADLINE)


def test_google_cloud_storage_writes_and_reads_an_object(target: Target, named: Named) -> None:
    from google.cloud import storage

    options = {"api_endpoint": target.endpoint}
    client = storage.Client(project=target.project, client_options=options)
    bucket = client.create_bucket(named("bucket"), location=target.region)
    try:
        blob = bucket.blob("folder/greeting")
        blob.upload_from_string("hello", content_type="text/plain")
        assert blob.media_link.startswith(target.endpoint), "a link that the client can follow"
        blob.reload()
        assert blob.download_as_text() == "hello"
        large = bucket.blob("large", chunk_size=256 * 1024)
        large.upload_from_string("x" * 600_000)
        assert len(large.download_as_bytes()) == 600_000
    finally:
        bucket.delete(force=True)
        client.close()


def test_google_api_python_client_lists_and_batches(target: Target) -> None:
    from googleapiclient import discovery  # type: ignore[import-untyped]

    options = {"api_endpoint": f"{target.endpoint}/compute/v1/"}
    service = discovery.build("compute", "v1", cache_discovery=False, client_options=options)
    try:
        zone = service.zones().get(project=target.project, zone=target.zone).execute()
        # Links are Google's whatever host was asked: clients compare them.
        assert zone["selfLink"].startswith("https://www.googleapis.com/compute/v1/")
        types = service.machineTypes()
        request = types.list(project=target.project, zone=target.zone, maxResults=2)
        assert types.list_next(request, request.execute()) is not None
    finally:
        service.close()


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_makes_several_at_once(target: Target, named: Named, tmp_path: Path) -> None:
    # https://cloud.google.com/sdk/docs/properties: api_endpoint_overrides. gcloud would send all of
    # it to the proxy of its own settings; by the usual variables it knows what is local.
    gcloud = Gcloud(
        target,
        tmp_path,
        "compute",
        CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE=f"{target.endpoint}/compute/v1/",
    )
    for setting in ("TYPE", "ADDRESS", "PORT"):
        gcloud.environment.pop(f"CLOUDSDK_PROXY_{setting}")
    names = [named("one"), named("two")]
    made = gcloud("instances", "create", *names, "--machine-type=e2-micro")
    assert [instance["status"] for instance in made] == ["RUNNING", "RUNNING"]
    gcloud("instances", "delete", *names)
