# SPDX-License-Identifier: GPL-3.0-or-later
"""A keeper in the test's own process, on units, a clock and a cloud in memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloudspill_burst.assembly import BurstVm, Settings, build_keeper
from cloudspill_burst.clock import SystemClock
from cloudspill_burst.protocol import MAX_LINE, Refusal
from cloudspill_burst.units import UnitSpec, UnitState

Document = dict[str, Any]
PATIENCE = 30.0


class MemoryUnits:
    """Implements Units. Units outlive keepers, as long as this object lives.

    Attributes:
        started: every start that was carried out.
        stubborn: runs that ignore their stop signal.
        failing: why no unit can be started.
        killed_at: when a run was killed, by the event loop's clock.
    """

    def __init__(self) -> None:
        self.states: dict[int, UnitState] = {}
        self.started: list[UnitSpec] = []
        self.stubborn: set[int] = set()
        self.failing = ""
        self.killed_at: dict[int, float] = {}

    async def observe(self) -> dict[int, UnitState]:
        return dict(self.states)

    async def start(self, spec: UnitSpec) -> None:
        if self.failing:
            raise Refusal("failed", self.failing)
        if spec.run not in self.states:
            self.started.append(spec)
            self.states[spec.run] = UnitState(1, False, None, 0, 0.0)  # pid 1 always exists

    async def stop(self, run: int, grace: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        while run in self.states and run in self.stubborn:
            if loop.time() >= until:
                await self.kill(run)
            await asyncio.sleep(0.005)
        self.states.pop(run, None)

    async def kill(self, run: int) -> None:
        self.killed_at.setdefault(run, asyncio.get_running_loop().time())
        self.states.pop(run, None)

    async def forget(self, run: int) -> None:
        self.states.pop(run, None)

    def exit(self, run: int, status: int) -> None:
        """A task ends by itself."""
        self.states[run] = replace(self.states[run], pid=None, ended=True, exit_status=status)


class TurnableClock(SystemClock):
    """The real clocks, set ahead or back."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.wall_ahead = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.ahead

    def wall(self) -> float:
        return super().wall() + self.wall_ahead


class MemoryCloud:
    """Implements Cloud.

    Attributes:
        published: every lease that was shown.
        deletions: when deletion was asked for.
        denied: how often more it is denied.
        preempted: set when the VM is taken away.
    """

    def __init__(self) -> None:
        self.published: list[Document] = []
        self.deletions: list[float] = []
        self.denied = 0
        self.preempted = threading.Event()

    def publish_lease(self, value: str) -> None:
        self.published.append(json.loads(value))

    def delete_self(self) -> None:
        self.deletions.append(time.monotonic())
        if len(self.deletions) <= self.denied:
            raise PermissionError("compute.instances.delete is denied")

    def wait_for_preemption(self) -> None:
        if not self.preempted.wait(PATIENCE):
            raise TimeoutError


class Stream:
    """The monitor's end of a stream.

    Attributes:
        ticks: all that came.
        logs: all pieces of logs that came.
        echo: whether tokens are brought back.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, echo: bool
    ) -> None:
        self._reader, self.writer = reader, writer
        self.echo = echo
        self.ticks: list[Document] = []
        self.logs: list[Document] = []
        self.refusals: list[Document] = []
        self._answers: dict[int, asyncio.Future[Document]] = {}
        self._data: dict[int, list[str]] = {}
        self._number = 0
        self._came = asyncio.Condition()
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while line := await self._reader.readline():
            document = json.loads(line)
            if "tick" in document:
                self.ticks.append(document["tick"])
                if self.echo:
                    self.send({"renew": document["tick"]["token"]})
            elif "log" in document:
                self.logs.append(document["log"])
            elif document["id"] is None:
                self.refusals.append(document)
            elif "data" in document:
                self._data.setdefault(document["id"], []).append(document["data"])
            else:
                self._answers.pop(document["id"]).set_result(document)
            async with self._came:
                self._came.notify_all()

    def send(self, document: Document) -> None:
        self.writer.write(json.dumps(document).encode() + b"\n")

    async def ask(self, do: str, **fields: Any) -> Document:
        """Return the answer's ok, or the refusal."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        self.send({"id": self._number, "do": do, **fields})
        document = await asyncio.wait_for(answer, PATIENCE)
        ok: Document = document.get("ok", document)
        return ok

    async def pull(self, run: int) -> tuple[Document, bytes]:
        """Return what the answer says, and the archive."""
        answer = await self.ask("pull", run=run)
        data = self._data.pop(self._number, [])
        return answer, b"".join(base64.b64decode(piece) for piece in data)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition on what came holds."""
        async with self._came:
            try:
                await asyncio.wait_for(self._came.wait_for(condition), PATIENCE)
            except TimeoutError:
                raise AssertionError(f"{what}: {self.ticks[-1:]}") from None

    async def more_ticks(self, count: int) -> None:
        """Wait until more ticks have come."""
        seen = len(self.ticks)
        await self.until(lambda: len(self.ticks) > seen + count, "more ticks")

    async def run(self, number: int, **fields: Any) -> Document:
        """Wait until a tick shows a run with such fields, and return it."""

        def shown() -> Document | None:
            for run in self.ticks[-1]["runs"] if self.ticks else []:
                if run["run"] == number and all(run[key] == fields[key] for key in fields):
                    return dict(run)
            return None

        await self.until(lambda: shown() is not None, f"run {number} with {fields}")
        found = shown()
        assert found is not None
        return found

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)


@dataclass
class Bench:
    """One VM: its disk, its units, its clock, its cloud; and the keeper that runs now."""

    folder: Path
    lease: float = 30.0
    units: MemoryUnits = field(default_factory=MemoryUnits)
    clock: TurnableClock = field(default_factory=TurnableClock)
    cloud: MemoryCloud = field(default_factory=MemoryCloud)
    vm: BurstVm | None = None

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    @property
    def volatile(self) -> Path:
        return self.folder / "volatile"

    @contextlib.asynccontextmanager
    async def running(self, boot: bool = False) -> AsyncIterator[None]:
        """A keeper, as long as this is entered. boot: it is the first of a new boot."""
        if boot:
            (self.volatile / "boot").unlink()
            self.units.states.clear()
        settings = Settings("c0ffee00", self.lease, max(self.lease, 60.0), tick=0.05)
        self.vm = build_keeper(
            self.disk, self.volatile, self.units, self.clock, self.cloud, settings
        )
        ready = asyncio.Event()
        keeping = asyncio.ensure_future(self.vm.run(ready.set))
        try:
            await asyncio.wait(
                [keeping, asyncio.ensure_future(ready.wait())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            yield
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        socket = str(self.volatile / "keeper.sock")
        return await asyncio.open_unix_connection(socket, limit=4 * MAX_LINE)

    @contextlib.asynccontextmanager
    async def stream(self, echo: bool = True) -> AsyncIterator[Stream]:
        """A stream of a monitor that echoes tokens."""
        reader, writer = await self.connect()
        writer.write(b'{"do":"stream"}\n')
        stream = Stream(reader, writer, echo)
        try:
            await stream.until(lambda: stream.ticks, "a first tick")
            yield stream
        finally:
            await stream.close()

    async def raw(self, sent: bytes, eof: bool = False) -> bytes:
        """Return all that a call of these bytes is answered."""
        reader, writer = await self.connect()
        writer.write(sent)
        if eof:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer

    async def call(self, archive: bytes = b"", **request: Any) -> tuple[Document, bytes]:
        """Ask as a play does; return the answer and its archive."""
        line = json.dumps({**request, "archive": len(archive)}).encode() + b"\n"
        answer, _, rest = (await self.raw(line + archive)).partition(b"\n")
        document: Document = json.loads(answer)
        assert len(rest) == document.get("archive", 0)
        return document, rest

    async def start(self, run: int, archive: bytes = b"", **fields: Any) -> Document:
        """Start task T as a run, in move 1, unless fields say otherwise."""
        request: Document = {"do": "start", "move": 1, "run": run, "task": "T", "slug": "T"}
        request.update({"command": ["sh"], "checkpoint_paths": ["count"], **fields})
        if archive:
            request.setdefault("sha256", hashlib.sha256(archive).hexdigest())
        return (await self.call(archive, **request))[0]

    def work(self, name: str = "count") -> Path:
        """A file of task T."""
        return self.disk / "tasks" / "T" / name


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + PATIENCE
    while True:
        if condition():
            return
        assert time.monotonic() < until, what
        await asyncio.sleep(0.01)


def tar_of(**files: bytes) -> bytes:
    """An archive of some files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def contents(packed: bytes) -> dict[str, bytes]:
    """The files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}
