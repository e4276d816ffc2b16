# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view on a terminal: state at the bottom, what happens scrolls above it.

Imported only for a terminal, as it brings in rich.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import TextIOWrapper
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cloudspill_monitor.console import duration, heading, vm_state
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.snapshot import Snapshot, TaskView, VmView
from cloudspill_monitor.workload import TaskEvent

_BAR = 40  # characters for 100 %
_CONTROLS = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*)|[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class LiveReporter:
    """A Reporter that draws; a context manager, because the terminal must be given back.

    Each thing printed draws all of the view again, so the tasks' lines wait for the next sample or
    event. When the terminal goes away, nothing is shown any more, and the watch goes on.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console()
        if isinstance(console.file, TextIOWrapper):  # a letter that it lacks is shown as its code
            console.file.reconfigure(errors="backslashreplace")
        # Transient: what it shows would no longer be true when the monitor has ended.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._lines: list[str] = []
        self._gone = False

    def __enter__(self) -> Self:
        self._draw(self._live.start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._print_lines()
        with suppress(OSError):
            self._live.stop()

    def sample(self, snapshot: Snapshot) -> None:
        """Redraw."""
        self.state(snapshot)

    def state(self, snapshot: Snapshot) -> None:
        """Redraw."""
        self._print_lines()
        self._draw(lambda: self._live.update(render(snapshot), refresh=True))

    def decision(self, action: str, words: str, reason: str) -> None:
        """What will be done, and why."""
        self._print(f"[bold magenta]{action.upper()}[/]: {escape(words)}, because {escape(reason)}")

    def task(self, event: TaskEvent) -> None:
        """Something happened to a task."""
        style = "red" if event.failure else "cyan"
        self._print(f"[{style}]{escape(event.task)} {escape(event.text)}[/]")

    def log(self, task: str, line: str, place: str = LOCAL) -> None:
        """A task's line under its name, and under that of its VM if it is at one."""
        self._lines.append(f"{heading(task, place)} {_CONTROLS.sub('', line)}")

    def notice(self, text: str) -> None:
        """Something worth knowing."""
        self._print(f"[yellow]{escape(text)}[/]")

    def error(self, text: str) -> None:
        """Something went wrong."""
        self._print(f"[bold red]{escape(text)}[/]")

    def _print(self, markup: str) -> None:
        self._print_lines()
        self._draw(lambda: self._live.console.print(markup, highlight=False, soft_wrap=True))

    def _print_lines(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            text = Text("\n".join(lines), style="dim")
            self._draw(lambda: self._live.console.print(text, soft_wrap=True))

    def _draw(self, step: Callable[[], None]) -> None:
        if self._gone:
            return
        try:
            step()
        except OSError:
            self._gone = True


def render(snapshot: Snapshot) -> Group:
    """The state as a panel, and an empty line.

    On that line the terminal's echo of a key does no harm; and if the monitor is killed, the
    shell's prompt begins there.
    """
    parts: list[RenderableType] = [_meter(snapshot), _facts(snapshot), _tasks(snapshot)]
    if snapshot.vms:
        parts.append(_vms(snapshot))
    if snapshot.failure is not None:
        failure = snapshot.failure
        advice = f"\n{failure.advice}" if failure.advice else ""
        parts.append(Text(f"{failure.action} failed: {failure.text}{advice}", style="red"))
    parts.append(Text(snapshot.judgement, style="bold"))
    title = "cloudspill-monitor" + (" (moves are only announced)" if snapshot.dry_run else "")
    panel = Panel(Group(*parts), title=title, title_align="left")
    ends = "the tasks, their VMs and the monitor" if snapshot.vms else "the tasks and the monitor"
    return Group(panel, Text(f"Ctrl-C ends {ends}\n", style="dim"))


def _table(left: Iterable[str], right: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _tasks(snapshot: Snapshot) -> Table:
    table = _table(("task", "place", "state"), ("process", "cores", "for", "restarts"))
    for task in snapshot.tasks:
        table.add_row(*_row(task), style="" if task.place == LOCAL else "magenta")
    return table


def _vms(snapshot: Snapshot) -> Table:
    table = _table(("VM", "zone", "state"), ("lease", "lifetime", "cost"))
    for vm in snapshot.vms:
        table.add_row(*_vm_row(vm), style="magenta" if vm.connected else "yellow")
    return table


def _vm_row(vm: VmView) -> list[str]:
    return [
        vm.name,
        vm.zone + (" Spot" if vm.spot else ""),
        vm_state(vm),
        "" if vm.lease is None else duration(vm.lease),
        "" if vm.lifetime is None else duration(vm.lifetime),
        f"{vm.cost:.4f}",
    ]


def _row(task: TaskView) -> list[str]:
    return [
        task.name + ("" if task.movable else " (stays)"),
        "here (would be at a VM)" if task.announced else task.place,
        task.phase,
        str(task.pid or ""),
        "" if task.cores is None else f"{task.cores:.2f}",
        "" if task.uptime is None else duration(task.uptime),
        str(task.restarts or ""),
    ]


def _meter(snapshot: Snapshot) -> Text:
    high, low = snapshot.threshold_high, snapshot.threshold_low
    style = "red" if snapshot.cpu > high else "green" if snapshot.cpu < low else "yellow"
    bar = Text("CPU ")
    for cell in range(_BAR):
        percent = 100.0 * cell / _BAR
        filled = percent < snapshot.cpu
        mark = any(percent <= limit < percent + 100.0 / _BAR for limit in (high, low))
        bar.append("|" if mark else "█" if filled else "·", style if filled or mark else "dim")
    return bar.append(f" {snapshot.cpu:5.1f} %", style)


def _facts(snapshot: Snapshot) -> Text:
    facts = [
        f"memory {snapshot.memory:.1f} %",
        f"thresholds {snapshot.threshold_low:g}/{snapshot.threshold_high:g} %",
        f"moves {snapshot.moves_out} out, {snapshot.moves_in} in, {snapshot.moves_failed} failed",
    ]
    if snapshot.cost:
        facts.append(f"VMs have cost {snapshot.cost:.4f}")
    uncounted = []
    if snapshot.ignored >= 0.05:
        uncounted.append(f"ignored {snapshot.ignored:.1f} %")
    if snapshot.elsewhere >= 0.05:
        uncounted.append(f"counted elsewhere {snapshot.elsewhere:.1f} %")
    lines = [", ".join(part) for part in (facts, uncounted) if part]
    return Text("\n".join(f"    {line}" for line in lines), style="dim")
