# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed URLs of version 2, as google-cloud-storage makes them unless it is told otherwise.

https://cloud.google.com/storage/docs/access-control/signed-urls-v2
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import HttpRequest, headers
from cloudspill_sandbox.front.signed_urls import signer_of

from .conftest import World

HOST = "storage.googleapis.com"
PATH = "/bucket/a%20name"
FORGED = (403, "SignatureDoesNotMatch")


def signed(world: World, method: str, *lines: str, lasts: int = 60) -> HttpRequest:
    """Return a request for PATH as the owner signs it, with these lines before the resource."""
    key = load_pem_private_key(json.loads(world.key_file.read_text())["private_key"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    expires = str(int(time.time()) + lasts)
    content_type, *own = lines or ("",)
    text = "\n".join([method, "", content_type, expires, *own, PATH])
    content = text.encode("utf-8", "surrogateescape")
    signature = base64.b64encode(key.sign(content, PKCS1v15(), SHA256())).decode()
    query = {"GoogleAccessId": world.email, "Expires": expires, "Signature": signature}
    return HttpRequest(method, HOST, f"{PATH}?{urlencode(query)}", headers({"Host": HOST}), b"")


def carrying(request: HttpRequest, **more: str) -> HttpRequest:
    fields = {name.replace("_", "-"): value for name, value in more.items()}
    return replace(request, headers=headers(dict(request.headers) | fields))


def repeating(request: HttpRequest, name: str, *values: str) -> HttpRequest:
    fields = headers(dict(request.headers))
    for value in values:
        fields.add(name, value)
    return replace(request, headers=fields)


def refusal(world: World, request: HttpRequest) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        signer_of(request, world.authenticator)
    return caught.value.status, caught.value.reason


@pytest.mark.parametrize("host", [HOST, "bucket.storage.googleapis.com"])
def test_whoever_signed_the_request_makes_it(world: World, host: str) -> None:
    request = replace(signed(world, "GET"), host=host)
    if host != HOST:
        request = replace(request, target=request.target.removeprefix("/bucket"))
    principal = signer_of(request, world.authenticator)
    assert principal is not None
    assert principal.email == world.email


def test_a_url_to_read_is_good_for_its_head_and_no_other_method(world: World) -> None:
    request = signed(world, "GET")
    assert signer_of(replace(request, method="HEAD"), world.authenticator) is not None
    assert refusal(world, replace(request, method="DELETE")) == FORGED


def test_the_content_type_and_headers_of_cloud_storage_are_as_signed(world: World) -> None:
    request = signed(world, "PUT", "text/plain", "x-goog-acl:private", "x-goog-meta-team:a")
    full = {"Content_Type": "text/plain", "X_Goog_Meta_Team": "a", "x_goog_acl": "private"}
    assert signer_of(carrying(request, **full), world.authenticator) is not None
    for name in full:
        rest = {key: value for key, value in full.items() if key != name}
        assert refusal(world, carrying(request, **rest)) == FORGED
    more = carrying(request, **full, x_goog_if_generation_match="0")
    assert refusal(world, more) == FORGED


def test_a_header_that_is_repeated_is_as_signed_with_all_its_values(world: World) -> None:
    once = signed(world, "PUT", "", "x-goog-acl:private")
    twice = signed(world, "PUT", "", "x-goog-meta-a:one,two three")
    for values in (("public-read", "private"), ("private", "public-read")):
        assert refusal(world, repeating(once, "x-goog-acl", *values)) == FORGED
    assert signer_of(repeating(twice, "X-Goog-Meta-A", "one", "two  three"), world.authenticator)
    assert refusal(world, repeating(twice, "X-Goog-Meta-A", "two three", "one")) == FORGED


def test_header_bytes_that_are_no_text_are_another_header(world: World) -> None:
    request = signed(world, "PUT", "", "x-goog-meta-a:\udcff")
    assert signer_of(carrying(request, x_goog_meta_a="\udcff"), world.authenticator) is not None
    assert refusal(world, carrying(request, x_goog_meta_a="\udcfe")) == FORGED


def test_a_key_of_the_client_is_not_signed(world: World) -> None:
    request = carrying(signed(world, "GET"), x_goog_encryption_key="c2VjcmV0")
    assert signer_of(request, world.authenticator) is not None


def test_another_object_is_not_meant(world: World) -> None:
    request = signed(world, "GET")
    other = replace(request, target=request.target.replace("a%20name", "other"))
    assert refusal(world, other) == FORGED


def test_it_expires(world: World) -> None:
    assert refusal(world, signed(world, "GET", lasts=-1)) == (400, "ExpiredToken")


@pytest.mark.parametrize(
    "query",
    [
        "Signature=AAAA",
        "GoogleAccessId=a@b&Expires=soon&Signature=AAAA",
        "GoogleAccessId=a@b&Expires=4102444800&Signature=%21",
    ],
)
def test_what_is_no_signature_is_malformed(world: World, query: str) -> None:
    request = HttpRequest("GET", HOST, f"{PATH}?{query}", headers({"Host": HOST}), b"")
    assert refusal(world, request) == (400, "MalformedSecurityHeader")
