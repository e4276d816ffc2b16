# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cloud Storage's JSON API as the collection's modules use it: documents in, documents out.

Reference: https://cloud.google.com/storage/docs/json_api/v1.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from .api_errors import ApiError, NotFoundError, PreconditionError
from .transport import Content, Transport

ENDPOINT = "https://storage.googleapis.com/"
_POLICY_VERSION = 3  # the one that has conditions: others' bindings must not lose theirs
_ATTEMPTS = 5

Document = dict[str, Any]


class Storage:
    """One project's Cloud Storage."""

    def __init__(self, transport: Transport, project: str, *, endpoint: str = ENDPOINT) -> None:
        """Bind a transport to a project.

        Args:
            transport: sends the requests.
            project: id of the project in which buckets are made and listed.
            endpoint: base URL, ending in a slash.
        """
        self._transport = transport
        self.project = project
        self._root = f"{endpoint}storage/v1/b"
        self._upload_root = f"{endpoint}upload/storage/v1/b"

    def buckets(self) -> Iterator[Document]:
        """Read every bucket of the project."""
        yield from self._pages(self._root, {"project": self.project}, f"buckets of {self.project}")

    def find_bucket(self, name: str) -> Document | None:
        """Read a bucket that may be absent: None then.

        Raises:
            PermissionDeniedError: it is another project's, or these credentials may not read it.
            CloudError: any other refusal.
        """
        try:
            return self._call("GET", self._bucket(name), f"bucket {name}")
        except NotFoundError:
            return None

    def insert_bucket(self, body: Document) -> Document:
        """Make a bucket.

        Raises:
            AlreadyExistsError: the name is taken, by whomever.
            CloudError: any other refusal.
        """
        return self._transport.request(
            "POST",
            self._root,
            params={"project": self.project},
            body=body,
            resource=f"bucket {body['name']}",
        )

    def patch_bucket(self, bucket: Document, body: Document) -> Document:
        """Change a bucket that is still as it was read.

        Raises:
            PreconditionError: somebody changed it in between.
            CloudError: any other refusal.
        """
        return self._transport.request(
            "PATCH",
            self._bucket(bucket["name"]),
            params={"ifMetagenerationMatch": bucket["metageneration"]},
            body=body,
            resource=f"bucket {bucket['name']}",
        )

    def delete_bucket(self, name: str) -> bool:
        """Delete a bucket with all versions of all that it holds; False where there is none."""
        try:
            for version in self.objects(name):
                self.delete_object(name, version["name"], version["generation"])
            self._call("DELETE", self._bucket(name), f"bucket {name}")
        except NotFoundError:
            return False
        return True

    def objects(self, bucket: str) -> Iterator[Document]:
        """Read what a bucket holds, all versions."""
        link = f"{self._bucket(bucket)}/o"
        yield from self._pages(link, {"versions": "true"}, f"objects of {bucket}")

    def find_object(self, bucket: str, name: str) -> Document | None:
        """Read an object's document, or None where there is no such object."""
        try:
            return self._call("GET", self._object(bucket, name), f"gs://{bucket}/{name}")
        except NotFoundError:
            return None

    def upload(self, bucket: str, name: str, content: Content, replaced: Document | None) -> None:
        """Write an object, unless somebody else has meanwhile written another.

        Args:
            bucket, name: where.
            content: what.
            replaced: document of the object as it was, None where there was none.

        Raises:
            PreconditionError: the object is no longer the one that was to be replaced.
            CloudError: any other refusal.
        """
        about = f"gs://{bucket}/{name}"
        try:
            self._transport.request(
                "POST",
                f"{self._upload_root}/{quote(bucket, safe='')}/o",
                params={
                    "uploadType": "media",
                    "name": name,
                    "ifGenerationMatch": replaced["generation"] if replaced else "0",
                },
                content=content,
                resource=about,
            )
        except PreconditionError:
            # Written by the request before, whose answer was lost? Then this is its repetition.
            now = self.find_object(bucket, name)
            if now is None or now.get("md5Hash") != md5_hash(content.data):
                raise

    def delete_object(self, bucket: str, name: str, generation: str | None = None) -> bool:
        """Delete an object, or one generation of it; False where there is none."""
        query = {"generation": generation} if generation else {}
        try:
            self._call("DELETE", self._object(bucket, name), f"gs://{bucket}/{name}", **query)
        except NotFoundError:
            return False
        return True

    def revise_policy(
        self, bucket: str, plan: Callable[[list[Document]], list[Document]], *, dry_run: bool
    ) -> bool:
        """Bring a bucket's allow policy to what is wanted, without losing what others changed.

        https://cloud.google.com/storage/docs/json_api/v1/buckets/setIamPolicy refuses a stale etag
        with 412; then the policy is read again and the change is worked out anew.

        Args:
            bucket: its name.
            plan: makes the wanted bindings of those that there are.
            dry_run: plan only.

        Returns:
            whether anything was changed, or would be.
        """
        link, about = f"{self._bucket(bucket)}/iam", f"policy of bucket {bucket}"
        for attempt in range(_ATTEMPTS):
            policy = self._call("GET", link, about, optionsRequestedPolicyVersion=_POLICY_VERSION)
            bindings = policy.get("bindings") or []
            wanted = plan(bindings)
            if wanted == bindings:
                return attempt > 0
            if dry_run:
                return True
            body = {**policy, "version": _POLICY_VERSION, "bindings": wanted}
            try:
                self._transport.request("PUT", link, body=body, resource=about)
            except ApiError as error:
                if error.status not in {409, 412} or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return True
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _bucket(self, name: str) -> str:
        return f"{self._root}/{quote(name, safe='')}"

    def _object(self, bucket: str, name: str) -> str:
        return f"{self._bucket(bucket)}/o/{quote(name, safe='')}"

    def _call(self, method: str, url: str, about: str, **params: Any) -> Document:
        return self._transport.request(method, url, params=params or None, resource=about)

    def _pages(self, url: str, params: Document, about: str) -> Iterator[Document]:
        query = dict(params)
        while True:
            page = self._call("GET", url, about, **query)
            yield from page.get("items") or []
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]


def md5_hash(data: bytes) -> str:
    """The checksum that an object's document has as `md5Hash`."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
