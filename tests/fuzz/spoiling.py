# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing made wrong in a request that would otherwise be carried out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.fuzz import words
from tests.fuzz.request import Request

_Place = tuple[dict[Any, Any] | list[Any], Any]


@dataclass(frozen=True, slots=True)
class Spoil:
    """What is made wrong.

    Attributes:
        kind: one of KINDS.
        where: of the many places, which; any number.
        value: what is put there.
    """

    kind: str
    where: int
    value: Any


def _replaced(request: Request, spoil: Spoil) -> Request:
    """Put another value in the place of any part of the body."""
    return _changed(request, spoil, lambda inside, key: inside.__setitem__(key, spoil.value))


def _dropped(request: Request, spoil: Spoil) -> Request:
    return _changed(request, spoil, lambda inside, key: inside.__delitem__(key))


def _repeated(request: Request, spoil: Spoil) -> Request:
    """Say a part of the body many times over, in a list where there is one."""
    return _changed(
        request, spoil, lambda inside, key: inside.__setitem__(key, [inside[key]] * 200)
    )


def _changed(
    request: Request, spoil: Spoil, change: Callable[[dict[Any, Any] | list[Any], Any], None]
) -> Request:
    try:
        document = json.loads(request.body)
    except ValueError:
        return request
    parts = list(_parts(document))
    if parts:
        change(*parts[spoil.where % len(parts)])
    return replace(request, body=json.dumps(document).encode())


def _parts(value: Any) -> Iterator[_Place]:
    """Yield every place in a document: what holds it, and its key there."""
    keys: Any = value if isinstance(value, dict) else range(len(value))
    if isinstance(value, dict | list):
        for key in keys:
            yield value, key
            if isinstance(value[key], dict | list):
                yield from _parts(value[key])


def _cut(request: Request, spoil: Spoil) -> Request:
    return replace(request, body=request.body[: spoil.where % (len(request.body) + 1)])


def _elsewhere(request: Request, spoil: Spoil) -> Request:
    """Put something else in the place of a segment of the path."""
    path, mark, query = request.target.partition("?")
    segments = path.split("/")
    segments[-1 - spoil.where % (len(segments) - 1)] = str(spoil.value)
    return replace(request, target="/".join(segments) + mark + query)


def _asked(request: Request, spoil: Spoil) -> Request:
    """Add a query parameter."""
    name, value = spoil.value
    joined = "&" if "?" in request.target else "?"
    return replace(request, target=f"{request.target}{joined}{name}={quote(value[:4000], safe='')}")


def _with_header(request: Request, spoil: Spoil) -> Request:
    return replace(request, headers=(*request.headers, spoil.value))


def _by_another(request: Request, spoil: Spoil) -> Request:
    headers = (*request.headers, ("Authorization", spoil.value))
    return replace(request, headers=headers, anonymous=True)


def _with_body(request: Request, spoil: Spoil) -> Request:
    return replace(request, body=spoil.value)


_QUERIES = [(name, text) for name, texts in words.TEXTS_OF_QUERIES.items() for text in texts]
_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [*words.WORDS, *words.NUMBERS, *words.LONGS, None, True, [], {}, [[]], [None], {"": {}}]
)
_Spoiler = Callable[[Request, Spoil], Request]
_SPOILERS: dict[str, tuple[_Spoiler, st.SearchStrategy[Any]]] = {
    "replaced": (_replaced, _VALUES),
    "dropped": (_dropped, st.none()),
    "repeated": (_repeated, st.none()),
    "cut": (_cut, st.none()),
    "elsewhere": (_elsewhere, st.sampled_from(words.HOSTILE_PLACES)),
    "asked": (_asked, st.sampled_from(_QUERIES)),
    "header": (_with_header, st.sampled_from(words.HEADERS)),
    "stranger": (_by_another, st.sampled_from(words.CREDENTIALS)),
    "body": (_with_body, st.sampled_from(words.BODIES)),
}
KINDS = (*["replaced"] * 6, *["dropped"] * 2, *_SPOILERS)
"""What can be made wrong, the most telling more often."""


def spoils() -> st.SearchStrategy[Spoil]:
    """Draw one thing to make wrong."""
    return st.sampled_from(KINDS).flatmap(
        lambda kind: st.builds(Spoil, st.just(kind), st.integers(0, 9999), _SPOILERS[kind][1])
    )


def spoilt(request: Request, spoil: Spoil) -> Request:
    """Return the request with one thing made wrong."""
    return _SPOILERS[spoil.kind][0](request, spoil)
