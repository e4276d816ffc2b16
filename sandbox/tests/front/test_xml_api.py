# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML API: which call of the JSON API a request becomes, and how a refusal comes back."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import (
    BARE_TYPE,
    HttpRequest,
    HttpResponse,
    headers,
    json_response,
)
from cloudspill_sandbox.front.xml_api import XmlApi, serves

from .conftest import World

HOST = "storage.googleapis.com"
HASH = "crc32c=mnG7TA==,md5=XUFAKrxLKna5cZ2REBfFkg=="
MADE = {"generation": "7", "metageneration": "1", "crc32c": "mnG7TA==", "md5Hash": HASH[20:]}


@dataclass
class JsonApi:
    """Answers every call alike, and keeps them."""

    response: HttpResponse = field(default_factory=lambda: json_response(MADE))
    asked: list[HttpRequest] = field(default_factory=list)

    async def answer(self, request: HttpRequest, principal: Principal | None) -> HttpResponse:
        self.asked.append(request)
        return self.response


@pytest.fixture
def below() -> JsonApi:
    return JsonApi()


@pytest.fixture
def api(below: JsonApi, world: World) -> XmlApi:
    return XmlApi(below.answer, world.authenticator)


def asking(method: str, target: str, host: str = HOST, **more: str) -> HttpRequest:
    async def stream() -> AsyncIterator[bytes]:
        yield b"hello"

    fields = headers({key.replace("_", "-"): value for key, value in more.items()})
    return HttpRequest(method, host, target, fields, b"", stream())


@pytest.mark.parametrize(
    ("host", "path", "xml"),
    [
        (HOST, "/bucket/object", True),
        (HOST, "/upload/object", True),
        (HOST, "/storage/v1/b/bucket", False),
        (HOST, "/upload/storage/v1/b/bucket/o", False),
        (HOST, "/resumable/upload/storage/v1/b/bucket/o", False),
        (HOST, "/download/storage/v1/b/bucket/o/x", False),
        (HOST, "/batch/storage/v1", False),
        (f"bucket.{HOST}", "/storage/v1/b/bucket", True),
        ("compute.googleapis.com", "/bucket/object", False),
    ],
)
def test_addresses_of_objects_are_told_from_those_of_methods(
    host: str, path: str, xml: bool
) -> None:
    assert serves(host, path) is xml


@pytest.mark.parametrize(
    ("request_", "method", "target"),
    [
        (
            asking("GET", "/bucket/a%20folder/x?generation=7"),
            "GET",
            "/download/storage/v1/b/bucket/o/a%20folder%2Fx?generation=7",
        ),
        (
            asking("HEAD", "/a/b", "bucket.storage.googleapis.com"),
            "HEAD",
            "/download/storage/v1/b/bucket/o/a%2Fb?",
        ),
        (asking("DELETE", "/bucket/x"), "DELETE", "/storage/v1/b/bucket/o/x?"),
        (
            asking("PUT", "/bucket/a/x", x_goog_if_generation_match="0", x_goog_acl="public-read"),
            "POST",
            "/upload/storage/v1/b/bucket/o?ifGenerationMatch=0&name=a%2Fx&predefinedAcl=publicRead"
            "&uploadType=media",
        ),
    ],
)
async def test_a_request_becomes_a_call(
    api: XmlApi, below: JsonApi, request_: HttpRequest, method: str, target: str
) -> None:
    await api.answer(request_)
    (asked,) = below.asked
    assert (asked.method, asked.host, asked.target) == (method, HOST, target)


async def test_headers_of_a_put_are_the_metadata(api: XmlApi, below: JsonApi) -> None:
    put = asking("PUT", "/bucket/x", x_goog_meta_team="a", Cache_Control="no-cache")
    response = await api.answer(put)
    assert json.loads(below.asked[0].body) == {
        "metadata": {"team": "a"},
        "cacheControl": "no-cache",
    }
    assert (response.status, response.body) == (200, b"")
    assert response.headers["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert response.headers["X-Goog-Generation"] == "7"


@pytest.mark.parametrize("name", ["x_goog_acl", "x_goog_if_generation_match"])
async def test_header_bytes_that_are_no_text_are_for_the_call_to_refuse(
    api: XmlApi, below: JsonApi, name: str
) -> None:
    error = ApiError(400, "invalid", "No such value: '\udcff'.")
    below.response = json_response(error.body(), status=400)
    answer = await api.answer(asking("PUT", "/bucket/object", **{name: "\udcff"}))
    assert "=%FF&" in below.asked[0].target
    assert b"No such value: '?'." in answer.body


async def test_the_entity_tag_is_the_md5(api: XmlApi, below: JsonApi) -> None:
    below.response = HttpResponse(200, b"hello", "text/plain", {"X-Goog-Hash": HASH, "ETag": "x"})
    response = await api.answer(asking("GET", "/bucket/x?response-content-type=text/html"))
    assert response.headers["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert (response.body, response.content_type) == (b"hello", "text/html")


@pytest.mark.parametrize(
    ("error", "code", "rest"),
    [
        (
            ApiError(404, "notFound", "No such object: b/<x>"),
            "NoSuchKey",
            "<Message>The specified key does not exist.</Message>"
            "<Details>No such object: b/&lt;x&gt;</Details>",
        ),
        (
            ApiError(404, "notFound", "The specified bucket does not exist."),
            "NoSuchBucket",
            "<Message>The specified bucket does not exist.</Message>",
        ),
        (
            ApiError(403, "forbidden", "x does not have access"),
            "AccessDenied",
            "<Message>Access denied.</Message><Details>x does not have access</Details>",
        ),
        (  # As Google answers: https://www.codejam.info/2023/04/firebase-functions-entity-too-large.html
            ApiError(400, "EntityTooLarge", "Content-length exceeds upper bound on range"),
            "EntityTooLarge",
            "<Message>Your proposed upload is larger than the maximum object size specified in "
            "your Policy Document.</Message>"
            "<Details>Content-length exceeds upper bound on range</Details>",
        ),
    ],
)
async def test_refusals_are_xml(
    api: XmlApi, below: JsonApi, error: ApiError, code: str, rest: str
) -> None:
    below.response = json_response(error.body(), status=error.status)
    response = await api.answer(asking("GET", "/bucket/x"))
    assert response.status == error.status
    assert response.content_type == "application/xml; charset=UTF-8"
    assert response.body.decode() == (
        f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>{rest}</Error>"
    )


async def test_a_refusal_without_json_is_xml_too(api: XmlApi, below: JsonApi) -> None:
    below.response = HttpResponse(404, b"No such object: b/&lt;x&gt;", BARE_TYPE)
    response = await api.answer(asking("GET", "/bucket/x"))
    assert (response.status, response.content_type) == (404, "application/xml; charset=UTF-8")
    assert b"<Code>NoSuchKey</Code>" in response.body
    assert b"<Details>No such object: b/&lt;x&gt;</Details>" in response.body


@pytest.mark.parametrize(
    "request_",
    [
        asking("GET", "/bucket"),
        asking("GET", "/bucket/x?acl"),
        asking("POST", "/bucket/x"),
        asking("PUT", "/bucket/x", x_goog_copy_source="/other/x"),
    ],
)
async def test_what_it_does_not_have_is_a_501(
    api: XmlApi, below: JsonApi, request_: HttpRequest
) -> None:
    response = await api.answer(request_)
    assert (response.status, below.asked) == (501, [])
    assert b"<Code>NotImplemented</Code>" in response.body


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({}, 403, b"SignatureDoesNotMatch"),
        ({"X-Goog-Expires": "1000000"}, 400, b"MalformedSecurityHeader"),
        ({"X-Goog-Date": "20200101T000000Z"}, 400, b"ExpiredToken"),
        ({"X-Goog-Credential": "me"}, 400, b"MalformedSecurityHeader"),
        ({"X-Goog-Signature": "no hex"}, 400, b"MalformedSecurityHeader"),
    ],
)
async def test_signatures_that_do_not_hold_are_refused(
    api: XmlApi, below: JsonApi, world: World, change: dict[str, str], status: int, code: bytes
) -> None:
    now = time.gmtime()
    scope = time.strftime("%Y%m%d/auto/storage/goog4_request", now)
    query = {
        "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
        "X-Goog-Credential": f"{world.email}/{scope}",
        "X-Goog-Date": time.strftime("%Y%m%dT%H%M%SZ", now),
        "X-Goog-Expires": "60",
        "X-Goog-SignedHeaders": "host",
        "X-Goog-Signature": "00" * 256,
    } | change
    text = "&".join(f"{key}={value}" for key, value in query.items())
    response = await api.answer(asking("GET", f"/bucket/x?{text}"))
    assert (response.status, below.asked) == (status, [])
    assert b"<Code>" + code + b"</Code>" in response.body


@dataclass
class Content:
    """Bytes of an answer that know whether they were closed."""

    size: int | None = 5
    closed: bool = False

    def read(self) -> bytes:
        raise AssertionError("nobody may read")

    def close(self) -> None:
        self.closed = True


CHANGED = "Tue, 01 Sep 2026 10:00:00 GMT"
MD5 = '"5d41402abc4b2a76b9719d911017c592"'


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"If_None_Match": MD5}, 304),
        ({"If_None_Match": f'"other", W/{MD5}'}, 304),
        ({"If_None_Match": '"other"'}, 200),
        ({"If_None_Match": '"other"', "If_Modified_Since": CHANGED}, 200),
        ({"If_Modified_Since": CHANGED}, 304),
        ({"If_Modified_Since": "Tue, 01 Sep 2026 09:59:59 GMT"}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Match": MD5}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": '"other"'}, 412),
        ({"If_Unmodified_Since": "Tue, 01 Sep 2026 09:59:59 GMT"}, 412),
        ({"If_Unmodified_Since": CHANGED}, 200),
    ],
)
async def test_conditions_go_by_the_entity_tag_that_was_shown(
    api: XmlApi, below: JsonApi, condition: dict[str, str], status: int
) -> None:
    content = Content()
    fields = {"X-Goog-Hash": HASH, "ETag": "x", "Last-Modified": CHANGED}
    below.response = HttpResponse(200, b"", "text/plain", fields, content)
    response = await api.answer(asking("GET", "/bucket/x", **condition))
    assert (response.status, content.closed) == (status, status != 200)
    assert not {name for name in below.asked[0].headers if name.startswith("If-")}
    assert (response.status == 412) == (b"<Code>PreconditionFailed</Code>" in response.body)


@pytest.mark.parametrize("name", ["response-content-type", "response-content-disposition"])
async def test_no_line_is_slipped_into_the_headers_of_an_answer(
    api: XmlApi, below: JsonApi, name: str
) -> None:
    response = await api.answer(asking("GET", f"/bucket/x?{name}=a%0d%0aSet-Cookie:b"))
    assert (response.status, below.asked) == (400, [])
