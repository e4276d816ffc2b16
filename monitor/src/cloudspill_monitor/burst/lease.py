# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be believed of a VM's lease: pure; times are seconds of this machine's CLOCK_BOOTTIME.

The VM's lease ends at TOKEN + lease, where TOKEN is its own clock when it made a tick, and only an
echo of that token can prolong it. This machine received the tick after it was made. So whatever
happens to the echo on its way, and however late it is delivered, the lease ends before (when the
token was received) + lease; `margin` covers that the two clocks do not run equally fast.
"""

from __future__ import annotations


class LeaseBelief:
    """When the lease of one VM is over for certain.

    `lease` is the one that the VM was made with. Before its first tick nothing is known: somebody
    may have renewed it up to `now`, or its keeper has just begun its `initial_lease`.
    """

    def __init__(self, lease: float, margin: float, now: float, initial_lease: float = 0.0) -> None:
        self._lease = lease
        self._margin = margin
        self._ends = now + max(lease, initial_lease)

    def heard(self, now: float, expires_in: float) -> None:
        """A new stream's first tick came: by it the VM holds its lease for `expires_in` more.

        The VM obeys no earlier stream from here on, so nothing but later echoes prolongs it.
        """
        self._ends = max(self._ends, now + expires_in)

    def echo(self, received: float) -> None:
        """The token of a tick that was `received` then is about to be echoed."""
        self._ends = max(self._ends, received + self._lease)

    @property
    def over_at(self) -> float:
        """From then on the VM runs nothing and starts nothing."""
        return self._ends + self._margin
