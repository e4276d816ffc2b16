# SPDX-License-Identifier: GPL-3.0-or-later
"""`cloudspill-sandbox log`: what was asked of the cloud, and why it refused."""

from __future__ import annotations

import datetime
import fnmatch
import json
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cloudspill_sandbox.control import call_log
from cloudspill_sandbox.engine.call_record import CallRecord
from cloudspill_sandbox.exits import chosen_settings, refusals

_POLL = 0.2
_STYLES = {2: "green", 3: "green", 4: "yellow", 5: "red"}


def log(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Refused calls alone.")] = False,
    method: Annotated[
        str, typer.Option(help="Methods, as a glob: compute.instances.*", metavar="GLOB")
    ] = "*",
    lines: Annotated[
        int, typer.Option("--lines", "-n", help="How many of the last; 0 for all.", min=0)
    ] = 100,
    output: Annotated[
        str,
        typer.Option("--output", help="`text` or `json` (one object a line).", metavar="FORMAT"),
    ] = "text",
) -> None:
    """Print the API's calls, one a line, with the reason of each refusal."""
    path = chosen_settings().call_log
    console = Console(soft_wrap=True, highlight=False)

    def wanted(records: Iterable[CallRecord]) -> Iterable[CallRecord]:
        for record in records:
            if fnmatch.fnmatchcase(record.method, method) and (record.refusal or not refused):
                yield record

    def show(record: CallRecord) -> None:
        if output == "json":
            print(json.dumps(asdict(record)), flush=True)
        else:
            console.print(line(record))

    with refusals():
        coming = call_log.followed(path, lambda: time.sleep(_POLL)) if follow else ()
        for record in deque(wanted(call_log.kept(path)), maxlen=lines or None):
            show(record)
        try:
            for record in wanted(coming):
                show(record)
        except KeyboardInterrupt:
            return


def line(record: CallRecord) -> Text:
    """Return a record as people read it; control characters of clients are escaped."""
    moment = datetime.datetime.fromtimestamp(record.time).astimezone()
    text = Text(moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03} ", "dim")
    text.append(f"{record.status} ", _STYLES.get(record.status // 100, ""))
    name = record.method if record.method != "-" else record.http_method
    text.append(f"{name} ", "bold")
    text.append(_printable(f"{record.host}{record.path}"))
    if record.principal != "-":
        text.append(f" by {_printable(record.principal)}")
    text.append(f" {record.milliseconds:.1f} ms", "dim")
    if record.refusal:
        text.append(f" {_printable(record.refusal)}", _STYLES.get(record.status // 100, ""))
    return text


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
