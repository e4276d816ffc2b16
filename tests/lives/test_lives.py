# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing acknowledged is lost, whenever the sandbox is killed: with machines in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lives.__main__ import free_port
from tests.lives.process import settings_below
from tests.lives.survival import figure, survived


@pytest.mark.parametrize(
    "kills", [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_kills_in_memory_lose_nothing(
    tmp_path: Path, kills: int, record_property: Callable[[str, object], None]
) -> None:
    result = survived(settings_below(tmp_path, "lives", free_port()), kills, 6, 0.8)
    assert result.acknowledged.total() > 10 * kills
    record_property("figure", figure(result))
