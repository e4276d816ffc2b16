# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls the admin API of a running sandbox over its Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class NotRunningError(RuntimeError):
    """No sandbox answers on the admin socket."""


class AdminError(RuntimeError):
    """The sandbox refused, or does not answer; the message says so."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("sandbox", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(path: Path, method: str, resource: str, *, body: Any = None, timeout: float = 30.0) -> Any:
    """Make one request and return its JSON.

    Args:
        path: the admin socket.
        resource: path and query, `/status`.
        body: sent as JSON unless None.
        timeout: seconds.

    Raises:
        NotRunningError: nothing listens there.
        PermissionError: the socket is another user's (it is root's).
        AdminError: the answer is an error, or there is none in time.
    """
    connection = _UnixConnection(path, timeout)
    try:
        headers = {} if body is None else {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        connection.request(method, resource, content, headers)
        response = connection.getresponse()
        document = json.loads(response.read() or b"null")
    except (FileNotFoundError, ConnectionError) as error:
        raise NotRunningError("the sandbox is not running") from error
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(path)) from None
    except TimeoutError as error:
        raise AdminError(
            f"the sandbox has not answered within {timeout:.0f} s: see its log"
        ) from error
    finally:
        connection.close()
    if response.status >= 400:
        raise AdminError(document["error"])
    return document
