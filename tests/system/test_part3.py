# SPDX-License-Identifier: GPL-3.0-or-later
"""Part 3 as a person lives it: a machine that makes a machine, as itself and by a key.

The tests tell one story in order; each begins where the one before it ended.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.sandbox import ROOT, Play, Sandbox, eventually, page

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(280)]

LAUNCHER, LAUNCHED = "launcher-1", "launched-1"
ZONE = "us-west1-b"
PROJECT = "https://compute.googleapis.com/compute/v1/projects/{project}"
INSTANCES = f"{PROJECT}/zones/{ZONE}/instances"
BUCKETS = "https://storage.googleapis.com/storage/v1/b"
CALL = (
    "import json, sys, google.auth\n"
    "from google.auth.transport.requests import AuthorizedSession\n"
    "method, url, body = sys.argv[1:]\n"
    "credentials, project = google.auth.default("
    "scopes=['https://www.googleapis.com/auth/cloud-platform'])\n"
    "session = AuthorizedSession(credentials)\n"
    "url = url.replace('{project}', project)\n"
    "answer = session.request(method, url, data=body.encode() or None,"
    " headers={'Content-Type': 'application/json'})\n"
    "print(answer.text if answer.ok else json.dumps({'status': answer.status_code}))\n"
)


def call(sandbox: Sandbox, method: str, url: str, body: object = None) -> dict[str, Any]:
    """Call Google's API as the sandbox's owner."""
    sent = body if isinstance(body, str) else json.dumps(body) if body else ""
    said = sandbox.client(sys.executable, "-c", CALL, method, url, sent).stdout
    answer: dict[str, Any] = json.loads(said or "{}")
    return answer


def done(sandbox: Sandbox, method: str, url: str, body: object = None) -> None:
    """Call, and wait for the operation to end well."""
    operation = call(sandbox, method, url, body)["name"]
    ended = call(sandbox, "POST", f"{PROJECT}/zones/{ZONE}/operations/{operation}/wait")
    assert (ended["status"], "error" in ended) == ("DONE", False), ended


def instance(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """An instance's document."""
    return call(sandbox, "GET", f"{INSTANCES}/{name}")


def address(sandbox: Sandbox, name: str) -> str:
    """An instance's external address."""
    found: str = instance(sandbox, name)["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
    return found


def maker(sandbox: Sandbox, name: str) -> str:
    """Who asked for an instance."""
    found = call(sandbox, "GET", f"{PROJECT}/zones/{ZONE}/operations?filter=operationType=insert")
    (made,) = {o["user"] for o in found["items"] if o["targetLink"].endswith(f"/{name}")}
    return str(made)


def held(sandbox: Sandbox) -> dict[str, list[str]]:
    """Names of all that the project holds, buckets and their objects too."""
    buckets = call(sandbox, "GET", f"{BUCKETS}?project={{project}}").get("items", [])
    names = sorted(bucket["name"] for bucket in buckets)
    return {**sandbox.resources(), "buckets": names, "objects": objects(sandbox, names)}


def objects(sandbox: Sandbox, buckets: list[str]) -> list[str]:
    """Names of all versions of all objects of buckets."""
    found = [call(sandbox, "GET", f"{BUCKETS}/{name}/o?versions=true") for name in buckets]
    return sorted(item["name"] for answer in found for item in answer.get("items", []))


def bucket(sandbox: Sandbox, run: str = "default") -> str:
    """The name of a run's bucket."""
    return f"cloudspill-{run}-{sandbox.client_environment()['GCP_PROJECT']}"


def console(sandbox: Sandbox, name: str) -> str:
    """An instance's serial output."""
    return str(call(sandbox, "GET", f"{INSTANCES}/{name}/serialPort")["contents"])


@pytest.fixture(scope="module", autouse=True)
def before(running: Sandbox) -> dict[str, list[str]]:
    """What the project held before part 3."""
    return held(running)


@pytest.fixture(scope="module")
def keyed(running: Sandbox, before: dict[str, list[str]]) -> tuple[str, ...]:
    """The options of a second run, side by side with the first, that uses a key."""
    key = running.client_environment()["GOOGLE_APPLICATION_CREDENTIALS"]
    names = {"cloudspill_run": "keyed"}
    names |= {"bucket_bootstrap_launcher": "launcher-2", "bucket_bootstrap_instance": "launched-2"}
    by_key = {"bucket_bootstrap_credentials": "key_file", "bucket_bootstrap_key_file": key}
    return ("-e", json.dumps(names | by_key))


@pytest.mark.slow
def test_check_mode_says_what_it_would_make_and_makes_nothing(
    running: Sandbox, before: dict[str, list[str]]
) -> None:
    play = running.play("part3.yml", "--check")
    assert play.status == 0, play.output
    assert f"would have {LAUNCHER} make the instance {LAUNCHED}" in play.output
    assert held(running) == before


def test_a_machine_makes_a_machine_that_serves_the_application(running: Sandbox) -> None:
    play = running.play("part3.yml")
    assert play.status == 0, play.output
    assert f"{LAUNCHER} is at {address(running, LAUNCHER)}" in play.output
    last_url = re.findall(r"https?://\S+", play.output)[-1]
    assert last_url == f"http://{address(running, LAUNCHED)}:5000/"
    status, body = page(address(running, LAUNCHED))
    assert status == 200
    assert f"from {LAUNCHED}" in body


def test_it_was_made_from_inside_as_the_attached_account_and_has_none_itself(
    running: Sandbox,
) -> None:
    (attached,) = instance(running, LAUNCHER)["serviceAccounts"]
    assert maker(running, LAUNCHED) == attached["email"]
    assert maker(running, LAUNCHER) != attached["email"]
    made = instance(running, LAUNCHED)
    assert "serviceAccounts" not in made
    assert made["labels"]["cloudspill-run"] == "default"
    assert page(address(running, LAUNCHER))[0] == 0, "the launcher serves nothing"


def test_a_second_run_changes_nothing(running: Sandbox) -> None:
    ids = [instance(running, name)["id"] for name in (LAUNCHER, LAUNCHED)]
    play = running.play("part3.yml")
    assert (play.status, play.changed) == (0, 0), play.output
    assert [instance(running, name)["id"] for name in (LAUNCHER, LAUNCHED)] == ids


def startup_script(sandbox: Sandbox, attempt: str) -> Play:
    """Run the launcher's startup script by a reset, and wait for an attempt's end."""
    ran = sandbox.client(
        *("ansible", "localhost", "-m", "cloudspill.gcp.gce_startup_script", "-a"),
        f"instance={LAUNCHER} zone={ZONE} attempt={attempt} reset=true timeout=150",
        check=False,
    )
    return Play(ran.returncode, ran.stdout + ran.stderr)


def test_a_reboot_of_the_launcher_makes_no_other(running: Sandbox) -> None:
    done(running, "DELETE", f"{INSTANCES}/{LAUNCHED}")
    (attempt,) = re.findall(r"READY (\S+) changed", console(running, LAUNCHER))
    running.cli("ssh", LAUNCHER, "systemctl", "--no-block", "reboot")
    eventually(
        lambda: f"READY {attempt} unchanged" in console(running, LAUNCHER),
        within=120,
        what="the launcher boots again and finds its work done",
    )
    assert LAUNCHED not in running.resources()["instances"]


def test_a_file_that_was_changed_in_the_bucket_is_refused_by_name(running: Sandbox) -> None:
    upload = BUCKETS.replace("/storage/v1", "/upload/storage/v1")
    call(
        running,
        "POST",
        f"{upload}/{bucket(running)}/o?uploadType=media&name=launch.py",
        "print('somebody else wrote this')",
    )
    metadata = instance(running, LAUNCHER)["metadata"]
    attempt = {"key": "bootstrap-attempt", "value": "spoilt"}
    items = [item for item in metadata["items"] if item["key"] != attempt["key"]] + [attempt]
    body = {"fingerprint": metadata["fingerprint"], "items": items}
    done(running, "POST", f"{INSTANCES}/{LAUNCHER}/setMetadata", body)
    play = startup_script(running, "spoilt")
    assert play.status != 0
    spoilt = f"gs://{bucket(running)}/launch.py"
    said = f"FAILED spoilt: could not verify {spoilt}: its SHA-256 sum is wrong"
    assert said in play.output
    assert LAUNCHED not in running.resources()["instances"]


@pytest.mark.slow
def test_a_run_that_finds_all_this_goes_on_from_there(running: Sandbox) -> None:
    launcher = instance(running, LAUNCHER)["id"]
    play = running.play("part3.yml")
    assert play.status == 0, play.output
    assert play.changed > 0
    assert instance(running, LAUNCHER)["id"] == launcher
    assert page(address(running, LAUNCHED))[0] == 200


@pytest.fixture
def cut_short(running: Sandbox, keyed: tuple[str, ...]) -> Iterator[list[str]]:
    """Lines of a run with a key that was killed as soon as the launcher had begun."""
    run = subprocess.Popen(
        ["ansible-playbook", "playbooks/part3.yml", *keyed],
        cwd=ROOT,
        env=running.base,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    try:
        assert run.stdout is not None
        for line in run.stdout:
            lines.append(line)
            if "launcher-2: RUNNING" in line:
                break
        os.killpg(run.pid, signal.SIGKILL)
        yield lines
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


@pytest.mark.slow
def test_by_a_key_a_run_that_was_killed_is_finished_by_the_next(
    running: Sandbox, keyed: tuple[str, ...], cut_short: list[str]
) -> None:
    assert any("launcher-2: RUNNING" in line for line in cut_short), cut_short
    assert "key.json" in objects(running, [bucket(running, "keyed")]), "the kill came too late"
    play = running.play("part3.yml", *keyed)
    assert play.status == 0, play.output
    names = [name for name in running.resources()["instances"] if name.endswith("-2")]
    assert names == ["launched-2", "launcher-2"]
    assert page(address(running, "launched-2"))[0] == 200


@pytest.mark.slow
def test_it_was_made_as_the_keys_account_by_a_launcher_that_may_only_read(
    running: Sandbox, keyed: tuple[str, ...]
) -> None:
    key = running.client_environment()["GOOGLE_APPLICATION_CREDENTIALS"]
    assert maker(running, "launched-2") == json.loads(Path(key).read_text())["client_email"]
    (attached,) = instance(running, "launcher-2")["serviceAccounts"]
    assert attached["scopes"] == ["https://www.googleapis.com/auth/devstorage.read_only"]


@pytest.mark.slow
def test_the_key_is_nowhere_afterwards(running: Sandbox, keyed: tuple[str, ...]) -> None:
    key = running.client_environment()["GOOGLE_APPLICATION_CREDENTIALS"]
    secret = json.loads(Path(key).read_text())["private_key"].splitlines()[2]
    assert "key.json" not in objects(running, [bucket(running, "keyed")])
    assert secret not in json.dumps(instance(running, "launcher-2"))
    assert secret not in console(running, "launcher-2")
    search = 'grep -rlsF -D skip -- "$0" /etc /home /root /run /tmp /var /dev/shm; true'
    assert running.cli("ssh", "launcher-2", "sh", "-c", search, secret).stdout == ""


@pytest.mark.slow
def test_a_second_run_by_the_key_changes_nothing(running: Sandbox, keyed: tuple[str, ...]) -> None:
    play = running.play("part3.yml", *keyed)
    assert (play.status, play.changed) == (0, 0), play.output


@pytest.mark.slow
def test_a_launcher_without_the_permission_is_shown_with_its_log(running: Sandbox) -> None:
    running.client("gcloud", "iam", "service-accounts", "create", "powerless")
    email = f"powerless@{running.client_environment()['GCP_PROJECT']}.iam.gserviceaccount.com"
    given = {
        "cloudspill_run": "powerless",
        "bucket_bootstrap_launcher": "launcher-3",
        "bucket_bootstrap_instance": "launched-3",
        "bucket_bootstrap_service_account": email,
    }
    try:
        play = running.play("part3.yml", "-e", json.dumps(given))
    finally:
        running.client("gcloud", "iam", "service-accounts", "delete", email)
    assert play.status != 0
    assert "verified 4 files" in play.output, "it may read the bucket"
    assert "compute.instances.get" in play.output
    assert "launched-3" not in running.resources()["instances"]
    assert "Finished running startup scripts" in play.output or "exit status 1" in play.output


def test_teardown_leaves_the_project_as_it_was(
    running: Sandbox, before: dict[str, list[str]]
) -> None:
    there = held(running)["buckets"]
    runs = [run for run in ("powerless", "keyed", "default") if bucket(running, run) in there]
    assert "default" in runs, "a selection of tests may leave the others out"
    for run in runs:
        play = running.play("teardown.yml", "-e", f"cloudspill_run={run}")
        assert play.status == 0, play.output
        assert play.changed > 0
    assert held(running) == before
