# SPDX-License-Identifier: GPL-3.0-or-later
"""Send a sandbox in memory what its clients might, and what nobody should.

python -m tests.fuzz [--minutes 2] [--seed N] [--examples 300] [--json FILE]

Sane and insane requests to every implemented method, drawn from Google's discovery documents, and
bytes that are no request. Exit status 1 when anything is wrong, or an implemented method was never
called. The seed that is printed with what was found, with `--minutes 0`, sends the same again.
Needs no root.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.fidelity import implemented_methods
from tests.fuzz.calls import Calls
from tests.fuzz.campaign import Campaign, FoundError, Tally, run
from tests.fuzz.reach import Reach, reach
from tests.lives.__main__ import free_port
from tests.lives.process import SandboxProcess, settings_below

NAME = "fuzz"


def main() -> int:
    """Run a campaign and print its figures."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--minutes", type=float, default=2.0)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))
    options.add_argument("--examples", type=int, default=300, help="of each life")
    options.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = options.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{chosen.minutes:g} minutes from seed {chosen.seed}")
    implemented = implemented_methods()
    began = time.monotonic()

    def progress(tally: Tally) -> None:
        sent = tally.answers.total()
        console.print(f"{time.monotonic() - began:6.0f} s  {tally.lives} lives, {sent} requests")

    # Nothing may leave the host, whatever a request names.
    for name in ("HTTPS_PROXY", "https_proxy"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        process = SandboxProcess(settings_below(Path(folder), NAME, free_port()))
        until = began + 60 * chosen.minutes
        campaign = Campaign(process, Calls(implemented), chosen.examples)
        try:
            run(campaign, chosen.seed, until, progress)
            found = ""
        except (FoundError, BaseExceptionGroup) as error:
            found = _told(error)
        finally:
            process.kill()
    reached = reach(implemented, campaign.tally.methods)
    never = [method for each in reached.values() for method in each.never]
    figures = summary(campaign.tally, reached)
    if found:
        console.print(found, markup=False)
        console.print(f"found with seed {chosen.seed + campaign.tally.lives}", style="bold red")
    elif never:
        console.print("never called: " + ", ".join(never), style="bold red")
    for name, value in figures.items():
        console.print(f"{name:>24}  {value}")
    console.print(table(reached))
    for each in reached.values():
        for method in (*each.refused, *each.declared):
            statuses = dict(sorted(campaign.tally.methods[method].items()))
            console.print(f"not carried out: {method} {statuses}")
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(figures, indent=2))
    return 1 if found or never else 0


def _told(error: BaseException) -> str:
    """Return what was found, and by which requests where Hypothesis has fewer of them."""
    if isinstance(error, BaseExceptionGroup):
        return "\n\n".join(_told(each) for each in error.exceptions)
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def summary(tally: Tally, reached: Mapping[str, Reach]) -> dict[str, Any]:
    """Return the figures of a campaign."""
    carried_out = sum(len(each.carried_out) for each in reached.values())
    implemented = sum(sum(map(len, astuple(each))) for each in reached.values())
    return {
        "lives": tally.lives,
        "requests": tally.answers.total(),
        "of these": dict(sorted(tally.kinds.items())),
        "answers": dict(sorted(tally.answers.items())),
        "methods carried out": f"{carried_out} of {implemented}",
        "refused alone": [method for each in reached.values() for method in each.refused],
        "most memory (MB)": tally.memory_mb,
    }


def table(reached: Mapping[str, Reach]) -> Table:
    """Return how many of each API's methods became what."""
    shown = Table("API", "carried out", "refused alone", "501 alone", "never called")
    for api, each in reached.items():
        shown.add_row(api, *(str(len(methods)) for methods in astuple(each)))
    return shown


if __name__ == "__main__":
    sys.exit(main())
