# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM costs: Compute Engine bills by the second, one minute at least.

See https://cloud.google.com/compute/vm-instance-pricing.
"""

from __future__ import annotations

MINIMUM_SECONDS = 60.0


def cost(seconds: float, price_per_hour: float) -> float:
    """The price of a VM that was up for `seconds`, in the currency of `price_per_hour`."""
    return max(MINIMUM_SECONDS, seconds) * price_per_hour / 3600.0
