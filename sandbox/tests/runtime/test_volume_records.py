# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of volumes: read again, read by others, and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.interface import VolumeError
from cloudspill_sandbox.runtime.volume_records import (
    RECORD,
    VolumeRecord,
    image_layer,
    images_in_use,
    read_record,
    write_record,
)
from cloudspill_sandbox.runtime.volumes import VolumeStore

DISK = VolumeRecord("disk", ("3", image_layer("0123")), writable=True, size_gb=10, copied=False)
GOOD = {"volume": "d", "lowers": ["empty"], "writable": True, "size_gb": 1, "copied": False}


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "box" / "v" / "7"
    folder.mkdir(parents=True)
    return folder


def test_a_record_is_read_as_it_was_written(layer: Path) -> None:
    write_record(layer, DISK)
    assert read_record(layer) == DISK
    assert [entry.name for entry in layer.iterdir()] == [RECORD]


def test_an_image_once_recorded_by_its_path_is_that_image(layer: Path) -> None:
    (layer / RECORD).write_text(json.dumps({**GOOD, "lowers": ["3", "/a/b/images/0123"]}))
    assert read_record(layer).lowers == ("3", image_layer("0123"))


@pytest.mark.parametrize(
    "text",
    ["", '{"volume": "d", "lowe', "[]", json.dumps({**GOOD, "colour": "red"}), '{"volume": "d"}'],
    ids=["empty", "truncated", "no object", "newer", "older"],
)
def test_a_record_that_cannot_be_read_is_refused_with_the_way_out(layer: Path, text: str) -> None:
    (layer / RECORD).write_text(text)
    message = rf"{layer}/{RECORD} is damaged.*`cloudspill-sandbox reset`"
    with pytest.raises(VolumeError, match=message):
        read_record(layer)
    with pytest.raises(VolumeError, match=message):
        images_in_use(layer.parents[2])
    with pytest.raises(VolumeError, match=message):
        VolumeStore(layer.parent, layer, {}).load()
    assert (layer / RECORD).read_text() == text


def test_folders_without_a_record_are_no_volumes_and_keep_their_number(layer: Path) -> None:
    (layer.parent / "notes").mkdir()
    (layer.parent / "notes" / RECORD).write_text("{}")
    store = VolumeStore(layer.parent, layer, {})
    store.load()
    store.create("disk", None, 10)
    assert store.mount_point("disk") == layer.parent / "8" / "m"


def test_images_are_in_use_while_a_volume_of_any_sandbox_stands_on_them(layer: Path) -> None:
    state = layer.parents[2]
    assert images_in_use(state) == set()
    write_record(layer, DISK)
    other = state / "other" / "v" / "1.new"
    other.mkdir(parents=True)
    (state / "stray-file").touch()
    write_record(other, VolumeRecord("d", (image_layer("4567"),), True, 10, copied=False))
    assert images_in_use(state) == {"0123", "4567"}


def test_an_image_is_in_use_however_the_state_is_reached(layer: Path, tmp_path: Path) -> None:
    write_record(layer, DISK)
    (tmp_path / "alias").symlink_to(layer.parents[2])
    assert images_in_use(tmp_path / "alias") == {"0123"}


def test_a_layer_that_vanishes_meanwhile_is_passed_over(layer: Path) -> None:
    (layer / RECORD).symlink_to("gone")
    assert images_in_use(layer.parents[2]) == set()
