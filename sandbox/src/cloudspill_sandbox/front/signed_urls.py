# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed URLs: whoever has one may do one thing for a while, as the account that signed.

Version 4: https://cloud.google.com/storage/docs/authentication/canonical-requests,
https://cloud.google.com/storage/docs/access-control/signed-urls. Version 2, which
google-cloud-storage makes unless told otherwise:
https://cloud.google.com/storage/docs/access-control/signed-urls-v2.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote

from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import HttpRequest
from cloudspill_sandbox.front.interface import Authenticator

ALGORITHM = "GOOG4-RSA-SHA256"
LONGEST = 7 * 86400
"""Seconds that a URL may be good for."""

MALFORMED = "MalformedSecurityHeader"
EXPIRED = "ExpiredToken"
MISMATCH = "SignatureDoesNotMatch"
CODES = frozenset({MALFORMED, EXPIRED, MISMATCH})
"""The XML API's codes for signatures that do not hold."""

_CREDENTIAL = re.compile(r"(?P<email>[^/]+)/(?P<date>\d{8})/[^/]+/storage/goog4_request", re.ASCII)
_SIGNATURE = "x-goog-signature"
_OLD_SIGNATURE = re.compile(r"(?:^|&)Signature=")
_OWN_HEADER = re.compile(r"x-goog-", re.IGNORECASE)
_NEVER_SIGNED = frozenset({"x-goog-encryption-key", "x-goog-encryption-key-sha256"})
_AS_SENT = "surrogateescape"
_BUCKET_HOST = ".storage.googleapis.com"
_EARLY = 900.0
"""Seconds that a signer's clock may be ahead."""
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "Google secret key and signing method."
)


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """What a signed URL says of itself.

    Attributes:
        email: of the account that signed.
        message: what it signed.
        begins: when it is good first, seconds since the epoch.
        ends: when it is good last.
    """

    email: str
    message: bytes
    signature: bytes
    begins: float
    ends: float


def signer_of(request: HttpRequest, authenticator: Authenticator) -> Principal | None:
    """Return who signed the URL of a request, None when nobody did.

    Raises:
        ApiError: 400 or 403, the signature does not hold (any more).
    """
    if f"{_SIGNATURE}=" in request.query.lower():
        _check_headers(request)
        signed = _read(request)
    elif _OLD_SIGNATURE.search(request.query):
        signed = _read_old(request)
    else:
        return None
    if not signed.begins <= authenticator.now() <= signed.ends:
        raise ApiError(400, EXPIRED, "The provided token has expired. Request signature expired.")
    principal = authenticator.signer(signed.email, signed.message, signed.signature)
    if principal is None and request.method == "HEAD":  # whoever may read may look, too
        return signer_of(replace(request, method="GET"), authenticator)
    if principal is None:
        raise ApiError(403, MISMATCH, _MISMATCH)
    return principal


def _check_headers(request: HttpRequest) -> None:
    """Refuse headers that would stretch what was signed.

    https://cloud.google.com/storage/docs/authentication/canonical-requests#required-headers

    Raises:
        ApiError: 400, the host (which may name the bucket) or a header of Cloud Storage, such as
            an access control list, is not signed.
    """
    signed = _query(request).get("x-goog-signedheaders", "").split(";")
    needed = ["host", *(name.lower() for name in request.headers if _OWN_HEADER.match(name))]
    for name in needed:
        if name not in signed:
            raise ApiError(
                400,
                MALFORMED,
                f"Your request has a malformed header. Header {name} must be in signedheaders.",
            )


def _query(request: HttpRequest) -> dict[str, str]:
    """Return the parameters by name in small letters, as gcloud writes them."""
    return {key.lower(): value for key, value in parse_qsl(request.query, keep_blank_values=True)}


def _read(request: HttpRequest) -> SignedUrl:
    query = _query(request)
    credential = _CREDENTIAL.fullmatch(query.get("x-goog-credential", ""))
    if query.get("x-goog-algorithm") != ALGORITHM or credential is None:
        raise ApiError(400, MALFORMED, f"Signed URLs need {ALGORITHM} and an X-Goog-Credential.")
    try:
        date = query["x-goog-date"]
        begins = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        signature = bytes.fromhex(query[_SIGNATURE])
        lasts = int(query["x-goog-expires"])
    except (KeyError, ValueError):
        message = "A signed URL needs a date, an expiry, and a signature in hexadecimal."
        raise ApiError(400, MALFORMED, message) from None
    if not 0 < lasts <= LONGEST:
        raise ApiError(400, MALFORMED, f"X-Goog-Expires must be between 1 and {LONGEST} seconds.")
    scope = credential[0].partition("/")[2]
    digest = hashlib.sha256(_bytes(_canonical(request, query))).hexdigest()
    text = f"{ALGORITHM}\n{date}\n{scope}\n{digest}".encode()
    start = begins.timestamp()
    return SignedUrl(credential["email"], text, signature, start - _EARLY, start + lasts)


def _canonical(request: HttpRequest, query: Mapping[str, str]) -> str:
    parameters = sorted(
        (quote(key, "~", errors=_AS_SENT), quote(value, "~", errors=_AS_SENT))
        for key, value in parse_qsl(request.query, keep_blank_values=True)
        if key.lower() != _SIGNATURE
    )
    names = query.get("x-goog-signedheaders", "").split(";")
    given = _fields(request)
    fields = [f"{name}:{' '.join(given.get(name, '').split())}\n" for name in names]
    return "\n".join(
        [
            request.method,
            request.path,
            "&".join(f"{key}={value}" for key, value in parameters),
            "".join(fields),
            ";".join(names),
            given.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD"),
        ]
    )


def _fields(request: HttpRequest) -> dict[str, str]:
    """Return the headers by name in small letters; the values of a repeated one are a list.

    https://cloud.google.com/storage/docs/authentication/canonical-requests#about-headers,
    https://cloud.google.com/storage/docs/access-control/signed-urls-v2#about-canonical-extension-headers
    """
    values: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        values.setdefault(name.lower(), []).append(value)
    return {name: ",".join(each) for name, each in values.items()}


def _bytes(text: str) -> bytes:
    """Return what was signed, with the bytes of headers as they came, UTF-8 or not."""
    return text.encode("utf-8", _AS_SENT)


def _read_old(request: HttpRequest) -> SignedUrl:
    """Return what a URL of version 2 says; headers of Cloud Storage are in what it signed."""
    query = dict(parse_qsl(request.query))
    try:
        email, expires = query["GoogleAccessId"], int(query["Expires"])
        signature = base64.b64decode(query["Signature"], validate=True)
    except (KeyError, ValueError, binascii.Error):
        message = "A signed URL needs a GoogleAccessId, Expires, and a Signature in base64."
        raise ApiError(400, MALFORMED, message) from None
    given = _fields(request)
    own = sorted(name for name in given.keys() - _NEVER_SIGNED if _OWN_HEADER.match(name))
    lines = [
        request.method,
        given.get("content-md5", ""),
        given.get("content-type", ""),
        query["Expires"],
        *(f"{name}:{' '.join(given[name].split())}" for name in own),
        _resource(request),
    ]
    return SignedUrl(email, _bytes("\n".join(lines)), signature, 0.0, expires)


def _resource(request: HttpRequest) -> str:
    """Return `/bucket/object`, percent-encoded as it came, also where the host names the bucket."""
    if request.host.endswith(_BUCKET_HOST):
        return f"/{request.host.removesuffix(_BUCKET_HOST)}{request.path}"
    return request.path
