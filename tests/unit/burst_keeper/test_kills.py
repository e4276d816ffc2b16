# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of the keeper at each of its effects: the next one finishes what it had begun.

A real keeper and real processes; the story is a prepare, a start, a stop and a release, each
asked for again when the keeper died over it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.unit.burst_keeper.bench import contents, tar_of
from tests.unit.burst_keeper.heartbeat import Heartbeat
from tests.unit.burst_keeper.local_vm import LocalVm

_SIDE_BY_SIDE = 4
_FEWEST = 12
"""Effects of a start, a stop and a release, at the least: else this test tests nothing."""


class Story:
    """One VM, on which the keeper dies at an effect, and is followed by one that does not."""

    def __init__(self, folder: Path, kill_at: int) -> None:
        self.vm = LocalVm(folder, lease=30.0, tick=0.1)
        self._kill_at = self.vm.folder / "kill-at"
        self._kill_at.write_text(str(kill_at))
        self._over = False
        self._watch = threading.Thread(target=self._start_again)
        self.deaths = 0

    def __enter__(self) -> Story:
        self.vm.boot()
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.vm.kill_keeper()
        self._watch.join()
        self.vm.destroy()

    def _start_again(self) -> None:
        """As systemd does."""
        self.vm.wait()
        if not self._over:
            self.deaths += 1
            self._kill_at.unlink()
            self.vm.boot()

    def call(self, archive: bytes = b"", **request: Any) -> tuple[dict[str, Any], bytes]:
        line = json.dumps({**request, "archive": len(archive)}).encode() + b"\n"
        for _ in range(3):
            done = subprocess.run(
                [*self.vm.ssh_command, "call"],
                input=line + archive,
                capture_output=True,
                check=False,
            )
            answer, _, rest = done.stdout.partition(b"\n")
            if answer:
                return json.loads(answer), rest
        raise AssertionError((self.vm.folder / "keeper.log").read_text())

    def release(self, run: int) -> dict[str, Any]:
        request = json.dumps({"id": 1, "do": "release", "run": run}).encode() + b"\n"
        for _ in range(3):
            with subprocess.Popen(
                [*self.vm.ssh_command, "stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as stream:
                assert stream.stdin is not None
                assert stream.stdout is not None
                stream.stdin.write(request)
                stream.stdin.flush()
                answers = (json.loads(line) for line in stream.stdout)
                answer = next((line for line in answers if line.get("id") == 1), None)
                stream.kill()
            if answer is not None:
                released: dict[str, Any] = answer["ok"]
                return released
        raise AssertionError((self.vm.folder / "keeper.log").read_text())


def tell(folder: Path, kill_at: int) -> int:
    """Live through the story; return how often the keeper was killed in it."""
    story = Story(folder, kill_at)
    marks = folder / "marks"
    checkpoint = tar_of(count=b"41")
    start = {"do": "start", "move": 1, "run": 7, "task": "T", "slug": "T", "env": {}}
    program = f"#!/bin/sh\necho $$ >> {marks}; echo 42 > count; exec sleep 600\n"
    files = tar_of(program=program.encode())
    start["command"] = ["./program"]
    start.update(checkpoint_paths=["count"], sha256=hashlib.sha256(checkpoint).hexdigest())
    with story:
        with Heartbeat([*story.vm.ssh_command, "stream"]):
            story.call(files, do="prepare", move=1, slug="T")
            started, _ = story.call(checkpoint, **start)
        assert started["state"] == "running"
        until = time.monotonic() + 60
        while not (marks.exists() and marks.read_text()):
            assert time.monotonic() < until
            time.sleep(0.01)
        stopped, archive = story.call(do="stop", move=1, run=7)
        assert stopped["state"] == "stopped"
        assert contents(archive) == {"count": b"42\n"}
        assert hashlib.sha256(archive).hexdigest() == stopped["sha256"]
        assert story.release(7)["state"] == "released"
        status, _ = story.call(do="status")
        assert status["runs"] == []
        pids = marks.read_text().split()
        assert len(pids) == 1, "the task was started more than once"
        assert not Path("/proc", pids[0]).exists()
        for name in ("archives", "logs", "tasks", "staging", "incoming"):
            assert list((folder / "disk" / name).iterdir()) == [], name
    return story.deaths


def test_a_keeper_that_is_killed_at_any_effect_is_followed_by_one_that_finishes(
    tmp_path: Path,
) -> None:
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for first in range(1, 100, _SIDE_BY_SIDE):
            batch = range(first, first + _SIDE_BY_SIDE)
            stories = [pool.submit(tell, tmp_path / str(effect), effect) for effect in batch]
            deaths = [story.result() for story in stories]
            if 0 in deaths:  # the whole story has fewer effects
                break
    assert first + deaths.index(0) > _FEWEST
