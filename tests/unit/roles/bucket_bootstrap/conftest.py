# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the role, as a file, and a Google that it can talk to."""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

FILES = Path(__file__).parents[4] / "roles" / "bucket_bootstrap" / "files"
MARK = {"cloudspill-run": "default", "cloudspill-owner": "ada"}
NAME = "launched-1"
SECRET = "a-token-that-nobody-shall-see"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Google:
    """One zone of Compute Engine, a metadata server and a token endpoint, behind one address.

    Attributes:
        instances: by name.
        answers: answers to give first of all: (status, body).
        after_acceptance: answers to give instead of that of an insert that was accepted.
        operations: answers of inserts, and then of waiting for them.
        seen: request ids of accepted inserts.
        requests: what was asked.
    """

    url: str = ""
    instances: dict[str, Document] = field(default_factory=dict)
    answers: list[tuple[int, object]] = field(default_factory=list)
    after_acceptance: list[tuple[int, object]] = field(default_factory=list)
    operations: list[Document] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def add(self, **content: Any) -> None:
        """Have an instance already."""
        interface = {"networkIP": "10.0.0.9", "accessConfigs": [{"natIP": "203.0.113.9"}]}
        base = {"name": NAME, "status": "RUNNING", "labels": MARK, "networkInterfaces": [interface]}
        self.instances[NAME] = {**base, **content}

    def asked(self, method: str, ending: str) -> list[Request]:
        """The requests of a method to paths that end so."""
        return [r for r in self.requests if r.method == method and r.path.endswith(ending)]

    def answer(self, request: Request) -> tuple[int, object]:
        """Answer as Google would."""
        self.requests.append(request)
        if self.answers:
            return self.answers.pop(0)
        if request.path.endswith("/token"):
            return 200, {"access_token": SECRET, "expires_in": 3599}
        if request.path.endswith("/wait"):
            return 200, self.operations.pop(0)
        if request.path.endswith(f"/instances/{NAME}"):
            found = self.instances.get(NAME)
            return (200, found) if found else error(404, f"The resource '{request.path}'")
        if request.path.endswith("/start"):
            self.instances[NAME]["status"] = "RUNNING"
            return 200, {"name": "o-1", "status": "DONE"}
        return self._insert(request)

    def _insert(self, request: Request) -> tuple[int, object]:
        if request.query["requestId"] not in self.seen:
            if NAME in self.instances:
                return error(409, f"The resource '{NAME}' already exists")
            self.seen.append(request.query["requestId"])
            self.add(**{k: v for k, v in json.loads(request.body).items() if k == "labels"})
            if self.after_acceptance:
                return self.after_acceptance.pop(0)
        return 200, self.operations.pop(0) if self.operations else {"name": "o", "status": "DONE"}


def error(status: int, message: str, reason: str = "") -> tuple[int, Document]:
    """Google's error document."""
    errors = [{"reason": reason, "message": message}]
    return status, {"error": {"code": status, "message": message, "errors": errors}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = dict(parse_qsl(parts.query))
        request = Request(self.command, parts.path, query, dict(self.headers), body)
        status, document = self.server.google.answer(request)
        text = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    google: Google


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    """Google with nothing in it; the metadata server is there too."""
    server = _Server(("127.0.0.1", 0), _Handler)
    address = f"127.0.0.1:{server.server_address[1]}"
    server.google = Google(url=f"http://{address}/")
    monkeypatch.setenv("GCE_METADATA_HOST", address)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.google
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import a file of the program by its name, as the program itself does."""
    monkeypatch.syspath_prepend(str(FILES))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module
    for name in ("launch", "google_web"):
        sys.modules.pop(name, None)


@dataclass(slots=True)
class Time:
    """A clock that moves only when somebody sleeps."""

    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True, slots=True)
class Run:
    """What came of running the program."""

    status: int
    out: str
    err: str


@pytest.fixture
def launch(
    module: Callable[[str], Any],
    google: Google,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Run]:
    """Run the program with its files; waiting takes no time."""
    program = module("launch")
    web, time = program.Web, Time()
    monkeypatch.setattr(program, "Web", lambda d: web(d, now=time.now, sleep=time.sleep))
    body = {"name": NAME, "labels": MARK, "metadata": {"items": [{"key": "a", "value": "b"}]}}
    specification = {"project": "acme", "zone": "z1", "instance": body}
    (tmp_path / "instance.json").write_text(json.dumps(specification))
    (tmp_path / "startup-script.sh").write_text("#!/bin/sh\necho ok\n")

    def run(*arguments: str) -> Run:
        status = program.main(
            [
                *("--specification", str(tmp_path / "instance.json")),
                *("--startup-script", str(tmp_path / "startup-script.sh")),
                *("--endpoint", google.url),
                *arguments,
            ]
        )
        printed = capsys.readouterr()
        return Run(status, printed.out, printed.err)

    return run


def form(request: Request) -> dict[str, str]:
    """The fields of a form that was posted."""
    return {key: values[0] for key, values in parse_qs(request.body.decode()).items()}
