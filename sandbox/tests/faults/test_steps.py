# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of operations are named after methods: a fault of a method finds its steps by that."""

from __future__ import annotations

import re
from pathlib import Path

from cloudspill_sandbox import compute
from cloudspill_sandbox.compute.latency_times import STEPS
from cloudspill_sandbox.engine.discovery import load_api

SOURCES = "".join(path.read_text() for path in Path(compute.__path__[0]).rglob("*.py"))


def test_every_step_is_one_of_a_method() -> None:
    methods = load_api("compute", "v1").methods
    steps = {*STEPS, *re.findall(r'Step\("([^"]+)"', SOURCES)}
    assert "instances.insert.boot" in steps
    assert {step for step in steps if f"compute.{step.rpartition('.')[0]}" not in methods} == set()
