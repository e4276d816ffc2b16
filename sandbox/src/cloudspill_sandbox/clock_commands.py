# SPDX-License-Identifier: GPL-3.0-or-later
"""`cloudspill-sandbox clock`: the cloud's time, set ahead by whom would otherwise have to wait."""

from __future__ import annotations

import datetime
import json
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console

from cloudspill_sandbox.control import client
from cloudspill_sandbox.exits import chosen_settings, refusals

app = typer.Typer(
    help="The cloud's time: run-time limits, tokens and lifecycles end by it.",
    no_args_is_help=True,
)

Output = Annotated[str, typer.Option("--output", help="`text` or `json`.", metavar="FORMAT")]


@app.command()
def show(output: Output = "text") -> None:
    """Print the cloud's time, and how far it is ahead of this host's."""
    with refusals():
        _print(client.call(chosen_settings().admin_socket, "GET", "/clock"), output)


@app.command(context_settings={"ignore_unknown_options": True})  # -5 is a number
def advance(
    seconds: Annotated[
        float, typer.Argument(help="How far.", metavar="SECONDS", show_default=False)
    ],
    output: Output = "text",
) -> None:
    """Set the cloud's time ahead; what falls due begins at once. Only `reset` sets it back."""
    with refusals():
        resource = f"/clock/advance?{urlencode({'seconds': seconds})}"
        _print(client.call(chosen_settings().admin_socket, "POST", resource), output)


def sentence(clock: dict[str, Any]) -> str:
    """Return the admin API's clock in words."""
    ahead = datetime.timedelta(seconds=round(clock["ahead_seconds"]))
    return f"{clock['now']}, {ahead} ahead of the host" if ahead else f"{clock['now']}, the host's"


def _print(clock: dict[str, Any], output: str) -> None:
    if output == "json":
        print(json.dumps(clock, indent=2))
    else:
        Console(soft_wrap=True, highlight=False).print(sentence(clock), markup=False)
