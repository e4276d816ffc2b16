# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumes of in-memory machines on disk: so an in-memory sandbox has several lives."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path

from pydantic import TypeAdapter

from cloudspill_sandbox.runtime.memory import MemoryVolume

_FORM = TypeAdapter(MemoryVolume)


class KeptVolumes(MutableMapping[str, MemoryVolume]):
    """Volumes by id, a JSON file each; a volume that is read is a copy.

    Args:
        directory: made when it is missing; what a killed process had half written there goes.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for draft in directory.glob("*.new"):
            draft.unlink()
        self._directory = directory

    def __getitem__(self, volume: str) -> MemoryVolume:
        """Read a volume's file."""
        try:
            return _FORM.validate_json(self._path(volume).read_bytes())
        except FileNotFoundError:
            raise KeyError(volume) from None

    def __setitem__(self, volume: str, content: MemoryVolume) -> None:
        """Write a volume's file, whole or not at all."""
        draft = self._path(volume).with_suffix(".new")
        draft.write_bytes(_FORM.dump_json(content))
        draft.replace(self._path(volume))

    def __delitem__(self, volume: str) -> None:
        """Remove a volume's file."""
        try:
            self._path(volume).unlink()
        except FileNotFoundError:
            raise KeyError(volume) from None

    def __iter__(self) -> Iterator[str]:
        """Yield the ids."""
        return (path.stem for path in self._directory.glob("*.json"))

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)

    def _path(self, volume: str) -> Path:
        return self._directory / f"{volume}.json"
