# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration: what `monitor.yml` may hold, and what each key means.

Durations are seconds, or a number with `s`, `m`, `h` or `d`. Relative paths are taken from the
directory of the configuration file.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import signal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from cloudspill_monitor.policy_types import PolicyConfig

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}")


def _duration(value: object) -> object:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*([smhd]?)\s*", value)
        if match is None:
            raise ValueError(f"{value!r} is not a duration: write seconds, or 90s, 10m, 1h, 2d")
        return float(match[1]) * _UNITS[match[2]]
    if isinstance(value, bool):
        raise ValueError("true and false are not durations")  # noqa: TRY004 - pydantic's contract
    return value


def _never(value: object) -> object:
    return None if value == "never" else _duration(value)


def default_state_dir() -> Path:
    """systemd's state directory for the service, else the user's."""
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "cloudspill-monitor"


_Finite = Field(allow_inf_nan=False)
Positive = Annotated[float, BeforeValidator(_duration), Field(gt=0), _Finite]
NotNegative = Annotated[float, BeforeValidator(_duration), Field(ge=0), _Finite]
OrNever = Annotated[Annotated[float, Field(gt=0), _Finite] | None, BeforeValidator(_never)]
Percent = Annotated[float, Field(ge=0, le=100), _Finite]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class TaskConfig(_Strict):
    """One task: a command that this machine, or a VM, runs."""

    name: str
    command: tuple[str, ...] = Field(min_length=1)
    cwd: Path = Path()
    env: dict[str, str] = {}
    movable: bool = True
    files: tuple[Path, ...] = ()
    checkpoint_paths: tuple[Path, ...] = ()
    checkpoint_interval: Positive = 60.0
    stop_signal: str = "SIGTERM"
    stop_grace: NotNegative = 10.0
    restart: Literal["always", "on-failure", "never"] = "on-failure"

    @field_validator("name")
    @classmethod
    def _name_is_usable(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be a task's name: use letters, digits, space, '.', '_', '-'"
            )
        return name

    @field_validator("command", mode="before")
    @classmethod
    def _split(cls, command: object) -> object:
        if not isinstance(command, str):
            return command
        try:
            return shlex.split(command)
        except ValueError as error:
            raise ValueError(f"the command cannot be split into words: {error}") from error

    @field_validator("command", "env")
    @classmethod
    def _can_be_passed(cls, value: tuple[str, ...] | dict[str, str]) -> object:
        words = [*value, *value.values()] if isinstance(value, dict) else value
        if any("\0" in word for word in words):
            raise ValueError("a zero byte cannot be passed to a program")
        if isinstance(value, dict) and (bad := [name for name in value if "=" in name or not name]):
            raise ValueError(f"{bad[0]!r} cannot be a variable's name")
        return value

    @field_validator("stop_signal")
    @classmethod
    def _signal_exists(cls, name: str) -> str:
        known = name if name.startswith("SIG") else f"SIG{name}"
        if known not in signal.Signals.__members__ or known in ("SIGKILL", "SIGSTOP"):
            raise ValueError(f"{name!r} is not a signal that a task can catch, such as SIGTERM")
        return known

    @field_validator("cwd")
    @classmethod
    def _cwd_from_file(cls, cwd: Path, info: ValidationInfo) -> Path:
        return _from_file(cwd, info)

    @field_validator("files", "checkpoint_paths")
    @classmethod
    def _inside_cwd(cls, paths: tuple[Path, ...], info: ValidationInfo) -> tuple[Path, ...]:
        for path in paths:
            if info.data.get("movable") and (path.is_absolute() or ".." in path.parts):
                raise ValueError(
                    f"{path} must be relative to cwd and stay inside it, for it moves with the task"
                )
        return paths

    @property
    def slug(self) -> str:
        """The name as part of a file's name."""
        return self.name.replace(" ", "_")

    def missing(self) -> str | None:
        """What this machine lacks to run the task, in words; None when it lacks nothing."""
        if not self.cwd.is_dir():
            return f"cwd {self.cwd} is not a directory"
        program = self.command[0]
        path = self.env.get("PATH", os.environ.get("PATH", os.defpath))
        # A relative program with a slash is looked up from the task's own directory.
        found = shutil.which(str(self.cwd / program) if "/" in program else program, path=path)
        return None if found else f"command {program!r} does not exist or cannot be executed"


class MetricsConfig(_Strict):
    """Prometheus metrics and /healthz, on loopback only."""

    address: Literal["127.0.0.1", "::1"] = "127.0.0.1"
    port: int = Field(default=9477, ge=0, le=65535)


class BurstConfig(_Strict):
    """Where tasks go when they spill. The names are Google Cloud's.

    Without an `inventory` moves are only announced. `lease` is how long a VM goes on without word
    from the monitor; `max_lifetime` is Google's own limit on it.
    """

    inventory: Path | None = None
    project: str | None = None
    zones: tuple[str, ...] = Field(default=("us-west1-b",), min_length=1)
    machine_types: tuple[str, ...] = Field(default=("n1-standard-1",), min_length=1)
    image_project: str = "ubuntu-os-cloud"
    image_family: str = "ubuntu-2204-lts"
    disk_size_gb: int = Field(default=10, ge=10)
    network: str = "default"
    external_address: bool = True
    spot: bool = False
    service_account: str | None = None
    name_prefix: str = Field(default="burst", pattern=r"^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$")
    max_vms: int = Field(default=1, ge=1)
    idle_timeout: OrNever = 600.0
    max_lifetime: Annotated[Positive, Field(ge=60, le=120 * 86400)] = 43200.0
    lease: Annotated[Positive, Field(ge=2)] = 120.0
    lease_margin: Annotated[Positive, Field(ge=1)] = 10.0
    playbook_timeout: Positive = 600.0
    price_per_hour: Annotated[float, Field(ge=0), _Finite] = 0.0475

    @field_validator("inventory")
    @classmethod
    def _inventory_from_file(cls, inventory: Path | None, info: ValidationInfo) -> Path | None:
        return None if inventory is None else _from_file(inventory, info)

    @field_validator("lease")
    @classmethod
    def _lease_within_life(cls, lease: float, info: ValidationInfo) -> float:
        life = info.data.get("max_lifetime")
        if life is not None and lease >= life:
            raise ValueError(f"lease ({lease:g} s) must be shorter than max_lifetime ({life:g} s)")
        return lease

    @property
    def handover_timeout(self) -> float:
        """Seconds that one task may take to stop and be sent: the playbook has others to move."""
        return self.playbook_timeout / 2

    @property
    def image(self) -> str:
        """The image family of the VMs' boot disks, as a reference."""
        return f"projects/{self.image_project}/global/images/family/{self.image_family}"


class MonitorConfig(_Strict):
    """The whole file."""

    interval: Annotated[Positive, Field(ge=0.1)] = 1.0  # the kernel counts in hundredths
    threshold_high: Percent = 75.0
    high_duration: Positive = 10.0
    threshold_low: Percent = 60.0
    low_duration: Positive = 10.0
    guard: bool = True
    min_dwell: NotNegative = 60.0
    backoff_window: NotNegative = 600.0
    retry_backoff: Positive = 30.0
    max_backoff: Positive = 3600.0
    ignore_cgroups: tuple[str, ...] = ()
    state_dir: Path = Field(default_factory=default_state_dir)
    metrics: MetricsConfig | None = None
    burst: BurstConfig = BurstConfig()
    tasks: tuple[TaskConfig, ...] = Field(min_length=1)

    @field_validator("threshold_low")
    @classmethod
    def _low_below_high(cls, low: float, info: ValidationInfo) -> float:
        high = info.data.get("threshold_high")
        if high is not None and low >= high:
            raise ValueError(f"threshold_low ({low:g}) must be below threshold_high ({high:g})")
        return low

    @field_validator("ignore_cgroups")
    @classmethod
    def _cgroups_inside(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if ".." in Path(pattern).parts or not pattern.strip("/"):
                raise ValueError(f"{pattern!r} must name a cgroup below the root, as machine.slice")
        return patterns

    @field_validator("state_dir")
    @classmethod
    def _state_dir_from_file(cls, state_dir: Path, info: ValidationInfo) -> Path:
        return _from_file(state_dir, info)

    @field_validator("tasks")
    @classmethod
    def _names_differ(cls, tasks: tuple[TaskConfig, ...]) -> tuple[TaskConfig, ...]:
        seen: set[str] = set()
        for task in tasks:
            if task.slug in seen:
                raise ValueError(f"two tasks are called {task.name!r}")
            seen.add(task.slug)
        return tasks

    @field_validator("tasks")
    @classmethod
    def _stops_in_time(
        cls, tasks: tuple[TaskConfig, ...], info: ValidationInfo
    ) -> tuple[TaskConfig, ...]:
        burst: BurstConfig | None = info.data.get("burst")
        most = burst.handover_timeout if burst is not None else math.inf
        for task in tasks:
            if task.movable and task.stop_grace >= most:
                raise ValueError(
                    f"{task.name!r} may take {task.stop_grace:g} s to stop (stop_grace), and is to "
                    f"move within {most:g} s: raise burst.playbook_timeout, of which that is half"
                )
        return tasks

    def policy(self) -> PolicyConfig:
        """The part that the policy reads."""
        return PolicyConfig(
            threshold_high=self.threshold_high,
            threshold_low=self.threshold_low,
            high_duration=self.high_duration,
            low_duration=self.low_duration,
            interval=self.interval,
            guard=self.guard,
            min_dwell=self.min_dwell,
            backoff_window=self.backoff_window,
            retry_backoff=self.retry_backoff,
            max_backoff=self.max_backoff,
        )


def _from_file(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base", Path.cwd())
    expanded = path.expanduser()
    return expanded if expanded.is_absolute() else Path(os.path.normpath(base / expanded))
