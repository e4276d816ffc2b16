# SPDX-License-Identifier: GPL-3.0-or-later
"""Send a sandbox in memory what its clients might, and what nobody should.

python -m tests.fuzz [--minutes 2] [--seed N] [--examples 300] [--json FILE]

Sane and insane requests to every implemented method, drawn from Google's discovery documents, and
bytes that are no request. Exit status 1 when anything is wrong; then the seed printed last, with
`--minutes 0`, sends the same again. Needs no root.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.fidelity import implemented_methods
from tests.fuzz.calls import Calls
from tests.fuzz.campaign import Campaign, FoundError, Tally, run
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
    figures = summary(campaign.tally, sum(map(len, implemented.values())))
    if found:
        console.print(found, markup=False)
        console.print(f"found with seed {chosen.seed + campaign.tally.lives}", style="bold red")
    for name, value in figures.items():
        console.print(f"{name:>24}  {value}")
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(figures, indent=2))
    return 1 if found else 0


def _told(error: BaseException) -> str:
    """Return what was found, and by which requests where Hypothesis has fewer of them."""
    if isinstance(error, BaseExceptionGroup):
        return "\n\n".join(_told(each) for each in error.exceptions)
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def summary(tally: Tally, implemented: int) -> dict[str, Any]:
    """Return the figures of a campaign."""
    figures = asdict(tally)
    return {
        "lives": figures["lives"],
        "requests": tally.answers.total(),
        "answers": dict(sorted(tally.answers.items())),
        "methods carried out": f"{len(tally.methods)} of {implemented}",
        "most memory (MB)": figures["memory_mb"],
    }


if __name__ == "__main__":
    sys.exit(main())
