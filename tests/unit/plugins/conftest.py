# SPDX-License-Identifier: GPL-3.0-or-later
"""A small server that speaks Compute Engine's JSON, for tests of what talks to it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.module_utils.transport import Transport
from google.auth.credentials import AnonymousCredentials

PROJECT = "acme"
Document = dict[str, Any]
COLLECTIONS = {"firewalls", "images", "instances", "snapshots"}
VERBS = {"setTags": "tags", "setMetadata": "metadata", "setLabels": "labels"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    body: Document | None


@dataclass(slots=True)
class GoogleServer:
    """Resources by their path inside the project, and what befell.

    Attributes:
        resources: path such as `zones/z/instances/a` → document.
        answers: answers to give instead, first of all: (status, body).
        requests: what was asked.
        before_change: called before a change is made; stands for somebody else.
        before_wait: called before a wait for an operation is answered.
        refusals: path of a collection → errors of the operations that make something in it.
        operations: operation documents to answer with instead of a finished one.
    """

    url: str = ""
    resources: dict[str, Document] = field(default_factory=dict)
    answers: list[tuple[int, object]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    before_change: Callable[[], None] | None = None
    before_wait: Callable[[], None] | None = None
    operations: list[Document] = field(default_factory=list)
    refusals: dict[str, list[Document]] = field(default_factory=dict)

    def add(self, path: str, **content: Any) -> Document:
        """Keep a resource and return it."""
        link = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/{path}"
        document = {"name": path.rsplit("/", 1)[-1], "selfLink": link, **content}
        self.resources[path] = document
        return document

    def answer(self, request: Request) -> tuple[int, object]:
        """Answer as Compute Engine would."""
        self.requests.append(request)
        if self.answers:
            return self.answers.pop(0)
        path = request.path.removeprefix(f"/projects/{PROJECT}/")
        if request.method == "GET":
            return self._read(path, request)
        return self._change(path, request)

    def _read(self, path: str, request: Request) -> tuple[int, object]:
        if path.startswith("aggregated/"):
            return 200, {"items": self._scopes(path.removeprefix("aggregated/"))}
        if path in self.resources:
            return 200, self.resources[path]
        inside = [d for p, d in self.resources.items() if p.rsplit("/", 1)[0] == path]
        if path.startswith(("global/", "zones/")) and path.rsplit("/", 1)[-1] in COLLECTIONS:
            return 200, {"items": inside} if inside else {}
        return _error(404, "notFound", f"The resource '{request.path[1:]}' was not found")

    def _scopes(self, kind: str) -> Document:
        scopes: Document = {"zones/empty": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}}
        for path, document in self.resources.items():
            scope, _, rest = path.partition(f"/{kind}/")
            if rest and "/" not in rest:
                scopes.setdefault(scope, {}).setdefault(kind, []).append(document)
        return scopes

    def _change(self, path: str, request: Request) -> tuple[int, object]:
        if path.endswith("/wait"):
            if self.before_wait:
                self.before_wait()
            return 200, self.operations.pop(0)
        if self.before_change:
            self.before_change()
        target, _, verb = path.rpartition("/")
        if request.method == "DELETE":
            if self.resources.pop(path, None) is None:
                return _error(404, "notFound", f"The resource '{path}' was not found")
        elif verb == "instances":
            return self._insert(path, request.body or {})
        elif verb in VERBS:
            refused = self._revise(self.resources[target], VERBS[verb], request.body or {})
            if refused:
                return refused
        return 200, self.operations.pop(0) if self.operations else {"status": "DONE"}

    def _insert(self, collection: str, body: Document) -> tuple[int, object]:
        path = f"{collection}/{body['name']}"
        if path in self.resources:
            return _error(409, "alreadyExists", f"The resource '{path}' already exists")
        if refusals := self.refusals.get(collection):
            return 200, {"status": "DONE", "error": {"errors": [refusals.pop(0)]}}
        zone = collection.removesuffix("/instances")
        params = body["disks"][0]["initializeParams"]
        disk = self.add(f"{zone}/disks/{body['name']}", **params, sizeGb="10")
        interface = {**body["networkInterfaces"][0], "networkIP": "10.0.0.2"}
        booted = {
            "status": "RUNNING",
            "disks": [{"boot": True, "source": disk["selfLink"]}],
            "zone": zone,
            "networkInterfaces": [interface],
        }
        self.add(path, **{key: value for key, value in body.items() if key != "name"} | booted)
        return 200, {"status": "DONE"}

    def _revise(self, document: Document, part: str, body: Document) -> tuple[int, object] | None:
        if part == "labels":
            current, given = document.get("labelFingerprint"), body["labelFingerprint"]
        else:
            current, given = (document.get(part) or {}).get("fingerprint"), body["fingerprint"]
        if current != given:
            return _error(412, "conditionNotMet", "Supplied fingerprint does not match current.")
        document[part] = body["labels"] if part == "labels" else body
        return None


def _error(status: int, reason: str, message: str) -> tuple[int, object]:
    errors = [{"reason": reason, "message": message}]
    return status, {"error": {"code": status, "message": message, "errors": errors}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), body)
        status, document = self.server.google.answer(request)
        text = document if isinstance(document, str) else json.dumps(document)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    google: GoogleServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that has given up does not read its answer.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture
def google() -> Iterator[GoogleServer]:
    """Compute Engine with nothing in it."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.google = GoogleServer(url=f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.google
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(slots=True)
class Time:
    """A clock that moves only when somebody sleeps."""

    seconds: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Seconds since the test began."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.seconds += seconds


@pytest.fixture
def time() -> Time:
    """A clock under the test's control."""
    return Time()


@pytest.fixture
def compute(google: GoogleServer, time: Time) -> Iterator[Compute]:
    """A client of the server."""
    transport = Transport(
        AnonymousCredentials(),
        sleep=time.sleep,
    )
    yield Compute(
        transport,
        PROJECT,
        endpoint=google.url,
        projects_endpoint=f"{google.url}projects/",
        now=time.now,
    )
    transport.close()
