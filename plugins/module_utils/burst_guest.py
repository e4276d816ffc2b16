# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls of the keeper on a VM, over ssh.

A call is one JSON line, and an archive behind it if the line has `"archive": N`; the answer is of
the same form. Both archives are copied piece by piece: how large they are costs time, not memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

KEEPER = "sudo -n /usr/local/bin/cloudspill-burst call"
"""The remote command line."""

NO_SPACE = "no-space"
LOST = "lost"
UNREACHABLE = "unreachable"
SILENT = "silent"
NO_SPACE_HERE = "no-space-here"

_SSH_FAILED = 255
_PIECE = 1 << 20
_LONGEST_LINE = 1 << 20
_LINES_SAID = 3


class GuestError(Exception):
    """The keeper refuses, or there is no way to it; `str()` is one sentence.

    Attributes:
        kind: the keeper's word for its refusal, or one of the words above.
    """

    def __init__(self, sentence: str, kind: str) -> None:
        super().__init__(sentence)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Guest:
    """A VM and how to reach it.

    Attributes:
        name: of the VM.
        login: the command line that logs in, to which a remote command is added.
    """

    name: str
    login: Sequence[str]

    def open(self, timeout: float) -> Call:
        """Start a call whose request comes later; `timeout` seconds after that it is over."""
        program, *words = self.login
        return Call(self.name, [program, "-o", "BatchMode=yes", *words, KEEPER], timeout)

    def call(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Ask the keeper and return its answer.

        Raises:
            GuestError: it refuses, or does not answer.
        """
        with self.open(timeout) as call:
            return call.make(request)


class Call:
    """One run of `cloudspill-burst call` on the VM.

    It is started before its request is known, so that its start takes no time from the task that
    runs nowhere while the request is made.
    """

    def __init__(self, name: str, command: Sequence[str], timeout: float) -> None:
        self._name = name
        self._command = command
        self._timeout = timeout
        self._start()

    def __enter__(self) -> Self:
        """Nothing more: it runs."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, if it runs still: the keeper takes a call without a request for none."""
        self._end()

    def make(
        self,
        request: dict[str, Any],
        archive: Path | None = None,
        deliver: Path | None = None,
    ) -> dict[str, Any]:
        """Ask the keeper and return its answer.

        Args:
            request: the request; its `archive` is the archive's size.
            archive: sent behind it.
            deliver: where to put the archive that comes behind the answer.

        Raises:
            GuestError: it refuses, there is no way to it, or an archive cannot be copied.
        """
        if self._process.poll() is not None:
            # It has not waited for its request: a connection that was idle for long may be cut.
            self._end()
            self._start()
        self._watch.start()
        self._send(request, archive)
        answer = self._receive()
        if "error" in answer:
            raise self._refusal(answer)
        if answer.get("archive") and deliver is not None:
            self._deliver(int(answer["archive"]), deliver)
        self._close_input()
        return answer

    def _start(self) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )
        self._watch = threading.Timer(self._timeout, self._process.kill)
        self._watch.daemon = True

    def _end(self) -> None:
        self._watch.cancel()
        self._close_input()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._output.close()
        self._said.close()

    @property
    def _input(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdin)  # a pipe, since it was asked for

    @property
    def _output(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdout)

    def _send(self, request: dict[str, Any], archive: Path | None) -> None:
        try:
            if archive is None:
                self._write(json.dumps(request).encode() + b"\n")
                return
            with archive.open("rb") as file:
                size = archive.stat().st_size
                self._write(json.dumps({**request, "archive": size}).encode() + b"\n")
                shutil.copyfileobj(file, self._input, _PIECE)
                self._input.flush()
        except BrokenPipeError:
            pass  # its answer says why it did not read on

    def _write(self, line: bytes) -> None:
        self._input.write(line)
        self._input.flush()

    def _close_input(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def _receive(self) -> dict[str, Any]:
        line = self._output.readline(_LONGEST_LINE)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._no_answer()
        return answer

    def _deliver(self, size: int, path: Path) -> None:
        left = size
        try:
            with open(path, "wb", opener=_private) as file:
                while left:
                    piece = self._output.read(min(left, _PIECE))
                    if not piece:
                        break
                    file.write(piece)
                    left -= len(piece)
        except OSError as error:
            raise GuestError(
                f"no space left here: {path} cannot be written: {error.strerror}", NO_SPACE_HERE
            ) from error
        if left:
            raise GuestError(
                f"the connection to {self._name} broke with {left} of {size} bytes of an archive "
                f"to come: {self._last_words()}",
                LOST,
            )

    def _refusal(self, answer: dict[str, Any]) -> GuestError:
        kind, said = str(answer.get("kind", "failed")), str(answer["error"])
        if kind == NO_SPACE:
            return GuestError(f"no space left on {self._name}: {said}", kind)
        return GuestError(f"the keeper of {self._name} refuses: {said} ({kind})", kind)

    def _no_answer(self) -> GuestError:
        self._close_input()
        status = self._process.wait()
        said = self._last_words()
        if status == _SSH_FAILED:
            if _is_refused(said):
                return GuestError(f"{self._name} does not let us in by ssh: {said}", UNREACHABLE)
            return GuestError(f"the connection to {self._name} broke: {said}", LOST)
        if status < 0:
            return GuestError(
                f"the connection to {self._name} broke: no answer within {self._timeout:.0f} s",
                LOST,
            )
        return GuestError(
            f"the keeper of {self._name} does not answer: {said} (exit status {status})", SILENT
        )

    def _last_words(self) -> str:
        self._said.seek(0)
        text = self._said.read().decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "; ".join(lines[-_LINES_SAID:]) or "it said nothing"


_REFUSALS = (
    "Permission denied",
    "Host key verification failed",
    "Connection refused",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "Could not resolve",
    "kex_exchange_identification",
    "Connection closed by",
    "banner exchange",
)
"""What ssh says of a connection that did not come about, and not of one that ended."""


def _is_refused(said: str) -> bool:
    return any(words in said for words in _REFUSALS)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
