# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease: how long this VM goes on without word from its monitor. Values and rules alone.

Times are seconds of CLOCK_BOOTTIME, which a suspended VM does not stop. A token is the time at
which it was made; a renewal brings one back, and the lease then ends at that time plus its length.
However late a renewal arrives, it cannot hold more than the monitor counts on.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class Phase(enum.Enum):
    """Where a lease stands."""

    HELD = "held"
    ENDING = "ending"
    """Tasks are being asked to stop; a renewal still saves the VM."""
    OVER = "over"
    """Nothing runs here any more, for ever."""


@dataclass(frozen=True)
class Terms:
    """What the VM was made with.

    Attributes:
        length: seconds from a token to the lease's end.
        initial: seconds that the monitor has for its first renewal after a boot.
    """

    length: float
    initial: float

    @property
    def notice(self) -> float:
        """Seconds before the end at which tasks are asked to stop."""
        return min(5.0, self.length / 4)

    @property
    def killing(self) -> float:
        """Seconds before the end at which they are killed, so that they are dead at the end."""
        return min(0.5, self.length / 10)


@dataclass(frozen=True)
class Lease:
    """A lease as it stands; it is also what is kept on disk.

    Attributes:
        boot: identity of the boot in which its times count.
        expires: when it ends.
        renewed: whether the monitor has renewed it in this boot.
        fenced: it was over once.
        kept: when this was written to disk.
    """

    boot: str
    expires: float
    renewed: bool = False
    fenced: bool = False
    kept: float = 0.0

    def phase(self, now: float, terms: Terms) -> Phase:
        """Return where it stands at a time."""
        if self.fenced or now >= self.expires - terms.killing:
            return Phase.OVER
        return Phase.ENDING if now >= self.expires - terms.notice else Phase.HELD

    def next_phase_at(self, now: float, terms: Terms) -> float:
        """Return when it will stand elsewhere if nothing renews it; not for one that is over."""
        ahead = terms.notice if self.phase(now, terms) is Phase.HELD else terms.killing
        return self.expires - ahead

    def token(self, now: float) -> str:
        """Return the token of this moment."""
        return f"{self.boot}/{now:.6f}"

    def renew(self, token: object, now: float, terms: Terms) -> Lease:
        """Return the lease after a token came back.

        The first renewal of a boot replaces the initial lease even where that was longer: from
        then on the monitor counts on the length alone. A token of another boot, of the future, or
        that is none, changes nothing; neither does any once the lease is over.
        """
        made = self._made(token)
        if made is None or made > now or self.phase(now, terms) is Phase.OVER:
            return self
        until = made + terms.length
        if self.renewed:
            return self if until <= self.expires else replace(self, expires=until)
        return replace(self, expires=until, renewed=True)

    def _made(self, token: object) -> float | None:
        boot, slash, made = token.rpartition("/") if isinstance(token, str) else ("", "", "")
        if not slash or boot != self.boot:
            return None
        try:
            seconds = float(made)
        except ValueError:
            return None
        return seconds if seconds >= 0 else None  # no NaN either


def resumed(kept: Lease | None, boot: str, now: float, terms: Terms) -> Lease:
    """Return the lease that a keeper starts with.

    Args:
        kept: what the last keeper left on disk, None when this is the first.
        boot: identity of this boot.
        now: the time.
        terms: what the VM was made with.

    After a reboot it is the initial lease, or what was left of it if no renewal came since it
    began: a VM that reboots for ever ends too.
    """
    if kept is None:
        return Lease(boot, now + terms.initial)
    if kept.boot == boot:
        return kept
    left = terms.initial if kept.renewed else min(terms.initial, kept.expires - kept.kept)
    return Lease(boot, now + max(0.0, left), fenced=kept.fenced)
