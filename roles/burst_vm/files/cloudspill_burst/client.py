# SPDX-License-Identifier: GPL-3.0-or-later
"""The ends of `call` and `stream`: what stands between ssh and the keeper's socket.

A call's start lies in the time in which a task runs nowhere, so this imports next to nothing.
"""

import os
import select
import socket
import sys
import time

TYPE_CHECKING = False  # typing takes longer to import than all of the rest
if TYPE_CHECKING:
    from typing import Any

SOCKET = "/run/cloudspill-burst/keeper.sock"
_PATIENCE = 30.0
"""Seconds for a keeper that is being started, at boot or after it was killed."""
_CHUNK = 256 * 1024
_FAREWELL = 20.0
_NOTICE = 2.0
"""Seconds in which the keeper has heard of a preemption, if there is one."""


def call(path: str = SOCKET) -> int:
    """Pass one request and its archive on, and its answer back; 1 for a refusal."""
    keeper = _connect(path)
    if keeper is None:
        return 1
    answer = _exchange(keeper, answer_ends=True)
    # A refusal is one line, and no other answer begins so.
    return 1 if answer.startswith(b'{"error":') or not answer else 0


def stream(path: str = SOCKET) -> int:
    """Pass lines both ways until either side ends."""
    keeper = _connect(path)
    if keeper is None:
        return 1
    keeper.sendall(b'{"do":"stream"}\n')
    _exchange(keeper, answer_ends=False)
    return 0


def farewell(path: str = SOCKET) -> int:
    """Hold up the end of a VM that is being preempted until home has fetched all checkpoints.

    Does nothing at any other end. Gives up before Google does: the notice is 30 s long, see
    https://cloud.google.com/compute/docs/instances/spot#preemption-process.
    """
    began = time.monotonic()
    while time.monotonic() - began < _FAREWELL:
        status = _status(path)
        if status is None or (status["preempted"] and not status["runs"]):
            break
        if not status["preempted"] and time.monotonic() - began > _NOTICE:
            break
        time.sleep(0.1)
    return 0


def _status(path: str) -> "dict[str, Any] | None":
    import json

    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as keeper:
        try:
            keeper.connect(path)
            keeper.sendall(b'{"do":"status"}\n')
            while not answer.endswith(b"\n"):
                data = keeper.recv(_CHUNK)
                if not data:
                    return None
                answer += data
        except OSError:
            return None
    status: dict[str, Any] = json.loads(answer)
    return status if "preempted" in status else None


def _connect(path: str) -> "socket.socket | None":
    until = time.monotonic() + _PATIENCE
    while True:
        keeper = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            keeper.connect(path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            keeper.close()
            if time.monotonic() > until:
                sentence = f"the keeper of this VM does not run: {error.strerror}"
                line = f'{{"error":"{sentence}","kind":"failed"}}\n'
                os.write(1, line.encode())
                return None
            time.sleep(0.05)
        except PermissionError:
            sys.stderr.write("only root can ask the keeper: use sudo\n")
            return None
        else:
            return keeper


def _exchange(keeper: socket.socket, answer_ends: bool) -> bytes:
    """Copy standard input to the keeper, and the keeper to standard output; return its beginning.

    Args:
        keeper: the connection.
        answer_ends: only the keeper ends this; else the end of standard input does too.
    """
    beginning = b""
    sources = [0, keeper.fileno()]
    while True:
        ready, _writable, _failed = select.select(sources, [], [])
        if keeper.fileno() in ready:
            data = _receive(keeper)
            beginning = beginning or data[:16]
            if not data or not _write_all(data):
                return beginning
        if 0 in ready and not _pass_on(keeper):
            if not answer_ends:
                return beginning
            sources.remove(0)


def _receive(keeper: socket.socket) -> bytes:
    try:
        return keeper.recv(_CHUNK)
    except ConnectionResetError:
        return b""


def _pass_on(keeper: socket.socket) -> bool:
    """Pass on what standard input has; False when nothing more is to be passed on."""
    data = os.read(0, _CHUNK)
    try:
        if data:
            keeper.sendall(data)
        else:
            keeper.shutdown(socket.SHUT_WR)
    except OSError:
        return False  # it has heard enough, and answers
    return bool(data)


def _write_all(data: bytes) -> bool:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except BrokenPipeError:
            return False
    return True
