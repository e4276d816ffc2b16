# SPDX-License-Identifier: GPL-3.0-or-later
"""What gcloud says of a method that the sandbox does not have: the sandbox's own words, at once."""

from __future__ import annotations

import shutil

import pytest

from cloudspill_sandbox.control import call_log

from .gcloud import Gcloud
from .target import Target

pytestmark = [
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
    pytest.mark.slow,
]


def _asked(target: Target, method: str) -> int:
    """Return how often a method was called so far."""
    assert target.log is not None
    kept = call_log.kept(target.log.with_name("calls.jsonl"))
    return sum(record.method == method for record in kept)


@pytest.mark.parametrize("regions", ["us-west1", "us-west1,us-east1"])  # a batch is sent for two
def test_a_list_that_the_sandbox_lacks_is_named_at_once(
    gcloud: Gcloud, sandbox_only: Target, regions: str
) -> None:
    """gcloud's api_lib/compute/single_request_helper.py tries nothing again, nor does apitools'
    batch.py what is in a batch; other commands try every 5xx five times."""
    method = "compute.regionDisks.list"
    before = _asked(sandbox_only, method)
    done = gcloud.run("disks", "list", f"--regions={regions}")
    assert f"{method} is not implemented by this sandbox (docs/fidelity.md)" in done.stderr
    assert _asked(sandbox_only, method) - before == len(regions.split(","))


def test_a_resource_that_the_sandbox_lacks_is_named_at_once(
    gcloud: Gcloud, sandbox_only: Target
) -> None:
    method = "compute.sslCertificates.get"
    before = _asked(sandbox_only, method)
    done = gcloud.run("ssl-certificates", "describe", "mine", "--global")
    assert done.returncode == 1
    assert f"{method} is not implemented by this sandbox (docs/fidelity.md)" in done.stderr
    assert _asked(sandbox_only, method) - before == 1
