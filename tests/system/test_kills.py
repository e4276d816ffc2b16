# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing acknowledged is lost, whenever the sandbox is killed: with real machines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from cloudspill_sandbox.settings import Settings
from tests.lives.__main__ import free_port
from tests.lives.survival import figure, survived

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.exhaustive,
    pytest.mark.timeout(900),
]


def test_kills_with_real_machines_lose_nothing(
    record_property: Callable[[str, object], None],
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: the sandbox makes namespaces and mounts")
    settings = Settings(name="lives", port=free_port())
    try:
        result = survived(settings, kills=20, clients=3, longest=3.0)
    finally:
        shutil.rmtree(settings.state_dir, ignore_errors=True)
    assert result.adopted > 0
    record_property("figure", figure(result))
