# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/faults.md against the kinds that there are."""

from __future__ import annotations

import re
from pathlib import Path

from cloudspill_sandbox.faults.kinds import KINDS

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"
OF_ALL = {"match", "zone", "count"}


def test_the_page_lists_every_kind_with_its_options() -> None:
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \| .* \|([^|]*)\|$", PAGE.read_text())
    listed = {kind: set(re.findall(r"`([a-z]+)`", options)) for kind, options in rows}
    assert listed.keys() == KINDS.keys()
    for kind in KINDS.values():
        values = {"before", "host"}  # defaults stand in brackets
        assert listed[kind.name] - values == set(kind.options) - OF_ALL, kind.name
