# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks when something is killed, what is found of them later, and the CPU time they use."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloudspill_monitor import procfs
from cloudspill_monitor.burst import leftovers
from cloudspill_monitor.burst.play_cpu import PlayCpu
from cloudspill_monitor.burst.playbooks import AnsiblePlaybooks, PlayError
from cloudspill_monitor.sampler import HostCpu, Sampler

CONTROLLER = "c0ffee01"
LIMIT = 60.0

# Runs a playbook as the monitor does, and nothing else.
MONITOR = """
import asyncio, sys
from pathlib import Path
from cloudspill_monitor.burst.playbooks import AnsiblePlaybooks
inventory, controller, state, playbook = sys.argv[1:]
playbooks = AnsiblePlaybooks(Path(inventory), controller, Path(state), print)
asyncio.run(playbooks.run(playbook, 7, {}, 600))
"""
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: leave one process in a session of its own, and wait for another
      ansible.builtin.shell: |
        setsid sleep 600 </dev/null >/dev/null 2>&1 &
        exec sleep 600
"""


def running_as(name: str, family: list[procfs.ProcessStat]) -> list[procfs.ProcessStat]:
    """Those of `family` that run the program or module `name`; the outermost first."""
    lines = ((s, procfs.command_line(s.pid).decode().split("\0")) for s in family)
    return [s for s, line in lines if any(word.split("/")[-1] == name for word in line)]


@dataclass
class Play:
    """A monitor with a playbook under way, whose two last processes sleep."""

    monitor: int

    def __post_init__(self) -> None:
        wait_for(lambda: len(running_as("sleep", procfs.descendants(self.monitor))) == 2)
        self.family = procfs.descendants(self.monitor)

    def process(self, name: str) -> int:
        return running_as(name, self.family)[0].pid

    def alive(self) -> list[int]:
        members = {(s.pid, s.start_ticks) for s in self.family}
        now = procfs.live(s.pid for s in self.family)
        return [s.pid for s in now if (s.pid, s.start_ticks) in members]


AROUND = "cloudspill_monitor.burst.play_process"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def write_playbook(directory: Path, text: str) -> tuple[Path, Path]:
    inventory, playbook = directory / "hosts.ini", directory / "play.yml"
    inventory.write_text(
        f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    )
    playbook.write_text(textwrap.dedent(text))
    return inventory, playbook


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs the playbook as the monitor does."""
    inventory, playbook = write_playbook(tmp_path, PLAYBOOK)
    process = subprocess.Popen(
        [sys.executable, "-c", MONITOR, inventory, CONTROLLER, tmp_path / "state", playbook]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        leftovers.end_leftovers(CONTROLLER)


def test_the_end_of_the_monitor_is_the_end_of_its_playbook(
    monitor: subprocess.Popen[bytes],
) -> None:
    play = Play(monitor.pid)
    monitor.kill()
    wait_for(lambda: not play.alive())


def test_what_outlived_monitor_and_play_is_found_and_ended(
    monitor: subprocess.Popen[bytes],
) -> None:
    play = Play(monitor.pid)
    monitor.send_signal(signal.SIGSTOP)  # or it would clean up after the other
    os.kill(play.process(AROUND), signal.SIGKILL)
    monitor.kill()
    monitor.wait()
    asleep = running_as("sleep", play.family)
    assert {stat.pid for stat in asleep} <= set(play.alive())
    ended = leftovers.end_leftovers(CONTROLLER)
    assert play.alive() == []
    assert {f"sleep ({stat.pid})" for stat in asleep} <= set(ended)
    assert leftovers.end_leftovers(CONTROLLER) == []


def test_what_other_controllers_began_is_left_alone() -> None:
    marked = {**os.environ, leftovers.MARK: leftovers.mark("c0ffee02", 1)}
    with subprocess.Popen(["sleep", "600"], env=marked) as other:
        try:
            assert leftovers.end_leftovers("c0ffee0") == []
            assert leftovers.end_leftovers("c0ffee01") == []
            assert other.poll() is None
            assert leftovers.end_leftovers("c0ffee02") == [f"sleep ({other.pid})"]
            assert other.wait() == -signal.SIGKILL
        finally:
            with suppress(ProcessLookupError):
                other.kill()


@pytest.mark.parametrize("victim", [AROUND, "ansible-playbook"])
async def test_a_killed_playbook_is_a_failure_and_leaves_nothing(
    tmp_path: Path, victim: str
) -> None:
    inventory, playbook = write_playbook(tmp_path, PLAYBOOK)
    playbooks = AnsiblePlaybooks(inventory, CONTROLLER, tmp_path / "state", print)
    running = asyncio.create_task(playbooks.run(str(playbook), 7, {}, LIMIT))
    play = await asyncio.to_thread(Play, os.getpid())
    os.kill(play.process(victim), signal.SIGKILL)
    with pytest.raises(PlayError, match="was killed"):
        await running
    assert play.alive() == []


async def test_cpu_of_a_playbook_is_no_load_even_of_processes_that_come_and_go(
    tmp_path: Path,
) -> None:
    burn = "import time\\nwhile time.process_time() < 0.8: pass"
    inventory, playbook = write_playbook(
        tmp_path,
        f"""
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: burn, once in a child of a child, and twice where no parent waits
              ansible.builtin.shell: |
                sh -c '"{sys.executable}" -c "$BURN"; true'
                for i in 1 2; do
                  (setsid sh -c '"{sys.executable}" -c "$BURN"; : > {tmp_path}/'$i </dev/null &)
                  until test -e {tmp_path}/$i; do sleep 0.02; done
                done
              environment: {{BURN: "{burn}"}}
        """,
    )
    playbooks = AnsiblePlaybooks(inventory, CONTROLLER, tmp_path / "state", print)
    assert playbooks.cpu.delta() == 0.0
    running = asyncio.create_task(playbooks.run(str(playbook), 7, {}, LIMIT))
    sampled = 0.0
    while not running.done():
        sampled += playbooks.cpu.delta()
        await asyncio.wait([running], timeout=1.0)
    await running
    total = sampled + playbooks.cpu.delta()
    assert total > 3 * 0.8
    assert sampled > 0.5 * total  # it is seen while it happens, not only afterwards
    assert playbooks.cpu.delta() == 0.0
    # All of it is known: what the kernel counted for this process's children is no more.
    usage = os.times()
    assert total <= usage.children_user + usage.children_system + 0.1


def test_cpu_of_a_playbook_is_subtracted_from_the_machine() -> None:
    cpu = PlayCpu()
    readings = iter([HostCpu(0.0, 0.0), HostCpu(3.0, 4.0)])
    sampler = Sampler((cpu,), lambda: next(readings), lambda: 0.0, cores=4)
    sampler.sample()
    cpu.begin(os.getpid())
    cpu.end(2.0)
    sample = sampler.sample()
    assert sample is not None
    assert (sample.cpu, sample.ignored) == (25.0, 50.0)


def test_cpu_time_that_a_look_counted_twice_is_not_counted_again() -> None:
    cpu = PlayCpu()
    cpu.begin(os.getpid())
    cpu.end(2.0)
    cpu.begin(os.getpid())
    assert cpu.delta() >= 2.0
    cpu.end(0.0)  # less than was seen
    assert cpu.delta() == 0.0
