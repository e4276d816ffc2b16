# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute Engine's REST API through google-auth's session: no client library in between."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from google.auth.transport.requests import AuthorizedSession

OPERATION_DEADLINE = 300.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rest:
    """Calls by path below the project, `zones/us-west1-b/instances`."""

    session: AuthorizedSession
    project: str
    zone: str
    region: str
    root: str = "https://compute.googleapis.com/compute/v1"

    def call(
        self, method: str, path: str, body: Any = None, **parameters: Any
    ) -> requests.Response:
        """Return the answer, whatever its status."""
        url = f"{self.root}/projects/{self.project}/{path}"
        answer: requests.Response = self.session.request(
            method, url, json=body, params=parameters, timeout=60
        )
        return answer

    def get(self, path: str, **parameters: Any) -> Json:
        """Return a resource or list that is there."""
        return _json(self.call("GET", path, **parameters))

    def done(self, method: str, path: str, body: Any = None) -> Json:
        """Call, wait for the operation's end, and return it; it must have ended well."""
        operation = _json(self.call(method, path, body))
        deadline = time.monotonic() + OPERATION_DEADLINE
        while operation["status"] != "DONE":
            assert time.monotonic() < deadline, f"{operation['selfLink']} takes too long"
            link = operation["selfLink"].partition(f"/projects/{self.project}/")[2]
            operation = _json(self.call("POST", f"{link}/wait"))
        assert "error" not in operation, operation["error"]
        return operation

    def instance(self, name: str, **more: Any) -> Json:
        """Return the body of a small instance's insert."""
        image = "projects/debian-cloud/global/images/family/debian-12"
        return {
            "name": name,
            "machineType": f"zones/{self.zone}/machineTypes/e2-micro",
            "disks": [
                {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}
            ],
            "networkInterfaces": [{"network": "global/networks/default"}],
        } | more

    def sweep(self, prefix: str) -> None:
        """Delete everything whose name begins with `prefix`, users before what they use."""
        for collection in (
            f"zones/{self.zone}/instances",
            f"zones/{self.zone}/disks",
            "global/snapshots",
            "global/images",
            "global/firewalls",
            f"regions/{self.region}/addresses",
            f"regions/{self.region}/subnetworks",
            "global/networks",
        ):
            listed: list[Mapping[str, str]] = self.get(collection).get("items", [])
            for item in listed:
                if item["name"].startswith(prefix):
                    self.done("DELETE", f"{collection}/{item['name']}")


def _json(response: requests.Response) -> Json:
    assert response.ok, f"{response.request.method} {response.url}: {response.text}"
    document: Json = response.json()
    return document
