# SPDX-License-Identifier: GPL-3.0-or-later
"""A front on loopback with a stub of Compute Engine behind it."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from cloudspill_sandbox.engine.access import AccessRules, Requirement
from cloudspill_sandbox.engine.call import Call, Document, Principal, Reply
from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.errors import not_found
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.front.endpoint import Endpoint
from cloudspill_sandbox.front.http import HttpRequest, HttpResponse, headers
from cloudspill_sandbox.front.server import Front
from cloudspill_sandbox.front.tls import ServerCertificate, client_bundle, ensure_authority
from cloudspill_sandbox.front.tunnel import Tunneller
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.authenticator import TokenAuthenticator
from cloudspill_sandbox.identity.authorizer import PolicyAuthorizer
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.owner import ensure_owner
from cloudspill_sandbox.identity.projects import ProjectNames, ensure_policy, on_project
from cloudspill_sandbox.identity.tokens import Signers, Tokens

INSTANCES = "/compute/v1/projects/p1234/zones/us-west1-b/instances"
ADDRESS = "127.0.0.1"


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass
class StubCompute:
    """Three methods; what they were asked is kept."""

    calls: list[Call] = field(default_factory=list)

    async def get(self, call: Call) -> Document:
        self.calls.append(call)
        if call.path["instance"] == "missing":
            raise not_found("projects/p1234/zones/us-west1-b/instances/missing")
        if call.path["instance"] == "broken":
            raise RuntimeError("a secret of the inside")
        return {"name": call.path["instance"], "id": "1", "status": "RUNNING"}

    async def list(self, call: Call) -> Document:
        self.calls.append(call)
        return {"items": [{"name": "a", "id": "1"}, {"name": "b", "id": "2"}], "kind": "k"}

    async def insert(self, call: Call) -> Reply:
        self.calls.append(call)
        return Reply(200, {"name": "operation-1", "status": "DONE"})

    def service(self) -> dict[str, Callable[[Call], Any]]:
        return {
            "compute.instances.get": self.get,
            "compute.instances.list": self.list,
            "compute.instances.insert": self.insert,
        }


@pytest.fixture(scope="session")
def compute() -> Api:
    return load_api("compute", "v1")


@pytest.fixture(scope="session")
def ca_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("authority") / "ca"
    ensure_authority(directory)
    return directory


@pytest.fixture(scope="session")
def authority(ca_directory: Path) -> trustme.CA:
    return ensure_authority(ca_directory)


@pytest.fixture(scope="session")
def bundle(ca_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.pem"
    path.write_bytes(client_bundle(ca_directory / "ca.pem"))
    return path


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    return Signers.kept_in(tmp_path_factory.mktemp("identity"), time.time)


@dataclass
class World:
    """One project with its owner, and a front that is not listening yet."""

    api: Api
    store: Store
    stub: StubCompute
    tokens: Tokens
    authenticator: TokenAuthenticator
    authorizer: PolicyAuthorizer
    email: str
    key_file: Path

    @property
    def token(self) -> str:
        return self.tokens.issue(Principal(self.email))

    def endpoint(self) -> Endpoint:
        return Endpoint(
            {"compute": self.api},
            {"compute": self.stub.service()},
            self.authenticator,
            self.authorizer,
        )

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        host: str = "compute.googleapis.com",
        **more: str,
    ) -> HttpResponse:
        """Send one authorized request to the endpoint itself."""
        fields = headers({"Authorization": f"Bearer {self.token}"} | more)
        return await self.endpoint().answer(HttpRequest(method, host, target, fields, body))


@pytest.fixture
def world(compute: Api, signers: Signers, tmp_path: Path) -> World:
    store = Store()
    store.put("projects/p1234", {"name": "p1234"})
    accounts = ServiceAccounts(store, time.time)
    tokens = Tokens(signers, accounts, time.time)
    key_file = tmp_path / "credentials.json"
    email = ensure_owner(accounts, "p1234", key_file)["email"]
    projects = ProjectNames(store, {})

    def reads_the_project(call: Call) -> list[Requirement]:
        if (name := projects.find(call.path["project"])) is None:
            raise not_found(f"projects/{call.path['project']}")
        return [on_project("compute.projects.get", name)]

    rules = {"compute": AccessRules(reads_the_project)}
    iam = Iam(store, accounts, projects, time.time, rules)
    ensure_policy(iam.policies, store, "projects/p1234", {f"serviceAccount:{email}": "roles/owner"})
    return World(
        compute,
        store,
        StubCompute(),
        tokens,
        TokenAuthenticator(accounts, tokens, time.time),
        iam.authorizer,
        email,
        key_file,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "hello.txt").write_text("hello\n")
    return directory


@dataclass
class RunningFront:
    """A front that listens."""

    front: Front
    port: int
    context: ssl.SSLContext

    async def connect(
        self, destination: str
    ) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Send CONNECT; return the status line and the streams."""
        reader, writer = await asyncio.open_connection(ADDRESS, self.port)
        writer.write(f"CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return head.partition(b"\r\n")[0], reader, writer


StartFront = Callable[..., Any]


@pytest.fixture
async def start_front(
    world: World, authority: trustme.CA, ca_directory: Path, site: Path
) -> AsyncIterator[StartFront]:
    """Start a front, with another tunneller if one is given; all are stopped at the end."""
    fronts: list[Front] = []

    async def started(tunneller: Tunneller | None = None) -> RunningFront:
        front = Front(
            apis={"compute": world.api},
            services={"compute": world.stub.service()},
            authenticator=world.authenticator,
            authorizer=world.authorizer,
            certificate=ServerCertificate(authority, ["git.test"], now),
            sites={"git.test": site},
            tunneller=tunneller,
        )
        fronts.append(front)
        port = await front.listen_proxy()
        context = ssl.create_default_context(cafile=str(ca_directory / "ca.pem"))
        return RunningFront(front, port, context)

    yield started
    for front in fronts:
        await front.stop()


@pytest.fixture
async def running(start_front: StartFront) -> RunningFront:
    front: RunningFront = await start_front()
    return front
