# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of an API call: who asked for what, and what became of it. Never a secret."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

_LOG = logging.getLogger("cloudspill_sandbox.api")


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One API call.

    The query is left out, for it may carry a token or a signature; bodies and headers are, too.

    Attributes:
        time: of its end, in seconds since the epoch, by the host's clock.
        method: id in the discovery document, `oauth2.token`, or `-` for a path that is none.
        http_method: as it was sent.
        host: that the client asked.
        path: raw, percent-encoded.
        principal: address of the caller, `anonymous`, or `-` where nobody looked.
        status: of the answer; 499 when there was nobody left to answer, or by a fault.
        milliseconds: from the request's last byte to the answer's first.
        refusal: why it was refused, `notFound: The resource … was not found`; "" when it was not.
    """

    time: float
    method: str
    http_method: str
    host: str
    path: str
    principal: str
    status: int
    milliseconds: float
    refusal: str = ""

    def sentence(self) -> str:
        """Return the record in one line, without its time."""
        by = "" if self.principal == "-" else f" by {self.principal}"
        why = f" ({self.refusal})" if self.refusal else ""
        call = f"{self.method} {self.http_method} {self.host}{self.path}{by}"
        return f"{call}: {self.status} in {self.milliseconds:.1f} ms{why}"


Recorder = Callable[[CallRecord], None]
"""Keeps a call; called once for each."""


def log_call(record: CallRecord) -> None:
    """Keep a call in the program's own log, where there is no better place."""
    _LOG.log(logging.INFO if record.status < 500 else logging.WARNING, "%s", record.sentence())
