# SPDX-License-Identifier: GPL-3.0-or-later
"""A project with an owner, its key file, and a clock that tests set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest

from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.account_keys import KeyFile
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.authenticator import JWT_BEARER, TokenAuthenticator
from cloudspill_sandbox.identity.keys import KeyPair
from cloudspill_sandbox.identity.tokens import Signers, Tokens

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
