# SPDX-License-Identifier: GPL-3.0-or-later
"""Several things done at once: one that fails does not leave the others to themselves."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cloudspill_sandbox.compute.together import all_ended


async def fails(error: Exception) -> None:
    raise error


async def test_a_failure_is_told_when_all_have_ended(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(0.01)
        ended.append("slow")

    with pytest.raises(ValueError, match="first"), caplog.at_level(logging.ERROR):
        await all_ended(fails(ValueError("first")), slow(), fails(KeyError("second")))
    assert ended == ["slow"]
    assert "second" in caplog.text
    assert "first" not in caplog.text


async def test_results_come_in_order() -> None:
    async def one(value: int) -> int:
        return value

    assert await all_ended(one(1), one(2)) == [1, 2]
