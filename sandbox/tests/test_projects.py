# SPDX-License-Identifier: GPL-3.0-or-later
"""Several projects in one sandbox: each with its own owner, network and resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth.jwt
import pytest
import requests

from cloudspill_sandbox.settings import Settings

from .shell import Shell

ONE, TWO = "acme-one", "acme-two"
ZONE = "us-west1-b"
IMAGE = "projects/debian-cloud/global/images/family/debian-12"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    try:
        up = made("up", "--in-memory", "--keep-state", "--project", ONE, "--project", TWO)
        assert up.returncode == 0, up.stderr
        yield made
    finally:
        made("down")


class Client:
    """The owner of a project, with what `env --project` gives."""

    def __init__(self, shell: Shell, project: str) -> None:
        said = shell("env", "--project", project, "--output", "json")
        self.variables: dict[str, str] = json.loads(said.stdout)
        self.project = self.variables["GCP_PROJECT"]

    def call(self, method: str, url: str, body: Any = None) -> tuple[int, Any]:
        """Call Compute Engine below a project's id, or Cloud Storage."""
        service = "storage" if url.startswith("b") else "compute"
        root = "" if service == "storage" else "projects/"
        credentials = google.auth.jwt.Credentials.from_service_account_file(
            self.variables["GOOGLE_APPLICATION_CREDENTIALS"],
            audience=f"https://{service}.googleapis.com/",
        )
        headers: dict[str, str] = {}
        credentials.before_request(None, method, "", headers)
        with requests.Session() as session:
            session.trust_env = False
            session.proxies = {"https": self.variables["HTTPS_PROXY"]}
            session.verify = self.variables["SSL_CERT_FILE"]
            url = f"https://{service}.googleapis.com/{service}/v1/{root}{url}"
            answer = session.request(method, url, json=body, headers=headers, timeout=30)
        return answer.status_code, answer.json() if answer.content else None

    def insert(self, name: str) -> Any:
        """Make an instance; return its document."""
        body = {
            "name": name,
            "machineType": f"zones/{ZONE}/machineTypes/f1-micro",
            "disks": [{"boot": True, "initializeParams": {"sourceImage": IMAGE}}],
            "networkInterfaces": [{"accessConfigs": [{}]}],
        }
        zonal = f"{self.project}/zones/{ZONE}"
        _, operation = self.call("POST", f"{zonal}/instances", body)
        self.call("POST", f"{zonal}/operations/{operation['name']}/wait")
        return self.call("GET", f"{zonal}/instances/{name}")[1]


def test_projects_have_instances_of_the_same_name_apart(shell: Shell) -> None:
    one, two = Client(shell, ONE), Client(shell, TWO)
    first, second = one.insert("vm"), two.insert("vm")
    assert f"projects/{ONE}/" in first["networkInterfaces"][0]["network"]
    assert f"projects/{TWO}/" in second["networkInterfaces"][0]["network"]
    addresses = {each["networkInterfaces"][0]["networkIP"] for each in (first, second)}
    assert len(addresses) == 2
    _, listed = two.call("GET", f"{TWO}/zones/{ZONE}/instances")
    assert [each["id"] for each in listed["items"]] == [second["id"]]
    shown = json.loads(shell("status", "--output", "json").stdout)
    assert shown["projects"] == [ONE, TWO]
    assert [each["name"] for each in shown["instances"]] == ["vm", "vm"]


def test_an_owner_is_nobody_in_another_project(shell: Shell) -> None:
    one, two = Client(shell, ONE), Client(shell, TWO)
    one.insert("vm")
    stolen = f"{ONE}/zones/{ZONE}/instances/vm"
    assert two.call("GET", stolen)[0] == 403
    assert two.call("DELETE", stolen)[0] == 403
    foreign = {"name": "copy", "sourceDisk": f"projects/{ONE}/zones/{ZONE}/disks/vm"}
    assert two.call("POST", f"{TWO}/global/snapshots", foreign)[0] == 403
    assert one.call("GET", stolen)[0] == 200


def test_a_project_answers_to_its_number_too(shell: Shell) -> None:
    two = Client(shell, TWO)
    number = two.call("GET", TWO)[1]["id"]
    assert number == str(Settings(projects=(TWO,)).project_number)
    assert two.call("GET", number)[1]["name"] == TWO


def test_buckets_belong_to_their_project(shell: Shell) -> None:
    one, two = Client(shell, ONE), Client(shell, TWO)
    assert one.call("POST", f"b?project={ONE}", {"name": "bucket-of-one"})[0] == 200
    assert two.call("POST", f"b?project={TWO}", {"name": "bucket-of-two"})[0] == 200
    assert two.call("POST", f"b?project={TWO}", {"name": "bucket-of-one"})[0] == 409
    for client, name in ((one, "bucket-of-one"), (two, "bucket-of-two")):
        _, listed = client.call("GET", f"b?project={client.project}")
        assert [each["name"] for each in listed["items"]] == [name]
    assert two.call("GET", "b/bucket-of-one")[0] == 403
    assert two.call("GET", f"b?project={ONE}")[0] == 403
    assert two.call("GET", "b/bucket-of-two")[1]["projectNumber"] == str(
        Settings(projects=(TWO,)).project_number
    )


def test_what_projects_have_is_there_after_a_restart(shell: Shell) -> None:
    before = Client(shell, TWO).insert("vm")
    key = Client(shell, TWO).variables["GOOGLE_APPLICATION_CREDENTIALS"]
    assert Path(key).stat().st_mode & 0o777 == 0o600
    shell("down")
    shell("up", "--in-memory", "--keep-state", "--project", ONE, "--project", TWO)
    two = Client(shell, TWO)
    assert two.call("GET", f"{TWO}/zones/{ZONE}/instances/vm")[1]["id"] == before["id"]


def test_the_first_project_is_the_one_that_clients_get(shell: Shell) -> None:
    variables = json.loads(shell("env", "--output", "json").stdout)
    assert variables["CLOUDSDK_CORE_PROJECT"] == ONE
    assert variables == Client(shell, ONE).variables


def test_what_there_is_not_is_refused_in_one_sentence(shell: Shell) -> None:
    for words in (
        ("env", "--project", "acme-three"),
        ("up", "--in-memory", "--project", "acme-three"),
        ("up", "--in-memory", "--project", "No_Id"),
        ("up", "--in-memory", "--quota", "INSTANCES=1"),
    ):
        refused = shell(*words)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert words[-1] in line
    assert shell("up", "--in-memory", "--project", TWO).returncode == 0


def test_quotas_that_are_given_are_held_to(shell: Shell) -> None:
    shell("down")
    refused = shell("up", "--in-memory", "--quota", "CPU=1")
    assert (refused.returncode, "quota 'CPU' is none of CPUS, " in refused.stderr) == (1, True)
    up = ("up", "--in-memory", "--project", ONE, "--quota", "INSTANCES=1", "--quota", "CPUS=8")
    assert shell(*up).returncode == 0
    assert shell(*up).returncode == 0
    client = Client(shell, ONE)
    client.insert("vm")
    _, region = client.call("GET", f"{ONE}/regions/us-west1")
    limits = {quota["metric"]: (quota["usage"], quota["limit"]) for quota in region["quotas"]}
    assert (limits["INSTANCES"], limits["CPUS"][1]) == ((1.0, 1.0), 8.0)
