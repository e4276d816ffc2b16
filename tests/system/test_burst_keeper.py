# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper on a real machine: installed by its startup script, its tasks systemd's."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cloudspill_sandbox.provision import guest_image
from cloudspill_sandbox.runtime.leftovers import sweep
from cloudspill_sandbox.settings import Settings
from tests.system.machine_lab import Instance, Lab
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
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "render.yml"]
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

    async def started(self, run: int, *command: str, **fields: Any) -> dict[str, Any]:
        """Start a task, T and the run's number."""
        name = f"T{run}"
        request = {"move": 1, "run": run, "task": name, "slug": name, "command": command, **fields}
        answer, _ = await self.call(do="start", **request)
        return answer

    async def runs(self) -> dict[int, dict[str, Any]]:
        """What the keeper says of each run."""
        status, _ = await self.call(do="status")
        return {run["run"]: run for run in status["runs"]}

    async def until(self, run: int, **fields: Any) -> dict[str, Any]:
        """Wait until a run has fields of these values."""
        until = time.monotonic() + 20
        while True:
            told = (await self.runs())[run]
            if all(told[name] == value for name, value in fields.items()):
                return told
            assert time.monotonic() < until, told
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def machine(lab: Lab, tmp_path: Path) -> Machine:
    script = await asyncio.to_thread(startup_script, tmp_path, 60.0)
    vm = await lab.booted(1, startup_script=script, enable_guest_attributes="TRUE")
    return Machine(lab, vm)


def tar_of(files: dict[str, bytes]) -> bytes:
    """An archive of some files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def contents(packed: bytes) -> dict[str, bytes]:
    """The files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


NASTY = {
    "QUOTES": """a "b" 'c' `d` $HOME ${HOME} \\n \\\\ %h %% #;""",
    "LINES": "one\ntwo\n\n  three  ",
    "EMPTY": "",
    "WIDE": "ä 漢字 🎈",
}


async def test_tasks_run_as_systemd_units_and_come_home(machine: Machine) -> None:
    status, _ = await machine.call(do="status")
    assert status["runs"] == []
    stream = machine.lab.ssh(machine.instance, f"{KEEPER} stream")
    with Heartbeat(stream):
        files = tar_of({"work.sh": b"#!/bin/sh\nid -un; pwd; cat count; exec sleep 600\n"})
        answer, _ = await machine.call(files, do="prepare", move=1, slug="T1")
        assert answer == {}
        start = {"move": 1, "run": 1, "task": "T1", "slug": "T1", "command": ["./work.sh"]}
        start["checkpoint_paths"] = ["count", "absent"]
        answer, _ = await machine.call(tar_of({"count": b"41\n"}), do="start", **start)
        print("start", machine.seconds, answer)
        assert answer["state"] == "running"
        again, _ = await machine.call(tar_of({"count": b"41\n"}), do="start", **start)
        assert again["pid"] == answer["pid"]
        program = "import json,os,sys; print(json.dumps([dict(os.environ), sys.argv]))"
        words = ["$HOME", "${HOME}", "$$", "%h", "a b", "", "\\", '"']
        await machine.started(2, "python3", "-c", program, *words, env=NASTY, restart="never")
        ended = await machine.until(2, state="ended", exit_status=0)
        log = await machine.lab.output(
            machine.instance, "sudo cat /var/lib/cloudspill-burst/logs/2.log"
        )
        environment, arguments = json.loads(log)
        assert {name: environment[name] for name in NASTY} == NASTY
        assert arguments[1:] == words
        assert environment["CLOUDSPILL_TASK"] == "T2"
        assert ended["sha256"]
        log = await machine.lab.output(
            machine.instance, "sudo cat /var/lib/cloudspill-burst/logs/1.log"
        )
        assert log.split() == ["cloudspill-task", "/var/lib/cloudspill-burst/tasks/T1", "41"]
        await machine.started(3, "sh", "-c", "while :; do :; done", restart="always")
        await asyncio.sleep(1.5)
        busy = (await machine.runs())[3]
        print("busy", busy)
        await machine.lab.output(machine.instance, f"sudo kill -9 {busy['pid']}")
        restarted = await machine.until(3, restarts=1, state="running")
        await machine.lab.output(
            machine.instance, "sudo systemctl kill -s KILL cloudspill-burst.service"
        )
        assert {1, 2, 3} == set(await machine.runs())
        assert (await machine.runs())[1]["pid"] == answer["pid"]
        print("restarted", restarted)
        stopped, archive = await machine.call(do="stop", move=1, run=1)
        print("stop", machine.seconds, stopped)
        assert contents(archive) == {"count": b"41\n"}
        assert stopped["left_out"] == ["absent"]
        stopped, archive = await machine.call(do="stop", move=1, run=3)
        print("stop", machine.seconds, stopped)
        assert stopped["cpu_seconds"] > 0.5
        for number in range(4, 8):
            await machine.started(number, "sleep", "600")
            started = machine.seconds
            await machine.call(do="stop", move=1, run=number)
            print(f"start {started:.3f} s, stop {machine.seconds:.3f} s")
            await machine.call(do="status")
            print(f"status {machine.seconds:.3f} s")
    refused = await machine.started(9, "no-such-program")
    assert refused["kind"] == "failed"
    print(refused)
    print(await machine.lab.output(machine.instance, "journalctl -u cloudspill-burst -n 50 --no-pager; systemctl --version | head -1; systemd-analyze blame | head -5; systemctl show -p CPUUsageNSec cloudspill-burst"))
