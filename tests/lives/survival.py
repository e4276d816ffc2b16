# SPDX-License-Identifier: GPL-3.0-or-later
"""A course of kills that nothing acknowledged may be lost in."""

from __future__ import annotations

from cloudspill_sandbox.settings import Settings
from tests.lives.course import Course, Result
from tests.lives.process import SandboxProcess

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


def figure(result: Result) -> str:
    """Tell a course in one line."""
    return (
        f"{result.kills.total()} kills (seed {SEED}): {result.acknowledged.total()} calls "
        f"acknowledged, {len(result.wrong)} lost; machines went on {result.adopted} times"
    )
