# SPDX-License-Identifier: GPL-3.0-or-later
"""What tokens are signed with, kept over restarts."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cloudspill_sandbox.identity.tokens import Signers

from .conftest import NOW


def test_they_are_made_once_and_are_their_owner_s_alone(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    made = Signers.kept_in(directory, lambda: NOW)
    again = Signers.kept_in(directory, lambda: NOW)
    assert (again.secret, again.identity.id) == (made.secret, made.identity.id)
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["access-tokens.key", "identity-tokens.pem"])
@pytest.mark.parametrize("kept", [0, 20])
def test_a_file_that_a_power_cut_shortened_is_refused_with_the_remedy(
    tmp_path: Path, name: str, kept: int
) -> None:
    Signers.kept_in(tmp_path, lambda: NOW)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"{name} is damaged.*remove it"):
        Signers.kept_in(tmp_path, lambda: NOW)
