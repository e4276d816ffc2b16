# SPDX-License-Identifier: GPL-3.0-or-later
"""google-cloud-storage on objects: https://cloud.google.com/python/docs/reference/storage/latest."""

from __future__ import annotations

import base64
import datetime
import gzip
import hashlib
import io
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

Named = Callable[[str], str]


def test_text_goes_up_and_comes_down(bucket: Any, named: Named) -> None:
    blob = bucket.blob(named("a folder/naïve+name %2F?.txt"))
    blob.cache_control = "no-cache"
    blob.metadata = {"team": "a"}
    blob.upload_from_string("hello", content_type="text/plain")
    found = bucket.get_blob(blob.name)
    assert found.download_as_text() == "hello"
    assert (found.size, found.content_type, found.metadata) == (5, "text/plain", {"team": "a"})
    assert found.md5_hash == base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    assert (found.crc32c, found.cache_control) == ("mnG7TA==", "no-cache")
    assert found.storage_class == "STANDARD"
    assert found.metageneration == 1


def test_an_object_without_bytes_is_one(bucket: Any, named: Named) -> None:
    blob = bucket.blob(named("empty"))
    blob.upload_from_string(b"")
    assert blob.download_as_bytes() == b""
    assert bucket.get_blob(blob.name).size == 0


def test_a_file_goes_up_in_chunks_and_comes_down_in_ranges(
    bucket: Any, named: Named, tmp_path: Path
) -> None:
    content = secrets.token_bytes(3 * 1024 * 1024 + 17)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    blob = bucket.blob(named("chunks"), chunk_size=1024 * 1024)
    blob.upload_from_filename(str(source))
    blob.download_to_filename(str(target))
    assert target.read_bytes() == content
    assert blob.download_as_bytes(start=5, end=9) == content[5:10]
    assert blob.download_as_bytes(start=len(content) - 3) == content[-3:]


def test_a_stream_whose_length_nobody_knows_goes_up(bucket: Any, named: Named) -> None:
    content = secrets.token_bytes(1024 * 1024 + 1)
    blob = bucket.blob(named("stream"))
    with blob.open("wb", chunk_size=256 * 1024) as writer:
        writer.write(content)
    with blob.open("rb", chunk_size=256 * 1024) as reader:
        assert reader.read() == content


def test_a_range_behind_the_end_is_refused(bucket: Any, named: Named) -> None:
    from google.api_core.exceptions import RequestRangeNotSatisfiable

    blob = bucket.blob(named("short"))
    blob.upload_from_string("abc")
    with pytest.raises(RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=3)


def test_what_is_damaged_on_its_way_is_refused(bucket: Any, named: Named) -> None:
    from google.api_core.exceptions import BadRequest

    blob = bucket.blob(named("damaged"))
    blob.md5_hash = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(BadRequest, match="doesn't match calculated MD5 hash"):
        blob.upload_from_string("bytes", checksum=None)
    assert bucket.get_blob(blob.name) is None


def test_preconditions_hold_or_refuse(bucket: Any, named: Named) -> None:
    from google.api_core.exceptions import NotModified, PreconditionFailed

    blob = bucket.blob(named("guarded"))
    blob.upload_from_string("1", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string("2", if_generation_match=0)
    first = blob.generation
    blob.upload_from_string("2", if_generation_match=first)
    assert blob.generation > first
    with pytest.raises(PreconditionFailed):
        blob.download_as_bytes(if_generation_match=first)
    with pytest.raises(NotModified):
        blob.reload(if_generation_not_match=blob.generation)
    with pytest.raises(PreconditionFailed):
        blob.delete(if_metageneration_match=blob.metageneration + 1)
    assert blob.download_as_bytes() == b"2"


def test_versions_stay_until_they_are_deleted_by_number(bucket: Any, named: Named) -> None:
    from google.api_core.exceptions import NotFound

    name = named("versions")
    blob = bucket.blob(name)
    for text in ("one", "two"):
        blob.upload_from_string(text)
    bucket.delete_blob(name)
    assert bucket.get_blob(name) is None
    versions = list(bucket.list_blobs(prefix=name, versions=True))
    assert [version.download_as_bytes() for version in versions] == [b"one", b"two"]
    assert all(version.time_deleted for version in versions)
    restored = bucket.copy_blob(versions[0], bucket, source_generation=versions[0].generation)
    assert restored.download_as_bytes() == b"one"
    versions[0].delete()
    with pytest.raises(NotFound, match="No such object"):
        versions[0].reload()


def test_metadata_are_patched_and_replaced(bucket: Any, named: Named) -> None:
    blob = bucket.blob(named("metadata"))
    blob.upload_from_string("x", content_type="text/plain")
    blob.metadata = {"a": "1", "b": "2"}
    blob.content_disposition = "attachment"
    blob.patch()
    blob.metadata = {"a": None, "c": "3"}
    blob.patch()
    found = bucket.get_blob(blob.name)
    assert found.metadata == {"b": "2", "c": "3"}
    assert (found.content_disposition, found.metageneration) == ("attachment", 3)
    found.content_disposition = None
    found.update()
    assert bucket.get_blob(blob.name).content_disposition is None
    assert bucket.get_blob(blob.name).download_as_bytes() == b"x"


def test_holds_keep_an_object(bucket: Any, named: Named) -> None:
    from google.api_core.exceptions import Forbidden

    blob = bucket.blob(named("held"))
    blob.upload_from_string("x")
    blob.temporary_hold = True
    blob.patch()
    with pytest.raises(Forbidden, match="is under active Temporary hold"):
        blob.delete()
    blob.temporary_hold = False
    blob.patch()
    blob.delete()


def test_compose_joins_and_rewrite_copies(bucket: Any, named: Named) -> None:
    parts = [bucket.blob(named(name)) for name in ("part-1", "part-2")]
    for part, text in zip(parts, ("ab", "cd"), strict=True):
        part.upload_from_string(text, content_type="text/plain")
    whole = bucket.blob(named("whole"))
    whole.content_type = "text/csv"
    whole.compose(parts)
    assert whole.download_as_bytes() == b"abcd"
    assert (whole.component_count, whole.md5_hash, whole.content_type) == (2, None, "text/csv")
    copy = bucket.blob(named("copy"))
    assert copy.rewrite(whole) == (None, 4, 4)
    assert (copy.download_as_bytes(), copy.content_type) == (b"abcd", "text/csv")
    cold = bucket.blob(named("cold"))
    cold.upload_from_string("x")
    cold.update_storage_class("NEARLINE")
    assert bucket.get_blob(cold.name).storage_class == "NEARLINE"


def test_lists_have_folders_ranges_and_pages(bucket: Any, named: Named) -> None:
    root = named("list/")
    names = [f"{root}{name}" for name in ("a", "b/", "b/1", "b/2", "c", "d.txt")]
    for name in names:
        bucket.blob(name).upload_from_string("x")
    assert [blob.name for blob in bucket.list_blobs(prefix=root)] == names
    listing = bucket.list_blobs(prefix=root, delimiter="/", page_size=2)
    assert [blob.name.removeprefix(root) for blob in listing] == ["a", "c", "d.txt"]
    assert listing.prefixes == {f"{root}b/"}
    listing = bucket.list_blobs(prefix=root, delimiter="/", include_trailing_delimiter=True)
    assert [blob.name.removeprefix(root) for blob in listing] == ["a", "b/", "c", "d.txt"]
    ranged = bucket.list_blobs(start_offset=f"{root}b/1", end_offset=f"{root}d")
    assert [blob.name.removeprefix(root) for blob in ranged] == ["b/1", "b/2", "c"]
    globbed = bucket.list_blobs(match_glob=f"{root}**.txt")
    assert [blob.name.removeprefix(root) for blob in globbed] == ["d.txt"]
    assert len(list(bucket.list_blobs(prefix=root, max_results=3))) == 3


def test_a_batch_changes_several(bucket: Any, named: Named) -> None:
    blobs = [bucket.blob(named(f"batch-{number}")) for number in range(3)]
    for blob in blobs:
        blob.upload_from_string("x")
    with bucket.client.batch():
        for blob in blobs[:2]:
            blob.delete()
        blobs[2].metadata = {"kept": "yes"}
        blobs[2].patch()
    assert [bucket.get_blob(blob.name) for blob in blobs[:2]] == [None, None]
    assert bucket.get_blob(blobs[2].name).metadata == {"kept": "yes"}


def test_gzip_is_unpacked_for_who_cannot_read_it(bucket: Any, named: Named) -> None:
    # https://cloud.google.com/storage/docs/transcoding
    blob = bucket.blob(named("packed"))
    blob.content_encoding = "gzip"
    packed = gzip.compress(b"text " * 100_000)
    blob.upload_from_string(packed, content_type="text/plain")
    assert blob.download_as_bytes() == b"text " * 100_000
    assert blob.download_as_bytes(raw_download=True) == packed
    session = bucket.client._http
    answer = session.get(blob.media_link, headers={"Accept-Encoding": "identity"})
    assert answer.content == b"text " * 100_000
    assert "Content-Encoding" not in answer.headers


def test_a_signed_url_is_good_for_one_thing(bucket: Any, named: Named) -> None:
    # https://cloud.google.com/storage/docs/access-control/signed-urls
    blob = bucket.blob(named("signed name"))
    validity = datetime.timedelta(minutes=5)
    address = blob.generate_signed_url(
        version="v4", method="PUT", content_type="text/plain", expiration=validity
    )
    kind = {"Content-Type": "text/plain"}
    assert requests.put(address, data=b"hi", headers=kind, timeout=30).status_code == 200
    reading = blob.generate_signed_url(version="v4", expiration=validity)
    assert requests.get(reading, timeout=30).text == "hi"
    forged = requests.put(reading, data=b"no", headers=kind, timeout=30)
    assert forged.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in forged.text
    assert blob.download_as_bytes() == b"hi"


@pytest.mark.parametrize("version", ["v2", "v4"])
def test_gzip_that_a_signed_url_is_sent_is_kept(bucket: Any, named: Named, version: str) -> None:
    blob, packed = bucket.blob(named("packed")), gzip.compress(b"hello " * 100)
    validity = datetime.timedelta(minutes=5)
    address = blob.generate_signed_url(version=version, method="PUT", expiration=validity)
    sent = {"Content-Encoding": "gzip"}
    assert requests.put(address, packed, headers=sent, timeout=30).status_code == 200
    found = bucket.get_blob(blob.name)
    assert (found.size, found.content_encoding) == (len(packed), "gzip")
    assert found.download_as_bytes() == b"hello " * 100


def test_an_upload_is_taken_up_where_it_broke_off(bucket: Any, named: Named) -> None:
    from google.resumable_media.requests import ResumableUpload

    content = secrets.token_bytes(1024 * 1024)
    blob = bucket.blob(named("resumed"))
    session = blob.create_resumable_upload_session(size=len(content))
    # Half of a chunk: the client says how long it is going to be, and leaves.
    status = {"Content-Range": f"bytes */{len(content)}"}
    assert requests.put(session, headers=status, timeout=30).status_code == 308
    first = content[: 512 * 1024]
    headers = {"Content-Range": f"bytes 0-{len(first) - 1}/{len(content)}"}
    assert requests.put(session, data=first, headers=headers, timeout=30).status_code == 308
    upload = ResumableUpload(session, 256 * 1024)
    upload._resumable_url = session
    upload._stream = io.BytesIO(content)
    upload._total_bytes = len(content)
    upload._invalid = True
    upload.recover(bucket.client._http)
    assert upload.bytes_uploaded == len(first)
    while not upload.finished:
        upload.transmit_next_chunk(bucket.client._http)
    assert blob.download_as_bytes() == content


def test_an_upload_answers_clients_of_java_and_go_in_their_way(bucket: Any, named: Named) -> None:
    # Sources: JsonResumableSessionPutTask.java of java-storage, and
    # internal/gensupport/resumable.go of google-api-go-client.
    session = bucket.blob(named("parts")).create_resumable_upload_session()
    late = {"Content-Range": "bytes 5-5/10"}
    beyond = requests.put(session, data=b"x", headers=late, timeout=30)
    assert beyond.status_code == 503
    assert beyond.headers["Content-Type"].lower() == "text/plain; charset=utf-8"
    assert beyond.text.startswith("Invalid request.  According to the Content-Range header, the ")
    asking = {"Content-Range": "bytes */*", "X-GUploader-No-308": "yes"}
    status = requests.post(session, headers=asking, timeout=30)
    assert status.status_code == 200
    assert status.headers["X-HTTP-Status-Code-Override"] == "308"
