# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers have shown of a cloud: the resources that live in it, and their last documents.

Where a resource lies follows from Google's discovery documents alone: the path of a method up to
one of its variables is the place of a kind of resource, and the name by which an answer calls
itself either fits it or does not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cloudspill_sandbox.engine.discovery import Api

Json = dict[str, Any]

MOST = 40
"""Resources of a kind that are remembered, those seen last."""

_VARIABLE = re.compile(r"\{[^}]+\}")
_DEEPEST, _LARGEST = 5, 200
_GIVEN = ("zones/*", "regions/*", "v1/projects/*", "v1/*", "v1/*/*")
"""Ends of places whose resources are there from the start: calls go to a few of them alone."""


def places(template: str) -> list[str]:
    """Return the places that a method's path leads through, the longest first.

    `zones/{zone}/disks/{disk}/resize` leads through `zones/*/disks/*` and `zones/*`.
    """
    ends = [found.end() for found in _VARIABLE.finditer(template)]
    return [_VARIABLE.sub("*", template[:end]) for end in reversed(ends)]


class Living:
    """Resources by their API and place, each with the document that was shown last.

    Args:
        apis: by name.
        implemented: ids of methods, by API.
        spared: parts of paths that nothing is to be done to.
    """

    def __init__(
        self,
        apis: Mapping[str, Api],
        implemented: Mapping[str, Iterable[str]],
        spared: Iterable[str] = (),
    ) -> None:
        self._apis = apis
        self._spared = tuple(spared)
        self._places: dict[tuple[str, int], set[str]] = defaultdict(set)
        for name, methods in implemented.items():
            for method in methods:
                for place in places(apis[name].methods[method].template):
                    if not place.endswith(_GIVEN):
                        self._places[name, place.count("/")].add(place)
        self._there: dict[tuple[str, str], dict[str, Json]] = defaultdict(dict)
        self._gone: dict[tuple[str, str], dict[str, Json]] = defaultdict(dict)

    def take(self, api: str, answer: Any) -> None:
        """Remember every resource that an answer shows."""
        for document in _documents(answer):
            path = self._path(self._apis[api], document)
            if path is None or any(part in path for part in self._spared):
                continue
            for place in self._fitting(api, path):
                _remember(self._there[api, place], path, document)

    def forget(self, api: str, path: str) -> None:
        """Take note that a resource, by its path below the service's, is gone."""
        for place in self._fitting(api, path):
            document = self._there[api, place].pop(path, None)
            if document is not None:
                _remember(self._gone[api, place], path, document)

    def at(self, api: str, place: str, *, gone: bool = False) -> list[tuple[str, Json]]:
        """Return what lives at a place, or lived there: path and document of each."""
        return list((self._gone if gone else self._there)[api, place].items())

    def _fitting(self, api: str, path: str) -> list[str]:
        segments = path.split("/")
        places = self._places[api, path.count("/")]
        return [place for place in places if _fits(place.split("/"), segments)]

    def _path(self, api: Api, document: Json) -> str | None:
        """Return the path below the service's of what a document describes, None if it has none."""
        link, name = document.get("selfLink"), document.get("name")
        if isinstance(link, str):
            return link.partition(f"/{api.service_path}")[2] or None
        if isinstance(name, str) and "/" in name and not api.service_path:
            return f"v1/{name}"
        return None


def _remember(resources: dict[str, Json], path: str, document: Json) -> None:
    resources.pop(path, None)
    resources[path] = document
    if len(resources) > MOST:
        del resources[next(iter(resources))]


def _fits(place: list[str], segments: list[str]) -> bool:
    return all(one in ("*", other) for one, other in zip(place, segments, strict=True))


def _documents(answer: Any) -> list[Json]:
    """Return an answer and what it holds, as far down as lists of resources go."""
    found: list[Json] = []
    level = [answer]
    for _ in range(_DEEPEST):
        found += [each for each in level if isinstance(each, dict)]
        if len(found) > _LARGEST:
            break
        level = [inner for each in level for inner in _inner(each)]
    return found[:_LARGEST]


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
