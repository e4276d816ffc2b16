# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's documents, read once."""

from __future__ import annotations

import pytest

from cloudspill_sandbox.engine.discovery import Api, load_api


@pytest.fixture(scope="session")
def compute() -> Api:
    return load_api("compute", "v1")
