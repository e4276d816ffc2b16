# SPDX-License-Identifier: GPL-3.0-or-later
"""`cloudspill-sandbox faults`: what shall go wrong in the cloud."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.console import Console

from cloudspill_sandbox import tables
from cloudspill_sandbox.control import client
from cloudspill_sandbox.exits import chosen_settings, fail, refusals
from cloudspill_sandbox.faults.kinds import KINDS

app = typer.Typer(
    help="What shall go wrong: refused calls, failed operations, struck instances.",
    no_args_is_help=True,
)

NOT_FIRED = 4
"""Exit status of `wait` when the time was over first."""

_SHOWN = ("zone", "method", "step", "delay", "after", "for", "from", "when", "status", "error")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(  # noqa: PLR0913, PLR0917 - one option of the command each
    kind: Annotated[
        str,
        typer.Argument(help="For example stock-out; `faults kinds` lists them.", metavar="KIND"),
    ],
    match: Annotated[
        str | None, typer.Option(help="Name of the target, as a glob.", metavar="GLOB")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Zone of the target.")] = None,
    count: Annotated[
        str | None, typer.Option(help="How often: a number, or `forever`. Default: once.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Methods, as a glob: compute.instances.*", metavar="GLOB"),
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="Step of an operation, as a glob: boot", metavar="GLOB")
    ] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds of delay.")] = None,
    after: Annotated[
        float | None, typer.Option(help="Seconds until it strikes a running instance.")
    ] = None,
    lasting: Annotated[
        float | None, typer.Option("--for", help="Seconds that it goes on. Default: until cleared.")
    ] = None,
    side: Annotated[
        str | None, typer.Option("--from", help="What a network-cut cuts off: host, api, all.")
    ] = None,
    when: Annotated[
        str | None, typer.Option(help="When a reset closes: before or after the call was handled.")
    ] = None,
    status: Annotated[int | None, typer.Option(help="HTTP status of a rate-limit.")] = None,
    error: Annotated[
        str | None, typer.Option(help="What the client is told.", metavar="STATUS:REASON:MESSAGE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Arm a fault, and print its id."""
    order = {
        "kind": kind,
        "match": match,
        "zone": zone,
        "count": int(count) if count and count.isdecimal() else count,
        "method": method,
        "step": step,
        "delay": delay,
        "after": after,
        "for": lasting,
        "from": side,
        "when": when,
        "status": status,
        "error": error,
    }
    with refusals():
        fault = _call("POST", "/faults", {k: v for k, v in order.items() if v is not None})
    _print_json(fault) if as_json else print(fault["id"])


@app.command("list")
def listing(as_json: Json = False) -> None:
    """Show every fault: whether and when it struck, and what."""
    with refusals():
        answer = _call("GET", "/faults")
    if as_json:
        _print_json(answer)
        return
    if not answer["faults"]:
        Console(stderr=True).print("no faults are armed")
        return
    tables.show(
        ("id", "state", "fired", "target", "options", "last"),
        (
            (
                fault["id"],
                fault["state"],
                f"{fault['fired']} of {fault['count']}",
                fault["match"],
                " ".join(f"{key}={_word(fault[key])}" for key in _SHOWN if key in fault),
                _last(fault),
            )
            for fault in answer["faults"]
        ),
    )


@app.command()
def wait(
    identity: Annotated[str, typer.Argument(help="Id of a fault.", metavar="ID")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.", min=0)] = 60.0,
    times: Annotated[int, typer.Option(help="How often it shall have struck.", min=1)] = 1,
    as_json: Json = False,
) -> None:
    """Return when a fault has struck. Exit status 4 when the time is over first."""
    resource = (
        f"/faults/{quote(identity, safe='')}?{urlencode({'times': times, 'timeout': timeout})}"
    )
    with refusals():
        fault = _call("GET", resource, timeout=timeout + 30)
        if as_json:
            _print_json(fault)
        if fault["fired"] < times:
            fail(f"{identity} has fired {fault['fired']} times in {timeout:g} s", NOT_FIRED)
        if not as_json:
            print(_last(fault))


@app.command()
def clear(
    identities: Annotated[
        list[str] | None, typer.Argument(help="Ids; all faults without any.", metavar="[ID]…")
    ] = None,
) -> None:
    """Forget faults, and undo what of them goes on: cuts are mended, disks emptied."""
    query = urlencode([("id", identity) for identity in identities or []])
    with refusals():
        answer = _call("DELETE", f"/faults?{query}", timeout=120)
    for fault in answer["faults"]:
        print(fault["id"])


@app.command()
def kinds() -> None:
    """List the kinds of faults and their options."""
    tables.show(
        ("kind", "what happens", "options"),
        ((kind.name, kind.summary, " ".join(kind.options)) for kind in KINDS.values()),
    )


def _call(method: str, resource: str, body: Any = None, timeout: float = 30.0) -> Any:
    return client.call(chosen_settings().admin_socket, method, resource, body=body, timeout=timeout)


def _last(fault: dict[str, Any]) -> str:
    if not fault["firings"]:
        return ""
    firing = fault["firings"][-1]
    time, target = firing["time"][11:19], "/".join(firing["target"].split("/")[-2:])
    problem = f": {firing['problem']}" if "problem" in firing else ""
    return f"{time}Z {firing['cause']} {target}{problem}"


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))
