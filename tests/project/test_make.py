# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make` says and leaves when something is missing, fails or is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile and the scripts alone, as before `make setup`."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


def tools_without_sudo(folder: Path) -> str:
    """Return a PATH of just what a shell and make need, where `id` says that nobody is root."""
    folder.mkdir()
    for name in ("make", "sh", "env", "bash"):
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "id").write_text("#!/bin/sh\necho 1000\n")
    (folder / "id").chmod(0o755)
    return str(folder)


def make(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_down_before_setup_says_what_to_do(checkout: Path) -> None:
    done = make(checkout, "down")
    assert done.returncode != 0
    assert ".venv/bin/cloudspill-sandbox is not there: run `make setup` first" in done.stderr
    assert "No such file" not in done.stderr


def test_without_root_and_sudo_it_says_what_to_do(checkout: Path) -> None:
    program = checkout / ".venv" / "bin" / "cloudspill-sandbox"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    done = make(checkout, "down", PATH=tools_without_sudo(checkout / "tools"))
    assert done.returncode != 0
    assert "needs root, and there is no sudo" in done.stderr
    assert "No such file" not in done.stderr
    assert "ran" not in done.stdout


def test_clean_removes_the_counts_of_the_example(checkout: Path) -> None:
    examples = checkout / "monitor" / "examples"
    examples.mkdir(parents=True)
    for name in ("task-1.count", "task-1.count.new", "monitor.yml"):
        (examples / name).touch()
    # In place of the script that stops the sandbox of this host.
    (checkout / "scripts" / "clean").write_text("#!/bin/sh\n")
    assert make(checkout, "clean", "AS_ROOT=").returncode == 0
    assert [path.name for path in examples.iterdir()] == ["monitor.yml"]


def test_clean_does_nothing_when_ansible_takes_it_for_an_inventory(checkout: Path) -> None:
    """`ANSIBLE_INVENTORY=localhost,` is two paths, and the second one the current folder.

    Ansible then runs every program below it with `--list`.
    """
    program = checkout / ".venv" / "bin" / "cloudspill-sandbox"
    program.parent.mkdir(parents=True)
    # It fails, so that what it is to guard could never run on.
    program.write_text(f"#!/bin/sh\ntouch {checkout}/ran\nexit 1\n")
    program.chmod(0o755)
    done = subprocess.run(
        [checkout / "scripts" / "clean", "--list"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "takes no arguments" in done.stderr
    assert not (checkout / "ran").exists()


def start_demo(checkout: Path, up: str) -> subprocess.Popen[str]:
    """Start the demo with another recipe for `make up`; all that it says comes by its stdout."""
    (checkout / "Makefile").write_text(f"up:\n\t@{up}\n")
    return subprocess.Popen(
        # What runs in the background, as CI's tests do, ignores SIGINT, and its children would too.
        ["env", "--default-signal=INT", sys.executable, checkout / "scripts" / "demo.py"],
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_demo_that_fails_tells_it_in_order_through_a_pipe(checkout: Path) -> None:
    with start_demo(checkout, "echo begun; echo the cause >&2; false") as demo:
        out, err = demo.communicate(timeout=60)
    assert demo.returncode == 1
    said = [out.find(text) for text in ("sandbox ", "begun", "the cause", "sandbox failed")]
    assert -1 not in said, (out, err)
    assert said == sorted(said)
    assert err == ""


def test_a_demo_that_is_interrupted_says_what_is_left(checkout: Path) -> None:
    with start_demo(checkout, "echo begun; exec sleep 60") as demo:
        assert demo.stdout is not None
        while demo.stdout.readline() not in ("begun\n", ""):
            pass
        os.killpg(demo.pid, signal.SIGINT)
        out, err = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert "Traceback" not in out + err
    last = " ".join(out.split())
    assert "the sandbox may be up: `make demo` goes on, `make down` stops it" in last
