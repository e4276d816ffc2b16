# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes as chains of layers, without mounting them."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.extents import unsynced_files
from cloudspill_sandbox.runtime.interface import VolumeError
from cloudspill_sandbox.runtime.volume_records import image_layer
from cloudspill_sandbox.runtime.volumes import VolumeStore

BASE = "debian-12"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "0123"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "box" / "v"


@pytest.fixture
def store(directory: Path, image: Path) -> VolumeStore:
    return loaded(directory, image)


def loaded(directory: Path, image: Path) -> VolumeStore:
    store = VolumeStore(directory, image.parent, {BASE: image.name})
    store.load()
    return store


def layer(store: VolumeStore, volume: str) -> Path:
    """Where a volume's own writes go."""
    return store.mount_point(volume).with_name("u")


def write(store: VolumeStore, volume: str, text: str) -> None:
    (layer(store, volume) / "file").write_text(text)


def test_a_boot_disk_stands_on_the_image(store: VolumeStore, image: Path) -> None:
    store.create("disk", BASE, 10)
    assert store.record("disk").lowers == (image_layer(image.name),)
    assert store.record("disk").size_gb == 10


def test_a_frozen_copy_keeps_what_the_source_held_then(store: VolumeStore) -> None:
    store.create("disk", BASE, 10)
    write(store, "disk", "then")
    store.freeze("snapshot", "disk", live_since=None)
    write(store, "disk", "now")
    assert (layer(store, "snapshot") / "file").read_text() == "then"
    assert store.record("snapshot").size_gb == 10


def test_clones_share_the_frozen_layer_and_copy_nothing(store: VolumeStore, image: Path) -> None:
    store.create("disk", BASE, 10)
    write(store, "disk", "then")
    store.freeze("snapshot", "disk", live_since=None)
    store.create("clone", "snapshot", 10)
    shared = layer(store, "snapshot").parent.name
    assert store.record("clone").lowers == (shared, image_layer(image.name))
    assert list(layer(store, "clone").iterdir()) == []


def test_a_writable_source_is_copied_once_and_then_apart(store: VolumeStore) -> None:
    store.create("disk", BASE, 10)
    write(store, "disk", "shared")
    store.create("copy", "disk", 10)
    write(store, "copy", "own")
    assert (layer(store, "disk") / "file").read_text() == "shared"


def test_content_stays_while_a_clone_stands_on_it_and_goes_with_the_last(
    store: VolumeStore,
) -> None:
    store.create("disk", BASE, 10)
    store.freeze("snapshot", "disk", live_since=None)
    store.create("clone", "snapshot", 10)
    content = layer(store, "snapshot")
    store.delete("snapshot")
    assert content.is_dir()
    with pytest.raises(VolumeError, match="snapshot does not exist"):
        store.create("late", "snapshot", 10)
    store.delete("clone")
    assert not content.exists()


def test_deleting_what_is_gone_is_no_error(store: VolumeStore, directory: Path) -> None:
    store.create("disk", BASE, 10)
    before = sorted(directory.iterdir())
    store.delete("never")
    assert sorted(directory.iterdir()) == before
    for _ in range(2):
        store.delete("disk")
    assert {entry.name for entry in directory.iterdir()} == {"empty"}


@pytest.mark.parametrize("existing", [False, True])
def test_nobody_else_can_reach_what_guests_wrote(
    directory: Path, image: Path, existing: bool
) -> None:
    if existing:
        directory.mkdir(parents=True, mode=0o755)
    loaded(directory, image)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_disk_may_be_deleted_while_it_is_copied(store: VolumeStore, directory: Path) -> None:
    store.create("disk", BASE, 10)
    for number in range(3000):  # enough for the copy to be under way when it is looked at
        (layer(store, "disk") / f"file{number}").touch()
    with ThreadPoolExecutor(1) as thread:
        copy = thread.submit(store.freeze, "snapshot", "disk", live_since=None)
        while not list(directory.glob("2.new/u/file*")):
            assert not copy.done()
        store.delete("disk")
        copy.result()
    assert len(list(layer(store, "snapshot").glob("file*"))) == 3000
    assert {entry.name for entry in directory.iterdir()} == {"2", "empty"}


def test_a_copy_that_fails_takes_along_what_only_it_stood_on(
    store: VolumeStore, directory: Path
) -> None:
    store.create("disk", BASE, 10)
    store.freeze("snapshot", "disk", live_since=None)
    store.delete("disk")
    record = directory / "3.new" / "record.draft"  # where the next volume is written down
    record.parent.mkdir()
    os.mkfifo(record)
    (directory / "3" / "taken").mkdir(parents=True)  # so that it cannot get its place
    with ThreadPoolExecutor(1) as thread:
        clone = thread.submit(store.create, "clone", "snapshot", 10)
        while True:  # until the clone is under way: it waits for a reader of what it writes
            with contextlib.suppress(VolumeError):
                store.record("clone")
                break
            assert not clone.done()
        store.delete("snapshot")
        record.read_bytes()
        with pytest.raises(VolumeError, match="clone from snapshot could not be made"):
            clone.result()
    assert {entry.name for entry in directory.iterdir()} == {"3", "empty"}


def test_a_volume_takes_what_its_layers_take_and_has_the_size_it_was_given(
    store: VolumeStore, directory: Path, image: Path
) -> None:
    (image / "big").write_bytes(bytes(1 << 20))
    store.create("disk", BASE, 10)
    store.freeze("first", "disk", live_since=None)
    (layer(store, "disk") / "file").write_bytes(os.urandom(1 << 18))
    store.freeze("second", "disk", live_since=None)
    assert store.stored_bytes("first") < 1 << 16
    assert 1 << 18 <= store.stored_bytes("second") < 1 << 19
    store.create("clone", "second", 10)
    assert store.stored_bytes("clone") >= store.stored_bytes("second")
    store.resize("clone", 20)
    assert store.record("clone").size_gb == 20
    assert loaded(directory, image).record("clone").size_gb == 20
    with pytest.raises(VolumeError, match="nowhere does not exist"):
        store.resize("nowhere", 20)


def test_a_name_is_free_again_after_its_volume_was_deleted(store: VolumeStore) -> None:
    store.create("disk", BASE, 10)
    store.freeze("snapshot", "disk", live_since=None)
    store.create("clone", "snapshot", 10)
    store.delete("snapshot")
    store.freeze("snapshot", "clone", live_since=None)
    assert store.record("snapshot").writable is False


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere", "nowhere does not exist"), (None, "disk exists")],
)
def test_a_refused_volume_leaves_nothing(
    store: VolumeStore, directory: Path, source: str | None, message: str
) -> None:
    store.create("disk", None, 10)
    before = sorted(directory.iterdir())
    with pytest.raises(VolumeError, match=message):
        store.create("disk" if source is None else "other", source, 10)
    assert sorted(directory.iterdir()) == before


def test_bases_are_neither_made_nor_deleted(store: VolumeStore) -> None:
    with pytest.raises(VolumeError, match="debian-12 exists"):
        store.create(BASE, None, 10)
    with pytest.raises(VolumeError, match="ships with the runtime"):
        store.delete(BASE)


def test_volumes_survive_a_restart(store: VolumeStore, directory: Path, image: Path) -> None:
    store.create("disk", BASE, 10)
    store.booted("disk", "4711")
    write(store, "disk", "kept")
    again = loaded(directory, image)
    assert (layer(again, "disk") / "file").read_text() == "kept"
    assert again.volume_of("4711") == "disk"
    again.create("other", BASE, 10)
    assert layer(again, "other") != layer(again, "disk")


def test_half_made_and_unneeded_layers_are_removed_at_the_next_start(
    store: VolumeStore, directory: Path, image: Path
) -> None:
    store.create("disk", BASE, 10)
    (directory / "7.new" / "u").mkdir(parents=True)
    loaded(directory, image)
    assert {entry.name for entry in directory.iterdir()} == {"1", "empty"}


def dig(top: Path) -> None:
    """Make a directory deeper than Python recurses, and not longer than the kernel's paths."""
    deepest = top / "/".join("d" * 1500)
    subprocess.run(["mkdir", "-p", str(deepest)], check=True)
    (deepest / "file").write_text("deep")


def test_a_disk_may_be_as_deep_as_its_machine_made_it(
    store: VolumeStore, directory: Path, image: Path
) -> None:
    store.create("disk", BASE, 10)
    dig(layer(store, "disk"))
    dig(directory / "7.new" / "u")
    again = loaded(directory, image)
    again.freeze("snapshot", "disk", live_since=time.time())
    again.delete("disk")
    again.delete("snapshot")
    assert {entry.name for entry in directory.iterdir()} == {"empty"}


def test_a_copy_needs_an_identity_of_its_own_until_it_was_booted(store: VolumeStore) -> None:
    store.create("disk", BASE, 10)
    store.freeze("snapshot", "disk", live_since=None)
    store.create("clone", "snapshot", 10)
    assert store.record("clone").copied
    store.booted("clone", "4712")
    assert not store.record("clone").copied


def test_a_chain_that_the_kernel_would_not_mount_is_refused(store: VolumeStore) -> None:
    store.create("disk0", BASE, 10)
    with pytest.raises(VolumeError, match="longer than the kernel mounts"):  # noqa: PT012
        for generation in range(200):
            store.freeze(f"snapshot{generation}", f"disk{generation}", live_since=None)
            store.create(f"disk{generation + 1}", f"snapshot{generation}", 10)


def test_volumes_made_at_the_same_time_do_not_meet(store: VolumeStore) -> None:
    names = [f"disk{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: store.create(name, BASE, 10), names))
    assert len({layer(store, name) for name in names}) == len(names)


def test_a_copy_of_a_live_disk_lacks_what_was_not_synced(store: VolumeStore) -> None:
    store.create("disk", BASE, 10)
    folder = layer(store, "disk")
    (folder / "synced").write_text("safe")
    os.sync()
    (folder / "unsynced").write_text("only in memory")
    if not unsynced_files(folder, time.time()):
        pytest.skip("the file system of the temporary directory has no delayed allocation")
    store.freeze("crash", "disk", live_since=time.time())
    store.freeze("rest", "disk", live_since=None)
    store.create("clone", "disk", 10, live_since=time.time())
    assert (layer(store, "crash") / "synced").read_text() == "safe"
    assert (layer(store, "crash") / "unsynced").read_text() == ""
    assert (layer(store, "clone") / "unsynced").read_text() == ""
    assert (layer(store, "rest") / "unsynced").read_text() == "only in memory"
