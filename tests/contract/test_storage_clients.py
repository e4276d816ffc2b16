# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects by other clients: google-api-python-client, gcloud, and no client at all."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from .target import Target

Named = Callable[[str], str]

DEADLINE = 180
LARGE = 20 * 1024 * 1024


@pytest.fixture(scope="module")
def storage(_environment: None) -> Iterator[Any]:
    """Cloud Storage, described by the document that google-api-python-client ships."""
    from googleapiclient import discovery  # type: ignore[import-untyped]

    service = discovery.build("storage", "v1", cache_discovery=False)
    yield service
    service.close()


@pytest.fixture(scope="module")
def gcloud(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run `gcloud storage …`; it must end well."""
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    environment = target.shell(
        CLOUDSDK_CONFIG=str(tmp_path_factory.mktemp("gcloud")),
        CLOUDSDK_CORE_DISABLE_PROMPTS="1",
        CLOUDSDK_CORE_DISABLE_USAGE_REPORTING="true",
    )

    def run(*words: str) -> str:
        done = subprocess.run(
            ["gcloud", "storage", *words],
            env=environment,
            timeout=DEADLINE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 20 MiB that nothing can compress."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(secrets.token_bytes(LARGE))
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_media_go_up_whole_in_parts_and_in_chunks(storage: Any, bucket: Any, named: Named) -> None:
    from googleapiclient.http import (  # type: ignore[import-untyped]
        MediaIoBaseDownload,
        MediaIoBaseUpload,
    )

    content = secrets.token_bytes(600 * 1024)
    objects = storage.objects()
    for name, resumable in (("multipart", False), ("resumable", True)):
        media = MediaIoBaseUpload(
            io.BytesIO(content), "image/png", chunksize=256 * 1024, resumable=resumable
        )
        body = {"name": named(name), "metadata": {"team": "a"}}
        made = objects.insert(bucket=bucket.name, body=body, media_body=media).execute()
        assert (made["size"], made["contentType"]) == (str(len(content)), "image/png")
        assert made["metadata"] == {"team": "a"}
        target = io.BytesIO()
        request = objects.get_media(bucket=bucket.name, object=body["name"])
        download = MediaIoBaseDownload(target, request, chunksize=256 * 1024)
        done = False
        while not done:
            _, done = download.next_chunk()
        assert target.getvalue() == content


def test_an_error_tells_reason_and_message(storage: Any, bucket: Any, named: Named) -> None:
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    with pytest.raises(HttpError, match="No such object") as refusal:
        storage.objects().get(bucket=bucket.name, object=named("missing")).execute()
    assert refusal.value.status_code == 404
    (detail,) = refusal.value.error_details
    assert detail["reason"] == "notFound"


def test_who_asks_for_bytes_is_told_without_json_that_there_are_none(
    storage: Any, bucket: Any, named: Named
) -> None:
    # As Google answers: https://github.com/firebase/firebase-tools/pull/3647
    from google.api_core.exceptions import NotFound
    from googleapiclient.errors import HttpError

    blob = bucket.blob(named("missing"))
    sentence = f"No such object: {bucket.name}/{blob.name}"
    with pytest.raises(NotFound, match="No such object"):
        blob.download_as_bytes()
    with pytest.raises(HttpError, match="No such object"):
        storage.objects().get_media(bucket=bucket.name, object=blob.name).execute()
    address = f"https://storage.googleapis.com/storage/v1/b/{bucket.name}/o/{blob.name}"
    told = bucket.client._http.get(f"{address}?alt=media", timeout=30)
    assert (told.status_code, told.text) == (404, sentence)
    assert told.headers["Content-Type"] == "text/html; charset=UTF-8"
    other = bucket.client._http.get(address, timeout=30)
    assert other.json()["error"]["message"] == sentence


def test_gcloud_copies_lists_describes_and_removes(
    gcloud: Callable[..., str], bucket: Any, named: Named, tmp_path: Path
) -> None:
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("hello\n")
    address = f"gs://{bucket.name}/{named('folder')}/a b.txt"
    gcloud("cp", str(source), address)
    assert gcloud("cat", address) == "hello\n"
    gcloud("cp", address, str(target))
    assert target.read_text() == "hello\n"
    gcloud("cp", address, address + ".copy")
    assert gcloud("ls", address.rpartition("/")[0] + "/").split("\n")[:2] == [
        address,
        address + ".copy",
    ]
    gcloud("objects", "update", address, "--custom-metadata=team=a")
    described = json.loads(gcloud("objects", "describe", address, "--format=json"))
    assert described["custom_fields"] == {"team": "a"}
    gcloud("rm", address, address + ".copy")
    assert bucket.get_blob(f"{named('folder')}/a b.txt") is None


def test_gcloud_signs_urls_that_hold(
    gcloud: Callable[..., str], target: Target, bucket: Any, named: Named
) -> None:
    blob = bucket.blob(named("signed"))
    blob.upload_from_string("hello")
    options = (f"--private-key-file={target.key_file}", "--duration=1m", "--format=json")
    (signed,) = json.loads(gcloud("sign-url", f"gs://{bucket.name}/{blob.name}", *options))
    assert requests.get(signed["signed_url"], timeout=30).text == "hello"


def test_the_xml_api_reads_objects(bucket: Any, named: Named) -> None:
    # https://cloud.google.com/storage/docs/xml-api/get-object
    blob = bucket.blob(named("folder/x y"))
    blob.upload_from_string("hello", content_type="text/plain")
    session = bucket.client._http
    path = f"{blob.name.replace(' ', '%20')}"
    for address in (
        f"https://storage.googleapis.com/{bucket.name}/{path}",
        f"https://{bucket.name}.storage.googleapis.com/{path}",
    ):
        answer = session.get(address, timeout=30)
        assert (answer.status_code, answer.text) == (200, "hello")
        assert answer.headers["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
        assert answer.headers["X-Goog-Generation"] == str(blob.generation)
    part = session.get(address, headers={"Range": "bytes=1-2"}, timeout=30)
    assert (part.status_code, part.text) == (206, "el")
    assert part.headers["Content-Range"] == "bytes 1-2/5"
    missing = session.get(f"{address}z", timeout=30)
    assert missing.status_code == 404
    assert "<Code>NoSuchKey</Code>" in missing.text


def test_who_does_not_say_who_they_are_is_told_so(bucket: Any, named: Named) -> None:
    blob = bucket.blob(named("private"))
    blob.upload_from_string("x")
    refused = requests.get(blob.self_link, timeout=30)
    assert refused.status_code == 401
    error = refused.json()["error"]
    assert error["message"].startswith("Anonymous caller does not have storage.objects.get access")
    assert error["errors"][0]["reason"] == "required"


def test_twenty_megabytes_come_back_the_same_by_three_clients(
    storage: Any,
    gcloud: Callable[..., str],
    bucket: Any,
    named: Named,
    large: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    from googleapiclient.http import MediaFileUpload

    expected = sha256(large.read_bytes())

    def library(name: str) -> bytes:
        bucket.blob(name, chunk_size=8 * 1024 * 1024).upload_from_filename(str(large))
        return bytes(bucket.blob(name).download_as_bytes())

    def discovered(name: str) -> bytes:
        media = MediaFileUpload(str(large), "application/octet-stream", resumable=True)
        storage.objects().insert(bucket=bucket.name, name=name, media_body=media).execute()
        return bytes(storage.objects().get_media(bucket=bucket.name, object=name).execute())

    def command(name: str) -> bytes:
        back = tmp_path / "back"
        gcloud("cp", str(large), f"gs://{bucket.name}/{name}")
        gcloud("cp", f"gs://{bucket.name}/{name}", str(back))
        return back.read_bytes()

    for client in (library, discovered, command):
        started = time.monotonic()
        content = client(named(client.__name__))
        seconds = round(time.monotonic() - started, 2)
        assert sha256(content) == expected
        record_property(client.__name__, seconds)
        print(f"20 MiB up and down, {client.__name__}: {seconds} s")  # noqa: T201
