# SPDX-License-Identifier: GPL-3.0-or-later
"""After all that clients did: nothing secret in what the sandbox wrote, and a small process.

Runs last, by its name, so that it sees the logs of every other contract test; it sends secrets of
its own in every place where clients put them, so that it shows the same when it runs alone.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import google.auth.transport.requests
import psutil
import pytest
import requests
from google.oauth2 import service_account

from .conftest import SCOPES
from .rest import Rest
from .target import Target

LARGEST_MB = 140
"""It begins with 87 and has 124 after all contract tests. Calls of every API, whose resources go
again, take it to 109 in their first round and to 111 in the eighth."""

SECRET = re.compile(
    r"ya29\.|eyJ[\w-]+\.eyJ[\w-]+|Bearer \S|PRIVATE KEY|access_token=[^&\s]|assertion=|"
    r"ssh-(?:rsa|ed25519) AAAA"
)


@pytest.fixture
def log(sandbox_only: Target) -> Callable[[], str]:
    """Return the sandbox's logs as they are now: its own, and that of the calls."""
    path = sandbox_only.log
    assert path is not None
    return lambda: path.read_text() + path.with_name("calls.jsonl").read_text()


def readable_by_others(target: Target) -> dict[Path, str]:
    """Return what a sandbox wrote and more than its owner may read; folders may shut them out."""
    assert target.log is not None
    assert target.admin is not None
    found = {}
    for folder in (target.log.parents[1], target.admin.parents[1]):
        for place, folders, files in os.walk(folder):
            folders[:] = [f for f in folders if Path(place, f).stat().st_mode & stat.S_IXOTH]
            for file in (Path(place, name) for name in files):
                mode = file.lstat().st_mode
                if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
                    found[file] = file.read_text(errors="replace")
    return found


def test_no_secret_is_in_what_others_may_read(
    sandbox_only: Target,
    rest: Rest,
    named: Callable[[str], str],
    log: Callable[[], str],
    tmp_path: Path,
) -> None:
    credentials = service_account.Credentials.from_service_account_file(
        str(sandbox_only.key_file), scopes=SCOPES
    )
    credentials.refresh(google.auth.transport.requests.Request())
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    zones = f"{rest.root}/projects/{rest.project}/zones"
    # A token in the query, in a wrong place, for a wrong project, and cut off.
    for url, token in (
        (f"{zones}?access_token={credentials.token}", None),
        (f"{zones}?fields={credentials.token}", credentials.token),
        (zones.replace(rest.project, "nobody"), credentials.token),
        (zones, credentials.token[:-9]),
    ):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        requests.get(url, headers=headers, timeout=10)
    items = [
        {"key": "ssh-keys", "value": f"me:{key.with_suffix('.pub').read_text()}"},
        {"key": "private", "value": key.read_text()},
    ]
    body = rest.instance(named("vm"), metadata={"items": items})
    rest.done("POST", f"zones/{rest.zone}/instances", body)
    misplaced = rest.instance(named("vm"), metadata={"item": items})
    assert rest.call("POST", f"zones/{rest.zone}/instances", misplaced).status_code == 400
    misplaced = rest.instance(named("vm"), canIpForward=key.read_text())
    assert rest.call("POST", f"zones/{rest.zone}/instances", misplaced).status_code == 400
    assert "compute.instances.insert" in log()
    every = readable_by_others(sandbox_only)
    assert {"sandbox.log", "calls.jsonl", "environment.json"} <= {file.name for file in every}
    assert not {"credentials.json", "ca.key"} & {file.name for file in every}
    leaks = {file: SECRET.findall(text) for file, text in every.items()}
    assert {file: leak for file, leak in leaks.items() if leak} == {}
    written = "".join(every.values())
    private = json.loads(sandbox_only.key_file.read_text())["private_key"].splitlines()[1:-1]
    private += key.read_text().splitlines()[1:-1]
    assert [line for line in private if line in written] == []


def test_the_log_has_no_traceback_and_no_internal_error(log: Callable[[], str]) -> None:
    written = log()
    assert "Traceback" not in written
    assert [
        line for line in written.splitlines() if " ERROR " in line or '"status":500' in line
    ] == []


def test_the_process_stays_small(sandbox_only: Target) -> None:
    (process,) = (
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if "cloudspill_sandbox.daemon" in (process.info["cmdline"] or ())
        and str(sandbox_only.log).startswith(
            (process.info["environ"] or {}).get("CLOUDSPILL_STATE_ROOT", "-")
        )
    )
    assert process.memory_info().rss < LARGEST_MB * 1_000_000
