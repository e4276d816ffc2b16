# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a VM's stream: JSON objects, checked before anything is made of them."""

from __future__ import annotations

import binascii
import json
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

MOST_LINE = 1024 * 1024  # bytes; the longest line that a keeper sends is a third of that
_SHOWN = 60  # characters of a line that is wrong


class FrameError(Exception):
    """A line that no keeper sends; the message says what is wrong with it."""


def _unpacked(data: object) -> bytes:
    return binascii.a2b_base64(data, strict_mode=True) if isinstance(data, str) else b""


Data = Annotated[bytes, BeforeValidator(_unpacked), Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class GuestRun(TypedDict):
    """A run as its VM knows it. Sizes are bytes; `sha256` and `size` are its last archive's."""

    run: int
    task: str
    state: Literal["running", "stopped", "ended", "released"]
    pid: NotRequired[int | None]
    exit_status: NotRequired[int | None]
    cpu_seconds: NotRequired[Finite | None]
    sha256: NotRequired[str | None]
    size: NotRequired[Count | None]
    restarts: NotRequired[Count]
    log_size: NotRequired[Count]
    left_out: NotRequired[list[str]]


class Tick(TypedDict):
    """The VM lives: its lease ends in `expires_in` seconds; `cpu` is the whole VM's, in percent.

    `token` says when this was, to the VM alone; a renewal sends it back.
    """

    token: Annotated[str, Field(max_length=200)]
    expires_in: Finite
    cpu: Finite
    preempted: bool
    fenced: bool
    runs: list[GuestRun]


class Pulled(TypedDict):
    """An archive that came home: its SHA-256 (hex), its size in bytes, its run's state then.

    `left_out` names the checkpoint paths that are not in it.
    """

    sha256: str
    size: Count
    state: str
    left_out: NotRequired[list[str]]


class LogData(TypedDict):
    """Bytes of a run's log, from `offset` on."""

    run: int
    offset: Count
    data: Data


class Frame(BaseModel):
    """One line: a tick, bytes of a log, or the answer to request `id`.

    An answer is `ok`, or `error` (a sentence) with `kind` (a word for programs); before a pull's
    answer come its bytes, in `data`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    tick: Tick | None = None
    log: LogData | None = None
    id: int | None = None
    data: Data | None = None
    ok: dict[str, Any] | None = None
    error: str | None = None
    kind: str = "failed"


_PULLED = TypeAdapter(Pulled)


def decode(line: bytes) -> Frame:
    """What a line says. Raises FrameError."""
    try:
        return Frame.model_validate(json.loads(line))
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in wrong["loc"])
        raise FrameError(f"{_shown(line)}: {where or 'it'}: {wrong['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise FrameError(f"{_shown(line)} is not JSON") from error


def pulled(ok: dict[str, Any]) -> Pulled:
    """The answer that ends a pull. Raises FrameError."""
    try:
        return _PULLED.validate_python(ok)
    except ValidationError as error:
        raise FrameError(f"a pull was answered by {_shown(str(ok).encode())}") from error


def encode(message: dict[str, Any]) -> bytes:
    """A line to the keeper."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _shown(line: bytes) -> str:
    text = line[:_SHOWN].decode("utf-8", errors="replace").rstrip()
    return repr(text + ("..." if len(line) > _SHOWN else ""))
