# SPDX-License-Identifier: GPL-3.0-or-later
"""Running playbooks: what they are given, what is left of them, and what the monitor hears."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudspill_monitor import procfs
from cloudspill_monitor.burst.failures import FailureKind
from cloudspill_monitor.burst.play_failure import PlayFailure
from cloudspill_monitor.burst.playbooks import AnsiblePlaybooks, PlayError

LIMIT = 60.0


class Stage:
    """A state directory, an inventory of this machine, and playbooks made of shell commands."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.said: list[str] = []
        self.inventory = directory / "hosts.yml"
        self.inventory.write_text(
            json.dumps(
                {
                    "all": {
                        "hosts": {"localhost": {}, "vm-1": {}, "vm-2": {}},
                        "vars": {
                            "ansible_connection": "local",
                            "ansible_python_interpreter": sys.executable,
                        },
                    }
                }
            )
        )
        self.playbooks = AnsiblePlaybooks(self.inventory, "c0ffee00", self.state, self.said.append)

    def play(self, *tasks: dict[str, Any], hosts: str = "localhost") -> str:
        path = self.directory / "play.yml"
        path.write_text(
            yaml.safe_dump([{"hosts": hosts, "gather_facts": False, "tasks": list(tasks)}])
        )
        return str(path)

    async def run(
        self, *tasks: dict[str, Any], hosts: str = "localhost", limit: float = LIMIT, **given: Any
    ) -> None:
        await self.playbooks.run(self.play(*tasks, hosts=hosts), 7, given, limit)

    async def failure(self, *tasks: dict[str, Any], **options: Any) -> PlayError:
        with pytest.raises(PlayError) as caught:
            await self.run(*tasks, **options)
        return caught.value

    def artefact(self, name: str) -> Path:
        (path,) = self.state.glob(f"ansible/artifacts/*/{name}")
        return path


def shell(script: str, name: str = "do it") -> dict[str, Any]:
    return {"name": name, "ansible.builtin.shell": script}


def fail(text: str, **options: Any) -> dict[str, Any]:
    return {"name": "fail", "ansible.builtin.fail": {"msg": text}, **options}


# A command that leaves one process in a session of its own, whose parent is gone.
FORSAKEN = "setsid sh -c 'echo $$ >> {pids}; exec sleep 600' </dev/null >/dev/null 2>&1 &"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - what it waits for is done by other processes
            await asyncio.sleep(0.02)


def alive(pids: Path) -> list[int]:
    return [s.pid for s in procfs.live(int(word) for word in pids.read_text().split())]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_a_playbook_is_given_what_it_needs(stage: Stage) -> None:
    out = stage.directory / "out"
    await stage.run(shell(f"env > {out}; echo {{{{ burst_move }}}} >> {out}"), burst_move=7)
    lines = out.read_text().splitlines()
    assert lines[-1] == "7"
    assert "CLOUDSPILL_MOVE=c0ffee00/7" in lines
    assert "CLOUDSPILL_FILTERS=labels.cloudspill-controller=c0ffee00" in lines
    assert "ANSIBLE_HOST_KEY_CHECKING=True" in lines
    assert f"HOME={os.environ['HOME']}" in lines


async def test_what_a_playbook_leaves_running_is_ended_also_after_success(stage: Stage) -> None:
    pids = stage.directory / "pids"
    await stage.run(shell(FORSAKEN.format(pids=pids) + f" until test -s {pids}; do :; done"))
    assert pids.read_text()
    assert alive(pids) == []


async def test_a_cancel_ends_everything_before_it_is_through(stage: Stage) -> None:
    pids = stage.directory / "pids"
    script = FORSAKEN.format(pids=pids) + f" echo $$ >> {pids}; exec sleep 600"
    running = asyncio.create_task(stage.run(shell(script)))
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    family = procfs.descendants(os.getpid())
    assert len(family) > 4  # the process around the play, ansible-playbook, a worker, the shell
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert alive(pids) == []
    assert procfs.live(member.pid for member in family) == []


async def test_a_second_cancel_does_not_cut_the_first_one_short(stage: Stage) -> None:
    pids = stage.directory / "pids"
    running = asyncio.create_task(stage.run(shell(f"echo $$ > {pids}; exec sleep 600")))
    await until(lambda: pids.exists() and bool(pids.read_text()))
    for _ in range(3):
        running.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert alive(pids) == []


@pytest.mark.slow
async def test_a_playbook_that_takes_too_long_is_ended(stage: Stage) -> None:
    pids = stage.directory / "pids"
    script = f"trap '' TERM HUP INT; echo $$ > {pids}; sleep 600; sleep 600"
    error = await stage.failure(shell(script, "wait for ever"), hosts="vm-1", limit=10.0)
    assert error.kind is FailureKind.TIMEOUT
    assert "was ended after 10 s, at: wait for ever (vm-1)" in error.text
    assert alive(pids) == []


async def test_the_loop_goes_on_while_a_playbook_runs_and_is_told_of_slow_steps(
    stage: Stage,
) -> None:
    running = asyncio.create_task(
        stage.run(shell("true", "quick"), shell("sleep 1.5", "slow"), hosts="vm-1")
    )
    longest = 0.0
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not running.done():
        before = loop.time()
        await asyncio.sleep(0.01)
        longest = max(longest, loop.time() - before)
    await running
    # A busy machine keeps everybody waiting now and then. Whoever waits for a play waits for all.
    assert longest < (loop.time() - began) / 2
    assert [words for words in stage.said if words.endswith(": slow (vm-1)")] == stage.said[-1:]


async def test_one_playbook_runs_at_a_time(stage: Stage) -> None:
    log = stage.directory / "log"
    script = f"echo begin >> {log}; sleep 0.3; echo end >> {log}"
    await asyncio.gather(stage.run(shell(script)), stage.run(shell(script)))
    assert log.read_text().split() == ["begin", "end"] * 2


async def test_nothing_secret_is_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "of-the-environment")
    await stage.run(shell("true"), burst_secret="of-the-variables")
    kept = [path for path in (stage.state / "ansible").rglob("*") if path.is_file()]
    assert stage.artefact("stdout") in kept
    for path in kept:
        assert "of-the-" not in path.read_text(), path
    assert stat.S_IMODE((stage.state / "ansible").stat().st_mode) == 0o700


async def test_the_output_of_the_last_plays_is_kept(stage: Stage) -> None:
    for number in range(12):
        (stage.state / "ansible" / "artifacts" / f"0-old.{number}").mkdir(parents=True)
    await stage.run(shell("true"))
    assert len(list((stage.state / "ansible" / "artifacts").iterdir())) == 10
    assert "do it" in stage.artefact("stdout").read_text()


async def test_the_sentence_of_the_failed_task_is_the_reason(stage: Stage) -> None:
    error = await stage.failure(fail("ZONE_RESOURCE_POOL_EXHAUSTED in us-west1-b: no room"))
    assert error.kind is FailureKind.STOCK_OUT
    assert error.text == str(error) == "ZONE_RESOURCE_POOL_EXHAUSTED in us-west1-b: no room"


async def test_a_failure_that_was_rescued_or_ignored_is_not_the_reason(stage: Stage) -> None:
    rescued = {"block": [fail("rescued")], "rescue": [shell("true")]}
    error = await stage.failure(rescued, fail("ignored", ignore_errors=True), fail("the reason"))
    assert error.text == "the reason"


async def test_a_rescue_may_say_it_better(stage: Stage) -> None:
    error = await stage.failure({"block": [fail("raw")], "rescue": [fail("in words: raw")]})
    assert error.text == "in words: raw"


async def test_of_several_hosts_the_first_is_quoted_and_the_others_counted(stage: Stage) -> None:
    error = await stage.failure(fail("no {{ inventory_hostname }}"), hosts="vm-1,vm-2")
    assert error.text in ("vm-1: no vm-1 (and 1 more host)", "vm-2: no vm-2 (and 1 more host)")


async def test_of_a_loop_the_first_failed_item_is_quoted(stage: Stage) -> None:
    error = await stage.failure(fail("item {{ item }}", loop=[1, 2]))
    assert error.text == "item 1"


async def test_what_is_hidden_stays_hidden(stage: Stage) -> None:
    error = await stage.failure(fail("the secret", no_log=True))
    assert "the secret" not in error.text
    assert "“fail” failed" in error.text


async def test_it_is_known_whether_the_cloud_was_asked_for_vms(stage: Stage) -> None:
    assert not (await stage.failure(fail("the project has no such account"))).asked
    asking = {"name": "make", "cloudspill.gcp.gce_instances": {}}
    assert (await stage.failure(asking)).asked
    assert (await stage.failure(shell("sleep 60"), limit=0.5)).asked  # it may have been


def test_where_events_are_lost_the_cloud_may_have_been_asked() -> None:
    failure, asked = PlayFailure(), []
    for event in (
        {"event": "verbose", "stdout": "[ERROR]: there is no inventory"},
        {"event": "verbose", "stdout": "PLAY [Have the VMs] *****"},
        {"event": "playbook_on_stats", "event_data": {}},
    ):
        failure.see(event)
        asked.append(failure.asked)
    failure.lose_sight()
    assert [*asked, failure.asked] == [False, True, False, True]


async def test_a_host_that_cannot_be_reached_is_an_ssh_failure(stage: Stage) -> None:
    address = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    gone = {"name": "add", "ansible.builtin.add_host": {"name": "gone", **address}}
    ping = {"name": "ping", "ansible.builtin.ping": {}, "delegate_to": "gone"}
    error = await stage.failure(gone, ping)
    assert error.kind is FailureKind.SSH_REFUSED
    assert "Connection refused" in error.text


async def test_an_inventory_that_cannot_be_read_is_a_failure(stage: Stage) -> None:
    stage.inventory.write_text("plugin: [not, yaml")
    error = await stage.failure(shell("true"))
    assert error.kind is FailureKind.INVENTORY
    assert "hosts.yml" in error.text


async def test_a_playbook_that_does_not_exist_is_a_failure(stage: Stage) -> None:
    with pytest.raises(PlayError, match=r"cloudspill\.gcp\.no_such could not be found"):
        await stage.playbooks.run("no_such", 7, {}, LIMIT)


async def test_a_state_directory_that_cannot_be_written_is_a_failure(stage: Stage) -> None:
    stage.state.write_text("a file")
    error = await stage.failure(shell("true"))
    assert "could not be run here" in error.text
