# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of part 3 as a process of its own, with nothing but Python and openssl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import google.auth
import google.auth.transport.requests
import pytest

from .conftest import SCOPES
from .faults import Faults
from .rest import Rest
from .target import Target

PROGRAM = Path(__file__).parents[2] / "roles" / "bucket_bootstrap" / "files" / "launch.py"
MARK = {"cloudspill-run": "ct", "cloudspill-owner": "tests"}

Named = Callable[[str], str]
Run = subprocess.CompletedProcess[str]


@pytest.fixture
def name(named: Named) -> str:
    return named("launched")


@pytest.fixture
def launch(rest: Rest, target: Target, tmp_path: Path, name: str) -> Callable[..., Run]:
    """Run the program as a process."""
    specification = {
        "project": target.project,
        "zone": target.zone,
        "instance": rest.instance(name, labels=MARK),
    }
    (tmp_path / "instance.json").write_text(json.dumps(specification))
    (tmp_path / "startup.sh").write_text("#!/bin/sh\n")

    def run(*arguments: str, **variables: str) -> Run:
        command = [sys.executable, "-I", "-B", "-c", RUN_ALONE, str(PROGRAM)]
        files = ["--specification", "instance.json", "--startup-script", "startup.sh"]
        return subprocess.run(
            [*command, *files, *arguments],
            cwd=tmp_path,
            env=target.shell(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


RUN_ALONE = (
    "import runpy, sys, os\n"
    "sys.argv = sys.argv[1:]\n"
    "sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
    "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
)
"""As an instance has it: none of the packages that are installed here."""


@pytest.fixture
def metadata_server(target: Target) -> Iterator[str]:
    """The address of a metadata server that has a token for the target's account."""
    credentials, _ = google.auth.default(scopes=SCOPES)
    credentials.refresh(google.auth.transport.requests.Request())
    answer = json.dumps({"access_token": credentials.token, "expires_in": 3599}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.path.endswith("/instance/service-accounts/default/token")
            self.send_response(200 if asked and self.headers["Metadata-Flavor"] else 404)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_by_a_key_it_makes_an_instance_without_a_service_account(
    launch: Callable[..., Run], rest: Rest, target: Target, name: str
) -> None:
    done = launch("--key-file", str(target.key_file))
    assert done.returncode == 0, done.stderr
    made = rest.get(f"zones/{target.zone}/instances/{name}")
    assert made["status"] == "RUNNING"
    assert "serviceAccounts" not in made
    assert {"key": "startup-script", "value": "#!/bin/sh\n"} in made["metadata"]["items"]
    again = launch("--key-file", str(target.key_file))
    assert again.returncode == 0, again.stderr
    assert "asking for" not in again.stdout
    assert rest.get(f"zones/{target.zone}/instances/{name}")["id"] == made["id"]


def test_by_the_attached_account_it_makes_one_too(
    launch: Callable[..., Run], rest: Rest, target: Target, name: str, metadata_server: str
) -> None:
    done = launch(GCE_METADATA_HOST=metadata_server)
    assert done.returncode == 0, done.stderr
    assert rest.get(f"zones/{target.zone}/instances/{name}")["status"] == "RUNNING"


@pytest.mark.parametrize(
    "fault",
    [{"kind": "unavailable"}, {"kind": "rate-limit"}, {"kind": "reset", "when": "after"}],
    ids=lambda fault: fault["kind"],
)
def test_what_is_lost_on_the_way_makes_no_second_one(
    launch: Callable[..., Run],
    rest: Rest,
    target: Target,
    name: str,
    faults: Faults,
    fault: dict[str, Any],
) -> None:
    armed = faults.add(**fault, method="compute.instances.insert", match=name)
    done = launch("--key-file", str(target.key_file))
    assert done.returncode == 0, done.stderr
    assert faults.get(armed)["fired"] == 1
    listed = rest.get(f"zones/{target.zone}/operations", filter="operationType=insert")
    inserts = [o for o in listed["items"] if o["targetLink"].endswith(f"/{name}")]
    assert len(inserts) == 1


def test_a_zone_without_room_is_told_with_googles_code(
    launch: Callable[..., Run], target: Target, name: str, faults: Faults
) -> None:
    faults.add("stock-out", match=name)
    done = launch("--key-file", str(target.key_file))
    assert done.returncode == os.EX_UNAVAILABLE
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_one_that_was_stopped_runs_again(
    launch: Callable[..., Run], rest: Rest, target: Target, name: str
) -> None:
    assert launch("--key-file", str(target.key_file)).returncode == 0
    path = f"zones/{target.zone}/instances/{name}"
    rest.done("POST", f"{path}/stop")
    done = launch("--key-file", str(target.key_file))
    assert done.returncode == 0, done.stderr
    assert rest.get(path)["status"] == "RUNNING"
