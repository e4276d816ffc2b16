# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to every implemented method, drawn from Google's discovery documents.

Most are sane, so that there is something for the others to break.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from cloudspill_sandbox.engine.discovery import Api, Method, load_api
from cloudspill_sandbox.engine.schema import Schema
from tests.fuzz import words
from tests.fuzz.bodies import SANE, sane_bodies
from tests.fuzz.request import Request, filled
from tests.fuzz.sound import Composer

_DEPTH = 5


class Calls:
    """Strategies of requests.

    Args:
        implemented: ids of the methods to call, by API.

    Attributes:
        implemented: the same.
        composer: makes calls that ought to be carried out.
    """

    def __init__(self, implemented: Mapping[str, Sequence[str]]) -> None:
        self._apis = {name: load_api(name, "v1") for name in implemented}
        every = [
            (self._apis[name], self._apis[name].methods[method])
            for name, methods in implemented.items()
            for method in methods
            if method not in words.LASTING
        ]
        rare = [each for each in every if each[1].id in words.RARE]
        usual = [each for each in every if each[1].id not in words.RARE]
        makers = [each for each in usual if each[1].id in SANE]
        changing = [each for each in usual if each[1].http_method != "GET"]
        self.implemented = implemented
        self.composer = Composer(self._apis, implemented, sane_bodies())
        self._methods = st.sampled_from(usual * 2 + changing * 2 + makers * 8 + rare)

    @property
    def apis(self) -> Mapping[str, Api]:
        """The APIs by name."""
        return self._apis

    def first(self) -> list[Request]:
        """Return requests that furnish an empty cloud: without anything, most calls are a 404."""
        found = []
        for name, document in SANE.items():
            api = self._apis[name.partition(".")[0]]
            path = filled(api.methods[name].template, lambda *of: words.usual(*of)[0])
            target = f"/{api.methods[name].service_path}{path}"
            query = "?project=cloudspill-sandbox" if name == "storage.buckets.insert" else ""
            body, kind = json.dumps(document).encode(), (("Content-Type", "application/json"),)
            found.append(
                Request(name, api.methods[name].http_method, api.host, target + query, kind, body)
            )
        upload = "/upload/storage/v1/b/bucket/o?uploadType=media&name=object"
        content = Request("", "POST", "storage.googleapis.com", upload, (), b"content")
        return [*found, content]

    def requests(self) -> st.SearchStrategy[Request]:
        """Requests to methods, one in some twenty to none at all."""
        one = _request(self._methods)
        batch = st.lists(one, max_size=4).map(_as_batch)
        return mostly(one, batch, _elsewhere(), one_in=10)


def mostly(
    usual: st.SearchStrategy[Any], *others: st.SearchStrategy[Any], one_in: int
) -> st.SearchStrategy[Any]:
    """Draw from `usual`, one time in some from one of the others; `st.one_of` has no weights."""
    chosen = [usual] * (one_in - 1) * len(others) + [*others]
    return st.sampled_from(chosen).flatmap(lambda strategy: strategy)


def _sometimes(one_in: int) -> st.SearchStrategy[int]:
    return st.sampled_from([0] * (one_in - 1) + [1])


_ONE_IN_8, _ONE_IN_16 = _sometimes(8), _sometimes(16)
_HOSTILE_PLACES = st.sampled_from(words.HOSTILE_PLACES) | st.text(max_size=12).map(quote)


def _place(name: str, before: str) -> st.SearchStrategy[str]:
    return mostly(st.sampled_from(words.usual(name, before)), _HOSTILE_PLACES, one_in=25)


@st.composite
def _request(draw: st.DrawFn, methods: st.SearchStrategy[tuple[Api, Method]]) -> Request:
    api, method = draw(methods)
    pairs = draw(_query(api, method))
    path = filled(method.template, lambda *of: draw(_place(*of)))
    target = f"/{method.service_path}{path}"
    body, headers = draw(_body(api, method))
    if method.uploads and draw(st.booleans()):
        target = "/upload" + target
        body, headers = draw(_upload())
    headers += tuple(draw(st.lists(st.sampled_from(words.HEADERS), max_size=2))) * draw(_ONE_IN_8)
    stranger = draw(_ONE_IN_16)
    if stranger:
        headers += (("Authorization", draw(st.sampled_from(words.CREDENTIALS))),)
    host = api.host
    if draw(_ONE_IN_16):
        host = draw(st.sampled_from(["www.googleapis.com", f"{host}:443", host.upper()]))
    return Request(
        method.id,
        method.http_method,
        host,
        target + _encoded(pairs),
        headers,
        body,
        anonymous=bool(stranger),
    )


@st.composite
def _query(draw: st.DrawFn, api: Api, method: Method) -> list[tuple[str, str]]:
    pairs = []
    for name, parameter in method.query_parameters.items():
        if draw(_ONE_IN_16) or (parameter.required and not draw(_ONE_IN_16)):
            pairs.append((name, draw(_query_value(name, parameter.schema))))
    if draw(_ONE_IN_16):
        name = draw(st.sampled_from([*api.parameters, *words.TEXTS_OF_QUERIES, "unknown", ""]))
        pairs.append((name, draw(_query_value(name, Schema("string")))))
    return pairs


def _query_value(name: str, schema: Schema) -> st.SearchStrategy[str]:
    usual = words.TEXTS_OF_QUERIES.get(name) or words.PLACES.get(name)
    if usual is not None:
        return mostly(st.sampled_from(usual), st.text(max_size=30), one_in=9)
    return _scalar(schema).map(lambda value: value if isinstance(value, str) else json.dumps(value))


def _encoded(pairs: Sequence[tuple[str, str]]) -> str:
    texts = (f"{quote(name, safe='')}={quote(value[:4000], safe='')}" for name, value in pairs)
    query = "&".join(texts)
    return f"?{query}" if query else ""


@st.composite
def _body(draw: st.DrawFn, api: Api, method: Method) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    if method.request is None and not draw(_ONE_IN_16):
        return b"", ()
    kind = (("Content-Type", "application/json"),)
    if draw(_ONE_IN_16):
        return draw(st.sampled_from(words.BODIES) | st.binary(max_size=40)), kind
    document: Any = dict(SANE.get(method.id, {}))
    if "name" in document and draw(_ONE_IN_8):
        document["name"] = "two"
    if method.request is not None and (not document or draw(st.integers(0, 2)) == 0):
        other = draw(_value(api, api.schemas[method.request], 0))
        document = document | other if isinstance(other, dict) else other
    text = json.dumps(document).encode()
    if draw(_ONE_IN_16):
        text = text[: draw(st.integers(0, len(text)))]
    return text, kind


@st.composite
def _upload(draw: st.DrawFn) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    media = draw(st.sampled_from([b"", b"content", b"x" * 300_000]))
    metadata = json.dumps({"name": draw(st.sampled_from(["object", "folder/object", ""]))}).encode()
    if draw(st.booleans()):
        return media, (("Content-Type", "text/plain"),)
    head = b"--cut\r\nContent-Type: application/json\r\n\r\n"
    content = head + metadata + b"\r\n--cut\r\nContent-Type: text/plain\r\n\r\n" + media
    end = draw(st.sampled_from([b"\r\n--cut--\r\n", b"\r\n--cut--", b"--cut", b""]))
    return content + end, (("Content-Type", "multipart/related; boundary=cut"),)


@st.composite
def _value(draw: st.DrawFn, api: Api, schema: Schema, depth: int) -> Any:
    """Return a value of a schema, few fields each; now and then one of no schema at all."""
    if schema.reference is not None:
        schema = api.schemas[schema.reference]
    if draw(_sometimes(60)):
        return draw(st.sampled_from([None, [], {}, [None], {"": {}}, "", 0, True, 1.5, [[[]]]]))
    if schema.type == "array":
        items = schema.items or Schema("any")
        return [draw(_value(api, items, depth + 1)) for _ in range(draw(st.integers(0, 2)))]
    if schema.additional is not None:
        keys = draw(st.lists(st.sampled_from(words.WORDS), max_size=2, unique=True))
        return {key: draw(_value(api, schema.additional, depth + 1)) for key in keys}
    if schema.type != "object":
        return draw(_scalar(schema))
    if depth > _DEPTH or not schema.properties:
        return {}
    fields = sorted(schema.properties)
    chosen = draw(st.lists(st.sampled_from(fields), max_size=4, unique=True))
    document = {key: draw(_value(api, schema.properties[key], depth + 1)) for key in chosen}
    if draw(_sometimes(40)):
        document[draw(st.sampled_from(words.WORDS))] = draw(st.sampled_from(words.WORDS))
    return document


_SCALARS = {
    "boolean": st.booleans(),
    "integer": st.sampled_from(words.NUMBERS),
    "number": st.sampled_from(words.NUMBERS),
    "any": st.sampled_from([*words.WORDS, None, {"a": 1}, [1]]),
}
_WORDS = st.sampled_from(words.WORDS) | st.text(max_size=20)
_LONGS = st.sampled_from(words.LONGS)


def _scalar(schema: Schema) -> st.SearchStrategy[Any]:
    if schema.enum is not None:
        return mostly(st.sampled_from(sorted(schema.enum)), _WORDS, one_in=10)
    if schema.format in ("int64", "uint64"):
        return _LONGS
    return _SCALARS.get(schema.type, _WORDS)


def _as_batch(calls: list[Request]) -> Request:
    parts = []
    for number, call in enumerate(calls):
        fields = "".join(f"{name}: {value}\r\n" for name, value in call.headers)
        parts.append(
            f"--cut\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
            f"{call.http_method} {call.target} HTTP/1.1\r\n{fields}\r\n".encode(
                "utf-8", "surrogateescape"
            )
            + call.body
            + b"\r\n"
        )
    headers = (("Content-Type", "multipart/mixed; boundary=cut"),)
    body = b"".join(parts) + b"--cut--\r\n"
    return Request("", "POST", "compute.googleapis.com", "/batch/compute/v1", headers, body)


@st.composite
def _elsewhere(draw: st.DrawFn) -> Request:
    """A request to what is no method: token endpoint, XML API, sites, nothing."""
    host = draw(st.sampled_from(words.HOSTS))
    path = draw(
        st.sampled_from(words.PATHS) | st.text(max_size=20).map(lambda text: "/" + quote(text))
    )
    method = draw(st.sampled_from(words.HTTP_METHODS))
    headers = tuple(draw(st.lists(st.sampled_from(words.HEADERS), max_size=3)))
    body = draw(st.sampled_from([*words.BODIES, b"grant_type=x&assertion=a.b.c", words.BOMB]))
    if method in ("GET", "HEAD", "OPTIONS"):
        body = b""
    return Request("", method, host, path, headers, body)
