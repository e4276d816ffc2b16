# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor is killed while tasks move to a VM that exists, around each commit of its journal."""

from __future__ import annotations

import pytest

from tests.burst import killing
from tests.burst.bench import Bench


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("instant", killing.instants(killing.AGAIN, killing.END))
def test_a_killed_monitor_loses_nothing(bench: Bench, instant: str) -> None:
    killing.survives(bench, instant)
