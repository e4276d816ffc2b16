# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed URLs stand for the request that was signed, and for no other."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import HttpRequest, headers
from cloudspill_sandbox.front.signed_urls import signer_of

from .conftest import World

BUCKET = "bucket.storage.googleapis.com"


def signed(world: World, method: str, **fields: str) -> str:
    """Return the target of a request for /x as the owner signs it, with these headers."""
    key = load_pem_private_key(json.loads(world.key_file.read_text())["private_key"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    now = time.gmtime()
    date = time.strftime("%Y%m%dT%H%M%SZ", now)
    scope = time.strftime("%Y%m%d/auto/storage/goog4_request", now)
    query = {
        "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
        "X-Goog-Credential": f"{world.email}/{scope}",
        "X-Goog-Date": date,
        "X-Goog-Expires": "60",
        "X-Goog-SignedHeaders": ";".join(sorted(fields)),
    }
    text = "&".join(f"{key}={quote(value, safe='~')}" for key, value in sorted(query.items()))
    listed = "".join(f"{name}:{fields[name]}\n" for name in sorted(fields))
    names = query["X-Goog-SignedHeaders"]
    canonical = f"{method}\n/x\n{text}\n{listed}\n{names}\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    message = f"GOOG4-RSA-SHA256\n{date}\n{scope}\n{digest}".encode()
    return f"/x?{text}&X-Goog-Signature={key.sign(message, PKCS1v15(), SHA256()).hex()}"


def put(target: str, **more: str) -> HttpRequest:
    return HttpRequest("PUT", BUCKET, target, headers({"Host": BUCKET, **more}), b"")


@pytest.mark.parametrize("more", [{}, {"x-goog-acl": "private", "x-goog-meta-team": "a"}])
def test_whoever_signed_the_request_makes_it(world: World, more: dict[str, str]) -> None:
    principal = signer_of(
        put(signed(world, "PUT", host=BUCKET, **more), **more), world.authenticator
    )
    assert principal is not None
    assert principal.email == world.email


def test_a_url_that_names_no_host_would_do_for_every_bucket(world: World) -> None:
    with pytest.raises(ApiError, match="Header host must be in signedheaders") as refusal:
        signer_of(put(signed(world, "PUT", **{"content-type": ""})), world.authenticator)
    assert (refusal.value.status, refusal.value.reason) == (400, "MalformedSecurityHeader")


@pytest.mark.parametrize("name", ["X-Goog-Acl", "x-goog-meta-team", "X-GOOG-IF-GENERATION-MATCH"])
def test_headers_of_cloud_storage_must_be_signed(world: World, name: str) -> None:
    request = put(signed(world, "PUT", host=BUCKET), **{name: "public-read"})
    with pytest.raises(ApiError, match=f"Header {name.lower()} must be in signedheaders"):
        signer_of(request, world.authenticator)


@pytest.mark.parametrize("values", [("private", "public-read"), ("public-read", "private")])
def test_a_header_that_is_repeated_is_signed_with_all_its_values(
    world: World, values: tuple[str, str]
) -> None:
    fields = headers({"Host": BUCKET, "x-goog-acl": values[0]})
    fields.add("X-Goog-Acl", values[1])
    request = put(signed(world, "PUT", host=BUCKET, **{"x-goog-acl": "private"}))
    with pytest.raises(ApiError) as refusal:
        signer_of(replace(request, headers=fields), world.authenticator)
    assert refusal.value.reason == "SignatureDoesNotMatch"
    both = put(signed(world, "PUT", host=BUCKET, **{"x-goog-acl": ",".join(values)}))
    assert signer_of(replace(both, headers=fields), world.authenticator) is not None


@pytest.mark.parametrize("where", ["header", "path", "query"])
def test_bytes_that_are_no_text_are_not_what_was_signed(world: World, where: str) -> None:
    target = signed(world, "PUT", host=BUCKET, **{"x-goog-meta-a": "1"})
    value = "\udcff" if where == "header" else "1"
    target = target.replace("/x?", "/x\udcff?") if where == "path" else target
    target += "&a=\udcff" if where == "query" else ""
    with pytest.raises(ApiError) as refusal:
        signer_of(put(target, **{"x-goog-meta-a": value}), world.authenticator)
    assert refusal.value.reason == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("signed_for", "asked", "holds"),
    [("GET", "HEAD", True), ("HEAD", "HEAD", True), ("HEAD", "GET", False), ("GET", "PUT", False)],
)
def test_a_url_is_good_for_its_method_and_one_to_read_for_its_head(
    world: World, signed_for: str, asked: str, holds: bool
) -> None:
    request = replace(put(signed(world, signed_for, host=BUCKET)), method=asked)
    if holds:
        assert signer_of(request, world.authenticator) is not None
    else:
        with pytest.raises(ApiError, match="does not match the signature"):
            signer_of(request, world.authenticator)
