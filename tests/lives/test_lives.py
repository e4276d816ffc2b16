# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing acknowledged is lost, whenever the sandbox is killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudspill_sandbox.settings import Settings
from tests.lives.__main__ import free_port
from tests.lives.course import Course, Result
from tests.lives.process import SandboxProcess, settings_below

SEED = 20260101


def survived(settings: Settings, kills: int, clients: int, longest: float) -> Result:
    """Run a course and check it; whatever was started is ended."""
    process = SandboxProcess(settings)
    try:
        course = Course(process, seed=SEED, clients=clients, longest=longest)
        result = course.run(kills, lambda _: None)
    finally:
        process.kill()
    assert result.wrong == []
    assert result.kills.total() == kills
    return result


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[Result], None]:
    """Tell the figures of a course, also when the test passes."""

    def tell(result: Result) -> None:
        record_property(
            "figure",
            f"{result.kills.total()} kills (seed {SEED}): {result.acknowledged.total()} calls "
            f"acknowledged, {len(result.wrong)} lost; machines went on {result.adopted} times",
        )

    return tell


@pytest.mark.parametrize(
    "kills", [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_kills_in_memory_lose_nothing(
    tmp_path: Path, kills: int, told: Callable[[Result], None]
) -> None:
    result = survived(settings_below(tmp_path, "lives", free_port()), kills, 6, 0.8)
    assert result.acknowledged.total() > 10 * kills
    told(result)


@pytest.mark.sandbox
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_with_real_machines_lose_nothing(told: Callable[[Result], None]) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: the sandbox makes namespaces and mounts")
    settings = Settings(name="lives", port=free_port())
    try:
        result = survived(settings, kills=20, clients=3, longest=3.0)
    finally:
        shutil.rmtree(settings.state_dir, ignore_errors=True)
    assert result.adopted > 0
    told(result)
