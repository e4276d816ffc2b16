# SPDX-License-Identifier: GPL-3.0-or-later
"""Every field that a request may have by Google's discovery document, and a value to try it with.

What a description calls output only is none: https://cloud.google.com/docs/discovery/type-format.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloudspill_sandbox.engine import discovery
from cloudspill_sandbox.engine.call import Document

Path = tuple[str | int, ...]
MAP_KEY = "key"
_BY_FORMAT = {"byte": "AAAA", "date-time": "2030-01-01T00:00:00Z"}
_BY_TYPE = {"integer": 7, "number": 7, "any": "value"}


@dataclass(frozen=True, slots=True)
class InputField:
    """A field of a request body, at any depth.

    Attributes:
        path: where it stands; 0 is an element of a list, MAP_KEY one of a map.
        values: one of its type, or all of its enumeration.
    """

    path: Path
    values: tuple[Any, ...]

    @property
    def name(self) -> str:
        """`disks.initializeParams.diskType`"""
        return dotted(self.path)

    @property
    def last(self) -> str:
        """`diskType`, or MAP_KEY"""
        return self.name.rpartition(".")[2]


def dotted(path: Path) -> str:
    """Return a path without the places in lists."""
    return ".".join(str(step) for step in path if step != 0)


def of_method(method: str) -> list[InputField]:
    """Return the input fields of a method of Compute Engine, `instances.insert`."""
    document = json.loads(discovery._document_path("compute", "v1").read_bytes())
    resource, name = method.split(".")
    request = document["resources"][resource]["methods"][name]["request"]["$ref"]
    return list(_fields(document["schemas"], document["schemas"][request], (), (request,)))


def found(document: Any, path: Path) -> list[Any]:
    """Return what a document has at a path, of every element of the lists on the way."""
    if not path:
        return [] if document is None else [document]
    step, *rest = path
    if isinstance(step, int):
        inner = document if isinstance(document, list) else []
    else:
        inner = [document.get(step)] if isinstance(document, Mapping) else []
    return [value for each in inner for value in found(each, tuple(rest))]


def with_value(body: Document, path: Path, value: Any) -> Document:
    """Return a body with a value at a path, and what it takes above it."""
    body = copy.deepcopy(body)
    here: Any = body
    for step, below in itertools.pairwise(path):
        if isinstance(step, int) and not here:
            here.append({} if isinstance(below, str) else [])
        elif not isinstance(step, int) and here.get(step) is None:
            here[step] = [] if isinstance(below, int) else {}
        here = here[step]
    if isinstance(path[-1], int):
        here[:] = [value]
    else:
        here[path[-1]] = value
    return body


def _fields(
    schemas: Mapping[str, Any], text: Mapping[str, Any], path: Path, seen: tuple[str, ...]
) -> Iterator[InputField]:
    if _is_output(text):
        return
    if name := text.get("$ref"):
        if name not in seen:
            yield from _fields(schemas, schemas[name], path, (*seen, name))
    elif text.get("type") == "array":
        yield from _fields(schemas, text["items"], (*path, 0), seen)
    elif "additionalProperties" in text:
        yield from _fields(schemas, text["additionalProperties"], (*path, MAP_KEY), seen)
    elif text.get("type") == "object":
        for key, inner in text.get("properties", {}).items():
            yield from _fields(schemas, inner, (*path, key), seen)
    else:
        yield InputField(path, _values(text))


def _is_output(text: Mapping[str, Any]) -> bool:
    prose = text.get("description", "").lower()
    return bool(text.get("readOnly")) or "[output only]" in prose or prose.startswith("output only")


def _values(text: Mapping[str, Any]) -> tuple[Any, ...]:
    if "enum" in text:
        return tuple(value for value in text["enum"] if "UNSPECIFIED" not in value)
    if text["type"] == "boolean":
        return (True, False)
    if text.get("format") in ("int64", "uint64"):
        return ("7",)
    return (_BY_FORMAT.get(text.get("format", "")) or _BY_TYPE.get(text["type"], "value"),)
