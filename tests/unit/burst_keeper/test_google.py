# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata server and the API, as the keeper asks them: a server of the test's own answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cloudspill_burst.cloud import GoogleCloud
from cloudspill_burst.metadata import Metadata, MetadataError


class Server(ThreadingHTTPServer):
    """A metadata server.

    Attributes:
        asked: every request: method, path, body.
        values: what it answers, by path.
        preempted: set when the instance is.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, str]] = []
        self.values: dict[str, str] = {}
        self.preempted = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("ETag", f"etag{len(self.server.asked)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path = self.path.removeprefix("/computeMetadata/v1/")
        self.server.asked.append((self.command, path, body))
        if self.headers["Metadata-Flavor"] != "Google":
            self._answer(403, "<html><style>p{}</style><p>Missing header</html>")
        elif path.startswith("instance/preempted"):
            if "wait_for_change" in path:
                self.server.preempted.wait(10)
            self._answer(200, "TRUE" if self.server.preempted.is_set() else "FALSE")
        elif self.command == "PUT" or path in self.server.values:
            self._answer(200, self.server.values.get(path, ""))
        else:
            self._answer(404, "<html><style>p{}</style>\n<p><b>404.</b> not here</html>")

    do_GET = do_PUT = _serve  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def metadata(server: Server) -> Metadata:
    return Metadata("127.0.0.1", server.server_port)


def test_the_token_is_the_service_accounts(server: Server, metadata: Metadata) -> None:
    path = "instance/service-accounts/default/token"
    server.values[path] = json.dumps({"access_token": "secret", "expires_in": 3000})
    assert metadata.token() == "secret"
    server.values[path] = "[]"
    with pytest.raises(MetadataError, match="no access token"):
        metadata.token()


def test_a_refusal_is_one_line_without_markup(metadata: Metadata) -> None:
    with pytest.raises(MetadataError) as refused:
        metadata.get("instance/nothing")
    assert str(refused.value) == "GET instance/nothing: HTTP 404: 404. not here"


def test_the_lease_is_a_guest_attribute(server: Server, metadata: Metadata) -> None:
    GoogleCloud(metadata).publish_lease('{"expires":1}')
    path = "instance/guest-attributes/cloudspill/lease"
    assert server.asked == [("PUT", path, '{"expires":1}')]


def test_preemption_is_waited_for_from_what_was_seen_last(
    server: Server, metadata: Metadata
) -> None:
    noticed = threading.Event()

    def wait() -> None:
        metadata.wait_for_preemption()
        noticed.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not noticed.wait(0.2)
    server.preempted.set()
    waiting.join()
    assert noticed.is_set()
    assert "wait_for_change=true" in server.asked[1][1]
    assert server.asked[1][1].endswith("last_etag=etag1")


def test_a_server_that_is_not_there_is_an_error_that_says_so() -> None:
    with pytest.raises(MetadataError, match="does not answer"):
        Metadata("127.0.0.1", 9).get("instance/name")
