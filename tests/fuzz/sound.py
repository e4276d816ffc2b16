# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that ought to be carried out: to what lives, with bodies that read before they write.

What is drawn is numbers. They become a request when it is sent, for only then is it known what
lives; so Hypothesis sees the same strategies in every life, and can shrink what it drew.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from cloudspill_sandbox.engine.discovery import Api, Method
from tests.fuzz import words
from tests.fuzz.living import Json, Living, places
from tests.fuzz.request import Request, filled
from tests.fuzz.spoiling import Spoil, spoils

_VARIABLE = re.compile(r"\{[^}]+\}")
_REFERENCE = re.compile(r"(global|zones/[^/]+|regions/[^/]+)/(\w+)/vm")
_SUFFIXES = ("", "two", "three", "four")
_NEW = ("name", "accountId", "roleId")
"""Fields that name what is made."""

_HELD = ("fingerprint", "labelFingerprint", "etag")
"""Fields that say of which document a change was made."""

_AGES = {"ifMetagenerationMatch": "metageneration", "ifGenerationMatch": "generation"}
_NEXT = 12
"""Of the methods that are yet to be carried out, those tried least are next."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A call that ought to be carried out, unless one thing of it is spoilt.

    Attributes:
        choice: which method; any number.
        pick: of which of many resources; any number.
        spoil: what is made wrong, None for nothing.
    """

    choice: int
    pick: int
    spoil: Spoil | None = None


def sounds() -> st.SearchStrategy[Sound]:
    """Draw calls, every second one spoilt."""
    number = st.integers(0, 9999)
    return st.builds(Sound, number, number, st.none() | spoils())


@dataclass(frozen=True, slots=True)
class Draft:
    """A call whose method and place are known.

    Attributes:
        path: below the API's service path.
        document: what was shown last of what lies at the path, `{}` when nothing was.
        reader: asks for what is to be changed, None where nothing needs to be known of it.
    """

    api: Api
    method: Method
    path: str
    document: Json
    pick: int
    reader: Request | None
    shape: str | None


class Composer:
    """Makes requests of numbers.

    Args:
        apis: by name.
        implemented: ids of methods, by API.
        bodies: such as are carried out, by method.
    """

    def __init__(
        self,
        apis: Mapping[str, Api],
        implemented: Mapping[str, Sequence[str]],
        bodies: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._every = {
            method: (apis[name], apis[name].methods[method])
            for name, methods in implemented.items()
            for method in methods
        }
        self._bodies = bodies
        self._makers = [method for method in self._every if _makes(method)]
        self._readers = {
            (api.name, _VARIABLE.sub("*", method.template)): method
            for api, method in self._every.values()
            if method.http_method == "GET"
        }

    def draft(
        self, sound: Sound, living: Living, tried: Counter[str], done: AbstractSet[str]
    ) -> Draft:
        """Decide what is called.

        Args:
            living: what may be called.
            tried: how often this was asked of each method, since the life began.
            done: methods that were carried out since then; the others come first.
        """
        api, method = self._every[self._choose(sound.choice, tried, done)]
        path, document = _place(api, method, living, sound.pick)
        reader = self._reader(api, method)
        asks = None
        if reader is not None:
            verb = method.template[_end(method.template) :]
            asks = _request(api, reader, path.removesuffix(verb) + _rest(reader), {})
        shape = reader.response if reader is not None else None
        return Draft(api, method, path, document, sound.pick, asks, shape)

    def _choose(self, choice: int, tried: Counter[str], done: AbstractSet[str]) -> str:
        turn, number = choice % 3, choice // 3
        if turn == 0:
            return self._makers[number % len(self._makers)]
        left = [method for method in self._every if method not in done] or list(self._every)
        left.sort(key=lambda method: tried[method] + 2 * (method in words.LASTING))
        return left[number % min(len(left), _NEXT)]

    def _reader(self, api: Api, method: Method) -> Method | None:
        """Return the method that shows what a method changes."""
        policy = method.id.removesuffix(".setIamPolicy")
        if policy != method.id:
            return self._every[f"{policy}.getIamPolicy"][1]
        reads = method.http_method in ("GET", "DELETE")
        if reads or _makes(method.id) or _end(method.template) == 0:
            return None
        return self._readers.get((api.name, places(method.template)[0]))

    def request(self, draft: Draft, shown: Any, living: Living) -> Request:
        """Return the request.

        Args:
            shown: what the reader was answered.
        """
        document = shown if isinstance(shown, dict) and shown else draft.document
        method = draft.method
        query = dict(_query(method, document, draft.pick))
        if method.uploads:
            query |= {"uploadType": "media", "name": "object" + _suffix(draft.pick)}
            return _request(draft.api, method, draft.path, query, b"content", "/upload")
        content = b""
        if method.request is not None:
            body = self._body(draft, document, living)
            content = json.dumps(body).encode()
        return _request(draft.api, method, draft.path, query, content)

    def _body(self, draft: Draft, shown: Json, living: Living) -> Json:
        name = draft.method.request
        assert name is not None
        derived = _derived(draft.api, name, draft.shape, shown)
        own = self._bodies.get(draft.method.id)
        if own is None:
            return derived
        body: Json = _referring(own, living, draft.pick)
        if _makes(draft.method.id):
            body |= {key: body[key] + _suffix(draft.pick) for key in _NEW if key in body}
        if body.get("ipCidrRange") == words.WIDER:
            body["ipCidrRange"] = _wider(shown.get("ipCidrRange", "10.0.0.0/24"))
        known = {**shown, **derived}
        fields = draft.api.schemas[name].properties
        return body | {key: known[key] for key in _HELD if key in known and key in fields}


def _makes(method: str) -> bool:
    return method.endswith((".insert", ".create", ".createSnapshot"))


def _suffix(pick: int) -> str:
    return _SUFFIXES[pick % len(_SUFFIXES)]


def _end(template: str) -> int:
    """Return where the last variable of a template ends."""
    return max((found.end() for found in _VARIABLE.finditer(template)), default=0)


def _rest(method: Method) -> str:
    return method.template[_end(method.template) :]


def _place(api: Api, method: Method, living: Living, pick: int) -> tuple[str, Json]:
    """Return a path of a method to something that lives, as far as anything does."""
    template = method.template

    def first(name: str, before: str) -> str:
        return words.SOUND_PLACES.get((api.name, name)) or words.usual(name, before)[0]

    back = template.endswith(":undelete")
    ends = [found.end() for found in _VARIABLE.finditer(template)]
    for place, end in zip(places(template), reversed(ends), strict=True):
        found = _wanted(living.at(api.name, place, gone=back), words.STATUSES.get(method.id))
        if found:
            path, document = found[pick % len(found)]
            if (
                back and "uniqueId" in document
            ):  # https://cloud.google.com/iam/docs/service-accounts-delete-undelete
                path = f"{path.rpartition('/')[0]}/{document['uniqueId']}"
            known = document if end == ends[-1] else {}
            return filled(template[end:], first, path), known
    return filled(template, first), {}


def _wanted(found: list[tuple[str, Json]], status: str | None) -> list[tuple[str, Json]]:
    """Return those of some status, all where none has it or none is wanted."""
    return [each for each in found if each[1].get("status") == status] or found


def _query(method: Method, document: Json, pick: int) -> Iterator[tuple[str, str]]:
    own = words.SOUND_QUERIES.get(method.id, {})
    yield from own.items()
    for name, parameter in method.query_parameters.items():
        if not parameter.required or name in own:
            continue
        held = [str(value) for value in _held(document, _AGES.get(name, name))]
        yield name, held[pick % len(held)] if held else words.usual(name, "")[0]


def _held(value: Any, name: str) -> Iterator[Any]:
    """Yield the values of a field wherever it stands."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from _held(inner, name)
    if isinstance(value, dict) and isinstance(value.get(name), str | int):
        yield value[name]


def _derived(api: Api, wanted: str, shape: str | None, shown: Json) -> Json:
    """Return what of a document is a body of some schema: it, a part of it, or it as a part."""
    if shape is None or wanted == shape:
        return dict(shown) if shape else {}
    for name, field in api.schemas[shape].properties.items():
        if field.reference == wanted:
            return dict(shown.get(name) or {})
        if field.items is not None and field.items.reference == wanted:
            return dict((shown.get(name) or [{}])[0])
    for name, field in api.schemas[wanted].properties.items():
        if field.reference == shape:
            return {name: shown}
    return {}


def _wider(network: str) -> str:
    return str(ipaddress.IPv4Network(network).supernet(2))


def _referring(value: Any, living: Living, pick: int) -> Any:
    """Return a body whose references lead to what lives, where anything of the kind does."""
    if isinstance(value, Mapping):
        return {key: _referring(inner, living, pick) for key, inner in value.items()}
    if isinstance(value, list):
        return [_referring(inner, living, pick) for inner in value]
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    scope = re.sub("/.*", "/*", found[1])
    there = living.at("compute", f"projects/*/{scope}/{found[2]}/*")
    there = [each for each in there if "users" not in each[1]] or there
    return there[pick % len(there)][0] if there else value


def _request(
    api: Api,
    method: Method,
    path: str,
    query: Mapping[str, str],
    body: bytes = b"",
    before: str = "",
) -> Request:
    target = f"{before}/{method.service_path}{path}"
    if query:
        target += f"?{urlencode(query)}"
    kind = (("Content-Type", "text/plain" if before else "application/json"),) if body else ()
    return Request(method.id, method.http_method, api.host, target, kind, body)
