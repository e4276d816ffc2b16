# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM made of processes: the real keeper, restarted when it is killed, and the wire to it.

`python guest.py FOLDER SETTINGS` is the VM: SIGTERM deletes it with all that runs in it. Files in
its folder are its fate: while `cut` exists the wire delivers nothing and keeps everything for
later (`cut-calls`: of playbooks' calls alone), `preempt` gives notice, `undeletable` makes the API
refuse its own deletion.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEEPER_PACKAGE = HERE.parents[1] / "roles" / "burst_vm" / "files"
sys.path[:0] = [str(KEEPER_PACKAGE), str(HERE.parents[1])]

from cloudspill_burst.assembly import Settings, build_keeper  # noqa: E402
from cloudspill_burst.clock import SystemClock  # noqa: E402

from cloudspill_monitor import procfs  # noqa: E402
from tests.unit.burst_keeper.process_units import ProcessUnits  # noqa: E402

_PR_SET_CHILD_SUBREAPER = 36
_POLL = 0.02


class FolderCloud:
    """The cloud as the keeper sees it: files in the VM's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish_lease(self, value: str) -> None:
        (self._folder / "lease").write_text(value)

    def delete_self(self) -> None:
        if (self._folder / "undeletable").exists():
            raise OSError("HTTP 403: Required 'compute.instances.delete' permission")
        (self._folder / "deleted-itself").touch()
        os.kill(os.getppid(), signal.SIGTERM)

    def wait_for_preemption(self) -> None:
        while not (self._folder / "preempt").exists():
            time.sleep(_POLL)


async def keep(folder: Path, settings: str) -> None:
    """Be the keeper."""
    vm = build_keeper(
        folder / "var",
        folder / "run",
        ProcessUnits(folder / "units"),
        SystemClock(),
        FolderCloud(folder),
        Settings(**json.loads(settings)),
    )
    await vm.run()


class Wire:
    """Carries bytes to the keeper and back, unless it is cut; then it keeps them for later."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        await asyncio.start_unix_server(self._meet, str(self._folder / "wire.sock"))
        await asyncio.Event().wait()

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._carry(reader, writer))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readline()
        cuts = ["cut"] if b'"stream"' in first else ["cut", "cut-calls"]
        await self._whole(cuts)
        try:
            keeper = await asyncio.open_unix_connection(str(self._folder / "run" / "keeper.sock"))
        except OSError:
            writer.close()
            return
        keeper[1].write(first)
        for source, target in ((reader, keeper[1]), (keeper[0], writer)):
            held: asyncio.Queue[bytes] = asyncio.Queue()
            self._begin(self._collect(source, held))
            self._begin(self._deliver(held, target, cuts))

    async def _collect(self, source: asyncio.StreamReader, held: asyncio.Queue[bytes]) -> None:
        data = b"-"
        while data:
            try:
                data = await source.read(65536)
            except OSError:
                data = b""
            held.put_nowait(data)

    async def _deliver(
        self, held: asyncio.Queue[bytes], target: asyncio.StreamWriter, cuts: list[str]
    ) -> None:
        while data := await held.get():
            await self._whole(cuts)
            with suppress(OSError):
                target.write(data)
                await target.drain()
        await self._whole(cuts)
        with suppress(OSError):
            target.write_eof()

    async def _whole(self, cuts: list[str]) -> None:
        while any((self._folder / cut).exists() for cut in cuts):  # noqa: ASYNC110
            await asyncio.sleep(_POLL)


async def live(folder: Path, settings: str) -> None:
    """Be the VM."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, delete)
    (folder / "guest.pid").write_text(str(os.getpid()))
    carrying = asyncio.create_task(Wire(folder).run())
    while not carrying.done():
        with (folder / "keeper.log").open("ab") as log:
            keeper = await asyncio.create_subprocess_exec(
                sys.executable, __file__, str(folder), settings, "keeper", stdout=log, stderr=log
            )
        (folder / "keeper.pid").write_text(str(keeper.pid))
        await keeper.wait()
        await asyncio.sleep(0.05)


def delete() -> None:
    """Nothing of it is left when this process ends."""
    while True:
        family = [stat for stat in procfs.descendants(os.getpid()) if stat.state not in "ZX"]
        if not family:
            os._exit(0)
        for stat in family:
            procfs.signal_process(stat, signal.SIGKILL)
        time.sleep(0.005)


if __name__ == "__main__":
    act = keep if sys.argv[3:] == ["keeper"] else live
    with suppress(asyncio.CancelledError):
        asyncio.run(act(Path(sys.argv[1]), sys.argv[2]))
