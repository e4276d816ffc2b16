# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations: what a change still has to do after it was accepted, and how that ended.

A handler checks and reserves everything in one transaction, which also opens the operation; its
steps then run in a task of their own, whoever still listens. Form and life cycle:
https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses#handling_api_responses.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from cloudspill_sandbox.compute import documents, names, refusals, request_ids
from cloudspill_sandbox.compute.latency import Latency
from cloudspill_sandbox.compute.lookup import found
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store, Transaction
from cloudspill_sandbox.faults.interface import Hooks, NoFaults

logger = logging.getLogger(__name__)

LONGEST_WAIT = 120.0
"""Seconds that operations.wait may take: https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations/wait."""

_KEPT = 2000
"""Operations kept in a scope; Google keeps them 14 days."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0
"""Seconds between tries to write an operation's end."""

Action = Callable[[], Awaitable[None]]
Writes = Callable[[Transaction], None]
_Written = TypeVar("_Written")


def _nothing(_: Transaction) -> None:
    return None


async def nothing() -> None:
    """Do nothing: the action of a step that only takes its time."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an operation.

    Attributes:
        name: method and stage, `instances.insert.boot`; latency profiles and faults know it.
        run: does it.
        undo: takes back what `run` did or half did, when this step or a later one fails.
    """

    name: str
    run: Action
    undo: Action | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What an operation does.

    Attributes:
        steps: in this order.
        done: documents to write together with the operation's success.
        failed: documents to write together with its failure, after the undoing.
    """

    steps: tuple[Step, ...] = ()
    done: Writes = _nothing
    failed: Writes = _nothing


class Operations:
    """All operations of a sandbox.

    Args:
        transaction: opens a transaction whose writes the cloud takes notice of.
        afterwards: awaited when an operation has ended, before those who wait for it hear of it;
            must not raise.
        faults: asked before each step.
    """

    def __init__(
        self,
        store: Store,
        transaction: Callable[[], AbstractContextManager[Transaction]],
        clock: Callable[[], float],
        latency: Latency,
        afterwards: Action,
        faults: Hooks | None = None,
    ) -> None:
        self._store = store
        self._transaction = transaction
        self._clock = clock
        self._latency = latency
        self._afterwards = afterwards
        self._faults = faults or NoFaults()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    def open(
        self,
        tx: Transaction,
        call: Call,
        kind: str,
        target: str,
        target_id: str | None = None,
        *,
        part_of: str | None = None,
        warnings: Sequence[Document] = (),
    ) -> str:
        """Write a new operation on `target` in the handler's transaction; return its name.

        Args:
            kind: `insert`, `delete`, `setTags` …: the method's last part.
            target: relative name of the resource that changes.
            target_id: its numeric id, read from its document when not given.
            part_of: an operation under way that this one does a part of, in the same group. That
                one shall come to its end even while the sandbox stops.
            warnings: what goes well and is told all the same (operation_warnings.py).

        Raises:
            ApiError: 503, the sandbox is stopping; the transaction must then be dropped.
        """
        if self._stopping and part_of is None:
            raise refusals.stopping()
        now = self._clock()
        scope = names.scope(target)
        project = "/".join(target.split("/")[:2])
        name = f"{project}/{scope}/operations/{_operation_name(now)}"
        document = documents.resource("operation", name, now) | {
            "operationType": kind,
            "targetLink": names.link(target),
            "user": call.principal.email,
            "status": "RUNNING",
            "progress": 0,
            "insertTime": documents.timestamp(now),
            "startTime": documents.timestamp(now),
        }
        del document["creationTimestamp"]  # deprecated, and absent from Google's answers
        if identity := target_id or (tx.get(target) or {}).get("id"):  # a collection has none
            document["targetId"] = identity
        if request := call.query.get("requestId"):
            document["clientOperationId"] = request
            request_ids.remember(tx, call, request, name)
        if warnings:
            document["warnings"] = list(warnings)
        if part_of is not None:
            document["operationGroupId"] = found(tx, part_of)["operationGroupId"]
        tx.put(name, document)
        self._forget_oldest(tx, f"{project}/{scope}/operations")
        return name

    def close(self, tx: Transaction, name: str) -> None:
        """End an operation well in the handler's own transaction: only documents changed."""
        self._end(tx, name, None)

    def forget(self, tx: Transaction, name: str) -> None:
        """Remove an operation, and what was kept to know its request again."""
        if request := (tx.get(name) or {}).get("clientOperationId"):
            request_ids.forget(tx, request, name)
        tx.delete(name)

    async def perform(self, name: str, work: Work) -> Document:
        """Start an operation's work; return its document, ended if that took no longer than
        the latency profile lets a reply wait."""
        task = asyncio.create_task(self._run(name, work), name=names.last(name))
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))
        return await self.wait(name, self._latency.patience)

    async def wait(self, name: str, longest: float = LONGEST_WAIT) -> Document:
        """Return the operation's document when it ends or after `longest` seconds.

        Raises:
            ApiError: 404, there is no such operation (any more).
        """
        if task := self._tasks.get(name):
            await asyncio.wait({task}, timeout=longest)
        return found(self._store, name)

    def pending(self, name: str) -> bool:
        """Whether the operation still runs in this process."""
        return name in self._tasks

    async def stop(self, grace: float) -> None:
        """Open no more; let running operations end for `grace` seconds, then abandon them.

        What is abandoned stays RUNNING in the store: the next start ends it.
        """
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while running := set(self._tasks.values()):
                    await asyncio.wait(running)
        while late := set(self._tasks.values()):  # what one began may have come after a look
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def fail(self, tx: Transaction, name: str, error: ApiError) -> None:
        """End an operation with an error, in a transaction."""
        self._end(tx, name, error)

    async def _run(self, name: str, work: Work) -> None:
        begun: list[Step] = []
        target = names.relative(found(self._store, name)["targetLink"])
        try:
            for step in work.steps:
                await self._latency.before(step.name)
                await self._faults.before_step(step.name, target)
                begun.append(step)
                await step.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the operation carries it
            refusal = _as_refusal(name, error)
            await self._undo(begun)
            await self._write_end(name, work.failed, refusal)
        else:
            await self._write_end(name, work.done, None)
        await self._afterwards()

    async def write(self, what: str, writes: Callable[[Transaction], _Written]) -> _Written:
        """Write what must not be left out; while the store cannot (a full disk), try again.

        Args:
            what: said in the log when it fails.
            writes: called anew for each try.

        Returns:
            What `writes` returned.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                with self._transaction() as tx:
                    written = writes(tx)
            except Exception:
                logger.exception("%s could not be written: next try in %g s", what, pause)
            else:
                return written
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _write_end(self, name: str, writes: Writes, error: ApiError | None) -> None:
        """Write how an operation ended."""

        def end(tx: Transaction) -> None:
            accident = self._wrote(tx, name, writes)
            self._end(tx, name, error or accident)

        await self.write(f"the end of operation {names.last(name)}", end)

    def _wrote(self, tx: Transaction, name: str, writes: Writes) -> ApiError | None:
        """Put an end's documents into a transaction, or none of them and return what was wrong."""
        try:
            writes(tx)
        except Exception as accident:  # noqa: BLE001 - another try would meet it again
            tx.writes.clear()
            return _as_refusal(name, accident)
        return None

    async def _undo(self, begun: list[Step]) -> None:
        for step in reversed(begun):
            if step.undo is None:
                continue
            try:
                await step.undo()
            except Exception:
                logger.exception("taking back %s failed", step.name)

    def _end(self, tx: Transaction, name: str, error: ApiError | None) -> None:
        document = tx.get(name)
        if document is None:  # deleted by a client meanwhile
            return
        now = documents.timestamp(self._clock())
        ended = document | {"status": "DONE", "progress": 100, "endTime": now}
        if error is not None:
            ended |= {
                "error": {"errors": [_entry(each) for each in (error, *error.also)]},
                "httpErrorStatusCode": error.status,
                "httpErrorMessage": http.HTTPStatus(error.status).phrase.upper(),
            }
        tx.put(name, ended)

    def _forget_oldest(self, tx: Transaction, collection: str) -> None:
        kept = self._store.children(collection)
        if len(kept) < _KEPT:
            return
        for key, document in list(kept.items())[: len(kept) - _KEPT + 1]:
            if document["status"] == "DONE":
                self.forget(tx, f"{collection}/{key}")


def _entry(error: ApiError) -> Document:
    entry: Document = {"code": error.reason, "message": error.message}
    return entry | ({"errorDetails": list(error.details)} if error.details else {})


def _operation_name(now: float) -> str:
    """Google's form: `operation-<milliseconds>-<hex>-<hex>-<hex>`."""
    tail = "-".join((secrets.token_hex(6) + "0", secrets.token_hex(4), secrets.token_hex(4)))
    return f"operation-{int(now * 1000)}-{tail}"


def _as_refusal(name: str, error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    logger.error("operation %s failed", names.last(name), exc_info=error)
    return ApiError(500, "INTERNAL_ERROR", f"Internal error: {str(error) or type(error).__name__}")
