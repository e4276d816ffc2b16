# SPDX-License-Identifier: GPL-3.0-or-later
"""What the metadata server asks of the cloud behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An OAuth access token and the seconds that it still lives."""

    value: str
    expires_in: int


class MetadataSource(Protocol):
    """The view of the instance that owns an internal address; each sees only itself.

    Every method takes the caller's source address. Unknown addresses are refused by `tree`
    returning None.
    """

    def tree(self, address: str) -> dict[str, Any] | None:
        """Return `{"instance": {…}, "project": {…}}` as the recursive JSON of the metadata server.

        Keys in the camelCase of `?recursive=true&alt=json`
        (https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys).
        """

    async def changed(self, address: str) -> None:
        """Return when the tree of this address may have changed since the call."""

    def access_token(self, address: str, account: str, scopes: frozenset[str]) -> AccessToken:
        """Return a token of the attached service account (`default` or its email).

        Raises:
            KeyError: the instance has no such account.
            PermissionError: the instance was given no scopes that a token could have.
        """

    def identity_token(self, address: str, account: str, audience: str, *, full: bool) -> str:
        """Return a signed JWT of the account; a full one names the instance too.

        Raises:
            KeyError: as above.
        """

    def guest_attributes(self, address: str) -> dict[str, dict[str, str]] | None:
        """Return namespace → key → value, or None where metadata does not enable them."""

    def put_guest_attribute(self, address: str, namespace: str, key: str, value: str) -> None:
        """Set one guest attribute. Raises PermissionError where they are not enabled."""

    def delete_guest_attribute(self, address: str, namespace: str, key: str) -> None:
        """Remove one guest attribute. Raises KeyError when it is absent."""
