# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, conditions and policies, as unmodified clients meet them.

https://cloud.google.com/iam/docs/overview. Every account that a test makes is gone afterwards, and
so are its bindings.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account

from .conftest import SCOPES
from .rest import Rest
from .target import Target

CRM = "https://cloudresourcemanager.googleapis.com/v1/projects"
IAM = "https://iam.googleapis.com/v1"
DEADLINE = 240
Json = dict[str, Any]
Named = Callable[[str], str]


class Project:
    """Who may do what in the project, as its owner changes it."""

    def __init__(self, rest: Rest, folder: Path) -> None:
        self.rest = rest
        self.url = f"{CRM}/{rest.project}"
        self.folder = folder
        self.undo: list[Callable[[], object]] = []

    def post(self, url: str, body: Json) -> Json:
        """Return the answer to a call that must succeed."""
        answer = self.rest.session.post(url, json=body, timeout=60)
        assert answer.ok, answer.text
        return dict(answer.json())

    def account(self, account_id: str) -> Account:
        """Make a service account with a key."""
        body = {"accountId": account_id}
        url = f"{IAM}/projects/{self.rest.project}/serviceAccounts"
        made = self.post(url, body)
        self.undo.append(lambda: self.rest.session.delete(f"{IAM}/{made['name']}"))
        key = self.post(f"{IAM}/{made['name']}/keys", {})
        path = self.folder / f"{account_id}.json"
        path.write_bytes(base64.b64decode(key["privateKeyData"]))
        return Account(made["email"], path, self.rest)

    def bind(self, role: str, account: Account, resource: str = "", **condition: str) -> None:
        """Give an account a role in the project, or on another resource."""
        url = f"{IAM}/{resource}" if resource else self.url
        binding: Json = {"role": role, "members": [account.member]}
        if condition:
            binding["condition"] = {"title": "some", **condition}
        self._change(url, lambda bindings: [*bindings, binding])
        self.undo.append(
            lambda: self._change(
                url,
                lambda bindings: [
                    {**each, "members": [m for m in each["members"] if account.email not in m]}
                    for each in bindings
                ],
            )
        )

    def _change(self, url: str, change: Callable[[list[Json]], list[Json]]) -> None:
        # The IAM API takes the version from the query, Cloud Resource Manager from the body.
        iam = url.startswith(IAM)
        query = "?options.requestedPolicyVersion=3" if iam else ""
        options = {} if iam else {"options": {"requestedPolicyVersion": 3}}
        policy = self.post(f"{url}:getIamPolicy{query}", options)
        policy["bindings"] = change(policy.get("bindings", []))
        self.post(f"{url}:setIamPolicy", {"policy": {**policy, "version": 3}})


class Account:
    """A service account, and calls in its name."""

    def __init__(self, email: str, key_file: Path, rest: Rest) -> None:
        self.email = email
        self.member = f"serviceAccount:{email}"
        self.key_file = key_file
        self._rest = rest

    def credentials(self, *scopes: str) -> service_account.Credentials:
        """Return credentials by the account's key."""
        read: service_account.Credentials = service_account.Credentials.from_service_account_file(
            str(self.key_file), scopes=scopes or SCOPES
        )
        return read

    def rest(self, *scopes: str) -> Rest:
        """Return calls of Compute Engine in the account's name."""
        session = AuthorizedSession(self.credentials(*scopes))
        return Rest(session, self._rest.project, self._rest.zone, self._rest.region)

    def instances(self) -> Any:
        """Return google-cloud-compute's client in the account's name."""
        from google.cloud import compute_v1

        return compute_v1.InstancesClient(credentials=self.credentials())


@pytest.fixture(scope="module")
def project(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(rest, tmp_path_factory.mktemp("keys"))
    try:
        yield made
    finally:
        for step in reversed(made.undo):
            step()


@pytest.fixture(scope="module")
def viewer(project: Project, prefix: str) -> Account:
    account = project.account(f"{prefix}viewer")
    project.bind("roles/compute.viewer", account)
    return account


@pytest.fixture(scope="module")
def machine(rest: Rest, prefix: str) -> str:
    """An instance that everybody may try to change."""
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(f"{prefix}machine"))
    return f"{prefix}machine"


def test_a_viewer_sees_and_changes_nothing(viewer: Account, rest: Rest, machine: str) -> None:
    client = viewer.instances()
    at = {"project": rest.project, "zone": rest.zone}
    assert client.get(instance=machine, **at).name == machine
    assert machine in [each.name for each in client.list(**at)]
    with pytest.raises(exceptions.Forbidden) as caught:
        client.delete(instance=machine, **at)
    name = f"projects/{rest.project}/zones/{rest.zone}/instances/{machine}"
    assert f"Required 'compute.instances.delete' permission for '{name}'" in str(caught.value)
    client.transport.close()


def test_a_refusal_lists_all_that_is_missing(viewer: Account, rest: Rest, named: Named) -> None:
    name = named("vm")
    body = rest.instance(name)
    refused = viewer.rest().call("POST", f"zones/{rest.zone}/instances", body)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, 403)
    here = f"projects/{rest.project}/zones/{rest.zone}"
    assert error["message"] == (
        f"Required 'compute.instances.create' permission for '{here}/instances/{name}'"
    )
    messages = [item["message"] for item in error["errors"] if item["reason"] == "forbidden"]
    assert f"Required 'compute.disks.create' permission for '{here}/disks/{name}'" in messages


def test_ansible_s_module_fails_with_the_permission(
    viewer: Account, target: Target, rest: Rest, named: Named, tmp_path: Path
) -> None:
    name = named("net")
    words = f"name={name} project={rest.project} auth_kind=serviceaccount state=present"
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible"),
            "localhost",
            "--module-name=google.cloud.gcp_compute_network",
            f"--args={words} service_account_file={viewer.key_file}",
            f"--extra-vars=ansible_python_interpreter={sys.executable}",
        ],
        env=target.shell(ANSIBLE_HOME=str(tmp_path), ANSIBLE_LOCALHOST_WARNING="false"),
        cwd=tmp_path,
        timeout=DEADLINE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    resource = f"projects/{rest.project}/global/networks/{name}"
    assert f"Required 'compute.networks.create' permission for '{resource}'" in done.stdout


def test_a_stranger_is_refused_as_google_refuses(
    project: Project, rest: Rest, named: Named
) -> None:
    stranger = project.account(named("out")[:30])
    refused = stranger.rest().call("GET", f"zones/{rest.zone}/instances")
    assert refused.json()["error"]["message"] == (
        f"Required 'compute.instances.list' permission for 'projects/{rest.project}'"
    )
    image = "https://compute.googleapis.com/compute/v1/projects/debian-cloud/global/images/family"
    assert stranger.rest().session.get(f"{image}/debian-12", timeout=60).ok
    newer = stranger.rest().session.get(f"{CRM}/{rest.project}", timeout=60)
    assert newer.json() == {
        "error": {
            "code": 403,
            "message": "The caller does not have permission",
            "status": "PERMISSION_DENIED",
        }
    }


def test_a_burst_machine_gets_and_deletes_its_own_kind_alone(
    project: Project, rest: Rest, named: Named, machine: str
) -> None:
    """By a custom role, and a condition on the prefix of names."""
    role_id, prefix = named("role").replace("-", "_"), named("burst")
    url = f"{IAM}/projects/{rest.project}/roles"
    held = {"includedPermissions": ["compute.instances.get", "compute.instances.delete"]}
    role = project.post(url, {"roleId": role_id, "role": held})
    project.undo.append(lambda: rest.session.delete(f"{IAM}/{role['name']}"))
    account = project.account(named("own")[:30])
    names = f"projects/{rest.project}/zones/{rest.zone}/instances/{prefix}-"
    project.bind(role["name"], account, expression=f'resource.name.startsWith("{names}")')
    instances = f"zones/{rest.zone}/instances"
    rest.done("POST", instances, rest.instance(f"{prefix}-1"))
    own = account.rest()
    assert own.call("GET", f"{instances}/{prefix}-1").ok
    assert own.call("GET", f"{instances}/{machine}").status_code == 403
    assert own.call("DELETE", f"{instances}/{machine}").status_code == 403
    assert own.call("POST", f"{instances}/{prefix}-1/stop").status_code == 403
    assert own.call("GET", instances).status_code == 403
    assert own.call("DELETE", f"{instances}/{prefix}-1").ok
    assert rest.call("GET", f"{instances}/{machine}").ok


def test_creation_can_be_bound_to_a_prefix_too(project: Project, rest: Rest, named: Named) -> None:
    prefix = named("burst")
    account = project.account(named("adm")[:30])
    here = f"projects/{rest.project}/zones/{rest.zone}"
    own = f'resource.name.startsWith("{here}/instances/{prefix}-")'
    disks = f'resource.name.startsWith("{here}/disks/{prefix}-")'
    project.bind("roles/compute.instanceAdmin.v1", account, expression=f"{own} || {disks}")
    project.bind("roles/compute.networkUser", account)
    calls, instances = account.rest(), f"zones/{rest.zone}/instances"
    assert calls.call("POST", instances, rest.instance(f"{prefix}-1")).ok
    other = calls.call("POST", instances, rest.instance(named("web")))
    assert other.status_code == 403
    assert "'compute.instances.create'" in other.json()["error"]["message"]


def test_an_account_on_a_machine_needs_the_right_to_act_as_it(
    project: Project, rest: Rest, named: Named
) -> None:
    admin, attached = project.account(named("a")[:30]), project.account(named("b")[:30])
    project.bind("roles/compute.instanceAdmin.v1", admin)
    accounts = [{"email": attached.email, "scopes": SCOPES}]
    client = admin.instances()
    request = {
        "project": rest.project,
        "zone": rest.zone,
        "instance_resource": _instance(rest, named("vm"), accounts),
    }
    with pytest.raises(exceptions.BadRequest) as caught:
        client.insert(request=request)
    assert (
        f"The user does not have access to service account '{attached.email}'. User: "
        f"'{admin.email}'. Ask a project owner to grant you the iam.serviceAccountUser role on the "
        "service account"
    ) in str(caught.value)
    on = f"projects/{rest.project}/serviceAccounts/{attached.email}"
    project.bind("roles/iam.serviceAccountUser", admin, resource=on)
    client.insert(request=request).result(timeout=DEADLINE)
    client.transport.close()


def _instance(rest: Rest, name: str, accounts: list[Json]) -> Any:
    from google.cloud import compute_v1

    body = rest.instance(name, serviceAccounts=accounts)
    return compute_v1.Instance.from_json(json.dumps(body))


def test_a_token_does_no_more_than_its_scopes_say(
    project: Project, rest: Rest, named: Named
) -> None:
    """Whatever the roles of its account."""
    admin = project.account(named("s")[:30])
    project.bind("roles/compute.admin", admin)
    reading = admin.rest("https://www.googleapis.com/auth/compute.readonly")
    assert reading.call("GET", f"zones/{rest.zone}/instances").ok
    refused = reading.call("POST", "global/networks", {"name": named("net")})
    assert refused.status_code == 403
    assert refused.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


@pytest.mark.usefixtures("_environment")
def test_of_two_writers_the_second_reads_again(target: Target) -> None:
    from googleapiclient import discovery, errors  # type: ignore[import-untyped]

    api = discovery.build("cloudresourcemanager", "v1", cache_discovery=False)
    projects = api.projects()
    newest = {"options": {"requestedPolicyVersion": 3}}
    read = projects.getIamPolicy(resource=target.project, body=newest).execute()
    projects.setIamPolicy(resource=target.project, body={"policy": read}).execute()
    with pytest.raises(errors.HttpError, match="There were concurrent policy changes") as caught:
        projects.setIamPolicy(resource=target.project, body={"policy": read}).execute()
    assert caught.value.resp.status == 409
    api.close()


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_binds_roles_and_makes_them(
    project: Project, target: Target, rest: Rest, named: Named, tmp_path: Path
) -> None:
    account = project.account(named("g")[:30])
    environment = target.shell(
        CLOUDSDK_CONFIG=str(tmp_path),
        CLOUDSDK_CORE_DISABLE_PROMPTS="1",
        CLOUDSDK_CORE_DISABLE_USAGE_REPORTING="true",
    )

    def gcloud(*words: str) -> Any:
        done = subprocess.run(
            ["gcloud", *words, "--format=json"],
            env=environment,
            timeout=DEADLINE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    bound = f"--member={account.member}", "--role=roles/compute.viewer"
    condition = "--condition=expression=resource.name!='x',title=some"
    policy = gcloud("projects", "add-iam-policy-binding", rest.project, *bound, condition)
    assert [each for each in policy["bindings"] if account.member in each["members"]] == [
        {
            "condition": {"expression": "resource.name!='x'", "title": "some"},
            "members": [account.member],
            "role": "roles/compute.viewer",
        }
    ]
    policy = gcloud("projects", "remove-iam-policy-binding", rest.project, *bound, "--all")
    assert all(account.member not in each["members"] for each in policy["bindings"])
    role_id = named("role").replace("-", "_")
    made = gcloud(
        "iam",
        "roles",
        "create",
        role_id,
        f"--project={rest.project}",
        "--permissions=compute.instances.get",
        "--title=Own",
    )
    project.undo.append(lambda: rest.session.delete(f"{IAM}/{made['name']}"))
    assert made["includedPermissions"] == ["compute.instances.get"]
    listed = gcloud("iam", "roles", "list", f"--project={rest.project}")
    assert made["name"] in [each["name"] for each in listed]
    described = gcloud("iam", "roles", "describe", "roles/compute.viewer")
    assert described["title"] == "Compute Viewer"
