# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks as transient systemd services, which outlive the keeper.

https://www.freedesktop.org/software/systemd/man/latest/systemd-run.html
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from .cpu_time import CpuTime, used_by_processes
from .durable import replace_file
from .protocol import Refusal
from .units import UnitSpec, UnitState

_NAME = "cloudspill-task-{}.service"
_RUN = re.compile(r"cloudspill-task-(\d+)\.service")
_RESTART = {"always": "always", "on-failure": "on-failure", "never": "no"}
_EXITED = "1"  # CLD_EXITED of waitid(2); the others are signals
_NOT_EXECUTED = range(200, 246)
"""Exit statuses of systemd itself, before the program: systemd.exec(5), "Process Exit Codes"."""
_SHOWN = (
    "Id",
    "ActiveState",
    "SubState",
    "MainPID",
    "ExecMainPID",
    "ExecMainCode",
    "ExecMainStatus",
)
_COUNTED = ("NRestarts", "InvocationID", "CPUUsageNSec", "ControlGroup")
_UNCOUNTED = (1 << 64) - 1


class SystemdUnits:
    """Implements Units.

    Args:
        user: whom tasks run as.
        environments: a folder that no reboot survives, readable by root alone: variables may be
            secrets, and what is given on a command line or in a unit's properties is not one.
    """

    def __init__(self, user: str, environments: Path) -> None:
        self._user = user
        self._environments = environments
        self._cpu = CpuTime()

    async def observe(self) -> dict[int, UnitState]:
        """Ask systemd for all of our units at once."""
        shown = await self._show()
        return {run: self._state(run, shown[run]) for run in shown}

    async def _show(self) -> dict[int, dict[str, str]]:
        properties = ",".join(_SHOWN + _COUNTED)
        query = ("systemctl", "show", f"--property={properties}", _NAME.format("*"))
        status, output = await _run(*query)
        if status:  # no answer is not the answer that there are none
            raise OSError(f"systemd does not tell what runs: {output.strip()}")
        units = {}
        for block in output.split("\n\n"):
            shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            known = _RUN.fullmatch(shown.get("Id", ""))
            if known and shown["ActiveState"] != "inactive":
                units[int(known[1])] = shown
        return units

    async def start(self, spec: UnitSpec) -> None:
        """Start a transient service; done when its program has been executed.

        Raises:
            Refusal: systemd's reason.
        """
        variables = self._environments / str(spec.run)
        replace_file(variables, _environment_file(spec.environment), sync=False)
        properties = {
            "User": self._user,
            "WorkingDirectory": str(spec.folder),
            "EnvironmentFile": str(variables),
            "StandardOutput": f"append:{spec.log}",
            "StandardError": "inherit",
            "Restart": _RESTART[spec.restart],
            "RestartSec": "1",
            "StartLimitIntervalSec": "0",
            # A unit that stays after a clean end would never be restarted after one.
            "RemainAfterExit": "no" if spec.restart == "always" else "yes",
            "KillMode": "control-group",
            "KillSignal": spec.stop_signal,
            "TimeoutStopSec": f"{max(1, int(spec.stop_grace * 1000))}ms",
            # When the VM shuts down the keeper goes first: it takes no task for one that ended.
            "Before": "cloudspill-burst.service",
            "CPUAccounting": "yes",
            "CPUWeight": "50",  # the keeper and sshd come first, even on one busy core
        }
        self._cpu.forget(spec.run)  # what an earlier unit used, the run's record has
        program, *arguments = spec.command
        status, output = await _run(
            "systemd-run",
            "--quiet",
            "--no-ask-password",
            "--service-type=exec",
            f"--unit={_NAME.format(spec.run)}",
            *(f"--property={name}={value}" for name, value in properties.items()),
            "--",
            program,
            *(argument.replace("$", "$$") for argument in arguments),
        )
        # One that ran and died at once, or that was there before, has been started.
        if status and not _has_run((await self._show()).get(spec.run)):
            raise Refusal("failed", f"systemd does not start {program}: {output.strip()}")

    async def stop(self, run: int, grace: float) -> None:
        """Have systemd stop a service, and kill it after a grace."""
        stopping = asyncio.ensure_future(_run("systemctl", "stop", _NAME.format(run)))
        done, _pending = await asyncio.wait([stopping], timeout=grace)
        if not done:
            await self.kill(run)
        await stopping

    async def kill(self, run: int) -> None:
        """Stop it, so that it is not restarted, and kill what runs."""
        await _run("systemctl", "stop", "--no-block", _NAME.format(run))
        await _run("systemctl", "kill", "--signal=SIGKILL", _NAME.format(run))

    async def forget(self, run: int) -> None:
        """Unload a service that is over, whether it succeeded or failed."""
        await _run("systemctl", "stop", _NAME.format(run))
        await _run("systemctl", "reset-failed", _NAME.format(run))
        (self._environments / str(run)).unlink(missing_ok=True)

    def _state(self, run: int, shown: dict[str, str]) -> UnitState:
        """Read what systemd shows of a unit that is not inactive."""
        ended = shown["ActiveState"] == "failed" or shown["SubState"] == "exited"
        status = int(shown["ExecMainStatus"])
        exit_status = status if shown["ExecMainCode"] == _EXITED else -status
        return UnitState(
            pid=int(shown["MainPID"]) or None,
            ended=ended,
            exit_status=exit_status if ended else None,
            restarts=int(shown["NRestarts"]),
            cpu_seconds=self._cpu.seconds(run, shown["InvocationID"], _used(shown)),
        )


def _used(shown: dict[str, str]) -> float:
    """CPU seconds of a unit since it was last started."""
    used = shown["CPUUsageNSec"]
    if used.isdecimal() and int(used) < _UNCOUNTED:
        return int(used) / 1e9
    return used_by_processes(shown["ControlGroup"])


def _has_run(shown: dict[str, str] | None) -> bool:
    """Whether a unit's program has been executed."""
    if shown is None or shown["ExecMainPID"] == "0":
        return False
    own = shown["ExecMainCode"] == _EXITED and int(shown["ExecMainStatus"]) in _NOT_EXECUTED
    return not own


def _environment_file(environment: dict[str, str]) -> bytes:
    """Write variables as systemd reads them (systemd.exec(5), EnvironmentFile=)."""
    lines = []
    for name, value in environment.items():
        quoted = re.sub(r'(["\\$`])', r"\\\1", value)
        lines.append(f'{name}="{quoted}"\n')
    return "".join(lines).encode()


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _errors = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")
