# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as wrong is found; a life of random requests finds nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.engine.discovery import load_api
from scripts.fidelity import implemented_methods
from tests.fuzz import verdict
from tests.fuzz.calls import Calls
from tests.fuzz.campaign import Campaign, FoundError
from tests.fuzz.living import Living
from tests.fuzz.reach import Reach, reach
from tests.fuzz.request import Request
from tests.fuzz.sound import Sound
from tests.fuzz.spoiling import Spoil, spoilt
from tests.fuzz.wire import Answer
from tests.lives.__main__ import free_port
from tests.lives.process import SandboxProcess, settings_below

GET = Request("compute.networks.get", "GET", "compute.googleapis.com", "/compute/v1/x")
SENTENCE = "compute.x is not implemented by this sandbox (docs/fidelity.md)"


def found(request: Request, status: int, document: Any) -> list[str]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    answer = Answer(status, {"content-type": "application/json; charset=UTF-8"}, body, 0.1)
    return verdict.faults(request, answer, load_api("compute", "v1"))


def refusal(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (200, {"name": "default", "id": "1"}),
        (404, refusal(404, "not found")),
        (501, refusal(501, SENTENCE)),
    ],
)
def test_google_s_own_answers_are_right(status: int, document: Any) -> None:
    assert found(GET, status, document) == []


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (200, {"name": 5}),
        (200, {"unknown": "field"}),
        (200, b"{"),
        (404, {"message": "not found"}),
        (404, refusal(400, "not found")),
        (500, refusal(500, "internal")),
        (501, refusal(501, "something else")),
        (503, refusal(503, "unavailable")),
    ],
)
def test_every_other_answer_is_wrong(status: int, document: Any) -> None:
    assert len(found(GET, status, document)) == 1


def test_partial_answers_have_another_schema() -> None:
    partial = Request(GET.method, "GET", GET.host, f"{GET.target}?fields=items")
    assert found(partial, 200, {"items": 1}) == []


def test_accidents_in_the_log_are_found_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "2026-01-01 00:00:00,000 INFO x fine\n"
        "2026-01-01 00:00:00,000 ERROR x failed\nTraceback\n  File\nKeyError\n"
        "2026-01-01 00:00:00,000 INFO x fine\n"
    )
    (accident,) = verdict.log_faults(log)
    assert accident.endswith("x failed\nTraceback\n  File\nKeyError")


def test_an_operation_that_failed_by_an_accident_is_found() -> None:
    errors = [{"code": "INTERNAL_ERROR"}, {"code": "ZONE_RESOURCE_POOL_EXHAUSTED"}]
    operations: list[dict[str, Any]] = [
        {"operationType": "insert"},
        {"operationType": "x", "error": {"errors": errors}},
    ]
    assert len(verdict.failed_operations(operations)) == 1


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = SandboxProcess(settings_below(tmp_path, "fuzz", free_port()))
    yield made
    made.kill()


def test_a_life_of_random_requests_finds_nothing(process: SandboxProcess) -> None:
    campaign = Campaign(process, Calls(implemented_methods()), examples=60)
    campaign.live(20260101)
    tally = campaign.tally
    assert tally.answers.total() > 100
    reached = reach(implemented_methods(), tally.methods).values()
    assert sum(len(each.carried_out) for each in reached) > 50
    assert {"200", "400", "404", "garbage"} <= tally.answers.keys()


def test_what_was_sent_is_told_with_what_was_found(
    process: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.campaign.MEMORY_MB", 1)
    campaign = Campaign(process, Calls(implemented_methods()), examples=1)
    with pytest.raises(FoundError, match=r"MB of memory, more than 1\n(.*\n)*- POST https://"):
        campaign.live(1)


DISK = "projects/cloudspill-sandbox/zones/us-west1-b/disks/vm"


@pytest.fixture(scope="module")
def calls() -> Calls:
    return Calls(implemented_methods())


def shown(link: str, **more: Any) -> dict[str, Any]:
    return {"selfLink": f"https://www.googleapis.com/compute/v1/{link}", **more}


def next_request(calls: Calls, living: Living, method: str) -> Request:
    """Return what is sent when a method is the one that is left."""
    done = {each for methods in calls.implemented.values() for each in methods} - {method}
    draft = calls.composer.draft(Sound(choice=1, pick=0), living, Counter(), done)
    return calls.composer.request(draft, {"labelFingerprint": "YWJj"}, living)


def test_a_call_goes_to_what_an_answer_has_shown_until_that_is_gone(calls: Calls) -> None:
    living = Living(calls.apis, calls.implemented)
    living.take("compute", {"items": {"zones/x": {"disks": [shown(DISK.replace("vm", "shown"))]}}})
    assert next_request(calls, living, "compute.disks.get").target.endswith("/disks/shown")
    living.forget("compute", DISK.replace("vm", "shown"))
    assert next_request(calls, living, "compute.disks.get").target.endswith("/disks/vm")


def test_nothing_is_done_to_what_is_spared(calls: Calls) -> None:
    living = Living(calls.apis, calls.implemented, ["shown"])
    living.take("compute", shown(DISK.replace("vm", "shown")))
    assert living.at("compute", "projects/*/zones/*/disks/*") == []


def test_a_change_names_the_document_that_was_read(calls: Calls) -> None:
    living = Living(calls.apis, calls.implemented)
    living.take("compute", shown(DISK))
    request = next_request(calls, living, "compute.disks.setLabels")
    assert json.loads(request.body) == {"labels": {"a": "b"}, "labelFingerprint": "YWJj"}


def test_a_new_disk_is_attached_and_not_one_in_use(calls: Calls) -> None:
    living = Living(calls.apis, calls.implemented)
    living.take("compute", shown(DISK.replace("vm", "used"), users=["x"]))
    living.take("compute", shown(DISK.replace("vm", "free")))
    request = next_request(calls, living, "compute.instances.attachDisk")
    assert json.loads(request.body)["source"] == DISK.replace("vm", "free")


@pytest.mark.parametrize(
    ("spoil", "target", "body"),
    [
        (Spoil("replaced", 0, None), "/a/b", b'{"x": null}'),
        (Spoil("dropped", 0, None), "/a/b", b"{}"),
        (Spoil("cut", 3, None), "/a/b", b'{"x'),
        (Spoil("elsewhere", 0, "%00"), "/a/%00", b'{"x": 1}'),
        (Spoil("asked", 0, ("alt", "a b")), "/a/b?alt=a%20b", b'{"x": 1}'),
    ],
)
def test_one_thing_of_a_request_is_spoilt(spoil: Spoil, target: str, body: bytes) -> None:
    request = spoilt(Request("m", "POST", "h", "/a/b", (), b'{"x": 1}'), spoil)
    assert (request.target, request.body) == (target, body)


def test_it_is_told_how_far_a_campaign_got() -> None:
    answered = {
        "a.done": Counter({200: 1, 404: 2}),
        "a.no": Counter([403]),
        "a.not": Counter([501]),
    }
    found = reach({"a": ["a.done", "a.no", "a.not", "a.never"]}, answered)
    assert found == {"a": Reach(("a.done",), ("a.no",), ("a.not",), ("a.never",))}
