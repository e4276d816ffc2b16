# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed URLs as google-cloud-storage makes them when a program says no version: it is 2."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import requests

Named = Callable[[str], str]
SOON = datetime.timedelta(minutes=5)


def test_a_url_of_the_library_s_default_version_holds(bucket: Any, named: Named) -> None:
    # https://cloud.google.com/storage/docs/access-control/signed-urls-v2
    blob = bucket.blob(named("signed name"))
    writing = blob.generate_signed_url(SOON, method="PUT", content_type="text/plain")
    kind = {"Content-Type": "text/plain"}
    assert requests.put(writing, data=b"hello", headers=kind, timeout=30).status_code == 200
    reading = blob.generate_signed_url(SOON)
    assert "GoogleAccessId=" in reading
    assert requests.get(reading, timeout=30).text == "hello"
    forged = requests.put(reading, data=b"no", headers=kind, timeout=30)
    assert forged.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in forged.text
    late = blob.generate_signed_url(datetime.timedelta(seconds=-5))
    expired = requests.get(late, timeout=30)
    assert expired.status_code == 400
    assert "<Code>ExpiredToken</Code>" in expired.text
    assert blob.download_as_bytes() == b"hello"


@pytest.mark.parametrize("version", ["v2", "v4"])
def test_a_signed_url_limits_what_is_uploaded_with_it(
    bucket: Any, named: Named, version: str
) -> None:
    # https://cloud.google.com/storage/docs/xml-api/reference-headers#xgoogcontentlengthrange; in
    # these words https://www.codejam.info/2023/04/firebase-functions-entity-too-large.html
    blob = bucket.blob(named("limited"))
    limit = {"x-goog-content-length-range": "1,5"}
    writing = blob.generate_signed_url(SOON, method="PUT", headers=limit, version=version)
    refused = requests.put(writing, data=b"x" * 6, headers=limit, timeout=30)
    assert (refused.status_code, blob.exists()) == (400, False)
    assert "<Code>EntityTooLarge</Code>" in refused.text
    assert "<Details>Content-length exceeds upper bound on range</Details>" in refused.text
    assert not requests.put(writing, data=b"x" * 6, timeout=30).ok  # the header is signed
    empty = requests.put(writing, data=b"", headers=limit, timeout=30)
    assert (empty.status_code, "<Code>EntityTooSmall</Code>" in empty.text) == (400, True)
    assert requests.put(writing, data=b"hello", headers=limit, timeout=30).status_code == 200
    assert blob.download_as_bytes() == b"hello"
