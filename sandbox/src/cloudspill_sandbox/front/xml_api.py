# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Storage's XML API, as far as objects go: each request becomes a call of the JSON API.

    https://storage.googleapis.com/BUCKET/OBJECT
    https://BUCKET.storage.googleapis.com/OBJECT

Go's client reads objects by these addresses, and with it Google's guest agent (a startup script at
gs://…); so do browsers and everybody who was given a signed URL.
https://cloud.google.com/storage/docs/xml-api/overview
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qsl, quote, unquote, urlencode
from xml.sax.saxutils import escape

from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front import entity_conditions
from cloudspill_sandbox.front.http import BARE_TYPE, HttpRequest, HttpResponse, headers
from cloudspill_sandbox.front.interface import Authenticator
from cloudspill_sandbox.front.signed_urls import CODES, signer_of

HOST = "storage.googleapis.com"
_BUCKET_HOST = f".{HOST}"
_JSON_PATH = re.compile(r"/((resumable/)?upload/|download/)?storage/v1/|/batch(/|$)")
_METADATA = "x-goog-meta-"
_CONDITIONS = {
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}
_SETTINGS = {
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
    "x-goog-custom-time": "customTime",
    "x-goog-storage-class": "storageClass",
}
_ANSWER_HEADERS = ("response-content-disposition", "response-content-type")
_LISTS = {
    "authenticated-read": "authenticatedRead",
    "bucket-owner-full-control": "bucketOwnerFullControl",
    "bucket-owner-read": "bucketOwnerRead",
    "private": "private",
    "project-private": "projectPrivate",
    "public-read": "publicRead",
}
_OF_UPLOADS = frozenset({"EntityTooLarge", "EntityTooSmall"})
_CODES = {
    400: "InvalidArgument",
    401: "AuthenticationRequired",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "BucketNotEmpty",
    412: "PreconditionFailed",
    416: "InvalidRange",
    501: "NotImplemented",
}
_SENTENCES = {
    "AccessDenied": "Access denied.",
    "AuthenticationRequired": "Authentication required.",
    "EntityTooLarge": "Your proposed upload is larger than the maximum object size specified in "
    "your Policy Document.",
    "EntityTooSmall": "Your proposed upload is smaller than the minimum object size specified in "
    "your Policy Document.",
    "NoSuchBucket": "The specified bucket does not exist.",
    "NoSuchKey": "The specified key does not exist.",
    "PreconditionFailed": "At least one of the pre-conditions you specified did not hold.",
    "InvalidRange": "The requested range cannot be satisfied.",
}

Answerer = Callable[[HttpRequest, Principal | None], Awaitable[HttpResponse]]


def serves(host: str, path: str) -> bool:
    """Whether an address is one of the XML API."""
    return host.endswith(_BUCKET_HOST) or (host == HOST and not _JSON_PATH.match(path))


class XmlApi:
    """Answers requests of the XML API.

    Args:
        answer: answers a call of the JSON API; by the principal, where one is known already.
    """

    def __init__(self, answer: Answerer, authenticator: Authenticator) -> None:
        self._answer = answer
        self._authenticator = authenticator

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; refusals become the XML API's."""
        try:
            principal = signer_of(request, self._authenticator)
            response = await self._answer(_translated(request), principal)
        except ApiError as error:
            return _refusal(error.status, error.message, error.reason)
        if response.status >= 400 and response.content is None:
            return _translated_refusal(response)
        return _with_headers(request, response)


def _translated(request: HttpRequest) -> HttpRequest:
    bucket, name = _place(request)
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    if not name or not bucket:
        raise _unsupported(request, "of buckets")
    if unknown := {"acl", "compose", "uploads", "uploadId"} & query.keys():
        raise _unsupported(request, f"with ?{unknown.pop()}")
    passed_on: tuple[str, ...] = ("generation", "userProject")
    parameters = {key: query[key] for key in passed_on if key in query}
    for header, parameter in _CONDITIONS.items():
        if header in request.headers:
            parameters[parameter] = request.headers[header]
    _check_asked_headers(query)
    request = replace(request, host=HOST, headers=_without_conditions(request.headers))
    path = f"/storage/v1/b/{quote(bucket, safe='')}/o"
    if request.method == "PUT":
        return _upload(request, path, parameters | {"name": name})
    path += f"/{quote(name, safe='')}"
    if request.method == "DELETE":
        return replace(request, target=f"{path}?{_query(parameters)}")
    if request.method in ("GET", "HEAD"):
        return replace(request, target=f"/download{path}?{_query(parameters)}")
    raise _unsupported(request, f"by {request.method}")


def _upload(request: HttpRequest, path: str, parameters: dict[str, str]) -> HttpRequest:
    """Return the insert that a PUT stands for: headers are the metadata."""
    if "x-goog-copy-source" in request.headers:
        raise _unsupported(request, "that copy")
    settings: dict[str, object] = {
        field: request.headers[header]
        for header, field in _SETTINGS.items()
        if header in request.headers
    }
    metadata = {
        key.lower().removeprefix(_METADATA): value
        for key, value in request.headers.items()
        if key.lower().startswith(_METADATA)
    }
    if metadata:
        settings["metadata"] = metadata
    if "x-goog-acl" in request.headers:
        name = request.headers["x-goog-acl"]
        parameters = parameters | {"predefinedAcl": _LISTS.get(name, name)}
    return replace(
        request,
        method="POST",
        target=f"/upload{path}?{_query(parameters | {'uploadType': 'media'})}",
        body=json.dumps(settings).encode(),
    )


def _place(request: HttpRequest) -> tuple[str, str]:
    """Return bucket and object ("" for none) that an address names."""
    if request.host.endswith(_BUCKET_HOST):
        return request.host.removesuffix(_BUCKET_HOST), unquote(request.path[1:])
    bucket, _, name = request.path[1:].partition("/")
    return unquote(bucket), unquote(name)


def _query(parameters: Mapping[str, str]) -> str:
    """Return parameters as a query, with the bytes of headers as they came, UTF-8 or not."""
    return urlencode(parameters, errors="surrogateescape")


def _check_asked_headers(query: Mapping[str, str]) -> None:
    """Refuse headers for the answer that could be none. Raises ApiError 400."""
    for parameter in _ANSWER_HEADERS:
        if re.search(r"[\x00-\x1f\x7f]", query.get(parameter, "")):
            message = f"{parameter} cannot have control characters."
            raise ApiError(400, "invalidArgument", message, location=parameter)


def _without_conditions(given: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers without those about the entity tag, which the JSON API has another one of."""
    kept = headers(dict(given))
    for name in entity_conditions.NAMES:
        kept.pop(name, None)
    return kept


def _with_headers(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Return an answer with the XML API's entity tag: the MD5 of the bytes in hexadecimal."""
    fields = headers(dict(response.headers))
    body, kind = response.body, response.content_type
    if request.method == "PUT":
        document = json.loads(response.body)
        fields["X-Goog-Generation"] = document["generation"]
        fields["X-Goog-Metageneration"] = document["metageneration"]
        fields["X-Goog-Hash"] = f"crc32c={document['crc32c']},md5={document['md5Hash']}"
        body, kind = b"", None
    if match := re.search(r"md5=([^,]+)", fields.get("X-Goog-Hash", "")):
        fields["ETag"] = f'"{b64decode(match[1]).hex()}"'
    elif "ETag" in fields:
        fields["ETag"] = f'"{fields["ETag"]}"'
    if (status := _refused_by_condition(request, fields)) is not None:
        if response.content is not None:
            response.content.close()
        if status == 304:
            return HttpResponse(304, b"", None, {"ETag": fields["ETag"]})
        return _refusal(status, _SENTENCES["PreconditionFailed"], "conditionNotMet")
    query = dict(parse_qsl(request.query))
    kind = query.get("response-content-type", kind)
    if "response-content-disposition" in query:
        fields["Content-Disposition"] = query["response-content-disposition"]
    return replace(response, headers=fields, body=body, content_type=kind)


def _refused_by_condition(request: HttpRequest, shown: Mapping[str, str]) -> int | None:
    if request.method not in ("GET", "HEAD"):
        return None
    return entity_conditions.refusal(request.headers, shown)


def _translated_refusal(response: HttpResponse) -> HttpResponse:
    if response.content_type == BARE_TYPE:
        return _refusal(response.status, unescape(response.body.decode()), "")
    error = json.loads(response.body)["error"]
    return _refusal(error["code"], error["message"], error["errors"][0]["reason"])


def _refusal(status: int, message: str, reason: str) -> HttpResponse:
    """Return an error as https://cloud.google.com/storage/docs/xml-api/reference-status has it."""
    code = _CODES.get(status, "InternalError" if status >= 500 else "InvalidRequest")
    if status == 404 and message == _SENTENCES["NoSuchBucket"]:
        code = "NoSuchBucket"
    if reason in CODES | _OF_UPLOADS:
        code = reason
    sentence = _SENTENCES.get(code, message)
    details = f"<Details>{escape(message)}</Details>" if sentence != message else ""
    body = (
        f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
        f"<Message>{escape(sentence)}</Message>{details}</Error>"
    )
    # A sentence may quote a header whose bytes are no text.
    return HttpResponse(status, body.encode(errors="replace"), "application/xml; charset=UTF-8")


def _unsupported(request: HttpRequest, what: str) -> ApiError:
    return ApiError(
        501,
        "notImplemented",
        f"{request.method} requests {what} are not implemented by this sandbox's XML API "
        "(docs/fidelity.md)",
    )
