# SPDX-License-Identifier: GPL-3.0-or-later
"""Glob patterns of object names.

https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob
`*` and `?` stay within a folder, `**` does not; `[a-z]`, `[!a]` are sets, `{a,b}` alternatives. A
backslash takes the meaning from what follows it. Which patterns Google refuses was tried out at
https://github.com/fsouza/fake-gcs-server/pull/2344.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cloudspill_sandbox.storage.refusals import invalid

_TOKENS = {"*": "[^/]*", "**": ".*", "?": "[^/]"}
_TOKEN = re.compile(
    r"\\(?P<escaped>.)"
    r"|\[(?P<negated>[!^]?+)(?P<members>(?:\\.|[^\\\[\]{}])++)\]"
    r"|\*\*|.",
    re.DOTALL,
)
_MEMBER = re.compile(r"\\(?P<escaped>.)|(?P<plain>.)", re.DOTALL)
_LITERAL = re.compile(r"(?:\\.|[^*?\[\]{}\\])*", re.DOTALL)


def matcher(glob: str) -> Callable[[str], bool]:
    """Return whether a name matches, as a function; in linear time, whatever the pattern.

    Raises:
        ApiError: 400, the pattern cannot be read.
    """
    import re2

    try:
        pattern = re2.compile("(?s)" + "".join(_translated(glob)))
    except (re2.error, ValueError):
        raise invalid(f"Invalid argument. matchGlob '{glob[:80]}' is no glob pattern.") from None
    return lambda name: pattern.fullmatch(name) is not None


def literal_directory(glob: str) -> str:
    """Return the folder, up to its last `/`, in which every name is that a pattern matches."""
    found = _LITERAL.match(glob)
    literal = re.sub(r"(?s)\\(.)", r"\1", found[0]) if found else ""
    return literal[: literal.rfind("/") + 1]


def _translated(glob: str) -> Iterator[str]:
    """Yield a pattern as parts of a regular expression. Raises ValueError."""
    import re2

    depth = 0
    for token in _TOKEN.finditer(glob):
        text = token[0]
        if token["escaped"]:
            yield re2.escape(token["escaped"])
        elif token["members"]:
            yield f"[{'^' if token['negated'] else ''}{_members(token['members'], depth > 0)}]"
        elif text in _TOKENS:
            yield _TOKENS[text]
        elif text == "{":
            depth += 1
            yield "(?:"
        elif text == "}" and depth:
            depth -= 1
            yield ")"
        elif text == "," and depth:
            yield "|"
        elif text in "[]}":
            raise ValueError(f"{text} at {token.start()} has no counterpart")
        else:
            yield re2.escape(text)


def _members(members: str, among_alternatives: bool) -> str:
    """Return what stands in a set, for a regular expression. Raises ValueError."""
    import re2

    parts = []
    for member in _MEMBER.finditer(members):
        if member["plain"] == "," and among_alternatives:
            raise ValueError("a comma ends the alternative within a set")
        is_range = member["plain"] == "-"
        parts.append("-" if is_range else re2.escape(member["escaped"] or member["plain"]))
    return "".join(parts)
