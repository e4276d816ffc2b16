# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be believed of a VM's lease: pure; times are seconds of this machine's CLOCK_BOOTTIME.

The VM's lease ends at TOKEN + lease, where TOKEN is its own clock when it made a tick, and only an
echo of that token can prolong it. This machine received the tick after it was made. So whatever
happens to the echo on its way, and however late it is delivered, it prolongs no lease beyond (when
the token was received) + lease. What the VM holds without it, a tick tells, which is received
after it was made as well. `margin` covers that the two clocks do not run equally fast.
"""

from __future__ import annotations

import math


class LeaseBelief:
    """When the lease of one VM is over for certain.

    `lease` is the one that the VM was made with. Before its first tick nothing is known: somebody
    may have renewed it up to `now`, or its keeper has just begun its `initial_lease`.
    """

    def __init__(self, lease: float, margin: float, now: float, initial_lease: float = 0.0) -> None:
        self._lease = lease
        self._margin = margin
        self._held = now + max(lease, initial_lease)
        self._echoed = -math.inf

    def heard(self, received: float, expires_in: float) -> None:
        """A tick came on the newest stream: when it was made, the lease had `expires_in` to go.

        The VM obeys no earlier stream, so nothing but echoes of this monitor prolongs that.
        """
        self._held = received + expires_in

    def echo(self, received: float) -> None:
        """The token of a tick that was `received` then is about to be echoed."""
        self._echoed = max(self._echoed, received + self._lease)

    @property
    def over_at(self) -> float:
        """From then on the VM runs nothing and starts nothing."""
        return max(self._held, self._echoed) + self._margin
