# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `cloudspill-monitor run | check | status | drain | reap | simulate`."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cloudspill_monitor import __version__

app = typer.Typer(
    name="cloudspill-monitor",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""
Watches this machine and its tasks. While the CPU is too busy for too long, tasks that may move go
to a VM in Google Cloud; when it has been quiet for long enough, they come home.

Start with the example: `cloudspill-monitor run --dry-run monitor/examples/monitor.yml` needs no
cloud and says what it would do, and why. `cloudspill-monitor check` shows mistakes in a
configuration with their lines; `cloudspill-monitor simulate TRACE.csv` tells what a policy would
have done with a recorded day.
""",
)


class Output(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


ConfigArgument = Annotated[
    Path,
    typer.Argument(help="The configuration: YAML, or the older KEY=value form (.txt)."),
]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="`text` for people, `json` for programs.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cloudspill-monitor {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """What stands in the help of the program itself."""


@app.command()
def run(
    config: ConfigArgument = Path("monitor.yml"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Move nothing: say what would be done, and why.")
    ] = False,
    output: OutputOption = Output.TEXT,
    every: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds between plain status lines (not on a terminal)."),
    ] = 10.0,
    plain: Annotated[
        bool, typer.Option("--plain", help="Plain lines on a terminal too, no live view.")
    ] = False,
) -> None:
    """Run the tasks, watch the machine, decide.

    Ends, with all its tasks, on Ctrl-C or SIGTERM (a second one skips their grace). SIGHUP reads
    the configuration again: tasks that did not change go on. If the monitor is killed, its tasks
    go on too, and the next `run` takes them over. The exit status is 4 when a VM may be left.
    """
    from cloudspill_monitor import running

    view = running.View(json=output is Output.JSON, plain=plain, every=every)
    try:
        running.run(config, dry_run=dry_run, view=view)
    except running.RunError as error:
        _fail(str(error))
    except running.LeftBehindError:
        raise typer.Exit(4) from None


@app.command()
def check(
    config: ConfigArgument = Path("monitor.yml"),
    output: OutputOption = Output.TEXT,
    base: Annotated[
        Path | None,
        typer.Option("--from", help="Where relative paths start, if not at the file."),
    ] = None,
) -> None:
    """Check a configuration, and this machine against it, and change nothing.

    The exit status is 1 when something would keep `run` from working.
    """
    from cloudspill_monitor import checking

    findings = checking.check(config, base)
    if output is Output.JSON:
        typer.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.level:<7} {finding.text}", err=finding.level == "error")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


@app.command()
def status(
    config: ConfigArgument = Path("monitor.yml"), output: OutputOption = Output.TEXT
) -> None:
    """Show what runs where, the last decisions, and why.

    Asks the running monitor; if none runs, tells what the journal knows. The exit status is 3
    when no monitor runs.
    """
    from cloudspill_monitor import reporting

    try:
        found = reporting.find(config, time.time())
    except reporting.StatusError as error:
        _fail(str(error))
    typer.echo(json.dumps(found.as_json(), indent=2) if output is Output.JSON else found.text())
    if not found.running:
        raise typer.Exit(3)


@app.command()
def drain(
    config: ConfigArgument = Path("monitor.yml"),
    off: Annotated[
        bool, typer.Option("--off", help="Let tasks go out again, by the rule.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until all are home and all VMs gone.")] = True,
    timeout: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds to wait at most (exit status 1 then).")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring every task home now, delete the VMs, and keep it so until `drain --off`.

    The tasks stop at their VM, and go on here from there, whatever the CPU says. The order outlives
    a restart of the monitor; Ctrl-C here ends only the waiting.
    """
    from cloudspill_monitor import draining

    programs = output is Output.JSON
    try:
        state_dir = draining.order(config, on=not off)
        if wait and not off:
            draining.watch(state_dir, lambda step: typer.echo(step, err=programs), timeout)
    except draining.DrainError as error:
        _fail(str(error))
    if programs:
        typer.echo(json.dumps({"drained": not off, "done": off or wait}))
    elif off:
        typer.echo("tasks may go out again, by the rule")
    elif wait:
        typer.echo("every task is at home and stays there until `cloudspill-monitor drain --off`")


@app.command()
def reap(
    config: ConfigArgument = Path("monitor.yml"),
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete them. Without it they are only shown.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show VMs that no living monitor owns any more (and with --delete: delete them).

    Looks at all burst VMs that carry the mark (run and owner) of the configured inventory. A VM
    whose lease is alive is never touched, whichever monitor renews it.
    """
    from cloudspill_monitor import reaping

    try:
        found = reaping.reap(config, delete=delete, say=lambda words: typer.echo(words, err=True))
    except reaping.ReapError as error:
        _fail(str(error))
    typer.echo(json.dumps(found.as_json(), indent=2) if output is Output.JSON else found.text())


@app.command()
def simulate(  # noqa: PLR0913, PLR0917 - one for each option
    trace: Annotated[Path, typer.Argument(help="CSV: one CPU percentage a row.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Take thresholds, tasks and prices from here."),
    ] = None,
    row_seconds: Annotated[
        float | None,
        typer.Option(help="Seconds that a row lasts; otherwise from its time stamps, or 1."),
    ] = None,
    column: Annotated[str | None, typer.Option(help="The column that holds the CPU.")] = None,
    cores: Annotated[int, typer.Option(min=1, help="Cores of the machine.")] = 4,
    share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Part of the recorded CPU that is the tasks'."),
    ] = 1.0,
    demand: Annotated[
        float,
        typer.Option(min=0.0, help="Percent that each task needs on top of the trace."),
    ] = 0.0,
    boot_seconds: Annotated[
        float, typer.Option(min=0.0, help="Seconds until a new VM takes tasks.")
    ] = 45.0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw CPU, thresholds and placements here (.png or .svg).")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Replay a CPU trace: the literal rule, the guarded one and Kubernetes' HPA side by side.

    The trace is the CPU as recorded, with all tasks at home. Of it, `--share` is theirs in equal
    parts, and leaves with them; `--share 0 --demand 25` instead takes the trace for other load,
    and adds 25 % for each task. An hour is replayed in some milliseconds.
    """
    from cloudspill_monitor.simulation import command

    load = command.Load(cores=cores, share=share, demand=demand, boot_seconds=boot_seconds)
    try:
        if plot is not None:
            command.check_plot(plot)
        result = command.simulate(trace, config, row_seconds, column, load)
        if plot is not None:
            result.draw(plot)
    except command.SimulationError as error:
        _fail(str(error))
    if output is Output.JSON:
        typer.echo(json.dumps(result.as_json(), indent=2))
    else:
        result.print(sys.stdout)
        if plot is not None:
            typer.echo(f"plot: {plot}")


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)
