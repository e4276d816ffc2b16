# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are not told apart by their ids alone."""

from __future__ import annotations

import os
import subprocess

from cloudspill_sandbox.runtime.processes import ProcessId


def test_a_process_that_waits_to_be_reaped_has_ended() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        process = ProcessId.of(child.pid)
        assert process.exists()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process.exists()
    finally:
        child.kill()
        child.wait()


def test_another_process_with_the_same_id_is_not_it() -> None:
    assert not ProcessId(os.getpid(), ProcessId.of(os.getpid()).born + 1).exists()
