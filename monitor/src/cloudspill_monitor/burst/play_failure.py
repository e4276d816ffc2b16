# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a playbook failed, as one sentence, read from ansible-runner's events."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^(?:\[ERROR\]: |ERROR! )(.*)$")
_PREFIX = re.compile(r"^(?:Task failed: |Module failed: |Action failed: )+")
_MAX_LENGTH = 2000
_MAKES_VMS = "cloudspill.gcp.gce_instances"


@dataclass(slots=True)
class PlayFailure:
    """Collects what failed: by host, in order; and what ansible itself says before any task."""

    failed: dict[str, list[str]] = field(default_factory=dict)
    rescued: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    _began: bool = False
    _made: bool = False
    _ended: bool = False

    @property
    def asked(self) -> bool:
        """Whether the cloud may have been asked for VMs: False only where the events show it, since
        those of a full disk are lost.
        """
        return self._made or (self._began and not self._ended)

    def lose_sight(self) -> None:
        """The play has begun, and nothing more is known of it."""
        self._began, self._ended = True, False

    @property
    def unreachable(self) -> bool:
        """Whether a host could not be reached, and that was the first thing to go wrong."""
        host = next(iter(self._reasons()), None)
        return host is not None and host in self.lost

    def see(self, event: dict[str, Any]) -> None:
        """Take note of one event of ansible-runner."""
        data = event.get("event_data") or {}
        kind = event.get("event")
        of_play = str(kind).startswith(("playbook_on_", "runner_on_"))
        self._began |= of_play or "PLAY [" in (event.get("stdout") or "")
        if kind == "runner_on_start":
            self._made |= data.get("resolved_action") == _MAKES_VMS
        elif kind == "runner_on_failed" and not data.get("ignore_errors"):
            self.failed.setdefault(data["host"], []).append(_sentence(data))
        elif kind == "runner_on_unreachable":
            self.lost[data["host"]] = _sentence(data)
            self.failed.setdefault(data["host"], []).append(self.lost[data["host"]])
        elif kind == "playbook_on_stats":
            self._ended = True
            self.rescued = dict(data.get("rescued") or {})
        elif kind == "verbose":
            for line in _COLOUR.sub("", event.get("stdout") or "").splitlines():
                if found := _ERROR.match(line.strip()):
                    self.errors.append(found[1].strip())

    def text(self, code: int | None) -> str:
        """The reason; of several hosts the first one's, and how many more failed."""
        reasons = self._reasons()
        if reasons:
            host, reason = next(iter(reasons.items()))
            where = "" if host == "localhost" else f"{host}: "
            more = len(reasons) - 1
            others = f" (and {more} more {'host' if more == 1 else 'hosts'})" if more else ""
            return f"{where}{reason}{others}"
        if self.errors:
            return self.errors[0]
        if code is None:
            return "ansible-playbook was killed"
        return f"ansible-playbook ended with status {code} and named no reason"

    def _reasons(self) -> dict[str, str]:
        """The first failure of each host that no rescue took care of, the first host first."""
        unrescued = {
            host: texts[self.rescued.get(host, 0) :] for host, texts in self.failed.items()
        }
        return {host: texts[0] for host, texts in unrescued.items() if texts}


def _sentence(data: dict[str, Any]) -> str:
    result = data.get("res") or {}
    if "censored" in result:
        return f"task “{data.get('task')}” failed; what it said is hidden, as it may hold a secret"
    of_items = [item for item in result.get("results") or [] if item.get("failed")]
    if of_items:
        result = of_items[0]
    said = [_PREFIX.sub("", str(result.get("msg") or "")).strip()]
    for stream in ("module_stderr", "stderr"):
        lines = str(result.get(stream) or "").strip().splitlines()
        if lines and lines[-1] not in said[0]:
            said.append(lines[-1].strip())
    text = ": ".join(part for part in said if part)
    return text[:_MAX_LENGTH] or f"task “{data.get('task')}” failed and gave no reason"
