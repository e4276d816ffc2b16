# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest attributes: what an instance says about itself, by namespace and key.

https://cloud.google.com/compute/docs/metadata/manage-guest-attributes
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cloudspill_sandbox.metadata.interface import MetadataSource
from cloudspill_sandbox.metadata.responses import Refusal, not_found
from cloudspill_sandbox.metadata.tree import Node

MAX_VALUE_BYTES = 256 * 1024
MAX_TOTAL_BYTES = 512 * 1024
"""Of all namespaces, keys and values of an instance. Both limits are those of custom metadata:
https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations"""

_NAME = re.compile(r"[A-Za-z0-9_.~+-]{1,127}")


def read(source: MetadataSource, address: str) -> Node:
    """Return the guest attributes of an instance as a directory of directories.

    Raises:
        Refusal: 403, its metadata does not enable them.
    """
    return Node("guestAttributes", _held(source, address), verbatim=True)


def put(source: MetadataSource, address: str, names: Sequence[str], value: bytes) -> None:
    """Set one attribute.

    Raises:
        Refusal: not enabled (403), not NAMESPACE/KEY or not text (400), too large (413).
    """
    held = _held(source, address)
    if len(names) != 2 or not all(map(_NAME.fullmatch, names)):
        raise Refusal(400, "A guest attribute is set as guest-attributes/NAMESPACE/KEY.")
    if len(value) > MAX_VALUE_BYTES:
        raise Refusal(413, f"A guest attribute's value has at most {MAX_VALUE_BYTES} bytes.")
    namespace, key = names
    if _size(held, leaving_out=(namespace, key)) + len(key) + len(value) > MAX_TOTAL_BYTES:
        raise Refusal(413, f"Guest attributes have at most {MAX_TOTAL_BYTES} bytes in all.")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "A guest attribute's value must be UTF-8 text.") from None
    source.put_guest_attribute(address, namespace, key, text)


def delete(source: MetadataSource, address: str, path: str, names: Sequence[str]) -> None:
    """Remove one attribute, or with NAMESPACE alone all of that namespace.

    Raises:
        Refusal: not enabled (403), absent (404).
    """
    held = _held(source, address)
    namespace = names[0] if names else ""
    keys = list(held.get(namespace, {})) if len(names) == 1 else list(names[1:])
    if len(names) > 2 or not keys or any(key not in held.get(namespace, {}) for key in keys):
        raise not_found(path)
    for key in keys:
        source.delete_guest_attribute(address, namespace, key)


def _held(source: MetadataSource, address: str) -> dict[str, dict[str, str]]:
    held = source.guest_attributes(address)
    if held is None:
        raise Refusal(403, "Guest attributes endpoint access is disabled.", plain=True)
    return held


def _size(held: dict[str, dict[str, str]], leaving_out: tuple[str, str]) -> int:
    return sum(
        len(key.encode()) + len(value.encode())
        for namespace, attributes in held.items()
        for key, value in attributes.items()
        if (namespace, key) != leaving_out
    )
