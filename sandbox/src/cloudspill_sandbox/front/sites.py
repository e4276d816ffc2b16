# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders served read-only under host names of their own: git's dumb HTTP protocol and its like.

https://git-scm.com/docs/http-protocol
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote_to_bytes

from cloudspill_sandbox.front.http import HttpRequest, HttpResponse

_TEXT = "text/plain; charset=UTF-8"
_BYTES = "application/octet-stream"


class Sites:
    """Serves files below one directory a host; nothing outside of it, links included.

    Args:
        directories: host name → directory.
    """

    def __init__(self, directories: Mapping[str, Path]) -> None:
        self._directories = dict(directories)

    @property
    def hosts(self) -> frozenset[str]:
        """The host names that are served."""
        return frozenset(self._directories)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the file that the path names."""
        if request.method not in ("GET", "HEAD"):
            message = f"{request.host} is read-only: {request.method} is not allowed.\n"
            return HttpResponse(405, message.encode(), _TEXT, {"Allow": "GET, HEAD"})
        content = self._read(self._directories[request.host], request.path)
        if content is None:
            message = f"{request.host} has no file {request.path}\n"
            return HttpResponse(404, message.encode(), _TEXT)
        return HttpResponse(200, content, _BYTES, {"Cache-Control": "no-cache"})

    def _read(self, directory: Path, path: str) -> bytes | None:
        """Return a file's content; None for what is no regular file below the directory."""
        name = unquote_to_bytes(path).lstrip(b"/")
        if b"\0" in name:
            return None
        root = directory.resolve()
        try:
            file = root.joinpath(os.fsdecode(name)).resolve()
            if file.is_relative_to(root) and file.is_file():
                return file.read_bytes()
        except (OSError, RuntimeError):  # too long a name, a loop of links
            return None
        return None
