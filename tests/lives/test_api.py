# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit sees all resources, however many there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.lives.api import Api, Json


class TwoPages(Api):
    """Google's API with a page size of one."""

    def __init__(self, pages: dict[str, Json]) -> None:
        self._pages = pages

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = 200
        response._content = json.dumps(self._pages[query["pageToken"]]).encode()
        return response


@pytest.mark.parametrize(
    ("kind", "pages"),
    [
        ("images", [{"items": [{"name": "a"}]}, {"items": [{"name": "b"}]}]),
        (
            "disks",
            [
                {"items": {"zones/x": {"disks": [{"name": "a"}]}, "zones/y": {"warning": {}}}},
                {"items": {"zones/x": {"disks": [{"name": "b"}]}}},
            ],
        ),
    ],
)
def test_every_page_is_read(kind: str, pages: list[Json]) -> None:
    api = TwoPages({"": pages[0] | {"nextPageToken": "more"}, "more": pages[1]})
    assert [resource["name"] for resource in api.every(kind)] == ["a", "b"]
