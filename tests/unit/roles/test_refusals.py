# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles refuse: one sentence, before anything is made or asked for."""

from __future__ import annotations

from .conftest import Run


def test_a_refusal_is_its_sentence_and_nothing_of_how_it_was_found(play: Run) -> None:
    done = play("teardown.yml", cloudspill_run="My Run")
    assert done.returncode != 0
    assert '"msg": "set cloudspill_run (My Run) and cloudspill_owner (unknown) to' in done.stdout
    for noise in ("assertion", "evaluated_to", "__teardown_unmet"):
        assert noise not in done.stdout + done.stderr
