# SPDX-License-Identifier: GPL-3.0-or-later
"""Several calls at once, in any order of their steps: what is left is what was acknowledged.

Whatever goes to a thread waits here until its turn is drawn, so hypothesis finds the order that
breaks something, and shows the shortest.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.engine.call import Reply
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.objects import CONTENT
from cloudspill_sandbox.storage.recovery import forget_expired, recover
from cloudspill_sandbox.storage.resumable import LIFETIME

from .conftest import Client, Clock, cloud_in
from .test_buckets_made_anew import made_anew
from .test_objects import files
from .test_resumable import PART, begun, send

AT: dict[str, Any] = {"bucket": "bucket", "object": "object"}
TO: dict[str, Any] = {"destinationBucket": "bucket", "destinationObject": "copy"}
FROM: dict[str, Any] = {"sourceBucket": "bucket", "sourceObject": "object", **TO}

Action = Callable[[Client, str], Coroutine[Any, Any, Any]]
"""What one call does, given the id of the upload that was begun."""


CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]  # the fixture makes clouds

NewCloud = Callable[[], AbstractContextManager[Client]]


class Steps(ThreadPoolExecutor):
    """Work for threads, done one by one and when it is said."""

    def __init__(self) -> None:
        super().__init__(1)
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, work: Any, /, *arguments: Any, **more: Any) -> Future[Any]:
        """Take work on; as if it had begun, so that it is done even if nobody waits any more."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self._waiting.append((future, lambda: work(*arguments, **more)))
        return future

    def do(self, number: int) -> None:
        """Do one of those that wait."""
        future, work = self._waiting.pop(number % len(self._waiting))
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - as a pool's thread does
            future.set_exception(error)


def composed(*sources: str, name: str = "copy", deleting: bool = False) -> Action:
    body = {"sourceObjects": [{"name": each} for each in sources], "deleteSourceObjects": deleting}
    to = TO | {"destinationObject": name}
    return lambda client, _: client.call("objects.compose", body, **to)


def sent(content: bytes, content_range: str | None = None, **more: Any) -> Action:
    return lambda client, upload: send(client, upload, content, content_range, **more)


async def time_passes(client: Client, _upload: str) -> None:
    client.clock.now += LIFETIME
    forget_expired(client.cloud)


async def made_anew_or_not(client: Client, _upload: str) -> None:
    await made_anew(client)


ACTIONS: dict[str, Action] = {
    "put": lambda client, _: client.put("object", b"new object"),
    "put if absent": lambda client, _: client.put("copy", b"only copy", ifGenerationMatch=0),
    "copy": lambda client, _: client.call("objects.copy", **FROM),
    "rewrite": lambda client, _: client.call("objects.rewrite", **FROM),
    "compose": composed("object", "object"),
    "compose and delete": composed("object", "copy", deleting=True),
    "append": composed("object", "copy", name="object"),
    "delete": lambda client, _: client.gone("objects.delete", **AT),
    "versioning": lambda client, _: client.call(
        "buckets.patch", {"versioning": {"enabled": True}}, bucket="bucket"
    ),
    "bucket": made_anew_or_not,
    "first part": sent(b"p" * PART, f"bytes 0-{PART - 1}/{PART + 1}"),
    "last part": sent(b"q", f"bytes {PART}-{PART}/{PART + 1}"),
    "whole": sent(b"p" * PART + b"q", f"bytes 0-{PART}/{PART + 1}"),
    "cut short": sent(b"p" * PART, f"bytes 0-{PART}/{PART + 1}", breaks=True),
    "status": sent(b"", f"bytes */{PART + 1}"),
    "cancel": sent(b"", method="DELETE"),
    "time": time_passes,
}


async def in_one_bucket(client: Client, name: str, upload: str) -> Any:
    """Do an action; what was written is in the bucket that was there when it began."""
    bucket = client.documents()["buckets"]["bucket"]["generation"]
    answer = await ACTIONS[name](client, upload)
    if isinstance(answer, dict):
        assert client.documents()["buckets"]["bucket"]["generation"] == bucket
    return answer


async def as_far_as_they_come() -> None:
    """Let all calls go on until they wait for a step."""
    for _ in range(20):  # no thread is at work: this is no waiting for one
        await asyncio.sleep(0)


async def done_in_turns(
    client: Client, steps: Steps, names: list[str], turns: list[int], stop: int
) -> list[Any]:
    """Do what has these names, begun and gone on with in a drawn order; return what came of it.

    Args:
        stop: the turn before which the sandbox ends: calls are cancelled, threads do their work.
    """
    upload = await begun(client)
    waiting: list[str] = names[::-1]
    calls: list[asyncio.Task[Any]] = []
    while waiting or steps:
        if (stop := stop - 1) < 0:
            waiting.clear()
            for call in calls:
                call.cancel()
            await as_far_as_they_come()  # the threads come late
        turn = turns.pop() if turns else 0
        if waiting and (turn % 2 == 0 or not steps):
            calls.append(asyncio.create_task(in_one_bucket(client, waiting.pop(), upload)))
        elif steps:
            steps.do(turn // 2)
        await as_far_as_they_come()
    return await asyncio.gather(*calls, return_exceptions=True)


def stored(client: Client) -> list[dict[str, Any]]:
    """Return all versions of all objects."""
    found = client.documents()
    kinds = ("buckets/bucket/objects", "buckets/bucket/generations")
    return [version for kind in kinds for version in found.get(kind, {}).values()]


def acknowledged(answers: list[Any]) -> dict[str, Any]:
    """Return the objects of the answers by their generations; every other one is a refusal."""
    made = {}
    for answer in answers:
        if isinstance(answer, dict):
            document = answer.get("resource", answer)
            made[document["generation"]] = document
        elif isinstance(answer, asyncio.CancelledError):
            continue
        elif isinstance(answer, ApiError):
            assert answer.status < 500 or "exceeds already uploaded" in answer.message, answer
        else:
            assert answer is None or isinstance(answer, Reply | ConnectionError), answer
    return made


def audit(client: Client) -> None:
    """Hold the bytes on the disk against the documents."""
    bytes_of = {path.name: path.read_bytes() for path in files(client)}
    uploads = client.cloud.store.children("uploads").values()
    going_on = {upload[CONTENT] for upload in uploads if upload["state"] == "open"}
    assert bytes_of.keys() - going_on == {version[CONTENT] for version in stored(client)}
    for version in stored(client):
        content = bytes_of[version[CONTENT]]
        assert version["size"] == str(len(content))
        digest = b64encode(hashlib.md5(content).digest()).decode()
        assert version.get("md5Hash", digest) == digest


@pytest.fixture
def new_cloud(api: Api) -> NewCloud:
    """A cloud for each example."""

    @contextmanager
    def make() -> Iterator[Client]:
        with TemporaryDirectory() as folder, cloud_in(api, Path(folder), Clock()) as client:
            yield client

    return make


@settings(max_examples=60, deadline=None, suppress_health_check=CHECKS)
@given(
    names=st.lists(st.sampled_from(sorted(ACTIONS)), min_size=2, max_size=6),
    turns=st.lists(st.integers(0, 9), max_size=20),
    stop=st.integers(0, 12) | st.just(99),
)
async def test_calls_at_once_leave_what_was_acknowledged(
    new_cloud: NewCloud, names: list[str], turns: list[int], stop: int
) -> None:
    loop = asyncio.get_running_loop()
    with new_cloud() as client:
        loop.set_default_executor(ThreadPoolExecutor(1))
        await client.bucket()
        before = [await client.put("object", b"old object"), await client.put("copy", b"old copy")]
        loop.set_default_executor(steps := Steps())
        answers = await done_in_turns(client, steps, names, turns, stop)
        made = acknowledged([*before, *answers])
        assert {version["generation"] for version in stored(client)} <= made.keys()
        audit(client)
        documents = client.documents()
        recover(client.cloud)
        assert client.documents() == documents
        audit(client)
