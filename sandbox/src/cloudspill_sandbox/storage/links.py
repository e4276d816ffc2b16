# SPDX-License-Identifier: GPL-3.0-or-later
"""Links in answers: they lead to what the client asked, which is what it can reach."""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call


def link(call: Call, path: str) -> str:
    """Return `https://storage.googleapis.com/storage/v1/<path>`.

    Args:
        path: already percent-encoded, `b/my-bucket`.
    """
    return f"{call.wire.origin}/storage/v1/{path}"
