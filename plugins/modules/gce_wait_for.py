#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for what an instance serves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_wait_for
short_description: Wait until an instance's page answers, or its startup script fails
description:
  - An instance that is C(RUNNING) is not ready. This module asks for a page again and again, at the
    instance's external address, else at its internal one.
  - Meanwhile it reads the instance's status and serial output, so that an instance that stops, or
    a startup script that fails, ends the wait at once, with the log.
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
  port:
    description: The TCP port that serves HTTP.
    type: int
    default: 80
  path:
    description: The page that shall answer.
    type: str
    default: /
  status_code:
    description: The HTTP status that it shall answer with.
    type: int
    default: 200
  failed_pattern:
    description: A regular expression; what matches in the serial output says that it failed.
    type: str
    default: 'cloudspill: FAILED\b.*'
  ready_pattern:
    description: A regular expression; what matches in the serial output says that it goes well.
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
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Wait for the page
  cloudspill.gcp.gce_wait_for:
    instance: flask-1
    zone: us-west1-b
    port: 5000
    timeout: 600
"""

RETURN = r"""
url:
  description: The URL of the page.
  returned: always
  type: str
  sample: http://198.51.100.7:5000/
elapsed:
  description: Seconds that the wait took.
  returned: always
  type: float
  sample: 12.3
log:
  description: The last lines of the instance's serial output.
  returned: failure
  type: list
  elements: str
  sample: ["cloudspill: FAILED to clone https://example.com/app.git (exit status 128)"]
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.instances import STOPPED_STATUSES, address_of
from ..module_utils.serial_output import SerialOutput

if TYPE_CHECKING:
    from ..module_utils.compute import Compute

_PAGE_INTERVAL = 0.25
_INSTANCE_INTERVAL = 1.0
_PAGE_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking for a page once.

    Attributes:
        status: the HTTP status; 0 where there was no answer.
        said: the same in words.
    """

    status: int
    said: str


def ask(url: str) -> Answer:
    """Ask once for a page."""
    import requests

    try:
        answer = requests.get(url, timeout=_PAGE_TIMEOUT)
    except requests.exceptions.Timeout:
        return Answer(0, "no answer, so check that a firewall rule opens the port for its tags")
    except requests.exceptions.RequestException as error:
        refused = "Connection refused" in str(error)
        return Answer(0, "the connection is refused" if refused else type(error).__name__)
    return Answer(answer.status_code, f"HTTP {answer.status_code}")


class Watch:
    """The wait for a page, with an eye on the instance that serves it."""

    def __init__(
        self,
        compute: Compute,
        options: dict[str, Any],
        *,
        ask: Callable[[str], Answer] = ask,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Find out where the page is.

        Args:
            compute: the client.
            options: the module's options.
            ask: asks for a page once.
            now: monotonic seconds.
            sleep: waits that many seconds.

        Raises:
            CloudError: there is no such instance, or it has no address.
        """
        self._compute = compute
        self._options = options
        self._ask, self._now, self._sleep = ask, now, sleep
        self._instance = f"zones/{options['zone']}/instances/{options['instance']}"
        address = address_of(compute.get(self._instance))
        if not address:
            raise CloudError(f"the instance {options['instance']} has no address: start it")
        self.url = f"http://{address}:{options['port']}{options['path']}"
        self.serial = SerialOutput(compute, self._instance)

    def wait(self) -> str:
        """Wait for the page.

        Returns:
            nothing when it came, else one sentence that says why it did not.
        """
        begun = self._now()
        look_at = begun + _INSTANCE_INTERVAL
        while True:
            answer = self._ask(self.url)
            if answer.status == self._options["status_code"]:
                return ""
            timed_out = self._now() - begun >= self._options["timeout"]
            if timed_out or self._now() >= look_at:
                wrong = self._what_is_wrong()
                if wrong:
                    return wrong
                look_at = self._now() + _INSTANCE_INTERVAL
            if timed_out:
                return self._too_late(answer)
            self._sleep(_PAGE_INTERVAL)

    def _what_is_wrong(self) -> str:
        name = self._options["instance"]
        status = self._compute.get(self._instance, fields="status").get("status")
        self.serial.read()
        sign = self._sign()
        if re.search(self._options["failed_pattern"], sign):
            return f"the startup script of {name} failed; it says `{sign}`"
        if status in STOPPED_STATUSES:
            return f"the instance {name} is {status}"
        return ""

    def _sign(self) -> str:
        """The last sign that the startup script gave."""
        patterns = f"{self._options['failed_pattern']}|{self._options['ready_pattern']}"
        return self.serial.last(re.compile(patterns))

    def _too_late(self, answer: Answer) -> str:
        sign = self._sign()
        script = f"; the startup script last said `{sign}`" if sign else ""
        return (
            f"{self.url} did not answer {self._options['status_code']} within "
            f"{self._options['timeout']} s: {answer.said}{script}"
        )


def run(module: AnsibleModule) -> dict[str, Any]:
    """Wait as the options ask for, and return the module's result, with `msg` if in vain."""
    watch = Watch(compute_client(module), module.params)
    begun = time.monotonic()
    wrong = watch.wait()
    result = {
        "changed": False,
        "url": watch.url,
        "elapsed": round(time.monotonic() - begun, 2),
    }
    if wrong:
        return {**result, "msg": wrong, "log": watch.serial.lines[-module.params["log_lines"] :]}
    return result


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "instance": {"type": "str", "required": True, "aliases": ["name"]},
            "zone": {"type": "str", "required": True},
            "port": {"type": "int", "default": 80},
            "path": {"type": "str", "default": "/"},
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
    module.exit_json(**result)


if __name__ == "__main__":
    main()
