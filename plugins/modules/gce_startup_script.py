#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for the end of an instance's startup script."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_startup_script
short_description: Wait until an instance's startup script has done its work, or says that it failed
description:
  - Follows an instance's serial output until its startup script says how it ended, in lines that
    open with C(cloudspill:) and then C(STARTED), C(READY) or C(FAILED).
  - With O(reset) the instance is reset first, which runs the script again, since it runs at every
    boot.
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
    aliases: [name]
  zone:
    description: The zone of the instance.
    type: str
    required: true
  attempt:
    description:
      - The word that follows C(STARTED), C(READY) and C(FAILED), by which the script tells one
        attempt from those before it.
    type: str
    required: true
  reset:
    description: Whether to reset the instance first.
    type: bool
    default: false
  timeout:
    description: Seconds that the whole may take.
    type: int
    default: 600
  log_lines:
    description: How many of the last lines of serial output to return when the wait fails.
    type: int
    default: 40
  progress_file:
    description: A file to which the script's lines are added as they come; see the notes.
    type: path
extends_documentation_fragment:
  - cloudspill.gcp.gcp
notes:
  - On the controller itself the script's lines are shown as they come; nobody has to set
    O(progress_file) for that.
attributes:
  check_mode:
    description: Tells whether it would reset, and waits for nothing.
    support: full
  diff_mode:
    description: Changes no settings.
    support: N/A
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Run the startup script of launcher-1 again, and wait for its end
  cloudspill.gcp.gce_startup_script:
    instance: launcher-1
    zone: us-west1-b
    attempt: 20300102T030405Z
    reset: true
"""

RETURN = r"""
said:
  description: The line with which the script ended.
  returned: success
  type: str
  sample: "cloudspill: READY 20300102T030405Z changed"
elapsed:
  description: Seconds that the whole took.
  returned: always
  type: float
  sample: 12.3
log:
  description: The last lines of the instance's serial output.
  returned: failure
  type: list
  elements: str
"""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.instances import STOPPED_STATUSES
from ..module_utils.progress import reporter
from ..module_utils.serial_output import SerialOutput

if TYPE_CHECKING:
    from ..module_utils.compute import Compute

_INTERVAL = 1.0
_LINE = re.compile(r"cloudspill: .*")


class Follower:
    """Follows one attempt of a startup script."""

    def __init__(
        self,
        compute: Compute,
        options: dict[str, Any],
        *,
        report: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read nothing yet.

        Args:
            compute: the client.
            options: the module's options.
            report: gets each of the script's lines once.
            now: monotonic seconds.
            sleep: waits that many seconds.
        """
        self._compute = compute
        self._options = options
        self._report, self._now, self._sleep = report, now, sleep
        self._instance = f"zones/{options['zone']}/instances/{options['instance']}"
        self._reported = 0
        self.serial = SerialOutput(compute, self._instance)

    def reset(self) -> None:
        """Have the script run again.

        Raises:
            CloudError: the instance is absent, or the reset was refused.
        """
        self._compute.change("POST", f"{self._instance}/reset", deadline=self._options["timeout"])

    def wait(self) -> str:
        """Wait for the attempt's last line.

        Returns:
            that line.

        Raises:
            CloudError: it failed, the instance stopped, or the time is over.
        """
        until = self._now() + self._options["timeout"]
        while True:
            status = self._compute.get(self._instance, fields="status").get("status")
            self.serial.read()
            lines = self._lines()
            for line in lines[self._reported :]:
                self._report(f"{self._options['instance']}: {line.removeprefix('cloudspill: ')}")
            self._reported = len(lines)
            if lines and self._word(lines[-1]) == "READY":
                return lines[-1]
            self._raise_if_over(lines, str(status), until)
            self._sleep(_INTERVAL)

    def _raise_if_over(self, lines: list[str], status: str, until: float) -> None:
        name = self._options["instance"]
        last = lines[-1] if lines else "nothing"
        if self._word(last) == "FAILED":
            raise CloudError(f"the startup script of {name} failed; it says `{last}`")
        if status in STOPPED_STATUSES:
            raise CloudError(f"the instance {name} is {status}")
        if self._now() >= until:
            raise CloudError(
                f"the startup script of {name} did not end within {self._options['timeout']} s; "
                f"it last said `{last}`"
            )

    def _lines(self) -> list[str]:
        """The lines of this attempt, from its first STARTED to its first end."""
        found: list[str] = []
        for line in self.serial.whole_lines:
            match = _LINE.search(line)
            if match is None:
                continue
            word = self._word(match[0])
            if found or word:
                found.append(match[0].strip())
            if word in {"READY", "FAILED"}:
                break
        return found

    def _word(self, line: str) -> str:
        """STARTED, READY or FAILED where the line is one of those of this attempt."""
        attempt = re.escape(self._options["attempt"])
        match = re.match(rf"cloudspill: (STARTED|READY|FAILED) {attempt}(?=:?(?:\s|$))", line)
        return match[1] if match else ""


def run(module: AnsibleModule, compute: Compute) -> dict[str, Any]:
    """Do what the options ask for, and return the module's result, with `msg` if in vain."""
    options = module.params
    result: dict[str, Any] = {"changed": options["reset"]}
    if module.check_mode:
        return result
    follower = Follower(compute, options, report=reporter(options["progress_file"]))
    begun = time.monotonic()
    try:
        if options["reset"]:
            follower.reset()
        result["said"] = follower.wait()
    except CloudError as error:
        lines = follower.serial.lines[-options["log_lines"] :]
        result |= {"msg": error.sentence, "log": lines}
    return {**result, "elapsed": round(time.monotonic() - begun, 2)}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "instance": {"type": "str", "required": True, "aliases": ["name"]},
            "zone": {"type": "str", "required": True},
            "attempt": {"type": "str", "required": True},
            "reset": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 600},
            "log_lines": {"type": "int", "default": 40},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    if "msg" in result:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
