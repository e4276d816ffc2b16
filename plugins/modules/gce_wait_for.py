#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for what an instance serves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_wait_for
short_description: Wait until an instance's page answers, or its startup script fails
description:
  - An instance that is C(RUNNING) is not ready. This module asks for a page again and again, and
    reads the instance's serial output meanwhile, so that a startup script that fails ends the wait
    at once, with its log.
  - The startup script says how it fares by lines of serial output that match O(failed_pattern) and
    O(ready_pattern); of these the last one counts.
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
  url:
    description: The page that shall answer.
    type: str
    required: true
  status_code:
    description: The HTTP status that it shall answer with.
    type: int
    default: 200
  failed_pattern:
    description: A regular expression; a line of serial output that matches says that it failed.
    type: str
    default: 'cloudspill: FAILED\b.*'
  ready_pattern:
    description: A regular expression; a line of serial output that matches says that it is done.
    type: str
    default: 'cloudspill: (STARTED|READY)\b.*'
  timeout:
    description: Seconds to wait.
    type: int
    default: 600
  log_lines:
    description: How many of the last lines of serial output to return when the wait fails.
    type: int
    default: 40
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Only reads, so it does the same.
    support: full
  diff_mode:
    description: Changes nothing.
    support: N/A
author:
  - The cloudspill project
"""

EXAMPLES = r"""
- name: Wait for the page
  cloudspill.gcp.gce_wait_for:
    instance: flask-1
    zone: us-west1-b
    url: http://198.51.100.7:5000/
    timeout: 600
"""

RETURN = r"""
elapsed:
  description: Seconds until the page answered.
  returned: always
  type: float
  sample: 12.3
log:
  description: The last lines of the instance's serial output.
  returned: failure
  type: list
  elements: str
  sample: ["cloudspill: FAILED cannot clone https://example.com/app.git"]
"""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments

if TYPE_CHECKING:
    from ..module_utils.compute import Compute

_PAGE_INTERVAL = 0.25
_SERIAL_INTERVAL = 1.0
_PAGE_TIMEOUT = 3.0


class SerialOutput:
    """The serial output of an instance, read piece by piece.

    https://cloud.google.com/compute/docs/reference/rest/v1/instances/getSerialPortOutput: `next`
    of one answer is `start` of the next.
    """

    def __init__(self, compute: Compute, instance: str) -> None:
        """Read nothing yet."""
        self._compute = compute
        self._reference = f"{instance}/serialPort"
        self._start = "0"
        self._text = ""

    @property
    def lines(self) -> list[str]:
        """All lines so far."""
        return self._text.splitlines()

    def read(self) -> None:
        """Take what has come since the last time."""
        piece = self._compute.get(self._reference, start=self._start)
        self._text += piece.get("contents", "")
        self._start = str(piece.get("next", self._start))

    def last(self, pattern: re.Pattern[str]) -> str:
        """The last match of a pattern, or nothing."""
        found = [match[0] for match in pattern.finditer(self._text)]
        return found[-1].strip() if found else ""


def page_status(url: str) -> tuple[int | None, str]:
    """Ask once for a page.

    Returns:
        the HTTP status, None where there was no answer, and what happened in words.
    """
    import requests

    try:
        answer = requests.get(url, timeout=_PAGE_TIMEOUT, allow_redirects=True)
    except requests.exceptions.Timeout:
        return None, "no answer in time: is the port open to this machine, and the tag set?"
    except requests.exceptions.RequestException as error:
        refused = "Connection refused" in str(error)
        return None, "the connection is refused" if refused else type(error).__name__
    return answer.status_code, f"HTTP {answer.status_code}"


def wait(
    options: dict[str, Any],
    serial: SerialOutput,
    ask: Callable[[str], tuple[int | None, str]],
) -> dict[str, Any]:
    """Wait for the page; the result holds `msg` where it never came."""
    signs = re.compile(f"({options['failed_pattern']})|({options['ready_pattern']})")
    failed = re.compile(options["failed_pattern"])
    begun = time.monotonic()
    serial_due = begun + _SERIAL_INTERVAL
    while True:
        status, said = ask(options["url"])
        now = time.monotonic()
        result = {"elapsed": round(now - begun, 2)}
        if status == options["status_code"]:
            return result
        timed_out = now - begun > options["timeout"]
        if now >= serial_due or timed_out:
            serial.read()
            serial_due = time.monotonic() + _SERIAL_INTERVAL
            sign = serial.last(signs)
            if failed.search(sign):
                return {**result, "msg": f"{options['instance']}: {sign}"}
            if timed_out:
                script = f"; the script's last word: {sign}" if sign else ""
                waited = f"{options['url']} did not answer {options['status_code']}"
                return {
                    **result,
                    "msg": f"{waited} within {options['timeout']} s: {said}{script}",
                }
        time.sleep(_PAGE_INTERVAL)


def run(module: AnsibleModule) -> dict[str, Any]:
    """Wait as the options ask for, and return the module's result."""
    options = module.params
    instance = f"zones/{options['zone']}/instances/{options['instance']}"
    serial = SerialOutput(compute_client(module), instance)
    result = wait(options, serial, page_status)
    if "msg" in result:
        return {**result, "log": serial.lines[-options["log_lines"] :]}
    return result


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "instance": {"type": "str", "required": True, "aliases": ["name"]},
            "zone": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "status_code": {"type": "int", "default": 200},
            "failed_pattern": {"type": "str", "default": r"cloudspill: FAILED\b.*"},
            "ready_pattern": {"type": "str", "default": r"cloudspill: (STARTED|READY)\b.*"},
            "timeout": {"type": "int", "default": 600},
            "log_lines": {"type": "int", "default": 40},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    if "msg" in result:
        module.fail_json(**result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
