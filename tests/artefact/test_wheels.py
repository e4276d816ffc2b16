# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheels of the two programs, in an environment that holds what they declare and no more.

The packages that a wheel declares, and those that these declare, are linked from the tests' own
environment, which holds the locked versions: so nothing is fetched, and what a wheel uses without
declaring it is missing.
"""

from __future__ import annotations

import ast
import http.client
import json
import shutil
import socket
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MISSING = """
import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))
"""


@dataclass(frozen=True, slots=True)
class Program:
    """One of the two programs.

    Attributes:
        folder: its project's folder, below the root.
        optional: modules that need the packages of an extra.
    """

    folder: str
    optional: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """Its import package."""
        return f"cloudspill_{self.folder}"

    @property
    def command(self) -> str:
        """The command that its wheel installs."""
        return f"cloudspill-{self.folder}"


SANDBOX = Program("sandbox")
MONITOR = Program(
    "monitor", optional=("cloudspill_monitor.metrics", "cloudspill_monitor.simulation.plot")
)


@dataclass(frozen=True, slots=True)
class Installed:
    """A program in an environment of its own."""

    program: Program
    wheel: Path
    environment: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run something of the environment, far from the checkout."""
        program = str(self.environment / "bin" / command[0])
        return run(program, *command[1:], cwd=self.environment, **variables)


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(cwd)} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def build(program: Program, folder: Path) -> Path:
    """Build a wheel from a copy, which no earlier build has left anything in."""
    source = folder / program.folder
    leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "tests", ".*")
    shutil.copytree(ROOT / program.folder, source, ignore=leave)
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    done = run(sys.executable, "-m", "pip", "wheel", "-q", *options, str(source), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def declared(wheel: Path) -> dict[str, metadata.Distribution]:
    """The installed distributions that a wheel asks for, with all that those ask for, by name."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    wanted = [
        (Requirement(line.removeprefix("Requires-Dist: ")), frozenset[str]())
        for line in text.splitlines()
        if line.startswith("Requires-Dist: ")
    ]
    found: dict[str, metadata.Distribution] = {}
    seen: set[str] = set()
    while wanted:
        need, chosen = wanted.pop()
        applies = not need.marker or any(need.marker.evaluate({"extra": e}) for e in ("", *chosen))
        if not applies or str(need) in seen:
            continue
        seen.add(str(need))
        found[canonicalize_name(need.name)] = metadata.distribution(need.name)
        below = metadata.requires(need.name) or []
        wanted += [(Requirement(line), frozenset(need.extras)) for line in below]
    return found


def link(distribution: metadata.Distribution, target: Path) -> None:
    """Link a distribution's files into another environment; its commands stay behind."""
    for file in distribution.files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(str(file.locate()))


def imported(source: Path, optional: tuple[str, ...]) -> set[str]:
    """The packages of others that are imported anywhere, at the latest when they are needed."""
    names: set[str] = set()
    for path in source.rglob("*.py"):
        if ".".join(path.relative_to(source).with_suffix("").parts) in optional:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


@pytest.fixture(scope="module", params=[SANDBOX, MONITOR], ids=lambda program: program.folder)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """Each program, in an environment that was empty."""
    program: Program = request.param
    folder = tmp_path_factory.mktemp(program.folder)
    wheel = build(program, folder)
    environment = folder / "environment"
    made = run(sys.executable, "-m", "venv", str(environment), cwd=folder)
    assert made.returncode == 0, made.stderr
    purelib = sysconfig.get_path("purelib", vars={"base": str(environment)})
    for distribution in declared(wheel).values():
        link(distribution, Path(purelib))
    subject = Installed(program, wheel, environment)
    done = subject.run("pip", "install", "-q", "--no-index", str(wheel))
    assert done.returncode == 0, done.stdout + done.stderr
    yield subject
    shutil.rmtree(folder)


def test_the_wheel_holds_the_package_its_data_and_its_licence(installed: Installed) -> None:
    source = ROOT / installed.program.folder / "src"
    wanted = {
        str(path.relative_to(source))
        for path in (source / installed.program.package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(installed.wheel) as archive:
        shipped = set(archive.namelist())
    about = {name for name in shipped if ".dist-info/" in name}
    assert shipped - about == wanted
    assert [name for name in about if name.endswith("/LICENSE")]


def test_what_it_declares_is_all_that_it_needs(installed: Installed) -> None:
    checked = installed.run("pip", "check")
    assert checked.returncode == 0, checked.stdout
    program = installed.program
    packages = imported(ROOT / program.folder / "src", program.optional)
    assert packages
    done = installed.run("python", "-c", MISSING, *sorted(packages))
    assert (done.stderr, done.stdout.split()) == ("", [])


def test_the_command_tells_its_version(installed: Installed) -> None:
    done = installed.run(installed.program.command, "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == installed.wheel.name.split("-")[1]


def test_the_commands_do_their_work(installed: Installed, tmp_path: Path) -> None:
    """What is read at run time came with the wheel: Google's API descriptions, for example."""
    work = {"sandbox": sandbox_works, "monitor": monitor_works}[installed.program.folder]
    work(installed, tmp_path)


def sandbox_works(installed: Installed, folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = {
        "CLOUDSPILL_SANDBOX": "wheel",
        "CLOUDSPILL_SANDBOX_PORT": str(port),
        "CLOUDSPILL_STATE_ROOT": str(folder / "state"),
        "CLOUDSPILL_RUN_ROOT": str(folder / "run"),
    }
    try:
        up = installed.run("cloudspill-sandbox", "up", "--in-memory", **names)
        assert up.returncode == 0, up.stderr
        api = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        api.request("GET", "/compute/v1/projects/p/zones/us-west1-b/instances")
        answer = json.loads(api.getresponse().read())
        api.close()
        assert answer["error"]["code"] == 401, "the method is known, and wants a token"
    finally:
        down = installed.run("cloudspill-sandbox", "down", **names)
    assert down.returncode == 0, down.stderr


def monitor_works(installed: Installed, folder: Path) -> None:
    example = folder / "examples"
    shutil.copytree(ROOT / "monitor" / "examples", example)
    done = installed.run("cloudspill-monitor", "check", str(example / "monitor.yml"))
    said = " ".join((done.stdout + done.stderr).split())
    assert f"{example / 'monitor.yml'} is valid" in said
    assert "install ansible-core" in said, "what a burst needs beside the wheel is named"
