# SPDX-License-Identifier: GPL-3.0-or-later
"""What a campaign knows of one life: what lives, and which methods were tried how often."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import Any

from tests.fuzz.calls import Calls
from tests.fuzz.living import Living
from tests.fuzz.request import Request
from tests.fuzz.sound import Draft, Sound
from tests.fuzz.wire import Answer


class World:
    """One life as far as its answers have shown it.

    Args:
        calls: says what there is to call.
        spared: parts of paths that no sound call goes to.
    """

    def __init__(self, calls: Calls, *spared: str) -> None:
        self._calls = calls
        self._living = Living(calls.apis, calls.implemented, spared)
        self._tried: Counter[str] = Counter()
        self._done: set[str] = set()
        self._shown: Any = None

    def draft(self, sound: Sound) -> Draft:
        """Decide what a sound call is to."""
        self._shown = None
        draft = self._calls.composer.draft(sound, self._living, self._tried, self._done)
        self._tried[draft.method.id] += 1
        return draft

    def request(self, draft: Draft) -> Request:
        """Return the request of a draft, whose reader has been answered."""
        return self._calls.composer.request(draft, self._shown, self._living)

    def saw(self, request: Request, answer: Answer) -> None:
        """Take note of the answer to a method."""
        api = request.method.partition(".")[0]
        path = request.target.partition("?")[0]
        below = path.removeprefix(f"/{self._calls.apis[api].methods[request.method].service_path}")
        if answer.status == 404:
            self._living.forget(api, below)
        if answer.status >= 300:
            return
        self._done.add(request.method)
        self._shown = None
        with contextlib.suppress(ValueError):
            self._shown = json.loads(answer.body)
            self._living.take(api, self._shown)
        if request.http_method == "DELETE":
            self._living.forget(api, below)
