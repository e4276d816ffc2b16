# SPDX-License-Identifier: GPL-3.0-or-later
"""When a guest image is built again, and what becomes of what a killed build left."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.guest_image import ensure_guest_image
from cloudspill_sandbox.runtime.guest_image.build import salvage
from cloudspill_sandbox.runtime.guest_image.recipe import Recipe
from cloudspill_sandbox.settings import Settings


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text("one authority")
    return path


def test_the_digest_is_stable(authority: Path) -> None:
    assert Recipe((authority,)).digest == Recipe((authority,)).digest


def test_another_authority_makes_another_image(authority: Path) -> None:
    before = Recipe((authority,)).digest
    authority.write_text("another authority")
    assert Recipe((authority,)).digest != before
    assert Recipe(()).digest != before


async def test_an_image_that_is_there_is_not_built_again(tmp_path: Path, authority: Path) -> None:
    settings = Settings(state_root=tmp_path / "state")
    image = settings.images_dir / Recipe.for_this_host([authority]).digest
    image.mkdir(parents=True)
    said: list[str] = []
    assert await ensure_guest_image(settings, [authority], said.append) == image
    assert said == []


def test_packages_of_a_killed_build_are_kept_and_the_rest_goes(tmp_path: Path) -> None:
    draft, packages = tmp_path / "draft", tmp_path / "packages"
    archives = draft / "root/var/cache/apt/archives"
    (archives / "partial").mkdir(parents=True)
    (archives / "git_1_amd64.deb").write_text("whole")
    (archives / "partial/perl_1_amd64.deb").write_text("hal")
    salvage(draft, packages)
    assert not draft.exists()
    assert [entry.name for entry in packages.iterdir()] == ["git_1_amd64.deb"]


def test_salvaging_where_no_build_was_changes_nothing(tmp_path: Path) -> None:
    salvage(tmp_path / "draft", tmp_path / "packages")
    assert list((tmp_path / "packages").iterdir()) == []
