# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in which the monitor runs playbooks: one at a time, with an end that is an end.

A playbook runs in a process of its own (:mod:`play_process`, where ansible-runner is). When
:meth:`AnsiblePlaybooks.run` returns or raises, also by cancellation, nothing that the play began
lives on: that process has ended its descendants, and what carries the play's mark is looked for
once more.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from cloudspill_monitor.burst import leftovers
from cloudspill_monitor.burst.failures import FailureKind, classify
from cloudspill_monitor.burst.play_cpu import PlayCpu
from cloudspill_monitor.burst.play_job import End, Job, Step

_COLLECTION = "cloudspill.gcp"
_SLOW = 1.0  # seconds after which a step is worth a word
_PATIENCE = 5.0  # seconds for the process around a play to end it
# What a checkout's ansible.cfg sets, for playbooks that are run from anywhere.
_ANSIBLE = {
    "ANSIBLE_FORKS": "20",
    "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner would turn it off
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_LOCALHOST_WARNING": "False",
    "ANSIBLE_NOCOLOR": "True",
    "ANSIBLE_PIPELINING": "True",
    "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
}


class PlayError(Exception):
    """A playbook failed; the message is the sentence of what failed, `kind` what it amounts to.

    `asked` is False where it is sure that the cloud was not asked for VMs.
    """

    def __init__(self, kind: FailureKind, text: str, *, asked: bool = True) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.asked = asked

    def taken(self, name: str) -> bool:
        """Whether a stranger's VM has this very name, not a longer one."""
        about = re.search(rf"{re.escape(name)}\b", self.text)
        return self.kind is FailureKind.NAME_TAKEN and about is not None


class Playbooks(Protocol):
    """Runs playbooks of the collection."""

    async def run(
        self,
        playbook: str,
        move: int,
        variables: dict[str, Any],
        timeout: float,  # noqa: ASYNC109 - also what ends it is this class's business
    ) -> None:
        """Run `playbook` for `move` within `timeout` seconds. Raises PlayError."""
        ...


class AnsiblePlaybooks:
    """Runs playbooks by ansible-runner against `inventory`, which is what `controller` made.

    `progress` is told of steps that take longer than a second, in words. :attr:`cpu` is what plays
    use, for the sampler.
    """

    def __init__(
        self,
        inventory: Path,
        controller: str,
        state_dir: Path,
        progress: Callable[[str], None],
    ) -> None:
        self._inventory = inventory
        self._controller = controller
        self._directory = state_dir / "ansible"
        self._complaints = self._directory / "stderr"
        self._progress = progress
        self._turn = asyncio.Lock()
        self.cpu = PlayCpu()

    async def run(
        self,
        playbook: str,
        move: int,
        variables: dict[str, Any],
        timeout: float,  # noqa: ASYNC109 - also what ends it is this class's business
    ) -> None:
        """Run `playbook` (a name of the collection, or whatever ansible-playbook takes).

        Waits until an earlier one has ended. Raises PlayError.
        """
        async with self._turn:
            await self._run(playbook, move, variables, timeout)

    async def _run(self, playbook: str, move: int, variables: dict[str, Any], limit: float) -> None:
        told = _Steps(playbook, self._progress)
        try:
            process = await self._start(playbook, move, variables)
        except OSError as error:
            text = f"the playbook {playbook} could not be run here: {error}"
            raise PlayError(classify(text), text, asked=False) from error
        end: End | None = None
        try:
            async with asyncio.timeout(limit):
                end = await _follow(process, told)
        except TimeoutError as error:
            text = f"{playbook} was ended after {limit:g} s{told.where()}"
            raise PlayError(FailureKind.TIMEOUT, text) from error
        finally:
            await _to_its_end(self._end(process))
            self.cpu.end(None if end is None else end.cpu)
        if end is None:
            raise PlayError(FailureKind.PLAYBOOK, f"{playbook} was killed{self._last_words()}")
        if end.failure is not None:
            kind = FailureKind.SSH_REFUSED if end.unreachable else classify(end.failure)
            raise PlayError(kind, end.failure, asked=end.asked)

    async def _start(self, playbook: str, move: int, variables: dict[str, Any]) -> Process:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._directory / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)  # what a play that was killed left
        job = Job(
            playbook=playbook if "." in playbook else f"{_COLLECTION}.{playbook}",
            inventory=str(self._inventory),
            program=ansible_playbook(),
            directory=str(self._directory),
            ident=_ident(self._directory / "artifacts", move, playbook),
            variables=variables,
        )
        environment = {
            **_ANSIBLE,
            **os.environ,
            "ANSIBLE_LOCAL_TEMP": str(temporary),
            "CLOUDSPILL_FILTERS": f"labels.cloudspill-controller={self._controller}",
            leftovers.MARK: leftovers.mark(self._controller, move),
        }
        with self._complaints.open("wb") as complaints:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the working directory is no place to import from
                "-m",
                "cloudspill_monitor.burst.play_process",
                stdin=PIPE,
                stdout=PIPE,
                stderr=complaints,
                env=environment,
                cwd=self._directory,
                start_new_session=True,  # Ctrl-C is the monitor's to hear
            )
        self.cpu.begin(process.pid)
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        return process

    async def _end(self, process: Process) -> None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        try:
            await asyncio.to_thread(leftovers.end_leftovers, self._controller)
        except leftovers.LeftoverError as error:
            raise PlayError(FailureKind.PLAYBOOK, str(error)) from error

    def _last_words(self) -> str:
        lines = self._complaints.read_text(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


class _Steps:
    """Which hosts are at which task, told in words when they stay there for long."""

    def __init__(self, playbook: str, progress: Callable[[str], None]) -> None:
        self._playbook = playbook
        self._progress = progress
        self._task = ""
        self._hosts: dict[str, None] = {}
        self._told = True

    def begin(self, step: Step) -> None:
        """A host begins a task."""
        if step.task != self._task:
            self._task, self._hosts, self._told = step.task, {}, False
        if step.host != "localhost":
            self._hosts[step.host] = None

    def tell(self) -> None:
        """Say where the play is, once for each task."""
        if not self._told:
            self._progress(f"{self._playbook}: {self._words()}")
            self._told = True

    def where(self) -> str:
        """Where the play is, as the end of a sentence; empty before its first task."""
        return f", at: {self._words()}" if self._task else ""

    def _words(self) -> str:
        return self._task + (f" ({', '.join(self._hosts)})" if self._hosts else "")


async def _follow(process: Process, steps: _Steps) -> End | None:
    """Read what the process says; None when it ends without a word."""
    assert process.stdout is not None
    while True:
        try:
            # Not wait_for(): before Python 3.12 it loses a cancellation that comes with a line.
            async with asyncio.timeout(_SLOW):
                line = await process.stdout.readline()
        except TimeoutError:
            steps.tell()
            continue
        if not line.endswith(b"\n"):  # it was killed, perhaps at a word
            return None
        message = json.loads(line)
        if "end" in message:
            return End(**message["end"])
        steps.begin(Step(**message["step"]))


async def _to_its_end(step: Coroutine[Any, Any, None]) -> None:
    """Wait for `step` even if cancelled meanwhile; the cancellation then follows."""
    running = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError as error:
            cancelled = error
    await running
    if cancelled is not None:
        raise cancelled


def ansible_playbook() -> str:
    """Beside this Python, else on the PATH. Raises FileNotFoundError."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if beside.is_file() else shutil.which("ansible-playbook")
    if found is None:
        raise FileNotFoundError("there is no ansible-playbook on the PATH; install ansible-core")
    return found


def _ident(artifacts: Path, move: int, playbook: str) -> str:
    """A name of its own for the play's artefacts."""
    stem = f"{move}-{playbook.rsplit('/', 1)[-1].rsplit('.', 1)[-1]}"
    taken = (f"{stem}.{number}" for number in itertools.count(1))
    return next(name for name in taken if not (artifacts / name).exists())
