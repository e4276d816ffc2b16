# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of objects, against a plain model of what a list is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.storage.globs import matcher

from .conftest import Client

NAMES = st.lists(st.text("ab/ü", min_size=1, max_size=5), unique=True, max_size=12)


async def pages(client: Client, **query: Any) -> tuple[list[str], list[str], list[int]]:
    """Return names, prefixes and the size of each page of a list."""
    names: list[str] = []
    prefixes: list[str] = []
    sizes = []
    token: dict[str, Any] = {}
    while True:
        page = await client.call("objects.list", bucket="bucket", **query, **token)
        items, folders = page.get("items", []), page.get("prefixes", [])
        names += [item["name"] for item in items]
        prefixes += folders
        sizes.append(len(items) + len(folders))
        if "nextPageToken" not in page:
            return names, prefixes, sizes
        token = {"pageToken": page["nextPageToken"]}


def model(
    names: list[str], prefix: str, delimiter: str, trailing: bool
) -> tuple[list[str], list[str]]:
    """Return the items and prefixes that a list must have."""
    items, folders = [], set()
    for name in sorted(names, key=str.encode):
        if not name.startswith(prefix):
            continue
        head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if found:
            folders.add(prefix + head + delimiter)
        if not found or (trailing and name == prefix + head + delimiter):
            items.append(name)
    return items, sorted(folders, key=str.encode)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=NAMES,
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "b"]),
    trailing=st.booleans(),
    size=st.integers(1, 5),
)
async def test_every_page_size_gives_the_same_list(
    client: Client, names: list[str], prefix: str, delimiter: str, trailing: bool, size: int
) -> None:
    if client.cloud.store.get("buckets/bucket") is None:
        await client.bucket()
    for old in (await pages(client))[0]:
        await client.gone("objects.delete", bucket="bucket", object=old)
    for name in names:
        await client.put(name)
    query = {"prefix": prefix, "delimiter": delimiter, "includeTrailingDelimiter": trailing}
    found, prefixes, sizes = await pages(client, **query, maxResults=size)
    assert (found, prefixes) == model(names, prefix, delimiter, trailing)
    assert all(count == size for count in sizes[:-1])


async def test_offsets_bound_a_list(client: Client) -> None:
    await client.bucket()
    for name in "abcd":
        await client.put(name)
    assert (await pages(client, startOffset="b", endOffset="d"))[0] == ["b", "c"]


async def test_a_page_has_a_thousand_entries_at_most(client: Client) -> None:
    await client.bucket()
    for number in range(1003):
        await client.put(f"{number:04}")
    names, _, sizes = await pages(client, maxResults=5000)
    assert (len(names), sizes) == (1003, [1000, 3])


@pytest.mark.parametrize("token", ["x", "!!", "YWJj"])
async def test_a_token_of_no_list_is_refused(client: Client, token: str) -> None:
    await client.bucket()
    refusal = await client.refused("objects.list", bucket="bucket", pageToken=token)
    assert (refusal.status, refusal.reason) == (400, "invalid")


async def test_a_missing_bucket_is_told(client: Client) -> None:
    refusal = await client.refused("objects.list", bucket="nowhere")
    assert (refusal.status, refusal.message) == (404, "The specified bucket does not exist.")


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("*.txt", ["a.txt", ".txt"], ["a/b.txt", "a.txt2"]),
        ("**.txt", ["a.txt", "a/b.txt"], ["a.md"]),
        ("a/*/c", ["a/b/c"], ["a/c", "a/b/b/c"]),
        ("?b", ["ab"], ["b", "/b"]),
        ("[a-c]x", ["ax", "cx"], ["dx"]),
        ("[!a]x", ["bx"], ["ax"]),
        ("{a,b*}.log", ["a.log", "bcd.log"], ["c.log"]),
        ("a.b+c", ["a.b+c"], ["aXbbc"]),
        (r"a\b/*", ["ab/c"], [r"a\b/c"]),
        (r"a\\b/*", [r"a\b/c"], ["ab/c"]),
        (r"\*\[\{", ["*[{"], ["a"]),
        (r"[\]\[x-]", ["]", "[", "x", "-"], ["a", "\\"]),
        ("[^^]", ["a"], ["^"]),
        ("{a,{b,c}}", ["a", "b", "c"], ["{b"]),
    ],
)
def test_globs_match_names(glob: str, matching: list[str], other: list[str]) -> None:
    matches = matcher(glob)
    assert [name for name in (*matching, *other) if matches(name)] == matching


@pytest.mark.parametrize(
    "glob", ["{a", "a}", "a]", "[a", "[]", "[]a]", "[!]", "[[a]", "[z-a]", "{[a,b]}"]
)
async def test_a_glob_that_cannot_be_read_is_refused(client: Client, glob: str) -> None:
    # What Google refuses: https://github.com/fsouza/fake-gcs-server/pull/2344
    await client.bucket()
    refusal = await client.refused("objects.list", bucket="bucket", matchGlob=glob)
    assert (refusal.status, refusal.reason) == (400, "invalid")


@pytest.mark.parametrize(
    ("glob", "items", "folders"),
    [
        ("img/*", ["img/brand.jpg"], []),
        ("img/*/", [], ["img/empty-dir/", "img/hi-res/", "img/low-res/"]),
        ("img/**/", [], ["img/empty-dir/", "img/hi-res/", "img/low-res/"]),
        ("img/**", ["img/brand.jpg"], ["img/empty-dir/", "img/hi-res/", "img/low-res/"]),
        ("img/**.jpg", ["img/brand.jpg"], []),
    ],
)
async def test_a_glob_with_a_delimiter_selects_among_items_and_prefixes(
    client: Client, glob: str, items: list[str], folders: list[str]
) -> None:
    # https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-prefixes-only; what
    # Google lists is quoted at https://github.com/googleapis/python-storage/issues/1434,
    # https://github.com/fsouza/fake-gcs-server/pull/2328 and
    # https://github.com/floci-io/floci-gcp/pull/188.
    await client.bucket()
    for name in ("brand.jpg", "hi-res/1.jpg", "hi-res/deep/9.jpg", "low-res/1.jpg", "empty-dir/x"):
        await client.put(f"img/{name}")
    await client.put("other")
    query = {"delimiter": "/", "matchGlob": glob}
    for further in ({"prefix": "img/"}, {}, {"prefix": "img/", "maxResults": 1}, {"maxResults": 1}):
        found, prefixes, _ = await pages(client, **query, **further)
        assert (found, prefixes) == (items, folders)
    assert await pages(client, delimiter="/", matchGlob="*/") == ([], ["img/"], [1])


async def test_a_glob_goes_with_the_delimiter_slash_or_none(client: Client) -> None:
    # https://pkg.go.dev/cloud.google.com/go/storage#Query, "MatchGlob"
    await client.bucket()
    await client.put("a/b")
    assert (await pages(client, matchGlob="a/*", delimiter=""))[0] == ["a/b"]
    query = {"bucket": "bucket", "matchGlob": "*", "delimiter": "x"}
    refusal = await client.refused("objects.list", **query)
    assert (refusal.status, refusal.reason) == (400, "invalid")
