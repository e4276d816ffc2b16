# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that sends what no client library would, over the sandbox's one port."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

import google.auth.jwt

from cloudspill_sandbox.settings import Settings
from tests.fuzz.request import Request

TIMEOUT = 20.0
"""Seconds in which everything is answered: no method takes long with `--latency instant`."""

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_MOST = 1 << 16


class NoAnswerError(Exception):
    """The connection ended, or nothing came in time; the message says which."""


class _EndedError(NoAnswerError):
    """The connection ended before a byte of the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole.

    Attributes:
        seconds: until its last byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class Wire:
    """Kept-alive connections to one sandbox, one for each host; a context manager.

    Attributes:
        email: of the owner, as whom it asks.
    """

    def __init__(self, settings: Settings) -> None:
        self._port = settings.port
        self._context = ssl.create_default_context(cafile=str(settings.client_ca))
        self._credentials = google.auth.jwt.Credentials.from_service_account_file(
            str(settings.credentials),
            audience="https://compute.googleapis.com/",
            additional_claims={"scope": _SCOPE},
        )
        self.email: str = self._credentials.signer_email
        self._connections: dict[str, ssl.SSLSocket] = {}

    def __enter__(self) -> Wire:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def get(self, host: str, target: str) -> Answer:
        """Ask as the owner."""
        return self.send(Request("", "GET", host, target))

    def send(self, request: Request) -> Answer:
        """Send a request, framed as HTTP wants it; return what came back.

        Raises:
            NoAnswerError: nothing did.
        """
        host = request.host.partition(":")[0].lower()
        kept = self._connections.pop(host, None)
        if kept is not None:
            with contextlib.suppress(_EndedError):  # an idle connection may end at any time
                return self._exchange(kept, host, request)
        return self._exchange(self.connect(host), host, request)

    def _exchange(self, connection: ssl.SSLSocket, host: str, request: Request) -> Answer:
        began = time.perf_counter()
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError):  # refused while it is sent
                connection.sendall(self._text(request))
            response = http.client.HTTPResponse(connection, method=request.http_method)
            response.begin()
            body = response.read()
        except http.client.RemoteDisconnected as error:
            connection.close()
            raise _EndedError(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswerError(f"{type(error).__name__}: {error}") from error
        if response.will_close:
            connection.close()
        else:
            self._connections[host] = connection
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, body, time.perf_counter() - began)

    def _text(self, request: Request) -> bytes:
        fields = {"Host": request.host, "Content-Length": str(len(request.body))}
        fields |= {name: value for name, value in request.headers if value != "Bearer"}
        if not request.anonymous:
            self._credentials.before_request(None, "GET", "", fields)
        lines = [f"{request.http_method} {request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + request.body

    def connect(self, host: str) -> ssl.SSLSocket:
        """Go through the proxy to a host that the sandbox answers for.

        Raises:
            NoAnswerError: it does not let us.
        """
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
        try:
            _tunnel(plain, host)
            return self._context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def throw(self, place: str, content: bytes) -> bytes:
        """Send bytes and no more, to `proxy`, `tls` or `http`; return the first that came back."""
        if place == "http":
            connection: socket.socket = self.connect("compute.googleapis.com")
        else:
            connection = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
        with connection, contextlib.suppress(ConnectionError, ssl.SSLError):
            if place == "tls":
                _tunnel(connection, "compute.googleapis.com")
            connection.sendall(content)
            if place != "http":
                connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                return connection.recv(_MOST)
        return b""


def _tunnel(connection: socket.socket, host: str) -> None:
    """Send CONNECT and read its answer, not a byte more.

    Raises:
        NoAnswerError: it is a refusal.
    """
    connection.sendall(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise NoAnswerError("the proxy closed the connection")
        head += byte
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise NoAnswerError(f"CONNECT {host}: {bytes(head)!r}")
