# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's discovery documents: which methods an API has, what they take and what they answer.

The documents ship with google-api-python-client (`compute.v1.json` and some 500 others); only the
JSON is read, the package itself is never imported. Descriptions are dropped: what is kept of
compute v1 are a few MiB. Format: https://developers.google.com/discovery/v1/reference/apis

    api = load_api("compute", "v1")
    segments = "projects/p/zones/z/instances/i".split("/")
    method = api.routes.find("GET", segments)
    method.id, method.path_values(segments)
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from cloudspill_sandbox.engine.leniency import FURTHER_SCOPES
from cloudspill_sandbox.engine.routes import RouteTree
from cloudspill_sandbox.engine.schema import Schema, SchemaReader


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path or query parameter.

    Attributes:
        schema: type, format and enum of one value.
        repeated: whether it may be given several times; its value then is a list.
        pattern: regular expression that the whole value must match, None for any.
        minimum: least value of a number, None for any.
        maximum: greatest value of a number, None for any.
    """

    name: str
    schema: Schema
    required: bool
    repeated: bool
    pattern: str | None
    minimum: int | None
    maximum: int | None


_PATCHES_BY_NAME = frozenset({"compute.instances.setScheduling"})
"""Patches that are no PATCH: gcloud's `set-scheduling --clear-max-run-duration` sends a null."""

_FURTHER_VERSIONS: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {("compute", "v1"): ("beta",)}  # `gcloud beta compute`, terraform-provider-google-beta
)
"""Versions that are answered as another: with its methods, its fields and its links, and with the
methods that they alone have.

https://cloud.google.com/compute/docs/api/prereqs tells what each version is for.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of an API.

    Attributes:
        id: `compute.instances.insert`.
        service_path: what its path begins with, `compute/v1/`; one of the API's own version is
            found below those of all others too.
        template: path below the API's service path with single-segment variables.
        path_parameters: by name.
        query_parameters: by name; standard parameters such as `fields` are the API's.
        request: name of the body's schema, None when there is no body.
        response: name of the answer's schema, None when it is empty.
        scopes: OAuth scopes, any of which suffices.
        uploads: whether media may be sent with it.
        downloads: whether it can answer with media instead of a document.
        captures: (parameter, first segment, last segment exclusive or None for the end, custom
            verb that follows it).
    """

    id: str
    http_method: str
    service_path: str
    template: str
    path_parameters: Mapping[str, Parameter]
    query_parameters: Mapping[str, Parameter]
    request: str | None
    response: str | None
    scopes: frozenset[str]
    uploads: bool
    downloads: bool
    captures: tuple[tuple[str, int, int | None, str], ...]

    @property
    def is_merge_patch(self) -> bool:
        """Whether null in a body removes a field; an update mask names the fields otherwise.

        https://cloud.google.com/storage/docs/json_api#patch
        """
        patches = self.http_method == "PATCH" and "updateMask" not in self.query_parameters
        return patches or self.id in _PATCHES_BY_NAME

    def path_values(self, segments: list[str]) -> dict[str, str]:
        """Return the path parameters, percent-decoded, out of the raw segments of a path."""
        return {
            name: unquote("/".join(segments[start:end])).removesuffix(verb)
            for name, start, end, verb in self.captures
        }


@dataclass(frozen=True, slots=True)
class Api:
    """An API as its discovery document describes it.

    Attributes:
        name: `compute`.
        version: `v1`.
        host: `compute.googleapis.com`.
        service_path: what every path begins with, `compute/v1/`; empty for newer APIs.
        batch_path: where several calls may be sent at once, `batch/compute/v1`.
        further_routes: of what a further version alone has, by version: `beta`.
        methods: by id, of every version.
        schemas: by name.
        parameters: the standard query parameters (`alt`, `fields`, …) by name.
        routes: finds a method of every version by its path.
    """

    name: str
    version: str
    host: str
    service_path: str
    batch_path: str
    further_routes: Mapping[str, RouteTree[Method]]
    methods: Mapping[str, Method]
    schemas: Mapping[str, Schema]
    parameters: Mapping[str, Parameter]
    routes: RouteTree[Method]

    @property
    def entrances(self) -> tuple[tuple[str, RouteTree[Method]], ...]:
        """What paths begin with, this version's first, each with what finds a method there."""
        further = (
            (self._of_version(self.service_path, version), routes)
            for version, own in self.further_routes.items()
            for routes in (self.routes, own)
        )
        return ((self.service_path, self.routes), *further)

    @property
    def batch_paths(self) -> tuple[str, ...]:
        """Where several calls may be sent at once, in each version, this one's first."""
        further = (self._of_version(self.batch_path, version) for version in self.further_routes)
        return (self.batch_path, *further)

    def _of_version(self, path: str, version: str) -> str:
        return path.replace(f"{self.name}/{self.version}", f"{self.name}/{version}")


class DiscoveryError(LookupError):
    """No discovery document of that name and version is installed."""


def load_api(name: str, version: str) -> Api:
    """Read one discovery document (compute v1: 5 MB in about 0.1 s).

    Raises:
        DiscoveryError: google-api-python-client is not installed or has no such document.
    """
    document = json.loads(_document_path(name, version).read_bytes())
    reader = _MethodReader(SchemaReader())
    methods = {method.id: method for method in reader.methods(document)}
    schemas = reader.schemas(document)
    routes = _routes(methods.values())
    further_routes = {}
    for further in _FURTHER_VERSIONS.get((name, version), ()):
        beyond = json.loads(_document_path(name, further).read_bytes())
        own = {each.id: each for each in reader.methods(beyond) if each.id not in methods}
        further_routes[further] = _routes(own.values())
        methods |= own
        schemas = reader.schemas(beyond) | schemas
    return Api(
        name=name,
        version=version,
        host=document["rootUrl"].removeprefix("https://").rstrip("/"),
        service_path=document["servicePath"],
        batch_path=document["batchPath"],
        further_routes=further_routes,
        methods=methods,
        schemas=schemas,
        parameters=reader.parameters(document.get("parameters", {})),
        routes=routes,
    )


def _routes(methods: Iterable[Method]) -> RouteTree[Method]:
    routes: RouteTree[Method] = RouteTree()
    for method in methods:
        routes.add(method.http_method, method.template, method)
    return routes


def _document_path(name: str, version: str) -> Path:
    spec = importlib.util.find_spec("googleapiclient")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "discovery_cache", "documents", f"{name}.{version}.json")
        if path.is_file():
            return path
    raise DiscoveryError(
        f"no discovery document of {name} {version}: install google-api-python-client"
    )


class _MethodReader:
    """Turns method descriptions into Methods; equal parameters share one object."""

    def __init__(self, schemas: SchemaReader) -> None:
        self._schemas = schemas
        self._parameters: dict[Parameter, Parameter] = {}

    def methods(self, document: Mapping[str, Any]) -> Iterator[Method]:
        """Yield the methods of a document."""
        return self._below(document, document["servicePath"])

    def schemas(self, document: Mapping[str, Any]) -> dict[str, Schema]:
        """Return the schemas of a document by name."""
        return {name: self._schemas.read(text) for name, text in document["schemas"].items()}

    def _below(self, resource: Mapping[str, Any], service_path: str) -> Iterator[Method]:
        for description in resource.get("methods", {}).values():
            yield self._method(description, service_path)
        for below in resource.get("resources", {}).values():
            yield from self._below(below, service_path)

    def parameters(self, descriptions: Mapping[str, Any]) -> dict[str, Parameter]:
        """Return parameters by name."""
        return {name: self._parameter(name, text) for name, text in descriptions.items()}

    def _method(self, text: Mapping[str, Any], service_path: str) -> Method:
        template = text.get("flatPath", text["path"])
        descriptions = text.get("parameters", {})
        return Method(
            id=text["id"],
            http_method=text["httpMethod"],
            service_path=service_path,
            template=template,
            path_parameters=self.parameters(
                {n: p for n, p in descriptions.items() if p["location"] == "path"}
            ),
            query_parameters=self.parameters(
                {n: p for n, p in descriptions.items() if p["location"] == "query"}
            ),
            request=text.get("request", {}).get("$ref"),
            response=text.get("response", {}).get("$ref"),
            scopes=_scopes(text),
            uploads=text.get("supportsMediaUpload", False),
            downloads=text.get("supportsMediaDownload", False),
            captures=tuple(_captures(text["path"])),
        )

    def _parameter(self, name: str, text: Mapping[str, Any]) -> Parameter:
        parameter = Parameter(
            name=name,
            schema=self._schemas.read(text),
            required=text.get("required", False),
            repeated=text.get("repeated", False),
            pattern=text.get("pattern"),
            minimum=int(text["minimum"]) if "minimum" in text else None,
            maximum=int(text["maximum"]) if "maximum" in text else None,
        )
        return self._parameters.setdefault(parameter, parameter)


def _scopes(text: Mapping[str, Any]) -> frozenset[str]:
    further = FURTHER_SCOPES.get(text["id"].partition(".")[0], frozenset())
    return frozenset(text["scopes"]) | further if "scopes" in text else frozenset()


def _captures(path: str) -> Iterator[tuple[str, int, int | None, str]]:
    """Yield which segments of a request's path make each parameter of a `path` template.

    `{+name}` stands for as many segments as are left by those before and after it.
    """
    segments = path.split("/")
    wide = next((i for i, segment in enumerate(segments) if segment.startswith("{+")), None)
    for index, segment in enumerate(segments):
        if not segment.startswith("{"):
            continue
        name, _, verb = segment.lstrip("{+").partition("}")
        start = index if wide is None or index <= wide else index - len(segments)
        after = index + 1 - len(segments) or None
        end = after if wide is not None and index >= wide else index + 1
        yield name, start, end, verb
