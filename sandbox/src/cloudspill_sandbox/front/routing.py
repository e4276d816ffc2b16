# SPDX-License-Identifier: GPL-3.0-or-later
"""Which method of which API a request is for, and whether media go with it.

Media have paths of their own, the service path with a word before it: `/upload/storage/v1/b/…`.
https://cloud.google.com/storage/docs/json_api/v1/objects/insert
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloudspill_sandbox.engine.discovery import Api, Method
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.routes import RouteTree
from cloudspill_sandbox.front.http import HttpRequest


class Transfer(enum.Enum):
    """What a request carries beside documents."""

    NONE = enum.auto()
    UPLOAD = enum.auto()
    DOWNLOAD = enum.auto()


_REMEMBERED, _LONGEST_REMEMBERED = 2048, 300
"""Paths whose routes are not looked for again, and the characters of the longest: a bound."""

UPLOAD_PATHS = ("/upload/", "/resumable/upload/")
_TRANSFERS = (
    ("upload/", Transfer.UPLOAD),
    ("resumable/upload/", Transfer.UPLOAD),
    ("download/", Transfer.DOWNLOAD),
)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    Attributes:
        path: the path's parameters.
    """

    api: Api
    method: Method
    path: Mapping[str, str]
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class _Entrance:
    """What the paths of a version of an API begin with, and what finds a method there."""

    service_path: str
    api: Api
    routes: RouteTree[Method]


class Router:
    """Finds the method that a path means.

    Args:
        apis: what exists; by host and service path.
        legacy_hosts: hosts that serve every API whose path begins with its name.
    """

    def __init__(self, apis: Sequence[Api], legacy_hosts: Sequence[str]) -> None:
        entrances = [_Entrance(path, api, routes) for api in apis for path, routes in api.entrances]
        entrances.sort(key=lambda entrance: -len(entrance.service_path))
        legacy = [entrance for entrance in entrances if entrance.service_path]
        self._hosts: dict[str, list[_Entrance]] = dict.fromkeys(legacy_hosts, legacy)
        for host in {api.host for api in apis}:
            self._hosts[host] = [each for each in entrances if each.api.host == host]
        self._batch_paths = {
            host: frozenset("/" + path for each in served for path in each.api.batch_paths)
            for host, served in self._hosts.items()
        }
        self._remembered = functools.lru_cache(_REMEMBERED)(self._find)

    def serves(self, host: str) -> bool:
        """Whether any API lives on this host."""
        return host in self._hosts

    def batch_paths(self, host: str) -> frozenset[str]:
        """Where on this host several calls may be sent at once."""
        return self._batch_paths.get(host, frozenset())

    def route(self, request: HttpRequest) -> Route:
        """Return where a request goes.

        Raises:
            ApiError: 404, nowhere.
        """
        path = request.path
        find = self._remembered if len(path) <= _LONGEST_REMEMBERED else self._find
        return find(request.host, _http_method(request), path)

    def _find(self, host: str, http_method: str, target: str) -> Route:
        path = target[1:]
        entrances = self._hosts.get(host, ())
        for entrance in entrances:
            if path.startswith(entrance.service_path):
                segments = path[len(entrance.service_path) :].split("/")
                method = entrance.routes.find(http_method, segments)
                if method is not None:
                    values = method.path_values(segments)
                    return Route(entrance.api, method, values, Transfer.NONE)
        for prefix, transfer in _TRANSFERS:
            if path.startswith(prefix):
                rest = path.removeprefix(prefix)
                if (route := _transfer_route(entrances, transfer, http_method, rest)) is not None:
                    return route
        raise ApiError(
            404,
            "notFound",
            f"The requested URL {target} was not found on {host} for {http_method}.",
        )


def _transfer_route(
    entrances: Sequence[_Entrance], transfer: Transfer, http_method: str, path: str
) -> Route | None:
    if transfer is Transfer.UPLOAD and http_method in ("PUT", "DELETE"):
        http_method = "POST"  # a part of a resumable upload belongs to the call that began it
    for entrance in entrances:
        if not entrance.service_path or not path.startswith(entrance.service_path):
            continue
        segments = path[len(entrance.service_path) :].split("/")
        method = entrance.routes.find(http_method, segments)
        if method is not None and (
            method.uploads if transfer is Transfer.UPLOAD else method.downloads
        ):
            return Route(entrance.api, method, method.path_values(segments), transfer)
    return None


def _http_method(request: HttpRequest) -> str:
    """Return the method that is meant: long GETs come as POST with an override."""
    if request.method == "POST":
        return request.headers.get("X-HTTP-Method-Override", "POST").upper()
    return "GET" if request.method == "HEAD" else request.method
