# SPDX-License-Identifier: GPL-3.0-or-later
"""A project with an owner, its key file, and a clock that tests set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest

from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.account_keys import KeyFile
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.authenticator import JWT_BEARER, TokenAuthenticator
from cloudspill_sandbox.identity.credentials_api import CredentialMethods, credentials_access
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.iam_api import iam_access, iam_service
from cloudspill_sandbox.identity.keys import KeyPair
from cloudspill_sandbox.identity.projects import ProjectNames, ensure_policy
from cloudspill_sandbox.identity.resource_manager import (
    resource_manager_access,
    resource_manager_service,
)
from cloudspill_sandbox.identity.service_catalogue import ServiceCatalogue
from cloudspill_sandbox.identity.service_usage import ServiceUsage
from cloudspill_sandbox.identity.service_usage_api import (
    ServiceUsageMethods,
    service_usage_access,
)
from cloudspill_sandbox.identity.tokens import Signers, Tokens

from .iam_calls import NUMBER, OWNER, PROJECT, Caller

NOW = 1_800_000_000.0


@dataclass
class Clock:
    """Seconds since the epoch, as a test sets them."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Identity:
    """Everything of identity over one store."""

    store: Store
    clock: Clock
    signers: Signers
    pairs: Iterator[KeyPair]
    accounts: ServiceAccounts = field(init=False)
    tokens: Tokens = field(init=False)
    authenticator: TokenAuthenticator = field(init=False)

    def __post_init__(self) -> None:
        self.accounts = ServiceAccounts(
            self.store, self.clock, lambda _subject, _now, _bits=2048: next(self.pairs)
        )
        self.tokens = Tokens(self.signers, self.accounts, self.clock)
        self.authenticator = TokenAuthenticator(self.accounts, self.tokens, self.clock)


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    return Signers.kept_in(tmp_path_factory.mktemp("identity"), lambda: NOW)


@pytest.fixture(scope="session")
def pairs() -> list[KeyPair]:
    """Three key pairs for all tests: they take time to make."""
    return [KeyPair.generate(f"{number}", NOW) for number in range(3)]


@pytest.fixture
def identity(signers: Signers, pairs: list[KeyPair]) -> Identity:
    store = Store()
    store.put("projects/p1234", {"name": "p1234"})
    return Identity(store, Clock(), signers, iter(pairs))


@pytest.fixture(scope="session")
def apis() -> dict[str, Api]:
    """Google's discovery documents of identity's own APIs."""
    names = ("cloudresourcemanager", "iam", "iamcredentials", "serviceusage")
    return {name: load_api(name, "v1") for name in names}


@pytest.fixture
def clock(identity: Identity) -> Clock:
    return identity.clock


@pytest.fixture
def usage(identity: Identity) -> ServiceUsage:
    return ServiceUsage(identity.store, ServiceCatalogue(), identity.clock)


@pytest.fixture
def note_use(usage: ServiceUsage) -> Callable[[str], None]:
    """Let the project use a service."""
    return lambda service: usage.note_use("p1234", service)


@pytest.fixture
def iam(identity: Identity, usage: ServiceUsage) -> Iam:
    """Access control of a project that is its owner's."""
    store, accounts = identity.store, identity.accounts
    created = "2026-01-01T00:00:00Z"
    store.put(PROJECT, {"name": "p1234", "id": NUMBER, "creationTimestamp": created})
    accounts.create("p1234", OWNER.partition("@")[0])
    projects = ProjectNames(store, {NUMBER: "p1234"})
    rules = {
        "cloudresourcemanager": resource_manager_access(projects),
        "iam": iam_access(accounts, projects),
        "iamcredentials": credentials_access(accounts),
        "serviceusage": service_usage_access(usage, projects),
    }
    access = Iam(store, accounts, projects, identity.clock, rules)
    ensure_policy(access.policies, store, PROJECT, {f"serviceAccount:{OWNER}": "roles/owner"})
    return access


@pytest.fixture
def ask(identity: Identity, iam: Iam, usage: ServiceUsage, apis: dict[str, Api]) -> Caller:
    """Call a method as the project's owner."""
    services = {
        "cloudresourcemanager": resource_manager_service(identity.store, iam),
        "iam": iam_service(identity.store, iam),
        "iamcredentials": CredentialMethods(iam, identity.tokens, identity.clock).service(),
        "serviceusage": ServiceUsageMethods(usage, iam.projects).service(),
    }
    return Caller(apis, services, iam.authorizer)


@pytest.fixture
def refusal() -> Callable[..., ApiError]:
    """Make a call that must be refused; return how."""

    def refused(ask: Caller, *arguments: Any, **more: Any) -> ApiError:
        with pytest.raises(ApiError) as caught:
            ask(*arguments, **more)
        return caught.value

    return refused


@pytest.fixture
def key_file(identity: Identity) -> KeyFile:
    email = identity.accounts.create("p1234", "owner-1")["email"]
    return identity.accounts.keys.create(email)


@pytest.fixture
def sign(identity: Identity, key_file: KeyFile) -> Callable[..., str]:
    """Sign claims with the owner's key: `sign(aud=…, scope=…)`; None removes a claim."""

    def signed(key: str | None = None, kid: str | None = None, **claims: Any) -> str:
        now = int(identity.clock())
        defaults = {"iss": key_file["client_email"], "iat": now, "exp": now + 3600}
        content = {k: v for k, v in (defaults | claims).items() if v is not None}
        return jwt.encode(
            content,
            key or key_file["private_key"],
            "RS256",
            headers={"kid": kid or key_file["private_key_id"]},
        )

    return signed


@pytest.fixture
def exchange(identity: Identity) -> Callable[[str], dict[str, Any]]:
    """Hand an assertion to the token endpoint."""

    def exchanged(assertion: str) -> dict[str, Any]:
        return identity.authenticator.exchange({"grant_type": JWT_BEARER, "assertion": assertion})

    return exchanged
