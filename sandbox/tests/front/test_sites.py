# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that are served: their files, and nothing else of the host."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.front.http import HttpRequest, headers
from cloudspill_sandbox.front.sites import Sites


def ask(site: Path, path: str, method: str = "GET") -> tuple[int, bytes]:
    response = Sites({"git.test": site}).answer(
        HttpRequest(method, "git.test", path, headers({}), b"")
    )
    return response.status, response.body


@pytest.fixture
def guarded(site: Path) -> Path:
    """A site beside a secret, with a link to it."""
    (site.parent / "secret").write_text("TREASURE")
    (site / "link").symlink_to("../secret")
    (site / "loop").symlink_to("loop")
    (site / "folder").mkdir()
    (site / "folder" / "a b.txt").write_text("inside\n")
    return site


def test_files_are_served(guarded: Path) -> None:
    assert ask(guarded, "/hello.txt") == (200, b"hello\n")
    assert ask(guarded, "/folder/a%20b.txt?service=git-upload-pack") == (200, b"inside\n")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/%2e%2e/secret",
        "/folder/../../secret",
        "/..%2fsecret",
        "//etc/passwd",
        "/link",
        "/loop",
        "/folder",
        "/",
        "/none",
        "/a%00b",
        "/" + "a" * 5000,
    ],
)
def test_nothing_else_is(guarded: Path, path: str) -> None:
    status, body = ask(guarded, path)
    assert status == 404
    assert b"TREASURE" not in body


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="./%2ef5c~\\secrt\0", max_size=30))
def test_no_path_leads_out(guarded: Path, path: str) -> None:
    assert b"TREASURE" not in ask(guarded, f"/{path}")[1]


def test_sites_are_read_only(guarded: Path) -> None:
    assert ask(guarded, "/hello.txt", "PUT")[0] == 405
    assert (guarded / "hello.txt").read_text() == "hello\n"
