# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata tree: from the recursive JSON to paths, listings, text and entity tags.

Compute Engine shows one tree in two spellings: `machineType` in JSON is `machine-type` in a
path; keys that people choose (attributes, service accounts) are the same in both
(https://cloud.google.com/compute/docs/metadata/querying-metadata).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = Any

VERBATIM_CHILDREN = frozenset({"attributes", "serviceAccounts", "guestAttributes"})
"""Directories below which keys are not respelt."""

VALUE_LISTS = frozenset({"aliases", "dnsServers", "scopes", "tags"})
"""Lists that are one value with many lines; every other list is a directory: `disks/0/`."""

JSON_BY_DEFAULT = frozenset({"tags"})
"""Values that come as JSON unless text is asked for."""


@dataclass(frozen=True, slots=True)
class Node:
    """One place in the tree.

    Attributes:
        key: its key in JSON, "" for the root.
        value: its JSON.
        verbatim: keys below it are spelt alike in JSON and paths.
    """

    key: str
    value: Json
    verbatim: bool = False

    @property
    def is_directory(self) -> bool:
        """Whether it has children rather than a value."""
        if _is_list(self.value):
            return self.key not in VALUE_LISTS
        return isinstance(self.value, Mapping)

    def children(self) -> Iterator[tuple[str, Node]]:
        """Yield (name in a path, child) in the order of listings."""
        if _is_list(self.value):
            for index, value in enumerate(self.value):
                yield str(index), Node("", value, self.verbatim)
            return
        named = (
            (
                key if self.verbatim else dashed(key),
                Node(key, value, self.verbatim or key in VERBATIM_CHILDREN),
            )
            for key, value in self.value.items()
        )
        yield from sorted(named, key=lambda pair: pair[0])

    def find(self, names: Sequence[str]) -> Node | None:
        """Return the node at a path relative to this one, None when there is none."""
        node: Node | None = self
        for name in names:
            if node is None or not node.is_directory:
                return None
            node = dict(node.children()).get(name)
        return node

    def listing(self) -> str:
        """Return the names of the children, one a line, directories with a slash."""
        return "".join(
            f"{name}/\n" if child.is_directory else f"{name}\n" for name, child in self.children()
        )

    def text(self) -> str:
        """Return a value as text: lists one a line, numbers and truth values as Google has them."""
        if _is_list(self.value):
            return "".join(f"{_scalar(part)}\n" for part in self.value)
        return _scalar(self.value)

    def flat_text(self, prefix: str = "") -> str:
        """Return everything below as lines of `path value`, as `recursive=true&alt=text` does."""
        lines = []
        for name, child in self.children():
            path = f"{prefix}{name}"
            if child.is_directory:
                lines.append(child.flat_text(f"{path}/"))
            else:
                lines.append(f"{path} {child.text().rstrip()}\n")
        return "".join(lines)

    def json(self) -> str:
        """Return it in the compact JSON of `recursive=true`."""
        return json.dumps(self.value, separators=(",", ":"), ensure_ascii=False)

    def etag(self) -> str:
        """Return a hash of the content: it changes when, and only when, the content does."""
        canonical = json.dumps(self.value, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def dashed(key: str) -> str:
    """Return a JSON key as it stands in a path: `numericProjectId` → `numeric-project-id`."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda found: f"-{found.group()}", key).lower()


def _is_list(value: Json) -> bool:
    return isinstance(value, list | tuple)


def _scalar(value: Json) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return "" if value is None else str(value)
