# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs `play.py` where the monitor would run playbooks; the same promises, without ansible."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloudspill_monitor.burst import leftovers
from cloudspill_monitor.burst.failures import FailureKind, classify
from cloudspill_monitor.burst.play_cpu import PlayCpu
from cloudspill_monitor.burst.playbooks import PlayError

PLAY = Path(__file__).with_name("play.py")


class PlayScripts:
    """Takes AnsiblePlaybooks' place; its inventory is the folder of the VMs."""

    def __init__(
        self, inventory: Path, controller: str, state_dir: Path, progress: Callable[[str], None]
    ) -> None:
        self._cloud, self._controller = inventory, controller
        self._turn = asyncio.Lock()
        self.cpu = PlayCpu()

    async def run(
        self,
        playbook: str,
        move: int,
        variables: dict[str, Any],
        timeout: float,  # noqa: ASYNC109
    ) -> None:
        """Run the play. Raises PlayError."""
        async with self._turn:
            direction = playbook.removeprefix("scale_")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-IS", str(PLAY), str(self._cloud), direction),
                json.dumps(variables),
                stdin=DEVNULL,
                stderr=PIPE,
                env={**os.environ, leftovers.MARK: leftovers.mark(self._controller, move)},
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(timeout):
                    _, said = await process.communicate()
            except TimeoutError:
                text = f"{playbook} was ended after {timeout:g} s"
                raise PlayError(FailureKind.TIMEOUT, text) from None
            finally:
                leftovers.end_leftovers(self._controller)
                await process.wait()
        if process.returncode:
            lines = said.decode().strip().splitlines() or ["ansible-playbook was killed"]
            raise PlayError(classify(lines[-1]), lines[-1])
