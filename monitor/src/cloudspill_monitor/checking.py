# SPDX-License-Identifier: GPL-3.0-or-later
"""`check`: what would keep `run` from working, or from working as one may expect."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cloudspill_monitor.burst.playbooks import ansible_playbook
from cloudspill_monitor.cgroups import CgroupCpu, find_hierarchies
from cloudspill_monitor.config import MonitorConfig, TaskConfig
from cloudspill_monitor.config_file import ConfigError, load
from cloudspill_monitor.lock import holder


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "warning", "error"]
    text: str

    def as_json(self) -> dict[str, str]:
        """For `--output json`."""
        return asdict(self)


def check(path: Path, base: Path | None = None) -> list[Finding]:
    """Look at the configuration `path`, whose relative paths start at `base` or at its directory,
    and at this machine; nothing is changed.
    """
    try:
        config = load(path, base)
    except ConfigError as error:
        return [Finding("error", line) for line in str(error).splitlines()]
    return [
        Finding("ok", f"{path} is valid"),
        *_tasks(config),
        *_policy(config),
        *_cgroups(config),
        *_moves(config),
        *_state(config),
    ]


def _tasks(config: MonitorConfig) -> Iterator[Finding]:
    for task in config.tasks:
        missing = task.missing() or (_missing_file(task) if task.movable else None)
        if missing:
            yield Finding("error", f"task {task.name!r}: {missing}")
        else:
            yield Finding("ok", f"task {task.name!r}: {task.command[0]} in {task.cwd}")
        if task.movable and not task.checkpoint_paths:
            yield Finding(
                "warning",
                f"task {task.name!r} may move but has no checkpoint_paths: "
                "it starts afresh wherever it goes",
            )
        if task.movable and (left := _left_behind(task)):
            yield Finding(
                "warning",
                f"task {task.name!r}: {', '.join(left)} is in its cwd but not among its files, "
                "so it will not be there when the task runs on a VM",
            )
    if not any(task.movable for task in config.tasks):
        yield Finding("warning", "no task is movable: nothing can ever be moved")


def _missing_file(task: TaskConfig) -> str | None:
    """What a move would fail for."""
    gone = [str(path) for path in task.files if not (task.cwd / path).exists()]
    return f"there is no {', '.join(gone)} in {task.cwd}, which its files name" if gone else None


def _left_behind(task: TaskConfig) -> list[str]:
    """Words of the command that name files of `cwd` which do not go along."""
    taken = (*task.files, *task.checkpoint_paths)
    words = [Path(word) for word in task.command if not word.startswith(("/", "-"))]
    return [
        str(word)
        for word in words
        if (task.cwd / word).is_file() and not any(word.is_relative_to(path) for path in taken)
    ]


def _moves(config: MonitorConfig) -> Iterator[Finding]:
    inventory = config.burst.inventory
    if inventory is None:
        yield Finding("warning", "burst.inventory names no inventory: moves are only announced")
        return
    if not inventory.exists():
        yield Finding("error", f"burst.inventory: there is no {inventory}")
    try:
        program = ansible_playbook()
    except FileNotFoundError as error:
        yield Finding("error", str(error))
        return
    yield _collection(Path(program).with_name("ansible-galaxy"))


def _collection(galaxy: Path) -> Finding:
    name = "cloudspill.gcp"
    done = subprocess.run(
        [str(galaxy), "collection", "list", name], capture_output=True, text=True, check=False
    )
    if name in done.stdout:
        return Finding("ok", f"moves are made by {galaxy.with_name('ansible-playbook')}")
    return Finding(
        "error",
        f"{galaxy} finds no collection {name}, whose playbooks make the moves: install it with "
        f"google.cloud, or set ANSIBLE_COLLECTIONS_PATH",
    )


def _policy(config: MonitorConfig) -> Iterator[Finding]:
    rule = "guarded" if config.guard else "literal"
    yield Finding(
        "ok",
        f"{rule} rule: out above {config.threshold_high:g} % for {config.high_duration:g} s, "
        f"home below {config.threshold_low:g} % for {config.low_duration:g} s",
    )
    if not config.guard:
        yield Finding("warning", "guard is false: under steady load tasks go to and fro for ever")
    for key in ("high_duration", "low_duration"):
        if getattr(config, key) < config.interval:
            yield Finding("warning", f"{key} is shorter than interval: two samples decide")


def _cgroups(config: MonitorConfig) -> Iterator[Finding]:
    if not config.ignore_cgroups:
        return
    hierarchies = find_hierarchies()
    if not hierarchies:
        yield Finding("error", "ignore_cgroups: no cgroup hierarchy accounts CPU time here")
        return
    for pattern, paths in CgroupCpu(config.ignore_cgroups, hierarchies).matches().items():
        found = ", ".join(str(path) for path in paths[:3])
        yield Finding("ok", f"ignored cgroup {pattern}: {found or 'none now; it may come'}")


def _state(config: MonitorConfig) -> Iterator[Finding]:
    directory = config.state_dir
    try:
        yield _state_dir(directory)
    except OSError as error:
        yield Finding("error", f"state_dir {directory} cannot be used: {error}")


def _state_dir(directory: Path) -> Finding:
    existing = next(p for p in (directory, *directory.parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding("error", f"state_dir {directory}: {existing} cannot be written")
    owner = holder(directory)
    if owner is not None:
        return Finding("warning", f"state_dir {directory} is in use by {owner}")
    return Finding("ok", f"state_dir {directory}")
