# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints that came home: each waits in the state directory until its task starts here."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from cloudspill_monitor.checkpoint_archive import (
    CheckpointError,
    Packed,
    check_members,
    check_sum,
    install,
    pack,
    pack_folders,
    sync_directory,
)
from cloudspill_monitor.config import TaskConfig

__all__ = ["CheckpointError", "Packed", "Waiting", "install", "pack", "pack_folders"]

_PATIENCE = 0.05  # seconds: most checkpoints are installed by then, so the start need not wait


class Waiting:
    """The archives in `state_dir`/checkpoints, at most one a task. Raises OSError."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "checkpoints"
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._changing = threading.Lock()
        self._installer = ThreadPoolExecutor(1, "checkpoints")
        self._installing: dict[str, Future[None]] = {}

    @property
    def installing(self) -> bool:
        """Whether a checkpoint is being installed at this moment."""
        return bool(self._installing)

    def path(self, slug: str) -> Path:
        """Where the checkpoint of the task waits, if it does."""
        return self._directory / f"{slug}.tar"

    def receive(self, slug: str, archive: Path, sha256: str) -> None:
        """Take `archive` (a file in the state directory) in place of what waits; then it is safe.

        Raises ValueError when it is not what was sent or cannot be installed anywhere, OSError
        when it cannot be kept here. What waits is then as it was.
        """
        check_sum(archive, sha256)
        descriptor = os.open(archive, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.keep(slug, archive)

    def keep(self, slug: str, archive: Path) -> None:
        """Like :meth:`receive`, of what is known to be what was sent, and was synced."""
        check_members(archive)
        with self._changing:
            archive.replace(self.path(slug))
            sync_directory(self._directory)

    def ready(self, config: TaskConfig) -> bool:
        """Whether the task may start as to its checkpoint; if one waits, it is being installed.

        To be asked again soon when it is not: a large one takes a while, by a thread of its own.
        Raises CheckpointError; the next call tries again.
        """
        slug = config.slug
        pending = self._installing.get(slug)
        if pending is None:
            if not self.path(slug).exists():
                return True
            pending = self._installer.submit(self._install, config)
            self._installing[slug] = pending
        if not wait([pending], _PATIENCE).done:
            return False
        del self._installing[slug]
        pending.result()
        return True

    def _install(self, config: TaskConfig) -> None:
        archive = self.path(config.slug)
        with self._changing:
            install(archive, config.cwd, config.checkpoint_paths)
            try:
                archive.unlink()
                sync_directory(self._directory)
            except OSError as error:
                raise CheckpointError(f"{archive} is installed but stays: {error}") from error
