# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept about each volume, in a file beside its layer; also read by other sandboxes."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from cloudspill_sandbox.runtime.interface import VolumeError

RECORD = "record.json"
_IMAGE = "image:"


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """What is known of a volume.

    Attributes:
        volume: its id; None when it was deleted while others stand on its layer.
        lowers: what lies below its own layer, from top to bottom: names of layers, or
            image_layer() of a guest image.
        writable: whether machines may write to it.
        size_gb: as the caller gave it.
        copied: whether it began as another volume's content and was never mounted: whoever mounts
            it must give it an identity of its own.
        machine: id of the machine that booted from it last, "" for none.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    volume: str | None
    lowers: tuple[str, ...]
    writable: bool
    size_gb: int
    copied: bool
    machine: str = ""


def image_layer(digest: str) -> str:
    """Return how a record names a guest image: the same wherever the images are kept."""
    return _IMAGE + digest


def image_digest(lower: str) -> str | None:
    """Return the digest of the guest image that a lower layer is, None when it is none."""
    return lower.removeprefix(_IMAGE) if lower.startswith(_IMAGE) else None


def read_record(layer: Path) -> VolumeRecord:
    """Read the record of a layer.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        VolumeError: it is damaged, or another version of the sandbox wrote it.
    """
    path = layer / RECORD
    try:
        record = TypeAdapter(VolumeRecord).validate_json(path.read_bytes())
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise VolumeError(
            f"{path} is damaged, or another version wrote it ({reason}); "
            "`cloudspill-sandbox reset` forgets all disks and starts afresh"
        ) from error
    # Images were once named by their path, whose last part is the digest.
    lowers = (image_layer(Path(e).name) if e.startswith("/") else e for e in record.lowers)
    return replace(record, lowers=tuple(lowers))


def write_record(layer: Path, record: VolumeRecord) -> None:
    """Write the record of a layer, whole or not at all."""
    draft = (layer / RECORD).with_suffix(".draft")
    draft.write_text(json.dumps(asdict(record)))
    draft.replace(layer / RECORD)


def images_in_use(state_root: Path) -> set[str]:
    """Return the digests of the guest images that volumes of any sandbox of this host stand on.

    Layers that come and go meanwhile may be missed: their sandbox runs, and holds its image.

    Raises:
        VolumeError: a record cannot be read, so that what it stands on is not known.
    """
    found: set[str | None] = set()
    for sandbox in state_root.iterdir():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for layer in (sandbox / "v").iterdir():
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    found.update(map(image_digest, read_record(layer).lowers))
    return {digest for digest in found if digest}
