# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of the documentation: what is run, what is not and why, and where links lead."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .pages import EXECUTED, ROOT, Command, blocks, commands

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md")]
    if path.name != "CHANGELOG.md"
)
LANGUAGES = {"sh", "console", "text", "yaml", "json", "mermaid"}


@pytest.mark.parametrize("page", EXECUTED)
def test_a_block_is_run_or_says_why_not(page: str) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, block.place
        assert (block.language == "console") == bool(block.why_not), block.place


@pytest.mark.parametrize("page", EXECUTED)
def test_no_command_hides_in_an_indented_block(page: str) -> None:
    """Which nobody would run: neither the tests nor a reader's copy button."""
    outside = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"^\n {4}\S.*$", outside, re.MULTILINE) == []


@pytest.mark.parametrize("page", EXECUTED)
def test_what_is_run_is_a_script_that_bash_can_read(page: str) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    for command in commands(page):
        done = subprocess.run(
            [bash, "-n"], input=command.script, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command.place}: {done.stderr}"


def test_lines_are_looked_for_in_their_order_and_dots_stand_for_anything() -> None:
    command = Command("page:1", "", ("made … in … s", "done"))
    assert command.missing("made a in 3 s\nand then\ndone\n") == ""
    assert command.missing("done\nmade a in 3 s\n") == "done"
    assert command.missing("made a\nin 3 s\ndone\n") == "made … in … s"


def anchors(page: Path) -> set[str]:
    """The headings of a page as a browser's address names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_names_every_page_of_the_documentation() -> None:
    readme = (ROOT / "README.md").read_text()
    named = [path.name for path in ROOT.glob("docs/*.md")]
    assert [name for name in named if f"(docs/{name})" not in readme] == []
