# SPDX-License-Identifier: GPL-3.0-or-later
"""A full disk is a machine's alone: tests/system/test_faults.py has the rest."""

from __future__ import annotations

import os

import pytest

from cloudspill_sandbox.runtime import full_disk
from cloudspill_sandbox.runtime.interface import MachineError
from cloudspill_sandbox.runtime.processes import ProcessId


def test_the_mounts_of_a_process_that_has_an_ended_init_s_id_are_not_entered() -> None:
    later = ProcessId.of(os.getpid())
    init = ProcessId(later.pid, later.born - 1)
    with pytest.raises(MachineError, match="it has ended"):
        full_disk.empty(init)
