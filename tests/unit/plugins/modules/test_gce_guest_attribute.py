# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what an instance says of itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    DeadlineError,
    NotFoundError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.modules import gce_guest_attribute

INSTANCE = "zones/z1/instances/a"
ATTRIBUTES = f"{INSTANCE}/getGuestAttributes"


@pytest.fixture
def instance(google: Any) -> Any:
    """An instance that has said nothing."""
    google.add(INSTANCE, id="1")
    return google


def wait(compute: Compute, **given: Any) -> dict[str, Any]:
    options = {
        "instance": "a",
        "zone": "z1",
        "key": "app/state",
        "pattern": ".*",
        "timeout": 60,
    }
    module: Any = SimpleNamespace(params={**options, **given}, check_mode=False)
    return gce_guest_attribute.run(module, compute)


def say(google: Any, value: str) -> None:
    item = {"namespace": "app", "key": "state", "value": value}
    google.resources[ATTRIBUTES] = {"queryPath": "app/state", "queryValue": {"items": [item]}}


def test_it_returns_the_value_and_changes_nothing(instance: Any, compute: Compute) -> None:
    say(instance, "ready\nat 5")
    assert wait(compute, pattern="ready.*") == {"changed": False, "value": "ready\nat 5"}
    assert instance.requests[-1].query == {"queryPath": "app/state"}


def test_it_waits_until_the_whole_value_matches(
    instance: Any, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter(["not yet ready", "ready"])
    monkeypatch.setattr(gce_guest_attribute.time, "sleep", lambda _: say(instance, next(values)))
    assert wait(compute, pattern="ready")["value"] == "ready"
    assert list(values) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [("busy", "'busy' after 0 s, not 'ready'$"), ("", "nothing after.*enable-guest-attributes")],
)
def test_the_deadline_tells_what_was_said_instead(
    instance: Any, compute: Compute, said: str, told: str
) -> None:
    if said:
        say(instance, said)
    with pytest.raises(DeadlineError, match=f"app/state of a is {told}"):
        wait(compute, pattern="ready", timeout=0)


def test_an_instance_that_is_missing_is_not_waited_for(google: Any, compute: Compute) -> None:
    with pytest.raises(NotFoundError, match="instances/a"):
        wait(compute)
    assert len(google.requests) == 1
