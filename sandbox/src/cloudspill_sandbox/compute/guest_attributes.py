# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest attributes as documents: namespace → key → value, one document an instance id.

https://cloud.google.com/compute/docs/metadata/manage-guest-attributes.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloudspill_sandbox.compute.instance_metadata import is_true
from cloudspill_sandbox.compute.removal import GUEST_ATTRIBUTES
from cloudspill_sandbox.engine.store import Store

Attributes = Mapping[str, Mapping[str, str]]


def document_name(instance_id: str) -> str:
    """Return the name of the document that holds an instance's attributes."""
    return f"{GUEST_ATTRIBUTES}/{instance_id}"


def enabled(project: Mapping[str, str], instance: Mapping[str, str]) -> bool:
    """Whether metadata enables them: the instance's item wins over the project's."""
    key = "enable-guest-attributes"
    return is_true(instance.get(key, project.get(key)))


def read(store: Store, instance_id: str) -> Attributes:
    """Return what an instance has published."""
    return store.get(document_name(instance_id)) or {}


def matching(attributes: Attributes, path: str) -> list[dict[str, str]]:
    """Return GuestAttributesEntry items below `namespace`, at `namespace/key`, or all for ``."""
    namespace, _, key = path.partition("/")
    return [
        {"namespace": each, "key": name, "value": value}
        for each, pairs in sorted(attributes.items())
        if not namespace or each == namespace
        for name, value in sorted(pairs.items())
        if not key or name == key
    ]
