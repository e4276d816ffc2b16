# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: one JSON object a line, asked and answered, for the monitor's user only."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

_NAME = "control.sock"
_SECONDS = 5.0
_LONGEST = 1 << 20  # bytes of a request: a guest's answer, passed on, may be long

NOT_READY = "not-ready"
"""The kind of refusal of a monitor that has only just begun: ask again in a moment."""

Answer = dict[str, Any]
Handler = Callable[[dict[str, Any]], Answer | Awaitable[Answer]]


def socket_path(directory: Path) -> Path:
    """The socket of the monitor whose state is in `directory`."""
    return directory / _NAME


class ControlRefusal(Exception):  # noqa: N818 - an answer, not a fault
    """A handler will not do what was asked; `kind` is for programs, `text` for people."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class ControlError(Exception):
    """The monitor does not answer, or refuses (then with its `kind`); the message says why."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class ControlServer:
    """Answers `{"do": NAME, ...}` with what `handlers[NAME]` makes of it.

    A client that has not asked, or not read, within `patience` seconds is hung up on. A handler may
    be a coroutine and take its time: others are served meanwhile, and it goes on to its end even
    if its client does not wait, unless the server is stopped. :class:`ControlRefusal` is answered
    with ``{"error": TEXT, "kind": KIND}``.
    """

    def __init__(
        self, directory: Path, handlers: Mapping[str, Handler], patience: float = _SECONDS
    ) -> None:
        self._directory = directory
        self._handlers = handlers
        self._patience = patience
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. The caller holds the state lock, so a socket that exists is a dead one's."""
        (self._directory / _NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        os.fchmod(listener.fileno(), 0o600)
        with _address(self._directory) as address:
            listener.bind(address)
        self._server = await asyncio.start_unix_server(self._meet, sock=listener, limit=_LONGEST)

    async def stop(self) -> None:
        """Stop listening, and cancel what is being handled."""
        if self._server is not None:
            self._server.close()
            (self._directory / _NAME).unlink(missing_ok=True)
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.create_task(self._converse(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            line = b""
            with suppress(ConnectionError, TimeoutError, ValueError):
                async with asyncio.timeout(self._patience):
                    line = await reader.readline()
            if not line:
                return
            try:
                answer = await self._answer(line)
            except Exception as error:
                await self._write(writer, {"error": f"the monitor has a fault: {error!r}"})
                raise  # to the loop, which says where
            await self._write(writer, answer)

    async def _write(self, writer: asyncio.StreamWriter, answer: Answer) -> None:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self._patience):
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            known = ", ".join(self._handlers)
            return {"error": f'not a request; one is {{"do": NAME}} with a name of: {known}'}
        try:
            answer = handler(request)
            return await answer if isinstance(answer, Awaitable) else answer
        except ControlRefusal as refusal:
            return {"error": refusal.text, "kind": refusal.kind}


def ask(directory: Path, request: dict[str, Any], timeout: float = _SECONDS) -> Answer:
    """Ask the monitor whose state is in `directory`; wait `timeout` seconds at most for its answer.

    Raises ControlError.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            with _address(directory) as address:
                connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError) as error:
        raise ControlError(f"no answer from {directory / _NAME}: {error}") from error
    if not isinstance(answer, dict):
        raise ControlError(f"no answer from {directory / _NAME}: {answer!r} is not one")
    if "error" in answer:
        raise ControlError(str(answer["error"]), str(answer.get("kind", "")))
    return answer


@contextmanager
def _address(directory: Path) -> Iterator[str]:
    # An address holds 107 characters at most; by way of the directory's descriptor any path fits.
    descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_NAME}"
    finally:
        os.close(descriptor)
