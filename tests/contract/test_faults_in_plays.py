# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults, as playbooks meet them: google.cloud's modules unmodified, and the collection's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .faults import Faults
from .rest import Json, Rest
from .target import Target

DEBIAN = "projects/debian-cloud/global/images/family/debian-12"
Module = Callable[..., Json]
Named = Callable[[str], str]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def module(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Module:
    """Run one module as a task on localhost; returns its result."""
    home = tmp_path_factory.mktemp("ansible")
    environment = target.shell(
        ANSIBLE_HOME=str(home),
        ANSIBLE_STDOUT_CALLBACK="ansible.builtin.tree",
        ANSIBLE_CALLBACK_TREE_DIR=str(home / "tree"),
        ANSIBLE_LOCALHOST_WARNING="false",
    )

    def run(task: str, **arguments: Any) -> Json:
        words = [str(Path(sys.executable).with_name("ansible")), "localhost", "-c", "local"]
        words += ["-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
        words += ["-t", str(home / "tree"), "-m", task, "-a", json.dumps(arguments)]
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        written = home / "tree" / "localhost"
        assert written.exists(), done.stdout + done.stderr
        result: Json = json.loads(written.read_text())
        written.unlink()
        return result

    return run


def test_google_cloud_s_module_fails_with_the_words_of_a_stock_out_and_of_a_quota(
    faults: Faults, module: Module, rest: Rest, named: Named
) -> None:
    arguments = rest.instance(named("vm"))
    instance = {
        "name": arguments["name"],
        "zone": rest.zone,
        "project": rest.project,
        "auth_kind": "application",
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
        "machine_type": "e2-micro",
        "disks": [
            {"boot": True, "auto_delete": True, "initialize_params": {"source_image": DEBIAN}}
        ],
        "network_interfaces": [{"access_configs": [{"name": "nat", "type": "ONE_TO_ONE_NAT"}]}],
    }
    faults.add("stock-out", match=instance["name"])
    result = module("google.cloud.gcp_compute_instance", **instance)
    assert "does not have enough resources available to fulfill the request" in result["msg"]
    faults.add("quota", match=instance["name"])
    result = module("google.cloud.gcp_compute_instance", **instance)
    assert "Quota 'CPUS' exceeded.  Limit: 24.0 in region us-west1." in json.dumps(result)
    made = module("google.cloud.gcp_compute_instance", **instance)
    assert made["changed"], made


def test_google_cloud_s_modules_wait_for_what_takes_longer(
    faults: Faults, module: Module, rest: Rest, named: Named
) -> None:
    name = named("slow")
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    common = {"project": rest.project, "auth_kind": "application", "scopes": scopes}
    slow = [
        faults.add("operation-slow", match=name, method=method, delay=4)
        for method in ("compute.disks.insert", "compute.images.insert")
    ]
    disk = module("google.cloud.gcp_compute_disk", name=name, zone=rest.zone, size_gb=10, **common)
    assert disk.get("status") == "READY", disk
    source = {"selfLink": disk["selfLink"]}
    image = module("google.cloud.gcp_compute_image", name=name, source_disk=source, **common)
    assert image.get("status") == "READY", image
    assert [faults.get(each)["fired"] for each in slow] == [1, 1]


def test_our_modules_wait_out_what_passes(
    faults: Faults, module: Module, rest: Rest, named: Named
) -> None:
    name = named("vm")
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(name))
    busy = faults.add("unavailable", method="compute.instances.get", match=name)
    limited = faults.add("rate-limit", method="compute.instances.get", match=name)
    lost = faults.add("reset", method="compute.instances.setLabels", match=name, when="after")
    result = module(
        "cloudspill.gcp.gce_labels",
        project=rest.project,
        resources=[f"zones/{rest.zone}/instances/{name}"],
        labels={"team": "a"},
    )
    assert result.get("changed"), result
    assert rest.get(f"zones/{rest.zone}/instances/{name}")["labels"] == {"team": "a"}
    assert [faults.get(each)["state"] for each in (busy, limited, lost)] == ["spent"] * 3


def test_our_module_goes_to_the_next_zone_when_one_is_out_of_stock(
    faults: Faults, module: Module, rest: Rest, named: Named
) -> None:
    name, other = named("vm"), f"{rest.region}-c"
    fault = faults.add("stock-out", zone=rest.zone, match=name)
    arguments = {
        "project": rest.project,
        "names": [name],
        "machine_types": ["e2-micro"],
        "source_image": DEBIAN,
    }
    result = module("cloudspill.gcp.gce_instances", zones=[rest.zone, other], **arguments)
    try:
        assert result.get("changed"), result
        assert faults.get(fault)["fired"] == 1
        assert rest.get(f"zones/{other}/instances/{name}")["status"] == "RUNNING"
    finally:
        rest.done("DELETE", f"zones/{other}/instances/{name}")


def test_an_answer_that_is_lost_makes_no_second_instance(
    faults: Faults, module: Module, rest: Rest, named: Named
) -> None:
    name = named("vm")
    lost = faults.add("reset", method="compute.instances.insert", match=name, when="after")
    result = module("cloudspill.gcp.gce_instances", **arguments(rest, name))
    assert faults.get(lost)["state"] == "spent"
    assert result["made"] == [name], result
    target = f"zones/{rest.zone}/instances/{name}"
    operations = rest.get(f"zones/{rest.zone}/operations")["items"]
    inserts = [o for o in operations if o["targetLink"].endswith(target)]
    assert [o["operationType"] for o in inserts] == ["insert"]


def test_a_run_that_is_killed_is_finished_by_the_next_without_doubles(
    faults: Faults, module: Module, target: Target, rest: Rest, named: Named, tmp_path: Path
) -> None:
    names = [named("a"), named("b"), named("c")]
    slow = faults.add("operation-slow", method="compute.instances.insert", match=names[1], delay=3)
    task = json.dumps(arguments(rest, *names))
    words = [str(Path(sys.executable).with_name("ansible")), "localhost", "-c", "local"]
    words += ["-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
    run = subprocess.Popen(
        [*words, "-m", "cloudspill.gcp.gce_instances", "-a", task],
        env=target.shell(ANSIBLE_HOME=str(tmp_path)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        faults.get(slow, times=1)
    finally:
        run.kill()
        run.wait()
    result = module("cloudspill.gcp.gce_instances", **arguments(rest, *names))
    assert not result.get("failed"), result
    assert [instance["name"] for instance in result["instances"]] == names
    listed = rest.get(f"zones/{rest.zone}/instances")["items"]
    known = [(item["name"], item["status"]) for item in listed if item["name"] in names]
    assert sorted(known) == sorted((name, "RUNNING") for name in names)


def arguments(rest: Rest, *names: str) -> Json:
    """Return what gce_instances takes."""
    return {
        "project": rest.project,
        "names": names,
        "zones": [rest.zone],
        "machine_types": ["e2-micro"],
        "source_image": DEBIAN,
    }
