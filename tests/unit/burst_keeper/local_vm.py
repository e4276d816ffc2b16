# SPDX-License-Identifier: GPL-3.0-or-later
"""A burst VM that is no machine: the real keeper as a process, its tasks as plain processes.

From a test:

    vm = LocalVm(tmp_path / "vm", lease=4.0)
    vm.boot()
    try:
        ...  # vm.ssh_command stands for [ssh, options..., host]
    finally:
        vm.destroy()

Files in the VM's folder are its levers: `preempt` (made: notice of preemption), `deny-delete`
(there: self-deletion is refused); and its signs: `deleted` (the VM asked for its own deletion),
`lease.json` (the guest attribute).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.unit.burst_keeper.process_units import ProcessUnits

_ROOT = Path(__file__).parents[3]
_PYTHON_PATH = f"{_ROOT}:{_ROOT / 'roles' / 'burst_vm' / 'files'}"
_MODULES = "tests.unit.burst_keeper"
_PATIENCE = 60.0


class LocalVm:
    """One VM.

    Args:
        folder: its disk and all; made if it is not there.
        lease, initial_lease, tick: its keeper's settings, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        lease: float = 4.0,
        initial_lease: float | None = None,
        tick: float = 0.2,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = [str(lease), str(initial_lease or max(lease, 10.0)), str(tick)]
        self._process: subprocess.Popen[bytes] | None = None
        self.units = ProcessUnits(folder / "volatile" / "units")

    @property
    def ssh_command(self) -> list[str]:
        """What takes ssh's place: whatever options follow, the last word is what is run there."""
        return [str(self.ssh)]

    @property
    def ssh(self) -> Path:
        """A program to be called as ssh is."""
        script = self.folder / "ssh"
        if not script.exists():
            script.write_text(
                f'#!/bin/sh\nPYTHONPATH="{_PYTHON_PATH}" exec "{sys.executable}" -S'
                f' -m {_MODULES}.local_ssh "{self.socket}" "$@"\n'
            )
            script.chmod(0o755)
        return script

    @property
    def socket(self) -> Path:
        """The keeper's socket."""
        return self.folder / "volatile" / "keeper.sock"

    @property
    def deleted(self) -> bool:
        """Whether the VM has asked for its own deletion."""
        return (self.folder / "deleted").exists()

    @property
    def pid(self) -> int:
        """The keeper's process."""
        assert self._process is not None
        return self._process.pid

    def boot(self) -> None:
        """Start the keeper."""
        with (self.folder / "keeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    f"{_MODULES}.local_keeper",
                    str(self.folder),
                    *self._settings,
                ],
                env={**os.environ, "PYTHONPATH": _PYTHON_PATH},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill_keeper(self) -> None:
        """Kill the keeper; the tasks go on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait(self) -> None:
        """Return when the keeper has ended."""
        if self._process is not None:
            self._process.wait()

    def reboot(self) -> None:
        """Lose all that runs and all that is volatile, and boot."""
        self.switch_off()
        self.boot()

    def switch_off(self) -> None:
        """Lose all that runs and all that is volatile."""
        self.kill_keeper()
        self.units.end_everything()
        shutil.rmtree(self.folder / "volatile", ignore_errors=True)
        self.units = ProcessUnits(self.folder / "volatile" / "units")

    def destroy(self) -> None:
        """End all that runs."""
        self.kill_keeper()
        self.units.end_everything()

    def wait_ready(self) -> None:
        """Return when the keeper answers.

        Raises:
            AssertionError: it does not.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            answer = subprocess.run(
                [*self.ssh_command, "sudo -n cloudspill-burst call"],
                input=b'{"do":"status"}\n',
                capture_output=True,
                check=False,
            )
            if answer.returncode == 0:
                return
            log = (self.folder / "keeper.log").read_text()
            assert time.monotonic() < until, (answer.stdout, answer.stderr, log)
