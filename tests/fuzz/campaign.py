# SPDX-License-Identifier: GPL-3.0-or-later
"""Lives of one sandbox under requests that are drawn at random, each followed by an audit.

A life begins with an empty cloud, so a failure can be had again from its seed. Hypothesis draws the
requests, and shrinks those of a failure that comes again in the same cloud.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from cloudspill_sandbox.control import client
from cloudspill_sandbox.lifecycle import running_status
from tests.fuzz import verdict, words
from tests.fuzz.calls import Calls, mostly
from tests.fuzz.garbage import Garbage, garbage
from tests.fuzz.request import Request
from tests.fuzz.sound import Sound, sounds
from tests.fuzz.spoiling import spoilt
from tests.fuzz.wire import NoAnswerError, Wire
from tests.fuzz.world import World
from tests.lives import invariants, inventory
from tests.lives.api import Api, Json
from tests.lives.process import SandboxProcess

MEMORY_MB = 400
"""Resident memory that a sandbox may have after a life; empty it has some 90."""

SETTLE = 60.0
"""Seconds in which operations end."""

_SHOWN = 20
"""Faults that are told of."""

LASTING_SECONDS = 61
"""How far the cloud's time is set ahead for them: what simulated maintenance announces itself."""


class FoundError(AssertionError):
    """Something that must not be; the message says what, and after which requests."""


@dataclass
class Tally:
    """What was sent.

    Attributes:
        answers: how many, by status; garbage is counted as "garbage".
        kinds: how many, by where they come from: "drawn", "sound", "spoilt", "garbage".
        methods: how often each was answered, by status.
    """

    lives: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    methods: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    memory_mb: float = 0.0


class Campaign:
    """Lives of a sandbox.

    Args:
        process: the sandbox; it does not run yet. It will have a second project.
        calls: what to send.
        examples: requests of a life, each of them a sequence of a few.
        until: `time.monotonic()` at which to send no more.
    """

    def __init__(
        self, process: SandboxProcess, calls: Calls, examples: int, until: float = float("inf")
    ) -> None:
        process.settings = dataclasses.replace(
            process.settings, projects=(words.PROJECT, words.OTHER_PROJECT)
        )
        self._process = process
        self._calls = calls
        self._examples = examples
        self._until = until
        self._trail: deque[Request | Garbage] = deque(maxlen=30)
        self._world = World(calls)
        self.tally = Tally()

    def live(self, number: int) -> None:
        """Live one life by its seed, and audit it.

        Raises:
            FoundError: something is wrong.
        """
        self._process.kill()
        for folder in (self._process.settings.state_dir, self._process.settings.run_dir):
            shutil.rmtree(folder, ignore_errors=True)
        self._process.launch()
        self._process.wait_until_ready()
        self._trail.clear()
        try:
            with Wire(self._process.settings) as wire:
                self._world = World(self._calls, wire.email)
                for request in self._calls.first():
                    self._send(request, wire)
                self._requests(number, wire)
                self._audit(wire)
        finally:
            self._process.kill()
        self.tally.lives += 1

    def _requests(self, number: int, wire: Wire) -> None:
        drawn = mostly(self._calls.requests(), garbage(), one_in=8)
        steps = st.lists(drawn | sounds(), min_size=1, max_size=6)

        @seed(number)
        @settings(
            max_examples=self._examples,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(steps)
        def send(sequence: list[Request | Garbage | Sound]) -> None:
            for step in sequence:
                if time.monotonic() < self._until:
                    self._send(step, wire)

        send()

    def _send(self, step: Request | Garbage | Sound, wire: Wire) -> None:
        if isinstance(step, Garbage):
            self._checked(step, "garbage", lambda: self._throw(step, wire))
        elif isinstance(step, Request):
            self._checked(step, "drawn", lambda: self._ask(step, wire))
        else:
            draft = self._world.draft(step)
            if draft.reader is not None:
                reader = draft.reader
                self._checked(reader, "sound", lambda: self._ask(reader, wire))
            request = self._world.request(draft)
            kind = "sound"
            if step.spoil is not None and request.method not in words.RARE:
                kind, request = "spoilt", spoilt(request, step.spoil)
            self._checked(request, kind, lambda: self._ask(request, wire))

    def _checked(self, step: Request | Garbage, kind: str, sent: Callable[[], list[str]]) -> None:
        self._trail.append(step)
        self.tally.kinds[kind] += 1
        try:
            found = sent()
        except NoAnswerError as error:
            found = [f"no answer: {error}"]
        if found:
            self._fail(found, step)

    def _throw(self, step: Garbage, wire: Wire) -> list[str]:
        answer = wire.throw(step.place, step.content)
        self.tally.answers["garbage"] += 1
        status = answer[9:12]
        if answer.startswith(b"HTTP/1.1 5") and status not in (b"501", b"505"):
            return [repr(answer[:300])]
        return []

    def _ask(self, step: Request, wire: Wire) -> list[str]:
        answer = wire.send(step)
        self.tally.answers[str(answer.status)] += 1
        if not step.method:
            return verdict.faults(step, answer, None)
        self.tally.methods[step.method][answer.status] += 1
        self._world.saw(step, answer)
        return verdict.faults(step, answer, self._calls.apis[step.method.partition(".")[0]])

    def _audit(self, wire: Wire) -> None:
        """Look whether the sandbox is whole, now and after a kill."""
        process = self._process
        status = running_status(process.settings)
        assert status is not None
        self.tally.memory_mb = max(self.tally.memory_mb, status["memory_mb"])
        found = []
        if status["memory_mb"] > MEMORY_MB:
            found.append(f"{status['memory_mb']} MB of memory, more than {MEMORY_MB}")
        with Api(process.settings) as api:
            open_to_owner = api.call("GET", "global/networks").ok
            if open_to_owner:
                self._settle(api)
                found += self._wholeness(api)
                before = _resources(api)
        process.kill()
        process.launch()
        process.wait_until_ready()
        with Api(process.settings) as api:
            if open_to_owner:
                self._settle(api)
                found += [f"after a kill, {each}" for each in self._wholeness(api)]
                found += _differences(before, _resources(api))
        found += verdict.log_faults(process.settings.log_file)
        if found:
            self._fail(found, None)

    def _settle(self, api: Api) -> None:
        """Wait until every operation has ended; those that last by the cloud's own time, too."""
        self._advance(LASTING_SECONDS)
        deadline = time.monotonic() + SETTLE
        while open_ones := [o for o in api.every("operations") if o["status"] != "DONE"]:
            if time.monotonic() > deadline:
                self._fail([f"an operation does not end: {open_ones[0]}"], None)
            time.sleep(0.05)

    def _advance(self, seconds: int) -> None:
        admin = self._process.settings.admin_socket
        client.call(admin, "POST", f"/clock/advance?seconds={seconds}")

    def _wholeness(self, api: Api) -> list[str]:
        taken = inventory.take(api, self._process.settings)
        operations: list[dict[str, Any]] = taken.listed["operations"]
        return invariants.violations(taken) + verdict.failed_operations(operations)

    def _fail(self, found: list[str], step: Request | Garbage | None) -> None:
        said = verdict.log_faults(self._process.settings.log_file)[-1:] if step else []
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        lines = ["", *(each[:2000] for each in found[:_SHOWN]), *more, *said]
        if step is None:
            lines += ["after, last of all,", *(f"- {each}" for each in self._trail)]
        else:
            lines += ["in answer to", str(step)]
            lines += ["after", *(f"- {each}" for each in itertools.islice(self._trail, 29))]
        raise FoundError("\n".join(lines))


def run(campaign: Campaign, first: int, until: float, progress: Callable[[Tally], None]) -> None:
    """Live one life after the other until a time has come, one at least.

    Raises:
        FoundError: something is wrong; the seed of its life is `first` and the number of lives.
    """
    for number in itertools.count(first):
        campaign.live(number)
        progress(campaign.tally)
        if time.monotonic() >= until:
            return


def _resources(api: Api) -> dict[str, Json]:
    """Return what must be the same after a kill."""
    return {
        document["selfLink"]: _steady(document)
        for kind in inventory.KINDS
        for document in api.every(kind)
        if kind != "operations"
    }


_BY_BOOT = frozenset({"fingerprint", "lastStartTimestamp", "lastStopTimestamp", "status"})
"""Fields that a kill changes: machines in memory are gone with it, and boot again."""


def _steady(document: Json) -> Json:
    return {key: value for key, value in document.items() if key not in _BY_BOOT}


def _differences(before: dict[str, Json], after: dict[str, Json]) -> list[str]:
    return [
        f"after a kill, {link} is {after.get(link)}, and was {before.get(link)}"
        for link in before.keys() | after.keys()
        if before.get(link) != after.get(link)
    ]
