# SPDX-License-Identifier: GPL-3.0-or-later
"""Glob patterns of object names.

https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob
`*` and `?` stay within a folder, `**` does not; `[a-z]`, `[!a]` are sets, `{a,b}` alternatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cloudspill_sandbox.storage.refusals import invalid

_TOKENS = {"*": "[^/]*", "**": ".*", "?": "[^/]"}


def matcher(glob: str) -> Callable[[str], bool]:
    """Return whether a name matches, as a function; in linear time, whatever the pattern.

    Raises:
        ApiError: 400, the pattern cannot be read.
    """
    import re2

    try:
        pattern = re2.compile("(?s)" + "".join(_translated(glob)))
    except re2.error:
        raise invalid(f"Invalid argument. matchGlob '{glob[:80]}' is no glob pattern.") from None
    return lambda name: pattern.fullmatch(name) is not None


def _translated(glob: str) -> Iterator[str]:
    import re2

    position, depth = 0, 0
    while position < len(glob):
        character = glob[position]
        if glob.startswith("**", position):
            character = "**"
        end = glob.find("]", position + 2) if character == "[" else -1
        if end > 0:
            character = glob[position : end + 1]
            negated = character[1] in "!^"
            inner = character[2 if negated else 1 : -1].replace("\\", "\\\\").replace("[", "\\[")
            yield f"[{'^' if negated else ''}{inner}]"
        elif character in _TOKENS:
            yield _TOKENS[character]
        elif character == "{":
            depth += 1
            yield "(?:"
        elif character == "}" and depth:
            depth -= 1
            yield ")"
        elif character == "," and depth:
            yield "|"
        else:
            yield re2.escape(character)
        position += len(character)
