# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the pages of the documentation: commands, what they print, links.

The convention, which CONTRIBUTING.md tells: a block `sh` is run by a test. A block `text` behind it
is what it prints, in that order; `…` stands for anything, and a line of it for any lines. A block
`console` is not run; a comment above it says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXECUTED = ("README.md", "docs/tutorial.md", "docs/sandbox.md")
"""Pages whose commands a test runs, in this order."""

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>(?:(?!-->).)+?) -->\n+)?"
    r"^```(?P<language>\w*)\n(?P<content>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        place: page and line, `README.md:12`.
        language: its tag.
        content: its lines.
        why_not: why it is not run; empty where nothing is said.
    """

    place: str
    language: str
    content: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A block that is run, and the lines that it prints."""

    place: str
    script: str
    printed: tuple[str, ...] = ()

    def missing(self, output: str) -> str:
        """The first line that the output lacks; empty where it has all, in order."""
        position = 0
        for line in self.printed:
            words = [re.escape(part) for part in line.split("…")]
            found = re.compile(".*?".join(words)).search(output, position)
            if found is None:
                return line
            position = found.end()
        return ""


def blocks(page: str, root: Path = ROOT) -> list[Block]:
    """Every fenced block of a page."""
    text = (root / page).read_text()
    return [
        Block(
            f"{page}:{text.count(chr(10), 0, found.start('language')) + 1}",
            found["language"],
            found["content"],
            found["why"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def commands(page: str, root: Path = ROOT) -> list[Command]:
    """The blocks of a page that are run."""
    every = blocks(page, root)
    following = [*every[1:], Block("", "", "")]
    return [
        Command(block.place, block.content, _lines(after) if after.language == "text" else ())
        for block, after in zip(every, following, strict=True)
        if block.language == "sh"
    ]


def _lines(block: Block) -> tuple[str, ...]:
    lines = (line.strip() for line in block.content.splitlines())
    return tuple(line for line in lines if line and line != "…")
