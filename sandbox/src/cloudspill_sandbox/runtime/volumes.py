# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks as overlay layers: what a machine wrote lies in its own layer above what it began with.

A volume made from another shares that one's layers; only a writable source is copied. A layer goes
when its own volume is deleted and no other volume stands on it.

Unfaithful: the size of a volume is recorded, not enforced, and a machine sees a file system where
Compute Engine shows a block device.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cloudspill_sandbox.runtime.extents import unsynced_files
from cloudspill_sandbox.runtime.interface import VolumeError
from cloudspill_sandbox.runtime.mounts import (
    mount_overlay,
    overlay_options,
    unmount,
)
from cloudspill_sandbox.runtime.trees import remove_tree, tree_bytes
from cloudspill_sandbox.runtime.volume_records import (
    VolumeRecord,
    image_digest,
    image_layer,
    read_record,
    write_record,
)

_UNFINISHED = ".new"

_log = logging.getLogger(__name__)


class VolumeStore:
    """The volumes below one directory; methods block and may be called from several threads.

    Args:
        directory: holds a folder a layer; its name should be short. Only its owner may enter it:
            a setuid program of a guest's root would be one of the host's.
        images: holds the guest images, each in a folder named by its digest.
        bases: read-only volumes by id, as digests of their images.
    """

    def __init__(self, directory: Path, images: Path, bases: Mapping[str, str]) -> None:
        self._directory = directory
        self._images = images
        self._bases = dict(bases)
        self._layers: dict[str, VolumeRecord] = {}
        self._being_copied: Counter[str] = Counter()
        self._names = itertools.count(1)
        self._lock = threading.RLock()

    def load(self) -> None:
        """Read the records; remove half-made layers and layers that nobody needs.

        What is mounted has a record and stays.

        Raises:
            VolumeError: a record cannot be read.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        (self._directory / "empty").mkdir(exist_ok=True)
        for draft in self._directory.glob(f"*{_UNFINISHED}"):
            _discard(draft)
        names = {entry.name.removesuffix(_UNFINISHED) for entry in self._directory.iterdir()}
        numbers = sorted(int(name) for name in names if name.isdecimal())
        self._layers = {}
        for name in map(str, numbers):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._layers[name] = read_record(self._directory / name)
        self._names = itertools.count(max(numbers, default=0) + 1)
        self._collect()

    @property
    def made(self) -> frozenset[str]:
        """Ids of all volumes but those that ship with the store."""
        with self._lock:
            return frozenset(each.volume for each in self._layers.values() if each.volume)

    def create(
        self, volume: str, source: str | None, size_gb: int, *, live_since: float | None = None
    ) -> None:
        """Make a writable volume, empty or on the content of another.

        Args:
            volume: id of the new volume.
            source: id of a base, frozen or writable volume; None for an empty one.
            size_gb: is noted.
            live_since: as for freeze().

        Raises:
            VolumeError: the id is taken, the source is unknown, or the copy failed.
        """
        self._derive(volume, source, writable=True, size_gb=size_gb, live_since=live_since)

    def freeze(self, volume: str, source: str, *, live_since: float | None) -> None:
        """Make a read-only volume with the content of another.

        Args:
            volume: id of the new volume.
            source: id of a base, frozen or writable volume.
            live_since: wall time of now when a (paused) machine has the source mounted, so that
                what it has not synced stays out; None when the source is at rest.

        Raises:
            VolumeError: as for create().
        """
        self._derive(volume, source, writable=False, size_gb=None, live_since=live_since)

    def _derive(
        self,
        volume: str,
        source: str | None,
        *,
        writable: bool,
        size_gb: int | None,
        live_since: float | None,
    ) -> None:
        name, copied_layer = self._reserve(volume, source, writable, size_gb)
        record = self._layers[name]
        draft, folder = self._directory / f"{name}{_UNFINISHED}", self._directory / name
        try:
            overlay_options(self._paths(record.lowers), folder / "u", folder / "w")
            for part in ("u", "w", "m"):
                (draft / part).mkdir(parents=True)
            if copied_layer:
                _copy_layer(self._directory / copied_layer / "u", draft / "u", live_since)
            write_record(draft, record)
            draft.rename(folder)
        except BaseException as error:
            with self._lock:
                del self._layers[name]
            _discard(draft)
            self._collect()  # what it was to stand on may have been deleted meanwhile
            if isinstance(error, OSError | ValueError | subprocess.CalledProcessError):
                origin = f" from {source}" if source else ""
                raise VolumeError(f"volume {volume}{origin} could not be made: {error}") from error
            raise
        finally:
            if copied_layer:
                with self._lock:
                    self._being_copied[copied_layer] -= 1
                self._collect()  # it may have been deleted meanwhile

    def _reserve(
        self, volume: str, source: str | None, writable: bool, size_gb: int | None
    ) -> tuple[str, str | None]:
        """Claim an id and hold the source's layers; return a layer's name and the one to copy."""
        with self._lock:
            if volume in self._bases or self._find(volume):
                raise VolumeError(f"volume {volume} exists")
            lowers, copied_layer = self._below(source)
            if copied_layer:
                self._being_copied[copied_layer] += 1
            if size_gb is None:
                size_gb = (
                    0 if source is None or source in self._bases else self.record(source).size_gb
                )
            name = str(next(self._names))
            self._layers[name] = VolumeRecord(
                volume, lowers, writable, size_gb, copied=source is not None
            )
        return name, copied_layer

    def _below(self, source: str | None) -> tuple[tuple[str, ...], str | None]:
        """Return the lower layers of a volume made from `source`, and a layer to copy, if any."""
        if source is None:
            return ("empty",), None
        if source in self._bases:
            return (image_layer(self._bases[source]),), None
        layer = self._layer(source)
        record = self._layers[layer]
        if record.writable:
            return record.lowers, layer
        return (layer, *record.lowers), None

    def resize(self, volume: str, size_gb: int) -> None:
        """Note another size of a volume.

        Raises:
            VolumeError: it does not exist.
        """
        with self._lock:
            layer = self._layer(volume)
            self._keep(layer, replace(self._layers[layer], size_gb=size_gb))

    def stored_bytes(self, volume: str) -> int:
        """Return what the layers of a volume take on the disk, the guest image not counted.

        Raises:
            VolumeError: it does not exist.
        """
        layer = self._layer(volume)
        lowers = self._layers[layer].lowers
        layers = [layer, *(lower for lower in lowers if lower in self._layers)]
        return sum(tree_bytes(self._directory / each / "u") for each in layers)

    def delete(self, volume: str) -> None:
        """Remove a volume; its layer stays while others stand on it. No error when it is gone.

        Raises:
            VolumeError: it is mounted, or is a base.
        """
        if volume in self._bases:
            raise VolumeError(f"volume {volume} ships with the runtime")
        with self._lock:
            layer = self._find(volume)
            if layer is None:
                return
            if (self._directory / layer / "m").is_mount():
                raise VolumeError(f"volume {volume} is in use")
            self._keep(layer, replace(self._layers[layer], volume=None))
        self._collect()

    def mount(self, volume: str) -> Path:
        """Mount a writable volume and return where; idempotent.

        Raises:
            VolumeError: it does not exist, is read-only, or the kernel refused.
        """
        if volume in self._bases:
            raise VolumeError(f"volume {volume} is read-only")
        layer = self._layer(volume)
        record = self._layers[layer]
        if not record.writable:
            raise VolumeError(f"volume {volume} is read-only")
        folder = self._directory / layer
        if not (folder / "m").is_mount():
            options = overlay_options(self._paths(record.lowers), folder / "u", folder / "w")
            try:
                mount_overlay(folder / "m", options)
            except OSError as error:
                raise VolumeError(f"volume {volume} could not be mounted: {error}") from error
        return folder / "m"

    def unmount(self, volume: str) -> None:
        """Unmount a volume; no error when it is not mounted or gone."""
        if self._find(volume):
            unmount(self.mount_point(volume), detach=True)

    def mount_point(self, volume: str) -> Path:
        """Return where a volume is mounted when it is."""
        return self._directory / self._layer(volume) / "m"

    def console_log(self, volume: str) -> Path:
        """Return the file for the console of the machine that boots from a volume."""
        return self._directory / self._layer(volume) / "console"

    def record(self, volume: str) -> VolumeRecord:
        """Return what is known of a volume.

        Raises:
            VolumeError: it does not exist.
        """
        return self._layers[self._layer(volume)]

    def booted(self, volume: str, machine: str) -> None:
        """Note that a machine owns the identity on a volume."""
        layer = self._layer(volume)
        self._keep(layer, replace(self._layers[layer], copied=False, machine=machine))

    def volume_of(self, machine: str) -> str | None:
        """Return the volume that a machine booted from last, None when it is gone."""
        with self._lock:
            found = (r.volume for r in self._layers.values() if r.machine == machine and r.volume)
            return next(found, None)

    def _find(self, volume: str) -> str | None:
        with self._lock:
            return next((name for name, r in self._layers.items() if r.volume == volume), None)

    def _layer(self, volume: str) -> str:
        layer = self._find(volume)
        if layer is None:
            raise VolumeError(f"volume {volume} does not exist")
        return layer

    def _paths(self, lowers: tuple[str, ...]) -> list[Path]:
        return [self._lower_path(lower) for lower in lowers]

    def _lower_path(self, lower: str) -> Path:
        if digest := image_digest(lower):
            return self._images / digest
        return self._directory / lower / "u" if lower != "empty" else self._directory / lower

    def _keep(self, layer: str, record: VolumeRecord) -> None:
        with self._lock:
            write_record(self._directory / layer, record)
            self._layers[layer] = record

    def _collect(self) -> None:
        """Remove the layers of deleted volumes that nothing stands on and nobody copies."""
        with self._lock:
            records = self._layers.values()
            needed = {lower for record in records if record.volume for lower in record.lowers}
            needed |= set(+self._being_copied)
            doomed = [
                layer
                for layer, record in self._layers.items()
                if record.volume is None and layer not in needed
            ]
            for layer in doomed:
                (self._directory / layer).rename(self._directory / f"{layer}{_UNFINISHED}")
                del self._layers[layer]
        for layer in doomed:
            _discard(self._directory / f"{layer}{_UNFINISHED}")


def _discard(draft: Path) -> None:
    """Remove what nobody needs any more; what will not go now may go at the next load()."""
    try:
        remove_tree(draft)
    except OSError as error:
        _log.warning("%s", error)


def _copy_layer(source: Path, target: Path, live_since: float | None) -> None:
    unsynced = unsynced_files(source, live_since) if live_since is not None else {}
    subprocess.run(
        ["cp", "--archive", "--reflink=auto", "--no-target-directory", str(source), str(target)],
        check=True,
        stderr=subprocess.PIPE,
    )
    for relative, kept in unsynced.items():
        os.truncate(target / relative, kept)
