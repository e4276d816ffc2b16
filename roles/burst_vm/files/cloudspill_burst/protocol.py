# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper is asked: JSON objects, checked here and nowhere else, and how it refuses."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from typing import Any

MAX_LINE = 1 << 20
"""Bytes of one line; a task's environment is the longest thing in it."""

Document = dict[str, Any]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")
_RESTARTS = ("always", "on-failure", "never")


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure
    """Why a request was not carried out.

    Args:
        kind: fenced, stale-move, busy, no-space, unknown-run, bad-request or failed.
        sentence: what happened, to which thing.
    """

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind

    def answer(self) -> Document:
        """The refusal as it is sent."""
        return {"error": str(self), "kind": self.kind}


def bad_request(sentence: str) -> Refusal:
    """Return the refusal of what cannot be understood."""
    return Refusal("bad-request", sentence)


def encode(document: Document) -> bytes:
    """Return a document as one line."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Document:
    """Return a line's document.

    Raises:
        Refusal: it is none.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise bad_request("the line is not JSON") from None
    if not isinstance(document, dict):
        raise bad_request("the line is not a JSON object")
    return document


@dataclass(frozen=True)
class Start:
    """A task to start as a run.

    Attributes:
        move: the move that this belongs to.
        run: the run's number, never used twice.
        task, slug: the task's name, and the same as a folder's name.
        command: the program and its arguments.
        env: further environment variables.
        checkpoint_paths: what of the task's folder goes home with it, relative to it.
        restart: always, on-failure or never.
        stop_signal: how it is asked to stop, such as SIGTERM.
        stop_grace: seconds that it then has.
        sha256: of the archive that comes with the request, None where there is none.
    """

    move: int
    run: int
    task: str
    slug: str
    command: tuple[str, ...]
    env: dict[str, str]
    checkpoint_paths: tuple[str, ...]
    restart: str
    stop_signal: str
    stop_grace: float
    sha256: str | None


def number(document: Document, name: str, default: int | None = None) -> int:
    """Return a field that counts something: 0 or more.

    Raises:
        Refusal: it is missing without a default, or something else.
    """
    value = document.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise bad_request(f"{name} must be a whole number, not negative: {_shown(value)}")
    return value


def text(document: Document, name: str) -> str:
    """Return a field that is text, not empty, without a zero byte.

    Raises:
        Refusal: it is something else.
    """
    value = document.get(name)
    if not isinstance(value, str) or not value or not _passable(value):
        raise bad_request(f"{name} must be a text: {_shown(value)}")
    return value


def slug(document: Document) -> str:
    """Return the name of a task's folder.

    Raises:
        Refusal: no folder may have that name.
    """
    value = text(document, "slug")
    if not _SLUG.fullmatch(value):
        raise bad_request(f"slug cannot name a folder: {_shown(value)}")
    return value


def start(document: Document) -> Start:
    """Read a request to start a task.

    Raises:
        Refusal: a field is missing or wrong; the sentence names it.
    """
    grace = document.get("stop_grace", 10.0)
    if isinstance(grace, bool) or not isinstance(grace, (int, float)) or not 0 <= grace < 1e7:
        raise bad_request(f"stop_grace must be seconds: {_shown(grace)}")
    restart = document.get("restart", "on-failure")
    if restart not in _RESTARTS:
        raise bad_request(f"restart must be one of {', '.join(_RESTARTS)}: {_shown(restart)}")
    command = _texts(document, "command")
    if not command or not command[0]:
        raise bad_request("command must not be empty")
    return Start(
        move=number(document, "move"),
        run=number(document, "run"),
        task=text(document, "task"),
        slug=slug(document),
        command=command,
        env=_environment(document),
        checkpoint_paths=_texts(document, "checkpoint_paths"),
        restart=restart,
        stop_signal=_signal(document.get("stop_signal", "SIGTERM")),
        stop_grace=float(grace),
        sha256=text(document, "sha256") if document.get("sha256") is not None else None,
    )


def _texts(document: Document, name: str) -> tuple[str, ...]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(x, str) and _passable(x) for x in value):
        raise bad_request(f"{name} must be a list of texts: {_shown(value)}")
    return tuple(value)


def _environment(document: Document) -> dict[str, str]:
    value = document.get("env", {})
    if not isinstance(value, dict):
        raise bad_request("env must be an object")
    for name, setting in value.items():
        if not _VARIABLE.fullmatch(name):
            raise bad_request(f"env: no variable of a systemd unit can be called {_shown(name)}")
        # The value may be a secret: it is not shown.
        if not isinstance(setting, str) or not _passable(setting):
            raise bad_request(f"env: the value of {name} must be a text")
    return dict(value)


def _signal(value: object) -> str:
    known = isinstance(value, str) and value in signal.Signals.__members__
    if not known or value in ("SIGKILL", "SIGSTOP"):
        raise bad_request(f"stop_signal must be a signal that can be caught: {_shown(value)}")
    return str(value)


def _passable(value: str) -> bool:
    """Whether a program can be given it: UTF-8 without a zero byte."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
