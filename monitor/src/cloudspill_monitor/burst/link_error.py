# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a VM did not do what it was asked to."""

from __future__ import annotations


class LinkError(Exception):
    """`kind` is the keeper's own (`fenced`, `busy`, ...), or of this end of the stream:

    `lost` (no connection, or it went; whether the VM has done it is unknown), `timeout` (the same,
    but the connection is there), `corrupt` (an archive is not what was sent), `disk-full-here`
    (an archive cannot be kept). The exception's text is a sentence.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
