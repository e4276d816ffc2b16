# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper on a real machine: installed by its startup script, its tasks systemd's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cloudspill_sandbox.provision import guest_image
from cloudspill_sandbox.runtime.leftovers import sweep
from cloudspill_sandbox.settings import Settings
from tests.system.machine_lab import Instance, Lab
from tests.unit.burst_keeper.bench import contents, tar_of
from tests.unit.burst_keeper.heartbeat import Heartbeat

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

ROOT = Path(__file__).parents[2]
KEEPER = "sudo -n /usr/local/bin/cloudspill-burst"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(name="lab", state_root=tmp_path)
    yield settings
    sweep(settings)
    settings.run_dir.rmdir()


@pytest_asyncio.fixture
async def lab(settings: Settings) -> AsyncIterator[Lab]:
    image = await guest_image(Settings(), print)
    async with Lab(settings, image).running() as lab:
        yield lab


def startup_script(folder: Path, lease: float) -> str:
    """The startup script as the role renders it."""
    role = ROOT / "roles" / "burst_vm"
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "role_path": str(role),
                "burst_vm_controller": "c0ffee00",
                "burst_vm_lease": lease,
            },
            "tasks": [
                {
                    "ansible.builtin.template": {
                        "src": str(role / "templates" / "startup_script.sh.j2"),
                        "dest": str(folder / "startup.sh"),
                        "mode": "0600",
                    }
                }
            ],
        }
    ]
    (folder / "render.yml").write_text(json.dumps(play))
    ansible = str(Path(sys.executable).parent / "ansible-playbook")
    command = [ansible, "-i", "localhost,", "render.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "startup.sh").read_text()


class Machine:
    """A machine with a keeper.

    Attributes:
        seconds: what the last call took.
    """

    def __init__(self, lab: Lab, instance: Instance) -> None:
        self.lab, self.instance = lab, instance
        self.seconds = 0.0

    async def call(self, archive: bytes = b"", **request: Any) -> tuple[dict[str, Any], bytes]:
        """Ask the keeper as a play does."""
        line = json.dumps({**request, "archive": len(archive)}).encode() + b"\n"
        began = time.monotonic()
        done = await asyncio.to_thread(
            subprocess.run,
            self.lab.ssh(self.instance, f"{KEEPER} call"),
            input=line + archive,
            capture_output=True,
            check=False,
        )
        self.seconds = time.monotonic() - began
        answer, _, rest = done.stdout.partition(b"\n")
        assert answer, done.stderr
        document: dict[str, Any] = json.loads(answer)
        assert done.returncode == ("error" in document)
        return document, rest

    async def started(
        self, run: int, *command: str, refused: tuple[str | None, ...] = (None,), **fields: Any
    ) -> dict[str, Any]:
        """Start a task, T and the run's number."""
        name = f"T{run}"
        request = {"move": 1, "run": run, "task": name, "slug": name, "command": command, **fields}
        answer, _ = await self.call(do="start", **request)
        assert answer.get("kind") in refused, answer
        return answer

    async def runs(self) -> dict[int, dict[str, Any]]:
        """What the keeper says of each run."""
        status, _ = await self.call(do="status")
        return {run["run"]: run for run in status["runs"]}

    @contextlib.asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """The lease is kept alive as long as this is entered."""
        heart = Heartbeat(self.lab.ssh(self.instance, f"{KEEPER} stream"))
        await asyncio.to_thread(heart.__enter__)
        try:
            yield
        finally:
            await asyncio.to_thread(heart.__exit__, None, None, None)

    async def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        return await self.lab.run(self.instance, command)

    async def output(self, command: str) -> str:
        """Return what a command prints; it must succeed."""
        return await self.lab.output(self.instance, command)

    async def log(self, run: int) -> str:
        """Return what a run has printed."""
        return (await self.run(f"sudo cat /var/lib/cloudspill-burst/logs/{run}.log")).stdout

    async def until(self, run: int, state: str = "running", **least: float) -> dict[str, Any]:
        """Wait until a run has a state, and at least so much of something."""
        until = time.monotonic() + 60
        while True:
            told = (await self.runs())[run]
            if told["state"] == state and all(told[name] >= least[name] for name in least):
                return told
            assert time.monotonic() < until, told
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def machine(lab: Lab, tmp_path: Path) -> Machine:
    script = await asyncio.to_thread(startup_script, tmp_path, 60.0)
    vm = await lab.booted(1, startup_script=script, enable_guest_attributes="TRUE")
    machine = Machine(lab, vm)
    until = time.monotonic() + 60
    # ssh is there before the startup script is through.
    while (await machine.run("sudo -n test -S /run/cloudspill-burst/keeper.sock")).returncode:
        assert time.monotonic() < until, "no keeper"
    return machine


NASTY = {
    "QUOTES": """a "b" 'c' `d` $HOME ${HOME} \\n \\\\ %h %% #;""",
    "LINES": "one\ntwo\n\n  three  ",
    "EMPTY": "",
    "WIDE": "ä 漢字 🎈",
}


async def test_tasks_run_as_systemd_units_and_come_home(machine: Machine) -> None:
    async with machine.renewed():
        files = tar_of(**{"work.sh": b"#!/bin/sh\nid -un; pwd; cat count; exec sleep 600\n"})
        answer, _ = await machine.call(files, do="prepare", move=1, slug="T1")
        assert answer == {}
        start = {"move": 1, "run": 1, "task": "T1", "slug": "T1", "command": ["./work.sh"]}
        start["checkpoint_paths"] = ["count", "absent"]
        first, _ = await machine.call(tar_of(count=b"41\n"), do="start", **start)
        assert first["state"] == "running"
        again, _ = await machine.call(tar_of(count=b"41\n"), do="start", **start)
        assert again["pid"] == first["pid"]
        await machine.until(1, log_size=54)
        said = await machine.log(1)
        assert said.split() == ["cloudspill-task", "/var/lib/cloudspill-burst/tasks/T1", "41"]
        # Killed over nothing, the keeper is there again; so is the task, which noticed nothing.
        await machine.output("sudo systemctl kill -s KILL cloudspill-burst.service")
        assert (await machine.runs())[1]["pid"] == first["pid"]
        stopped, archive = await machine.call(do="stop", move=1, run=1)
        assert contents(archive) == {"count": b"41\n"}
        assert stopped["left_out"] == ["absent"]


async def test_variables_and_arguments_arrive_as_they_are(machine: Machine) -> None:
    program = "import json,os,sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
    words = ["$HOME", "${HOME}", "$$", "%h", "a b", "", "\\", '"', "--", "\n"]
    async with machine.renewed():
        await machine.started(2, "python3", "-c", program, *words, env=NASTY, restart="never")
        ended = await machine.until(2, state="ended")
        assert ended["exit_status"] == 0
        assert ended["sha256"]
    environment, arguments = json.loads(await machine.log(2))
    assert {name: environment[name] for name in NASTY} == NASTY
    assert arguments == words
    assert environment["CLOUDSPILL_TASK"] == "T2"


async def test_tasks_are_restarted_as_they_want_to_be(machine: Machine) -> None:
    async with machine.renewed():
        await machine.started(3, "sh", "-c", "while :; do :; done", restart="always")
        await machine.started(4, "sh", "-c", "exit 0", restart="always")
        await machine.started(5, "sh", "-c", "exit 3", restart="on-failure")
        await machine.started(6, "sh", "-c", "exit 3", restart="never")
        await machine.started(7, "sh", "-c", "kill -9 $$", restart="never")
        await machine.started(8, "sh", "-c", "exit 0", restart="on-failure")
        for run, status in ((6, 3), (7, -9), (8, 0)):
            assert (await machine.until(run, state="ended"))["exit_status"] == status
        busy = await machine.until(3, cpu_seconds=1.0)
        await machine.output(f"sudo kill -9 {busy['pid']}")
        assert (await machine.until(3, restarts=1))["cpu_seconds"] >= busy["cpu_seconds"]
        for run in (4, 5):
            assert (await machine.until(run, restarts=2))["state"] == "running"
            assert (await machine.call(do="stop", move=1, run=run))[0]["state"] == "stopped"
        units = await machine.output("systemctl list-units --all --no-legend 'cloudspill-task-*'")
        assert "auto-restart" not in units
        refused = await machine.started(9, "no-such-program", refused=("failed",))
        assert "this VM has no program 'no-such-program'" in refused["error"]
        await machine.output(
            "sudo sh -c 'printf x >/usr/local/bin/odd; chmod 755 /usr/local/bin/odd'"
        )
        await machine.started(10, "odd", restart="on-failure", refused=("failed",))
        assert not {9, 10} & set(await machine.runs())


async def test_what_a_task_left_behind_dies_with_it_and_one_that_will_not_stop_is_killed(
    machine: Machine,
) -> None:
    deaf = "trap '' TERM; while :; do sleep 1; done"
    stubborn = f"({deaf}) & {deaf}"
    async with machine.renewed():
        await machine.started(1, "sh", "-c", stubborn, stop_grace=1.0)
        before = time.monotonic()
        stopped, _ = await machine.call(do="stop", move=1, run=1)
        assert stopped["state"] == "stopped"
        assert time.monotonic() - before < 60  # it would never end by itself
        left = await machine.run("pgrep -u cloudspill-task")
        assert left.stdout == ""


async def test_at_the_end_of_its_lease_all_is_dead_and_no_reboot_changes_that(
    machine: Machine,
) -> None:
    configuration = '{"controller":"c0ffee00","lease":4.0,"initial_lease":60.0,"tick":0.2}'
    await machine.output(
        f"echo '{configuration}' | sudo tee /etc/cloudspill-burst.json >/dev/null &&"
        " sudo systemctl restart cloudspill-burst"
    )
    async with machine.renewed():
        await machine.started(1, "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    lost = time.monotonic()
    while (await machine.run("pgrep -u cloudspill-task")).stdout:
        assert time.monotonic() - lost < 40  # and not when a first lease, of 60 s, would end
    status, _ = await machine.call(do="status")
    assert status["lease"]["fenced"]
    assert (await machine.started(2, "sleep", "1", refused=("fenced",)))["error"]
    before = await machine.lab.log_in(machine.instance)
    await machine.run("sudo shutdown -r 0")
    await machine.lab.log_in(machine.instance, unlike_boot=before)
    rebooted, _ = await machine.call(do="status")
    assert rebooted["lease"]["fenced"]
    assert rebooted["boot_id"] != status["boot_id"]
    assert (await machine.run("pgrep -u cloudspill-task")).stdout == ""


async def test_a_login_ends_after_the_farewell(machine: Machine) -> None:
    """As logind would make it, which these machines do not run."""
    scope = "session-77.scope"
    command = f"sudo systemd-run --quiet --scope --unit={scope} systemctl show -p Before {scope}"
    assert "cloudspill-burst-farewell.service" in await machine.output(command)


async def test_the_startup_script_runs_again_without_disturbing_anything(
    machine: Machine,
) -> None:
    await machine.call(do="status")
    shown = "systemctl show -p MainPID cloudspill-burst"
    before = await machine.output(shown)
    await machine.output("sudo google_metadata_script_runner startup")
    assert await machine.output(shown) == before


async def test_figures_of_a_start_and_a_stop(
    machine: Machine, record_property: Callable[[str, object], None]
) -> None:
    script = (ROOT / "tests" / "system" / "keeper_figures.py").read_text()
    await machine.output(f"cat > /tmp/figures.py <<'end-of-script'\n{script}\nend-of-script")
    async with machine.renewed():
        took = json.loads(await machine.output("sudo python3 /tmp/figures.py"))
    shown = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in took.items())
    record_property("figure", f"keeper, called on the VM (median of 7): {shown}")
    assert took["start"] < 2.0
    assert took["stop"] < 2.0
