# SPDX-License-Identifier: GPL-3.0-or-later
"""The program makes one instance, whatever befalls it."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import FILES, MARK, NAME, SECRET, Google, Run, error

Launch = Callable[..., Run]


def test_it_makes_the_instance_as_the_attached_account(launch: Launch, google: Google) -> None:
    done = launch()
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "cloudspill: launched-1 is RUNNING in z1, 203.0.113.9"
    (insert,) = google.asked("POST", "/zones/z1/instances")
    assert insert.path == "/projects/acme/zones/z1/instances"
    assert insert.headers["Authorization"] == f"Bearer {SECRET}"
    assert json.loads(insert.body)["metadata"]["items"] == [
        {"key": "a", "value": "b"},
        {"key": "startup-script", "value": "#!/bin/sh\necho ok\n"},
    ]
    (token,) = google.asked("GET", "/token")
    assert token.headers["Metadata-Flavor"] == "Google"


def test_a_second_run_makes_none(launch: Launch, google: Google) -> None:
    assert launch().status == launch().status == 0
    assert len(google.asked("POST", "/instances")) == 1


def test_an_answer_that_is_lost_makes_no_second_one(launch: Launch, google: Google) -> None:
    google.after_acceptance = [error(503, "try again")]
    assert launch().status == 0
    first, again = google.asked("POST", "/instances")
    assert first.query["requestId"] == again.query["requestId"]
    assert len(google.seen) == 1


def test_one_that_another_made_in_between_will_do(launch: Launch, google: Google) -> None:
    google.answers = [(200, {"access_token": SECRET}), error(404, "instances/launched-1")]
    google.add()
    assert launch().status == 0
    assert len(google.asked("POST", "/instances")) == 1


def test_a_disk_that_has_the_name_is_told_at_once(launch: Launch, google: Google) -> None:
    taken = "The resource 'projects/acme/zones/z1/disks/launched-1' already exists"
    absent = error(404, "instances/launched-1")
    google.answers = [(200, {"access_token": SECRET}), absent, error(409, taken)]
    done = launch()
    assert done.status == os.EX_UNAVAILABLE
    assert done.err == f"launched-1: HTTP 409: {taken}\n"
    assert len(google.asked("POST", "/instances")) == 1


@pytest.mark.parametrize(
    "refusal",
    [error(429, "slow"), error(500, "oh"), error(503, "no"), error(403, "x", "rateLimitExceeded")],
    ids=lambda answer: str(answer[0]),
)
def test_what_may_pass_is_tried_again(
    launch: Launch, google: Google, refusal: tuple[int, object]
) -> None:
    google.answers = [refusal, refusal]
    assert launch().status == 0


def test_one_that_is_off_is_started(launch: Launch, google: Google) -> None:
    google.add(status="TERMINATED")
    done = launch()
    assert done.status == 0
    assert "launched-1 is TERMINATED: asking for its start" in done.out
    assert google.asked("POST", "/instances") == []


@pytest.mark.parametrize("labels", [{}, {**MARK, "cloudspill-owner": "eve"}, {"a": "b"}])
def test_somebody_elses_is_left_alone(
    launch: Launch, google: Google, labels: dict[str, str]
) -> None:
    google.add(labels=labels, status="TERMINATED")
    done = launch()
    assert done.status == os.EX_NOPERM
    assert done.err == "launched-1 exists and is not of this run: it is left alone\n"
    assert google.asked("POST", "") == []


def test_the_reason_of_an_operation_that_fails_is_told(launch: Launch, google: Google) -> None:
    failed = {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "The zone has no room."}
    pending = {"name": "o-1", "status": "PENDING"}
    google.operations = [pending, {**pending, "status": "DONE", "error": {"errors": [failed]}}]
    done = launch()
    assert done.status == os.EX_UNAVAILABLE
    assert done.err == "launched-1: The zone has no room (ZONE_RESOURCE_POOL_EXHAUSTED)\n"


def test_an_operation_that_does_not_end_is_given_up(launch: Launch, google: Google) -> None:
    google.operations = [{"name": "o-1", "status": "RUNNING"}] * 100
    done = launch("--deadline", "10")
    assert done.status == os.EX_TEMPFAIL
    assert done.err == "launched-1: operation o-1 is still RUNNING\n"


def test_an_instance_that_does_not_come_up_is_given_up(launch: Launch, google: Google) -> None:
    google.add(status="STAGING")
    done = launch("--deadline", "10")
    assert (done.status, done.err) == (os.EX_TEMPFAIL, "launched-1 is still STAGING\n")


def test_a_permission_that_is_missing_is_named_at_once(launch: Launch, google: Google) -> None:
    said = "Required 'compute.instances.create' permission for 'projects/acme'."
    google.answers = [
        (200, {"access_token": SECRET}),
        error(404, "instances/launched-1"),
        error(403, said, "forbidden"),
    ]
    done = launch()
    assert done.status == os.EX_NOPERM
    assert "'compute.instances.create'" in done.err
    assert len(google.asked("POST", "/instances")) == 1


def test_a_zone_that_does_not_exist_is_no_missing_instance(launch: Launch, google: Google) -> None:
    google.answers = [(200, {"access_token": SECRET}), error(404, "projects/acme was not found")]
    done = launch()
    assert done.status == os.EX_UNAVAILABLE
    assert google.asked("POST", "/instances") == []


def test_an_instance_without_a_service_account_says_so(launch: Launch, google: Google) -> None:
    google.answers = [(404, "<html>not found</html>")]
    done = launch()
    assert done.status == os.EX_NOPERM
    assert done.err.startswith("this instance has no service account")


def test_no_answer_is_a_sentence(launch: Launch, google: Google) -> None:
    done = launch("--endpoint", "http://127.0.0.1:1/")
    assert done.status == os.EX_UNAVAILABLE
    assert done.err.startswith(f"{NAME}: no answer: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("{", "it is no JSON"), ("[]", "holds no JSON object"), ("{}", "lacks project, zone, inst")],
)
def test_a_malformed_specification_is_refused(
    launch: Launch, tmp_path: Path, content: str, sentence: str
) -> None:
    (tmp_path / "instance.json").write_text(content)
    done = launch()
    assert done.status == os.EX_DATAERR
    assert sentence in done.err


def test_wrong_arguments_are_a_usage_error(launch: Launch) -> None:
    assert launch("--nonsense").status == os.EX_USAGE


def test_nothing_that_is_printed_holds_the_token(launch: Launch, google: Google) -> None:
    done = launch()
    google.answers = [(200, {"access_token": SECRET}), error(401, "Invalid Credentials")]
    refused = launch()
    assert refused.status == os.EX_NOPERM
    assert SECRET not in done.out + done.err + refused.out + refused.err


@pytest.mark.parametrize("path", sorted(FILES.glob("*.py")), ids=lambda path: path.name)
def test_it_needs_python_3_8_and_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        alias.name.partition(".")[0]
        for node in imports
        for alias in (
            [ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names
        )
    }
    assert names - sys.stdlib_module_names <= {"google_web"}
