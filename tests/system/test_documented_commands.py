# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of README and docs, run as a newcomer would: in order, in one shell, in a new clone.

What the clone has that a newcomer's has not are the packages that `make setup` installs: its .venv
finds them in the one of this checkout, so that setup has only the rest to do. `sudo` is a stand-in,
since the tests run as root already and the real one would forget which sandbox is theirs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import EXECUTED, Command, commands
from tests.system.sandbox import BIN, ROOT, Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600), pytest.mark.slow]

VARIABLES = {"CLOUDSPILL_SANDBOX": "docs", "CLOUDSPILL_SANDBOX_PORT": "8463"}
DEADLINE = 480
BEGIN, END = "<<< {}", ">>> {} ended with"
COMMANDS = [command for page in EXECUTED for command in commands(page)]


def borrow_packages(clone: Path) -> None:
    """Give the clone a .venv that finds the packages of this checkout's."""
    folder = clone / ".venv"
    venv.create(folder, symlinks=True, with_pip=False)
    packages = Path(sysconfig.get_path("purelib"))
    theirs = packages.relative_to(Path(sys.prefix))
    (folder / theirs / "borrowed.pth").write_text(f"{packages}\n")
    for program in BIN.iterdir():
        mine = folder / "bin" / program.name
        if program.is_file() and not mine.exists() and program.read_bytes()[:2] == b"#!":
            mine.write_text(program.read_text().replace(str(BIN), str(mine.parent)))
            mine.chmod(0o755)
    stamps = folder / ".setup"
    stamps.mkdir()
    for step in ("lock", "collections"):
        shutil.copy(ROOT / ".venv" / ".setup" / step, stamps)
    version = f"{sys.version_info.major} {sys.version_info.minor}"
    nothing = hashlib.sha256(b"").hexdigest()
    (stamps / "venv").write_text(f"{clone} {version} {nothing}  -\n")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as somebody else just cloned it."""
    folder = tmp_path_factory.mktemp("newcomer") / "cloudspill"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    borrow_packages(folder)
    return folder


@pytest.fixture(scope="module")
def said(host: None, clone: Path) -> Iterator[dict[str, tuple[int, str]]]:
    """Exit status and output of each block that was reached, by its place."""
    with tempfile.TemporaryDirectory(prefix="home-", ignore_cleanup_errors=True) as home:
        sandbox = Sandbox(Path(home), VARIABLES)
        sandbox.destroy()
        try:
            yield run(clone, Path(home), sandbox.base)
        finally:
            sandbox.destroy()


def run(clone: Path, home: Path, base: dict[str, str]) -> dict[str, tuple[int, str]]:
    """Run every block in one shell, which ends with the first that fails."""
    tools = home / "tools"
    tools.mkdir()
    (tools / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tools / "sudo").chmod(0o755)
    script = ["exec 2>&1", "set -eo pipefail", "trap 'echo \">>> $block ended with $?\"' EXIT"]
    for command in COMMANDS:
        script += [f"block={command.place}", f"echo '{BEGIN.format(command.place)}'"]
        script += [command.script, f"echo '{END.format(command.place)} 0'"]
    script.append("trap - EXIT")
    path = base["PATH"].removeprefix(f"{BIN}:")
    environment = base | {"PATH": f"{tools}:{path}", "PWD": str(clone)}
    for name in ("VIRTUAL_ENV", "ANSIBLE_INVENTORY"):
        environment.pop(name, None)
    with (home / "output").open("w+") as output:
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(script)],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            start_new_session=True,
        )
        try:
            shell.wait(DEADLINE)
        finally:
            # What a block left in the background, too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
            shell.wait()
        output.seek(0)
        text = output.read()
    found = re.findall(
        r"^<<< (\S+)\n(.*?)^>>> \1 ended with (\d+)$", text, re.DOTALL | re.MULTILINE
    )
    return {place: (int(status), printed) for place, printed, status in found}


def test_there_is_something_to_run() -> None:
    for page in EXECUTED:
        assert commands(page), page


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.place)
def test_a_command_of_the_documentation_does_what_it_says(
    said: dict[str, tuple[int, str]], command: Command
) -> None:
    assert command.place in said, "a block before it failed, or it did not end"
    status, output = said[command.place]
    assert status == 0, f"{command.script}\n{output}"
    assert not command.missing(output), f"{command.missing(output)!r} is missing in:\n{output}"
