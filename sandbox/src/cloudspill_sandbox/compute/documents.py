# SPDX-License-Identifier: GPL-3.0-or-later
"""What every resource document has: id, kind, timestamps, links, fingerprints.

Form: https://cloud.google.com/compute/docs/reference/rest/v1.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from cloudspill_sandbox.compute import names, refusals
from cloudspill_sandbox.engine.call import Document

_PACIFIC = timezone(timedelta(hours=-8))
_FINGERPRINT_DIGITS = 8


def timestamp(now: float) -> str:
    """Return seconds since the epoch as Google writes them: RFC 3339, Pacific, milliseconds."""
    return datetime.fromtimestamp(now, _PACIFIC).isoformat(timespec="milliseconds")


def seconds(text: str) -> float:
    """Return the seconds since the epoch of an RFC 3339 timestamp; without a zone it is UTC.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def new_id() -> str:
    """Return a numeric id: unsigned 64-bit, as a decimal string of 19 digits."""
    return str(10**18 + secrets.randbelow(8 * 10**18))


def fingerprint(content: Any) -> str:
    """Return the fingerprint of JSON-like content: the base64 of eight hexadecimal digits.

    Of digits, because their base64 has none of the characters in which base64url differs: gcloud
    reads the one and answers in the other.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digits = hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_DIGITS]
    return base64.b64encode(digits.encode()).decode()


def check_fingerprint(sent: str | None, current: str, what: str) -> None:
    """Return when a client saw the current state of what it changes.

    Raises:
        ApiError: 412 in the words for `labels`, or for `metadata` and `tags`.
    """
    if (sent or "").rstrip("=") == current.rstrip("="):
        return
    if what == "labels":
        raise refusals.stale("Labels fingerprint either invalid or resource labels have changed")
    raise refusals.stale(f"Supplied fingerprint does not match current {what} fingerprint.")


def labelled(document: Document, labels: dict[str, str]) -> Document:
    """Return the document with these labels and their fingerprint; no labels, no field."""
    rest = {key: value for key, value in document.items() if key != "labels"}
    found = {"labels": labels} if labels else {}
    return rest | found | {"labelFingerprint": fingerprint(labels)}


def resource(kind: str, name: str, now: float) -> Document:
    """Return what every new resource document starts with.

    Args:
        kind: singular, `instance`.
        name: relative name.
        now: seconds since the epoch.
    """
    document: Document = {
        "kind": f"compute#{kind}",
        "id": new_id(),
        "creationTimestamp": timestamp(now),
        "name": names.last(name),
        "selfLink": names.link(name),
    }
    if (scope := names.scope(name)) != "global":
        project = "/".join(name.split("/")[:2])
        document[scope.split("/")[0].removesuffix("s")] = names.link(f"{project}/{scope}")
    return document


def full_match(pattern: str, text: str) -> bool:
    """Whether the whole text matches; a trailing newline does not."""
    return re.fullmatch(pattern, text) is not None


def says(asked: object, held: object) -> bool:
    """Whether what a request has says nothing else than what there is, as far as it goes.

    A partial URL says what the full one says, and a value of nothing what no value says.
    """
    if isinstance(asked, dict) and isinstance(held, dict):
        rest = {key: value for key, value in asked.items() if value is not None}
        return all(says(rest[key], held.get(key)) for key in rest.keys() - {"fingerprint"})
    if isinstance(asked, list) and isinstance(held, list):
        return len(asked) == len(held) and all(map(says, asked, held))
    if isinstance(asked, str) and isinstance(held, str):
        path = names.without_host(asked)
        return path == names.without_host(held) or bool(path and held.endswith(f"/{path}"))
    return bool(asked == held or not (asked or held))


def check_same(field: str, body: Document, held: Document, *keys: str) -> None:
    """Return when a request, as far as it has these fields, says of them what there is.

    Raises:
        ApiError: 400, one would be changed.
    """
    for key in keys:
        if key in body and not says(body[key], held.get(key)):
            raise refusals.fixed(f"{field}.{key}")


def given(body: Document, *fields: str) -> Document:
    """Return those of the fields that a request body has with a value."""
    return {field: body[field] for field in fields if body.get(field) is not None}
