# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's end of the control socket, for tests of the playbooks alone.

It keeps no journal and has no tasks of its own: a task that goes out is a request and an archive,
one that comes home an archive that was delivered.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socketserver
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.burst_keeper.heartbeat import Heartbeat

Document = dict[str, Any]
COUNT = (
    "import pathlib, time\n"
    "path = pathlib.Path('count')\n"
    "n = int(path.read_text()) if path.exists() else 0\n"
    "while True:\n"
    "    n += 1\n"
    "    path.with_suffix('.new').write_text(str(n))\n"
    "    path.with_suffix('.new').rename(path)\n"
    "    print('count', n, flush=True)\n"
    "    time.sleep(0.05)\n"
)
"""A task: counts in a file, which is its checkpoint."""


@dataclass(slots=True)
class MonitorStandIn:
    """Answers plays.

    Attributes:
        folder: of the socket and the archives.
        move: the one that is not stale.
        direction: `out` or `home`.
        runs: number of the run of each task.
        asked: what was asked, without the answers of keepers.
        answers: what the keepers answered, by task.
        at: when each was asked, by (what, task).
        refusals: by (what, task), the error and its kind.
        skip: tasks that have ended meanwhile.
    """

    folder: Path
    move: int = 7
    direction: str = "out"
    runs: Mapping[str, int] = field(default_factory=lambda: {"Task 3": 3, "Task 4": 4})
    asked: list[Document] = field(default_factory=list)
    answers: dict[str, Document] = field(default_factory=dict)
    at: dict[tuple[str, str], float] = field(default_factory=dict)
    refusals: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    skip: set[str] = field(default_factory=set)
    checkpoint: bytes = b"41"
    padding: int = 0
    hearts: dict[str, Heartbeat] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "control.sock"

    @property
    def said(self) -> list[tuple[str, str]]:
        """What was asked, and for which task or VM."""
        return [(each["do"], each.get("task") or each["vm"]) for each in self.asked]

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Answer for as long as the block lasts."""
        monitor = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(
                    json.dumps(monitor.answer(json.loads(self.rfile.readline()))).encode()
                )

        self.socket.unlink(missing_ok=True)
        with socketserver.ThreadingUnixStreamServer(str(self.socket), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield
            finally:
                for heart in self.hearts.values():
                    heart.__exit__(None, None, None)
                server.shutdown()
                thread.join()

    def answer(self, request: Document) -> Document:
        """Answer one request."""
        what, about = request["do"], request.get("task") or request["vm"]
        self.at[what, about] = time.monotonic()
        self.asked.append({k: v for k, v in request.items() if k != "answer"})
        if request["move"] != self.move:
            return {
                "error": f"move {request['move']} is over: this play ends",
                "kind": "stale-move",
            }
        if (what, about) in self.refusals:
            error, kind = self.refusals[what, about]
            return {"error": error, "kind": kind}
        if what == "vm_ready" and about not in self.hearts:
            stream = [*request["ssh_command"], "sudo -n /usr/local/bin/cloudspill-burst stream"]
            self.hearts[about] = Heartbeat(stream).__enter__()
        if what == "handover":
            return self._hand_over(about)
        if what == "confirm":
            self.answers[about] = request["answer"]
        return {}

    def _hand_over(self, task: str) -> Document:
        if task in self.skip:
            return {"skip": f"{task} has ended"}
        run = self.runs[task]
        if self.direction == "home":
            request = {"do": "stop", "move": self.move, "run": run}
            return {"request": request, "deliver": str(self.delivered(task))}
        archive = self.folder / f"out-{run}.tar"
        archive.write_bytes(tar({"count": self.checkpoint, "padding": bytes(self.padding)}))
        return {"request": self._start(task, run, archive), "archive": str(archive)}

    def delivered(self, task: str) -> Path:
        """Where the checkpoint of a task comes home to."""
        return self.folder / f"home-{self.runs[task]}.tar"

    def _start(self, task: str, run: int, archive: Path) -> Document:
        return {
            "do": "start",
            "move": self.move,
            "run": run,
            "task": task,
            "slug": slug(task),
            "command": ["python3", "-u", "count.py"],
            "env": {},
            "checkpoint_paths": ["count", "padding"],
            "restart": "never",
            "stop_signal": "SIGTERM",
            "stop_grace": 5,
            "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        }

    def files(self) -> Path:
        """A tar with a folder for each task: the program that each runs."""
        path = self.folder / "files.tar"
        path.write_bytes(tar({f"{slug(task)}/count.py": COUNT.encode() for task in self.runs}))
        return path


def slug(task: str) -> str:
    """The folder of a task."""
    return task.lower().replace(" ", "-")


def tar(files: Mapping[str, bytes]) -> bytes:
    """An archive of files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def counted(archive: Path) -> int:
    """The count in a checkpoint."""
    with tarfile.open(archive) as opened:
        member = opened.extractfile("count")
        assert member is not None
        return int(member.read())
