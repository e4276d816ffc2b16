# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs that build a guest image say, and what a person is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.guest_image.steps import GuestImageError, reason, run_step

LONG_COMMAND = "E: env --unset=TMPDIR " + "apt-get --option=X=Y " * 150 + "failed"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            ["I: downloading", "E: Unable to locate package gti", LONG_COMMAND, "I: cleaning"],
            "E: Unable to locate package gti",
        ),
        (
            ["dpkg: error: writing: No space left on device", "E: mmdebstrap failed to run", ""],
            "dpkg: error: writing: No space left on device",
        ),
        (["x" * 3000], "x" * 300 + "…"),
        (["something", "went wrong", ""], "went wrong"),
        ([], "it did not say why"),
    ],
    ids=["apt", "full disk", "long", "plain", "silent"],
)
def test_a_failure_is_told_by_the_last_line_with_a_reason(said: list[str], told: str) -> None:
    assert reason(said) == told


async def test_the_log_has_everything_and_the_message_names_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "echo I: begin; echo E: no luck >&2; echo I: end; exit 3"
    with pytest.raises(GuestImageError) as failure:
        await run_step("a program", ["sh", "-c", script], log, print)
    assert str(failure.value) == f"a program failed: E: no luck (its log is {log})"
    assert log.read_text() == "I: begin\nE: no luck\nI: end\n"


async def test_a_log_that_cannot_be_written_does_not_fail_the_program() -> None:
    said: list[str] = []
    await run_step("a program", ["echo", "I: downloading packages"], Path("/dev/full"), said.append)
    assert said == ["Guest image: downloading packages"]


async def test_a_very_long_line_is_no_error(tmp_path: Path) -> None:
    script = "head -c 200000 /dev/zero | tr '\\0' x; echo"
    await run_step("a program", ["sh", "-c", script], tmp_path / "log", print)
    assert (tmp_path / "log").stat().st_size == 200001
