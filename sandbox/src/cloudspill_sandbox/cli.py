# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `cloudspill-sandbox`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from cloudspill_sandbox import (
    __version__,
    clock_commands,
    fault_commands,
    lifecycle,
    log_commands,
    tables,
)
from cloudspill_sandbox.control import client, environment, lock
from cloudspill_sandbox.exits import NOT_RUNNING, chosen_settings, fail, not_running, refusals
from cloudspill_sandbox.repositories import PublishError
from cloudspill_sandbox.settings import ENVIRONMENT, LatencyProfile, Settings

app = typer.Typer(
    help="A local Google Cloud: Compute Engine whose instances are real machines on this host.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
image = typer.Typer(help="The guest image from which every instance boots.", no_args_is_help=True)
app.add_typer(image, name="image")
app.add_typer(clock_commands.app, name="clock")
app.add_typer(fault_commands.app, name="faults")
app.command()(log_commands.log)

Json = Annotated[str, typer.Option("--output", help="`text` or `json`.", metavar="FORMAT")]
Instance = Annotated[str, typer.Argument(help="Name of the instance.", metavar="NAME")]


class _Reporter:
    """Prints each step with the seconds since the command began."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)

    def __call__(self, sentence: str) -> None:
        elapsed = time.monotonic() - self._began
        self._console.print(f"[dim]{elapsed:6.1f} s[/]  ", end="")
        self._console.print(sentence, markup=False)


def _require_host(settings: Settings) -> None:
    from cloudspill_sandbox.runtime import requirements

    lacking = requirements.missing(settings)
    if lacking:
        lines = "\n".join(f"  - {item}" for item in lacking)
        fail(f"this host cannot run the sandbox, and nothing was changed:\n{lines}")


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Answer --version."""
    os.umask(0o022)  # what is made here is read by guests and clients, whatever the caller's mask
    if version:
        print(__version__)
        raise typer.Exit


def _folders(pairs: list[str]) -> dict[str, Path]:
    folders = {}
    for pair in pairs:
        name, separator, folder = pair.partition("=")
        if not separator:
            raise PublishError(f"--publish wants NAME=FOLDER, not {pair!r}")
        folders[name] = Path(folder)
    return folders


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option(help="TCP port of the API on 127.0.0.1.", min=1, max=65535)
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="Serve a folder as a git repository."),
    ] = None,
    in_memory: Annotated[
        bool, typer.Option("--in-memory", help="The API alone, without machines: needs no root.")
    ] = False,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="With --in-memory: the cloud's state lasts.")
    ] = False,
    latency: Annotated[
        LatencyProfile | None,
        typer.Option(help="How long operations take: only the work itself, or as on Google Cloud."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Take the same times as another sandbox with this seed.")
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="A project to have; several by naming several."),
    ] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=LIMIT", help="A limit of every region; or several, as CPUS=8."
        ),
    ] = None,
) -> None:
    """Start the sandbox; return when its API answers. Running already is no error."""
    settings = chosen_settings(projects=tuple(dict.fromkeys(project or ())))
    quotas = ",".join(quota or ())
    settings = dataclasses.replace(
        settings,
        port=port or settings.port,
        in_memory=in_memory or settings.in_memory,
        keep_state=keep_state or settings.keep_state,
        latency=latency or settings.latency,
        seed=settings.seed if seed is None else seed,
        quotas=quotas or settings.quotas,
    )
    report = _Reporter()
    with refusals():
        folders = _folders(publish or [])
        running = lifecycle.wait_for_others(settings, report)
        if running is None:
            if not (settings.in_memory or settings.owns_host):
                fail("CLOUDSPILL_RUN_ROOT is for a sandbox in memory: unset it, or use --in-memory")
            if seed is not None and settings.latency is LatencyProfile.INSTANT:
                fail("--seed needs `--latency gce`: `instant` draws no times")
            running = _start(settings, folders, report)
        # Also what was just started: another command may have been quicker.
        flags: dict[str, object] = {
            "port": port,
            "latency": latency,
            "seed": seed,
            "keep_state": keep_state or None,
            "quotas": quotas or None,
            "projects": project or None,
        }
        _refuse_change(running, settings, {name for name in flags if flags[name] is not None})
        lifecycle.publish(settings, folders, report)
        report(
            f"the sandbox is up: project {running['project']}, API on port {running['port']} "
            f"(pid {running['pid']})"
        )


def _refuse_change(running: dict[str, Any], settings: Settings, flags: set[str]) -> None:
    """Fail when what flags or the environment ask for is not what runs."""
    if running["in_memory"] != settings.in_memory:
        runs = "in memory, without machines" if running["in_memory"] else "with machines"
        fail(f"the sandbox is up {runs}: `down` it first")
    given = flags | {name for name, (variable, _) in ENVIRONMENT.items() if variable in os.environ}
    for name in ("port", "latency", "seed", "quotas", "keep_state"):
        asked, have = getattr(settings, name), running.get(name)  # an older one may not say
        if name not in given or asked == have:
            continue
        if asked is True:
            fail(f"the sandbox is up without --{name.replace('_', '-')}: `down` it first")
        have = "none" if have in (None, "") else have
        fail(f"the sandbox is up with {name} {have}, not {asked}: `down` it first")
    missing = [each for each in settings.projects if each not in running["projects"]]
    if missing and "projects" in given:
        have = ", ".join(running["projects"])
        fail(f"the sandbox is up with {have}, without {', '.join(missing)}: `down` it first")


def _start(settings: Settings, folders: dict[str, Path], report: _Reporter) -> dict[str, Any]:
    """Start the daemon, or wait for the one that another command is starting."""
    if not settings.in_memory:
        _require_host(settings)
        lifecycle.refuse_neighbours(settings)
        lifecycle.build_guest_image(settings, report)
    lifecycle.publish(settings, folders, report)
    try:
        lifecycle.start_daemon(settings, report)
    except lock.LockedError:
        lifecycle.wait_for_others(settings, report)
    running = lifecycle.running_status(settings)
    if running is None:
        raise lifecycle.StartError(f"the sandbox has ended again: see {settings.log_file}")
    return running


@app.command()
def down() -> None:
    """Stop every instance and give the host back; the cloud's state is kept for the next `up`."""
    settings = chosen_settings()
    report = _Reporter()
    with refusals():
        lifecycle.wait_for_others(settings, report)
        if lifecycle.stop_daemon(settings):
            report("the sandbox is down")
        elif lifecycle.sweep(settings):
            report("the sandbox was not running; what it had left on the host is removed")
        else:
            report("the sandbox was not running")


@app.command()
def reset() -> None:
    """Empty the cloud: every resource and disk is forgotten. A running sandbox starts again."""
    settings = chosen_settings()
    report = _Reporter()
    with refusals():
        running = lifecycle.wait_for_others(settings, report)
        if running is not None:
            settings = dataclasses.replace(
                settings,
                port=running["port"],
                in_memory=running["in_memory"],
                keep_state=running["keep_state"],
                latency=LatencyProfile(running["latency"]),
                seed=running["seed"],
                projects=tuple(running["projects"]),
                quotas=running["quotas"],
            )
        lifecycle.stop_daemon(settings)
        lifecycle.sweep(settings)
        lifecycle.wipe(settings)
        report("every resource is forgotten")
        if running is not None:
            lifecycle.start_daemon(settings, report)
            report("the sandbox is up again, with an empty project")


@app.command()
def status(output: Json = "text") -> None:
    """Show what runs. Exit status 3 when the sandbox does not."""
    with refusals():
        document = lifecycle.running_status(chosen_settings())
    if output == "json":
        print(json.dumps(document or {"running": False}, indent=2))
    elif document is not None:
        _show(document)
    if document is None:
        not_running() if output != "json" else sys.exit(NOT_RUNNING)


def _show(document: dict[str, object]) -> None:
    console = Console(soft_wrap=True)
    shown = ("name", "projects", "pid", "port", "latency", "seed", "uptime_seconds", "memory_mb")
    for key in shown:
        value = document[key]
        text = ", ".join(value) if isinstance(value, list) else value
        console.print(f"{key.replace('_', ' '):>15}  {text}", highlight=False)
    clock = document["clock"]
    assert isinstance(clock, dict)
    if clock["ahead_seconds"]:
        console.print(f"{'clock':>15}  {clock_commands.sentence(clock)}", highlight=False)
    if faults := document["faults"]:
        assert isinstance(faults, list)
        console.print(f"{'faults':>15}  {', '.join(faults)}", highlight=False)
    instances = document["instances"]
    assert isinstance(instances, list)
    fields = ("name", "zone", "machine_type", "status", "internal_ip", "external_ip")
    tables.show(
        ("instance", "zone", "machine type", "status", "internal", "external"),
        ([str(item[field] or "") for field in fields] for item in instances),
    )


@app.command()
def env(
    unset: Annotated[bool, typer.Option("--unset", help="Print how to undo it.")] = False,
    project: Annotated[
        str | None, typer.Option(metavar="ID", help="Of the sandbox's projects, not the first.")
    ] = None,
    output: Json = "text",
) -> None:
    """Print what points any Google client here: eval "$(cloudspill-sandbox env)"."""
    if unset:
        print(environment.unsets())
        return
    settings = chosen_settings()
    try:
        play = environment.read(settings.environment_file)
        if project is not None and project != play["GCP_PROJECT"]:
            play = environment.read(settings.run_dir / f"environment.{project}.json")
    except FileNotFoundError:
        if project is None or not lock.is_held(settings.lock_file):
            not_running()
        fail(f"the sandbox has no project {project}: `up --project` with it, after a `down`")
    if not lock.is_held(settings.lock_file):  # a sandbox that was killed leaves the file
        not_running()
    if not os.access(key := play["GOOGLE_APPLICATION_CREDENTIALS"], os.R_OK):
        fail(f"you may not read {key}: the sandbox was started by another user, or by root")
    variables = environment.shell_environment(settings, play)
    print(json.dumps(variables, indent=2) if output == "json" else environment.exports(variables))


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    name: Instance,
    command: Annotated[
        list[str] | None, typer.Argument(help="Command to run; a single word is a shell's line.")
    ] = None,
) -> None:
    """Open a root shell in an instance, or run a command there, over its console."""
    tty = int(sys.stdin.isatty() and sys.stdout.isatty())
    with refusals():
        answer = client.call(
            chosen_settings().admin_socket, "GET", f"/instances/{quote(name)}/console?tty={tty}"
        )
    wanted = command[1:] if command and command[0] == "--" else command
    if wanted and len(wanted) == 1:
        wanted = ["bash", "-c", *wanted]
    words = [*answer["command"], *(wanted or ["bash", "--login"])]
    os.execvp(words[0], words)


@app.command()
def serial(
    name: Instance,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing.")] = False,
) -> None:
    """Print the serial console of an instance."""
    position = 0
    with refusals():
        while True:
            page = client.call(
                chosen_settings().admin_socket,
                "GET",
                f"/instances/{quote(name)}/serial?start={position}",
            )
            sys.stdout.write(page["contents"])
            sys.stdout.flush()
            if not follow and page["next"] == position:
                return
            position = page["next"]
            if follow and not page["contents"]:
                time.sleep(0.2)


@image.command("build")
def image_build() -> None:
    """Build the guest image unless it is there already."""
    settings = chosen_settings()
    _require_host(settings)
    with refusals():
        lifecycle.build_guest_image(settings, _Reporter())
