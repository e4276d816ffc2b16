# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Storage without HTTP: schema-checked calls by principals with roles, a clock by hand."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.engine import validation
from cloudspill_sandbox.engine.call import ANONYMOUS, Call, Document, Media, Principal, Reply, Wire
from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.projects import ProjectNames
from cloudspill_sandbox.storage.access_control import Project
from cloudspill_sandbox.storage.blobs import Blobs
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.generations import Generations
from cloudspill_sandbox.storage.permissions import access_rules
from cloudspill_sandbox.storage.service import storage_service

PROJECT = Project("p1234", 415104041262)
OWNER = Principal("owner@example.org")
STRANGER = Principal("stranger@example.org")
DAY = 86400.0


@dataclass
class Clock:
    """Seconds since the epoch; a test moves it."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Client:
    """Calls methods as the front does: permissions, Google's schema in, Google's schema out."""

    cloud: StorageCloud
    iam: Iam
    api: Api
    clock: Clock
    principal: Principal = OWNER
    headers: Mapping[str, str] = field(default_factory=dict)

    def by(self, principal: Principal) -> Client:
        """Return the same client used by somebody else."""
        return replace(self, principal=principal)

    async def call(
        self, method: str, body: Any = None, media: bytes | None = None, **parameters: Any
    ) -> Any:
        """Call `buckets.get` with path and query parameters by their discovery names."""
        described = self.api.methods[f"storage.{method}"]
        path = {name: str(parameters[name]) for name in described.path_parameters}
        given = [(n, text) for n, v in parameters.items() if n not in path for text in _texts(v)]
        call = Call(
            described.id,
            path,
            validation.query_parameters(self.api, described, given),
            validation.request_body(self.api, described, body),
            self.principal,
            Wire(described.http_method, "https://storage.googleapis.com", self.headers),
            None if media is None else Media("text/plain", _chunks(media)),
        )
        self.iam.authorizer.authorize(call)
        answer = await storage_service(self.cloud)[described.id](call)
        if isinstance(answer, dict):
            assert validation.validate_response(self.api, described, answer) == []
        return answer

    async def refused(self, method: str, body: Any = None, **parameters: Any) -> ApiError:
        """Call and return the refusal; nothing may have been written."""
        before = self.documents()
        with pytest.raises(ApiError) as caught:
            await self.call(method, body, **parameters)
        assert self.documents() == before
        return caught.value

    async def bucket(self, name: str = "bucket", **settings: Any) -> Document:
        """Make a bucket."""
        body = {"name": name, **settings}
        return dict(await self.call("buckets.insert", body, project=PROJECT.id))

    async def put(self, name: str = "object", content: bytes = b"x", **parameters: Any) -> Document:
        """Write an object of the bucket `bucket`."""
        parameters = {"bucket": "bucket", "name": name} | parameters
        return dict(await self.call("objects.insert", media=content, **parameters))

    async def gone(self, method: str, **parameters: Any) -> None:
        """Call a method that deletes."""
        answer = await self.call(method, **parameters)
        assert isinstance(answer, Reply)
        assert answer.status == 204

    def documents(self) -> dict[str, dict[str, Document]]:
        """Return everything in the store, by collection."""
        collections = self.cloud.store._collections
        return {name: dict(documents) for name, documents in collections.items() if documents}


@contextmanager
def cloud_in(api: Api, folder: Path, clock: Clock) -> Iterator[Client]:
    """Give the owner's client of a cloud without buckets, whose bytes lie in a folder."""
    store = Store()
    accounts = ServiceAccounts(store, clock)
    projects = ProjectNames(store, {str(PROJECT.number): PROJECT.id})
    rules: dict[str, Any] = {}
    iam = Iam(store, accounts, projects, clock, rules)
    rules["storage"] = access_rules(store, iam.policies, PROJECT, {})
    with store.transaction() as tx:
        owners = {"role": "roles/owner", "members": [f"user:{OWNER.email}"]}
        iam.policies.put(tx, f"projects/{PROJECT.id}", [owners])
    blobs = Blobs(folder / "objects")
    blobs.prepare()
    cloud = StorageCloud(
        store=store,
        blobs=blobs,
        generations=Generations(store, clock),
        clock=clock,
        project=PROJECT,
        policies=iam.policies,
        permissions=iam.authorizer,
    )
    yield Client(cloud, iam, api, clock)
    store.close()


@pytest.fixture(scope="session")
def api() -> Api:
    return load_api("storage", "v1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(api: Api, clock: Clock, tmp_path: Path) -> Iterator[Client]:
    """The project's owner, in a cloud without buckets."""
    with cloud_in(api, tmp_path, clock) as made:
        yield made


@pytest.fixture
def stranger(client: Client) -> Client:
    """Somebody without any role."""
    return client.by(STRANGER)


@pytest.fixture
def anonymous(client: Client) -> Client:
    """Somebody who does not say who they are."""
    return client.by(ANONYMOUS)


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    file = io.BytesIO(content)
    while chunk := file.read(1 << 16):
        yield chunk


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in values]
