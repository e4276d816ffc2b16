# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a page: it comes, it never comes, or the instance says that it will not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import CloudError
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.modules import gce_wait_for
from ansible_collections.cloudspill.gcp.plugins.modules.gce_wait_for import Answer, Watch

INSTANCE = "zones/z/instances/a"
OPTIONS = {
    "instance": "a",
    "zone": "z",
    "port": 5000,
    "path": "/",
    "status_code": 200,
    "failed_pattern": r"cloudspill: FAILED\b.*",
    "ready_pattern": r"cloudspill: (STARTED|READY)\b.*",
    "timeout": 60,
}


@pytest.fixture
def instance(google: Any) -> Any:
    """A running instance with an external address and an empty console."""
    interface = {"networkIP": "10.0.0.2", "accessConfigs": [{"natIP": "198.51.100.7"}]}
    google.resources[f"{INSTANCE}/serialPort"] = {"contents": "", "next": "0"}
    return google.add(INSTANCE, status="RUNNING", networkInterfaces=[interface])


@pytest.fixture
def watch(compute: Compute, time: Any) -> Callable[[list[Answer]], Watch]:
    """Make a watch whose page gives these answers, the last one for ever."""

    def make(answers: list[Answer]) -> Watch:
        remaining = iter(answers)
        last = answers[-1]
        return Watch(
            compute,
            OPTIONS,
            ask=lambda _url: next(remaining, last),
            now=time.now,
            sleep=time.sleep,
        )

    return make


def say(google: Any, text: str) -> None:
    google.resources[f"{INSTANCE}/serialPort"] = {"contents": text, "next": str(len(text))}


REFUSED = Answer(0, "the connection is refused")
FOUND = Answer(200, "HTTP 200")


def test_the_page_is_asked_for_at_the_external_address(
    instance: Any, watch: Callable[[list[Answer]], Watch]
) -> None:
    assert watch([FOUND]).url == "http://198.51.100.7:5000/"


def test_an_instance_without_an_external_address_is_asked_inside(
    instance: Any, watch: Callable[[list[Answer]], Watch]
) -> None:
    del instance["networkInterfaces"][0]["accessConfigs"]
    assert watch([FOUND]).url == "http://10.0.0.2:5000/"


def test_an_instance_without_any_address_is_an_error(
    google: Any, watch: Callable[[list[Answer]], Watch]
) -> None:
    google.add(INSTANCE, status="TERMINATED")
    with pytest.raises(CloudError, match="start it"):
        watch([FOUND])


def test_a_page_that_comes_late_ends_the_wait(
    instance: Any, time: Any, watch: Callable[[list[Answer]], Watch]
) -> None:
    assert watch([REFUSED] * 8 + [FOUND]).wait() == ""
    assert 1.5 < time.seconds < 3


def test_a_script_that_fails_ends_the_wait_at_once_with_its_words(
    google: Any, instance: Any, time: Any, watch: Callable[[list[Answer]], Watch]
) -> None:
    say(google, "boot\nagent: cloudspill: STARTED\nagent: cloudspill: FAILED to clone x (128)\n")
    watching = watch([REFUSED])
    assert watching.wait() == (
        "the startup script of a failed; it says `cloudspill: FAILED to clone x (128)`"
    )
    assert time.seconds < 2
    assert watching.serial.lines[0] == "boot"


def test_a_failure_of_an_earlier_boot_does_not_count(
    google: Any, instance: Any, watch: Callable[[list[Answer]], Watch]
) -> None:
    say(google, "cloudspill: FAILED to clone x\nboot\ncloudspill: STARTED\n")
    assert watch([REFUSED] * 20 + [FOUND]).wait() == ""


def test_an_instance_that_stops_ends_the_wait(
    instance: Any, watch: Callable[[list[Answer]], Watch]
) -> None:
    instance["status"] = "TERMINATED"
    assert watch([REFUSED]).wait() == "the instance a is TERMINATED"


def test_a_page_that_never_comes_is_reported_with_all_that_is_known(
    google: Any, instance: Any, watch: Callable[[list[Answer]], Watch]
) -> None:
    say(google, "cloudspill: READY changed\n")
    assert watch([Answer(500, "HTTP 500")]).wait() == (
        "http://198.51.100.7:5000/ did not answer 200 within 60 s: HTTP 500; "
        "the startup script last said `cloudspill: READY changed`"
    )


def test_a_port_where_nothing_listens_is_refused() -> None:
    assert gce_wait_for.ask("http://127.0.0.1:9/") == REFUSED
