# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh key: made once, kept private, refused where it is not sound."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.modules import ssh_key


def run_command(command: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def have(key: Path, *, check_mode: bool = False) -> dict[str, Any]:
    options = {"path": str(key), "comment": "tests"}
    module: Any = SimpleNamespace(params=options, check_mode=check_mode, run_command=run_command)
    return ssh_key.run(module)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Where a key shall be."""
    return tmp_path / "config" / "ssh_key"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_where_there_is_none_for_its_owner_alone(key: Path) -> None:
    result = have(key)
    assert result["changed"]
    assert result["public_key"].startswith("ssh-ed25519 AAAA")
    assert (mode(key), mode(key.parent)) == (0o600, 0o700)
    assert key.with_name("ssh_key.pub").read_text().split() == [
        *result["public_key"].split(),
        "tests",
    ]
    assert {path.name for path in key.parent.iterdir()} == {"ssh_key", "ssh_key.pub"}


def test_a_key_that_exists_is_kept(key: Path) -> None:
    first = have(key)
    second = have(key)
    assert not second["changed"]
    assert second["public_key"] == first["public_key"]


def test_check_mode_makes_nothing(key: Path) -> None:
    assert have(key, check_mode=True) == {"changed": True, "path": str(key), "public_key": ""}
    assert not key.parent.exists()


@pytest.mark.parametrize("loose", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(
    key: Path, loose: int
) -> None:
    have(key)
    key.chmod(loose)
    with pytest.raises(ssh_key.KeyRefusedError, match=f"run `chmod 600 {key}`"):
        have(key)


def test_a_file_that_is_no_key_is_refused_and_left_alone(key: Path) -> None:
    key.parent.mkdir()
    key.touch(mode=0o600)
    key.write_text("no key\n")
    with pytest.raises(ssh_key.KeyRefusedError, match="instance_ssh_key_file"):
        have(key)
    assert key.read_text() == "no key\n"


def test_a_key_with_a_passphrase_is_refused(key: Path) -> None:
    key.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    with pytest.raises(ssh_key.KeyRefusedError, match="without passphrase"):
        have(key)
