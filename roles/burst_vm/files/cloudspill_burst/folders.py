# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the keeper keeps what."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """The keeper's files.

    Attributes:
        root: what lasts, such as /var/lib/cloudspill-burst.
        volatile: what goes with the boot, such as /run/cloudspill-burst.
    """

    root: Path
    volatile: Path

    def make(self) -> None:
        """Make all folders; tasks can reach their own alone. What a dead keeper received goes."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.tasks.mkdir(mode=0o711, exist_ok=True)
        for private in (self.incoming, self.staging, self.archives, self.runs, self.logs):
            private.mkdir(mode=0o700, exist_ok=True)
        self.volatile.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.environments.mkdir(mode=0o700, exist_ok=True)
        for cut_short in [*self.archives.glob("*.new"), *self.archives.glob("*.live-*")]:
            cut_short.unlink()

    @property
    def socket(self) -> Path:
        """Where the keeper is asked."""
        return self.volatile / "keeper.sock"

    @property
    def environments(self) -> Path:
        """The variables of the tasks that run."""
        return self.volatile / "environments"

    @property
    def tasks(self) -> Path:
        """The folders of tasks that run or ran, by slug."""
        return self.root / "tasks"

    @property
    def staging(self) -> Path:
        """The folders of tasks to come, by slug: made ready where no task can reach them."""
        return self.root / "staging"

    @property
    def incoming(self) -> Path:
        """Archives as they are received."""
        return self.root / "incoming"

    @property
    def archives(self) -> Path:
        """Checkpoints to be fetched."""
        return self.root / "archives"

    @property
    def runs(self) -> Path:
        """Records of runs."""
        return self.root / "runs"

    @property
    def logs(self) -> Path:
        """What runs print."""
        return self.root / "logs"

    def log(self, run: int) -> Path:
        """The log of a run."""
        return self.logs / f"{run}.log"

    def archive(self, run: int) -> Path:
        """The checkpoint of a run that is over."""
        return self.archives / f"{run}.tar"
