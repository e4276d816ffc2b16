# SPDX-License-Identifier: GPL-3.0-or-later
"""One lock for one sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cloudspill_sandbox.control import lock


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    refused = pytest.raises(lock.LockedError, match=f"pid {os.getpid()}")
    with lock.hold(path), refused, lock.hold(path):
        pass


def test_asking_does_not_take_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not lock.is_held(path)
    with lock.hold(path):
        assert lock.is_held(path)
    assert not lock.is_held(path)


def test_the_lock_can_be_taken_while_others_keep_asking(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            lock.is_held(path)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(50):
            with lock.hold(path):
                pass
    finally:
        stop.set()
        for asker in askers:
            asker.join()


def test_the_lock_is_free_after_its_block_and_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys, pathlib, time\n"
        "from cloudspill_sandbox.control import lock\n"
        "with lock.hold(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(lock.LockedError, match=f"pid {holder.pid}"), lock.hold(path):
            pass
        holder.kill()
    with lock.hold(path):
        assert path.read_text() == str(os.getpid())
    with lock.hold(path):
        assert path.exists()
