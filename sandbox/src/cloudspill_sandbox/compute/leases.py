# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds which address. A lease is a document, so it is durable and goes with its transaction.

Internal addresses are unique in the sandbox, not only in their network: the metadata server knows
an instance by its address alone. External ones come from the network's own range.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from cloudspill_sandbox.compute import names, refusals
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

COLLECTION = "leases"
"""Documents by address."""

_RESERVED_HEAD = 2
_RESERVED_TAIL = 2


def holder(store: Store | Transaction, address: str) -> str | None:
    """Return the relative name of the resource that holds an address, or None."""
    document = store.get(f"{COLLECTION}/{address}")
    return document["holder"] if document else None


def take(tx: Transaction, address: str, holder: str) -> None:
    """Record that `holder` (a relative name) has the address."""
    tx.put(f"{COLLECTION}/{address}", {"holder": holder})


def release(tx: Transaction, address: str) -> None:
    """Give an address back."""
    tx.delete(f"{COLLECTION}/{address}")


def put_in_use(tx: Transaction, address: Document, instance: str) -> None:
    """Write on an Address that is reserved that an instance (a relative name) has it."""
    used = {"status": "IN_USE", "users": [names.link(instance)]}
    tx.put(names.relative(address["selfLink"]), address | used)


class Allocator:
    """Hands out free addresses, the one after the last first: a released one rests for a while.

    Google keeps the first two and the last two addresses of a subnetwork for itself
    (https://cloud.google.com/vpc/docs/subnets#unusable-ip-addresses-in-every-subnet).
    """

    def __init__(self) -> None:
        self._next: dict[ipaddress.IPv4Network, int] = {}

    def allocate(self, tx: Transaction, network: ipaddress.IPv4Network, holder: str) -> str:
        """Lease a free address of a range to `holder`.

        Raises:
            ApiError: 403 IP_SPACE_EXHAUSTED when there is none.
        """
        for offset in self._offsets(network):
            address = str(network[offset])
            if tx.get(f"{COLLECTION}/{address}") is None:
                take(tx, address, holder)
                self._next[network] = offset + 1
                return address
        raise refusals.addresses_exhausted(str(network))

    def _offsets(self, network: ipaddress.IPv4Network) -> Iterator[int]:
        end = network.num_addresses - _RESERVED_TAIL
        start = min(max(self._next.get(network, 0), _RESERVED_HEAD), end)
        yield from range(start, end)
        yield from range(_RESERVED_HEAD, start)


def usable(network: ipaddress.IPv4Network, address: str) -> bool:
    """Whether an address is one that an instance in this range may have."""
    try:
        offset = int(ipaddress.IPv4Address(address)) - int(network.network_address)
    except ValueError:
        return False
    return _RESERVED_HEAD <= offset < network.num_addresses - _RESERVED_TAIL
