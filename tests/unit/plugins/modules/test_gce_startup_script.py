# SPDX-License-Identifier: GPL-3.0-or-later
"""Following an attempt of a startup script."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import CloudError
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.modules import gce_startup_script
from ansible_collections.cloudspill.gcp.plugins.modules.gce_startup_script import Follower

INSTANCE = "zones/z1/instances/launcher-1"
EARLIER = (
    "runner: startup-script: cloudspill: STARTED 1\n"
    "runner: startup-script: cloudspill: FAILED 1: could not make the instance\n"
)


@pytest.fixture
def running(google: Any) -> Any:
    """A running instance whose script has failed once before."""
    google.add(INSTANCE, status="RUNNING")
    google.add(f"{INSTANCE}/serialPort", contents=EARLIER, next=str(len(EARLIER)))
    return google


@pytest.fixture
def told() -> list[str]:
    """The lines of progress."""
    return []


@pytest.fixture
def follow(compute: Compute, time: Any, told: list[str]) -> Any:
    """Make a follower of the attempt 2."""
    options = {"instance": "launcher-1", "zone": "z1", "attempt": "2", "timeout": 60}
    return Follower(compute, options, report=told.append, now=time.now, sleep=time.sleep)


def write(google: Any, *lines: str) -> None:
    """Write on the serial console."""
    google.resources[f"{INSTANCE}/serialPort"]["contents"] = "".join(
        f"runner: startup-script: {line}\n" for line in lines
    )


def test_the_attempt_s_lines_are_told_until_it_is_ready(
    running: Any, follow: Follower, told: list[str]
) -> None:
    said = ["STARTED 2", "verified", "READY 2 ok"]
    write(running, "noise", *(f"cloudspill: {line}" for line in said))
    assert follow.wait() == "cloudspill: READY 2 ok"
    assert told == [f"launcher-1: {line}" for line in said]


def test_earlier_attempts_do_not_count(
    running: Any, follow: Follower, told: list[str], time: Any
) -> None:
    with pytest.raises(CloudError, match="did not end within 60 s; it last said `nothing`"):
        follow.wait()
    assert told == []
    assert time.seconds >= 60


def test_an_attempt_that_only_begins_with_the_same_word_does_not_count(
    running: Any, follow: Follower
) -> None:
    write(running, "cloudspill: READY 20 ok", "cloudspill: READY 2-b", "cloudspill: READY 2.5Z")
    with pytest.raises(CloudError, match="last said `nothing`"):
        follow.wait()


def test_a_failure_ends_the_wait_with_its_reason(running: Any, follow: Follower, time: Any) -> None:
    write(running, "cloudspill: STARTED 2", "cloudspill: FAILED 2: could not verify a: wrong sum")
    with pytest.raises(CloudError, match=r"launcher-1 failed; it says `.*could not verify a"):
        follow.wait()
    assert time.seconds == 0


def test_a_line_that_is_still_being_written_is_waited_for(
    running: Any, follow: Follower, told: list[str], time: Any
) -> None:
    port = running.resources[f"{INSTANCE}/serialPort"]
    port["contents"] = "cloudspill: STARTED 2\ncloudspill: FAILED 2: could"
    whole = iter([" not fetch b\n"])
    sleep = time.sleep

    def write_the_rest(seconds: float) -> None:
        sleep(seconds)
        port["contents"] = next(whole, "")

    follow._sleep = write_the_rest
    with pytest.raises(CloudError, match="could not fetch b`"):
        follow.wait()
    assert told[-1] == "launcher-1: FAILED 2: could not fetch b"


def test_an_instance_that_stops_ends_the_wait(running: Any, follow: Follower) -> None:
    running.resources[INSTANCE]["status"] = "TERMINATED"
    with pytest.raises(CloudError, match="the instance launcher-1 is TERMINATED"):
        follow.wait()


def test_what_was_ready_before_the_instance_stopped_is_ready(
    running: Any, follow: Follower
) -> None:
    running.resources[INSTANCE]["status"] = "TERMINATED"
    write(running, "cloudspill: STARTED 2", "cloudspill: READY 2 changed")
    assert follow.wait() == "cloudspill: READY 2 changed"


def module(**options: Any) -> Any:
    given = {"instance": "launcher-1", "zone": "z1", "attempt": "2", "timeout": 60}
    more = {"reset": False, "log_lines": 1, "progress_file": None}
    params = given | more | options
    return SimpleNamespace(params=params, check_mode=params.pop("check_mode", False))


def test_a_reset_comes_first_and_is_a_change(running: Any, compute: Compute) -> None:
    write(running, "cloudspill: STARTED 2", "cloudspill: READY 2 changed")
    result = gce_startup_script.run(module(reset=True), compute)
    assert result["changed"]
    assert result["said"] == "cloudspill: READY 2 changed"
    assert running.requests[0].path == f"/projects/acme/{INSTANCE}/reset"
    assert not gce_startup_script.run(module(), compute)["changed"]


def test_check_mode_resets_nothing_and_waits_for_nothing(running: Any, compute: Compute) -> None:
    assert gce_startup_script.run(module(reset=True, check_mode=True), compute)["changed"]
    assert running.requests == []


def test_a_failure_returns_the_last_lines_of_the_log(running: Any, compute: Compute) -> None:
    write(running, "cloudspill: STARTED 2", "cloudspill: FAILED 2: no", "shutting down")
    result = gce_startup_script.run(module(), compute)
    assert "FAILED 2: no" in result["msg"]
    assert result["log"] == ["runner: startup-script: shutting down"]


def test_progress_goes_to_the_file(running: Any, compute: Compute, tmp_path: Any) -> None:
    write(running, "cloudspill: STARTED 2", "cloudspill: READY 2 changed")
    gce_startup_script.run(module(progress_file=str(tmp_path / "p")), compute)
    assert (tmp_path / "p").read_text().splitlines()[0] == "launcher-1: STARTED 2"
