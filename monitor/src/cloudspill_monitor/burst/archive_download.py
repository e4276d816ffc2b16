# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that comes home in pieces: whole under its name, or not there at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path

from cloudspill_monitor.burst.frames import Pulled
from cloudspill_monitor.burst.link_error import LinkError


class ArchiveDownload:
    """Receives one archive for the file `to`; :meth:`discard` in any case at last.

    Raises LinkError (`disk-full-here`), as its methods do.
    """

    def __init__(self, to: Path) -> None:
        self._to = to
        self._sum = hashlib.sha256()
        self._size = 0
        try:
            file, name = tempfile.mkstemp(prefix=".pull-", dir=to.parent)
        except OSError as error:
            raise self._unkept(error) from error
        os.close(file)  # opened anew by each thread that writes: so none has it closed under it
        self._path = Path(name)

    async def write(self, data: bytes) -> None:
        """The next bytes; the disk is waited for without holding up anything else."""
        try:
            await asyncio.to_thread(self._write, data)
        except OSError as error:
            raise self._unkept(error) from error

    async def install(self, announced: Pulled) -> None:
        """Put it in its place, for good. Raises LinkError (`corrupt`) if it is not as announced."""
        if (self._size, self._sum.hexdigest()) != (announced["size"], announced["sha256"]):
            raise LinkError(
                "corrupt",
                f"of an archive of {announced['size']} bytes came {self._size}, with another "
                f"checksum than was sent; {self._to} is as it was",
            )
        try:
            await asyncio.to_thread(self._install)
        except OSError as error:
            raise self._unkept(error) from error

    def discard(self) -> None:
        """Leave nothing behind but what was installed."""
        self._path.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        with self._path.open("r+b") as archive:  # not "ab": a discarded one must not come back
            archive.seek(self._size)
            archive.write(data)
        self._sum.update(data)
        self._size += len(data)

    def _install(self) -> None:
        with self._path.open("rb") as archive:
            os.fsync(archive.fileno())
        self._path.rename(self._to)
        directory = os.open(self._to.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _unkept(self, error: OSError) -> LinkError:
        return LinkError("disk-full-here", f"{self._to} cannot be written: {error.strerror}")
