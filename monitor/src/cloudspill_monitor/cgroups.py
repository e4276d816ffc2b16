# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU time of cgroups, under version 1 (cpuacct) and version 2, also where both are mounted."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where CPU time is accounted: the mount point and the cgroup version."""

    root: Path
    version: int


def find_hierarchies(mounts: Path = Path("/proc/self/mounts")) -> tuple[Hierarchy, ...]:
    """The mounted hierarchies that account CPU time; cpuacct first, as it has it when both are."""
    v1: list[Hierarchy] = []
    v2: list[Hierarchy] = []
    for line in mounts.read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        root = Path(point.replace("\\040", " "))
        if kind == "cgroup" and "cpuacct" in options.split(","):
            v1.append(Hierarchy(root, 1))
        elif kind == "cgroup2":
            v2.append(Hierarchy(root, 2))
    return (*v1[:1], *v2[:1])


class CgroupCpu:
    """CPU seconds that the cgroups matching `patterns` have used since this was made.

    A pattern is a path below the hierarchy's root, with `*` and `?` (`machine.slice`,
    `user.slice/*/podman-*`). It may match nothing yet: sandboxes come and go.
    """

    def __init__(self, patterns: tuple[str, ...], hierarchies: tuple[Hierarchy, ...]) -> None:
        self._patterns = tuple(pattern.strip("/") for pattern in patterns)
        self._hierarchies = hierarchies
        self._matched: tuple[tuple[Hierarchy, Path], ...] = ()
        self._counted: tuple[tuple[Hierarchy, Path], ...] = ()
        self._known: dict[Path, float] = self._read()

    def delta(self) -> float:
        """CPU seconds used since the last call. A cgroup that has appeared since counts whole."""
        now = self._read()
        used = sum(max(0.0, seconds - self._known.get(path, 0.0)) for path, seconds in now.items())
        self._known = now
        return used

    def matches(self) -> dict[str, list[Path]]:
        """The cgroups that each pattern matches now."""
        return {
            pattern: [path for tree in self._hierarchies for path in _expand(tree.root, pattern)]
            for pattern in self._patterns
        }

    def _read(self) -> dict[Path, float]:
        matched = tuple(
            (tree, path)
            for tree in self._hierarchies
            for pattern in self._patterns
            for path in _expand(tree.root, pattern)
        )
        if matched != self._matched:
            self._matched, self._counted = matched, _once(matched)
        found = {}
        for tree, path in self._counted:
            seconds = _cpu_seconds(path, tree.version)
            if seconds is not None:
                found[path] = seconds
        return found


def _expand(root: Path, pattern: str) -> list[Path]:
    if any(wildcard in pattern for wildcard in "*?["):
        found = glob.glob(pattern, root_dir=root)  # noqa: PTH207 - Path.glob fails when one vanishes
        return sorted(root / match for match in found)
    path = root / pattern
    return [path] if path.is_dir() else []


def _once(matched: tuple[tuple[Hierarchy, Path], ...]) -> tuple[tuple[Hierarchy, Path], ...]:
    """Without those whose time another one holds: its parent, or itself in the other tree."""
    chosen: dict[Path, tuple[Hierarchy, Path]] = {}
    for tree, path in sorted(
        matched, key=lambda match: len(match[1].relative_to(match[0].root).parts)
    ):
        inside = path.relative_to(tree.root)
        if not any(cover in chosen for cover in (inside, *inside.parents)):
            chosen[inside] = tree, path
    return tuple(chosen.values())


def _cpu_seconds(path: Path, version: int) -> float | None:
    try:
        if version == 1:
            return int((path / "cpuacct.usage").read_text()) / 1e9
        for line in (path / "cpu.stat").read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == "usage_usec":
                return int(value) / 1e6
    except (FileNotFoundError, NotADirectoryError, OSError):
        return None  # it was removed between the listing and the reading
    return None
