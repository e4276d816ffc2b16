# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what answers a path: a tree of segments instead of a thousand regular expressions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar
from urllib.parse import unquote

Target = TypeVar("Target")


class _Node(Generic[Target]):
    """One segment's place in the tree.

    `variables` is keyed by what must follow the variable within the segment: nothing, or a custom
    verb such as `:undelete` (https://google.aip.dev/136).
    """

    __slots__ = ("literals", "targets", "variables")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[Target]] = {}
        self.variables: dict[str, _Node[Target]] = {}
        self.targets: dict[str, Target] = {}


class RouteTree(Generic[Target]):
    """Maps (HTTP method, path) to a target by templates such as `b/{bucket}/o/{object}`.

    A literal segment wins over a variable; paths are matched as they came over the wire, so a
    `%2F` never separates segments.
    """

    def __init__(self) -> None:
        self._root: _Node[Target] = _Node()

    def add(self, http_method: str, template: str, target: Target) -> None:
        """Add one template. Raises ValueError when it is taken."""
        node = self._root
        for segment in template.split("/"):
            if segment.startswith("{"):
                branch, key = node.variables, segment.partition("}")[2]
            else:
                branch, key = node.literals, segment
            node = branch.setdefault(key, _Node())
        if http_method in node.targets:
            raise ValueError(f"two targets for {http_method} {template}")
        node.targets[http_method] = target

    def find(self, http_method: str, segments: list[str]) -> Target | None:
        """Return what answers the path, None when nothing does.

        Args:
            http_method: in capitals.
            segments: the raw (percent-encoded) path, split at its slashes.
        """
        for node in self._matches(self._root, segments, 0):
            if http_method in node.targets:
                return node.targets[http_method]
        return None

    def _matches(
        self, node: _Node[Target], segments: list[str], position: int
    ) -> Iterator[_Node[Target]]:
        if position == len(segments):
            yield node
            return
        segment = segments[position]
        for child in self._children(node, segment):
            yield from self._matches(child, segments, position + 1)

    def _children(self, node: _Node[Target], segment: str) -> Iterator[_Node[Target]]:
        literal = node.literals.get(unquote(segment) if "%" in segment else segment)
        if literal is not None:
            yield literal
        if not segment:
            return
        name, colon, verb = segment.rpartition(":")
        if name and (custom := node.variables.get(colon + verb)) is not None:
            yield custom
        if (plain := node.variables.get("")) is not None:
            yield plain
