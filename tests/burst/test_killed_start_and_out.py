# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor is killed before and while tasks move out, around each commit of its journal."""

from __future__ import annotations

import pytest

from tests.burst import killing
from tests.burst.bench import Bench


@pytest.mark.slow
@pytest.mark.parametrize("instant", killing.instants(0, killing.HOME))
def test_a_killed_monitor_loses_nothing(bench: Bench, instant: str) -> None:
    killing.survives(bench, instant)
