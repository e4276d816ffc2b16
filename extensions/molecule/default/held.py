# SPDX-License-Identifier: GPL-3.0-or-later
"""List what carries an owner's mark, as Google's API tells it: run → resources, as JSON.

python held.py OWNER

Credentials are the application default; GCP_PROJECT names the project.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import google.auth
from google.auth.transport.requests import AuthorizedSession

COMPUTE = "https://compute.googleapis.com/compute/v1/projects/{project}"
IAM = "https://iam.googleapis.com/v1/projects/{project}"
LISTS = {
    f"{COMPUTE}/aggregated/instances": "instances",
    f"{COMPUTE}/aggregated/disks": "disks",
    f"{COMPUTE}/aggregated/addresses": "addresses",
    f"{COMPUTE}/global/snapshots": "items",
    f"{COMPUTE}/global/images": "items",
    f"{COMPUTE}/global/firewalls": "items",
    "https://storage.googleapis.com/storage/v1/b?project={project}": "items",
    f"{IAM}/serviceAccounts": "accounts",
    f"{IAM}/roles": "roles",
}
"""Each list's URL, and under which key its documents are."""

Document = dict[str, Any]


def pages(session: AuthorizedSession, url: str) -> Iterator[Document]:
    """Yield the pages of a list; none where its API is not enabled, since then nothing exists."""
    token: str | None = ""
    while token is not None:
        answer = session.get(url, params={"pageToken": token} if token else {})
        if answer.status_code == 403 and "SERVICE_DISABLED" in answer.text:
            return
        answer.raise_for_status()
        page: Document = answer.json()
        yield page
        token = page.get("nextPageToken")


def documents(page: Document, key: str) -> list[Document]:
    """Return the documents of a page; an aggregated list has them by scope."""
    if isinstance(page.get("items"), dict):
        return [item for scope in page["items"].values() for item in scope.get(key, [])]
    found: list[Document] = page.get(key, [])
    return found


def mark(document: Document) -> tuple[str, str]:
    """Return run and owner; what cannot have labels has them in its description."""
    labels: dict[str, str] = document.get("labels") or {}
    said = dict(re.findall(r"(cloudspill-\w+)=(\S+)", document.get("description", ""))) | labels
    return said.get("cloudspill-run", ""), said.get("cloudspill-owner", "")


def main() -> int:
    """Print what the owner given on the command line holds."""
    owner, project = sys.argv[1], os.environ["GCP_PROJECT"]
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    held: dict[str, list[str]] = defaultdict(list)
    with AuthorizedSession(credentials) as session:
        for url, key in LISTS.items():
            for page in pages(session, url.format(project=project)):
                for document in documents(page, key):
                    run, marked = mark(document)
                    if marked == owner:
                        name = document.get("selfLink") or document["name"]
                        held[run].append(re.sub(r"^https://[^/]+/([a-z]+/v1/)?", "", name))
    json.dump(held, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
