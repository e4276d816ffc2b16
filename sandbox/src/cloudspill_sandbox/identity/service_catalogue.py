# SPDX-License-Identifier: GPL-3.0-or-later
"""The services that a project can enable: their names, their titles, what each needs.

Google publishes no list without an account, so it is made of the APIs whose discovery documents are
installed, and of the few services that have none.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

DOMAIN = "googleapis.com"

_WITHOUT_DOCUMENT = {
    "cloudapis": "Google Cloud APIs",
    "sql-component": "Cloud SQL",
    "storage": "Cloud Storage API",
    "storage-api": "Cloud Storage JSON API",
    "storage-component": "Cloud Storage",
}
"""And the three under which Cloud Storage goes; the JSON API's document is called `storage`."""

ENABLED_AT_FIRST = frozenset(
    f"{name}.{DOMAIN}"
    for name in (
        "cloudresourcemanager",
        "compute",
        "iam",
        "iamcredentials",
        "oslogin",
        "serviceusage",
        "storage",
        "storage-api",
        "storage-component",
    )
)
"""What a new project has: what the sandbox implements, so that it works from the first call.

Google enables others for a new project
(https://cloud.google.com/service-usage/docs/enabled-service#default), and not Compute Engine.
"""

_NEEDS = {
    "cloudapis": "bigquery cloudtrace datastore servicemanagement serviceusage sql-component "
    "storage-api storage-component",
    "compute": "oslogin",
    "container": "compute",
    "dataflow": "compute",
    "dataproc": "compute",
    "iam": "iamcredentials",
    "storage-api": "storage",
}
"""Enabled together with a service, and in the way of being disabled while it is enabled."""

_TITLE = re.compile(r'"title": "((?:[^"\\]|\\.)*)"')
_TAIL = 600
"""Bytes at a document's end: its keys are sorted, and `title` is one of the last."""


class ServiceCatalogue:
    """All services, by names such as `compute.googleapis.com`."""

    @functools.cached_property
    def titles(self) -> Mapping[str, str]:
        """What each is called; takes some 50 ms the first time."""
        named = {name: _title(paths) or name for name, paths in _document_paths().items()}
        return MappingProxyType(
            {f"{name}.{DOMAIN}": title for name, title in (named | _WITHOUT_DOCUMENT).items()}
        )

    def needs(self, service: str) -> frozenset[str]:
        """Return what a service needs, itself and what that needs in turn included."""
        below = _NEEDS.get(service.removesuffix(f".{DOMAIN}"), "").split()
        return frozenset({service}).union(*(self.needs(f"{name}.{DOMAIN}") for name in below))


def _document_paths() -> dict[str, list[Path]]:
    spec = importlib.util.find_spec("googleapiclient")
    paths: dict[str, list[Path]] = {}
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder, "discovery_cache", "documents").glob("*.*.json")):
            paths.setdefault(path.name.partition(".")[0], []).append(path)
    return paths


def _title(paths: Sequence[Path]) -> str | None:
    for path in paths:
        with path.open("rb") as file:
            file.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
            found = _TITLE.search(file.read().decode(errors="ignore"))
        if found is not None:
            return str(json.loads(f'"{found[1]}"'))
    return None
