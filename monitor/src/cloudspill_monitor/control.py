# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: one JSON object a line, asked and answered, for the monitor's user only."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

_NAME = "control.sock"
_SECONDS = 5.0

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ControlError(Exception):
    """The monitor does not answer, or refuses; the message says why."""


class ControlServer:
    """Answers `{"do": NAME, ...}` with what `handlers[NAME]` makes of it.

    A client that has not asked and read within `patience` seconds is hung up on.
    """

    def __init__(
        self, directory: Path, handlers: Mapping[str, Handler], patience: float = _SECONDS
    ) -> None:
        self._directory = directory
        self._handlers = handlers
        self._patience = patience
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. The caller holds the state lock, so a socket that exists is a dead one's."""
        (self._directory / _NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        os.fchmod(listener.fileno(), 0o600)
        with _address(self._directory) as address:
            listener.bind(address)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            (self._directory / _NAME).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, TimeoutError, ValueError):
            async with asyncio.timeout(self._patience):
                line = await reader.readline()
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
        except (ValueError, KeyError, TypeError):
            known = ", ".join(self._handlers)
            return {"error": f'not a request; one is {{"do": NAME}} with a name of: {known}'}
        return handler(request)


def ask(directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the monitor whose state is in `directory`. Raises ControlError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_SECONDS)
            with _address(directory) as address:
                connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError) as error:
        raise ControlError(f"no answer from {directory / _NAME}: {error}") from error
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    assert isinstance(answer, dict)
    return answer


@contextmanager
def _address(directory: Path) -> Iterator[str]:
    # An address holds 107 characters at most; by way of the directory's descriptor any path fits.
    descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_NAME}"
    finally:
        os.close(descriptor)
