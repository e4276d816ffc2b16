# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed URLs as google-cloud-storage makes them when a program says no version: it is 2."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

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
