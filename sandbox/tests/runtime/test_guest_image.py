# SPDX-License-Identifier: GPL-3.0-or-later
"""When a guest image is built again, and what becomes of what a killed build left."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.guest_image import GuestImageError, ensure_guest_image
from cloudspill_sandbox.runtime.guest_image.build import salvage
from cloudspill_sandbox.runtime.guest_image.in_use import UNUSED_FOR
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


async def test_images_are_out_of_reach_of_the_host_s_users(tmp_path: Path, authority: Path) -> None:
    settings = Settings(state_root=tmp_path / "state")
    (settings.images_dir / Recipe.for_this_host([authority]).digest).mkdir(parents=True)
    await ensure_guest_image(settings, [authority], print)
    assert stat.S_IMODE(settings.images_dir.stat().st_mode) == 0o700


async def test_another_checkout_s_image_stays_for_a_while_after_its_use(
    tmp_path: Path, authority: Path
) -> None:
    settings = Settings(state_root=tmp_path / "state")
    mine = settings.images_dir / Recipe.for_this_host([authority]).digest
    recent, old = settings.images_dir / "recent", settings.images_dir / "old"
    for image in (mine, recent, old):
        image.mkdir(parents=True)
    long_ago = time.time() - UNUSED_FOR - 1
    os.utime(old, (long_ago, long_ago))
    os.utime(mine, (long_ago, long_ago))
    await ensure_guest_image(settings, [authority], print)
    assert {path.name for path in settings.images_dir.glob("[!.]*")} == {mine.name, "recent"}


async def test_no_image_goes_while_a_record_cannot_be_read(tmp_path: Path, authority: Path) -> None:
    settings = Settings(state_root=tmp_path / "state")
    mine = settings.images_dir / Recipe.for_this_host([authority]).digest
    old = settings.images_dir / "old"
    for image in (mine, old):
        image.mkdir(parents=True)
    os.utime(old, (0, 0))
    layer = settings.volumes_dir / "1"
    layer.mkdir(parents=True)
    (layer / "record.json").write_text("{")
    assert await ensure_guest_image(settings, [authority], print) == mine
    assert old.is_dir()


async def test_what_the_system_refuses_is_told_in_a_sentence(
    tmp_path: Path, authority: Path
) -> None:
    (tmp_path / "state").write_text("a file where a directory should be")
    with pytest.raises(GuestImageError, match=r"could not be built: .*Not a directory.*state"):
        await ensure_guest_image(Settings(state_root=tmp_path / "state"), [authority], print)


async def test_a_build_whose_programs_are_missing_fails_with_a_sentence(
    tmp_path: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state_root=tmp_path / "state")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "apt-config", "rm"):
        (programs / name).symlink_to(shutil.which("true") or "")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(GuestImageError, match=r"could not be built: .*No such file.*setpriv"):
        await ensure_guest_image(settings, [authority], print)


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
