#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: burst_reach
short_description: Wait until burst VMs let the user in and their keepers answer
description:
  - Logs in to every VM by ssh, all at once, until its keeper answers.
  - A VM that the inventory does not know, that refuses the login, or whose keeper is silent or has
    fenced itself is told by a sentence of its own.
  - Runs on the controller.
options:
  names:
    description: The names of the VMs, as the inventory knows them; it gives C(gce_ssh_command).
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds that all of them may take.
    type: float
    default: 120
attributes:
  check_mode:
    description: Asks nobody.
    support: full
  diff_mode:
    description: Changes nothing.
    support: N/A
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Wait for the keeper
  cloudspill.gcp.burst_reach:
    names: [burst-1]
"""

RETURN = r"""
machines:
  description: The VMs, each with its C(name) and the C(reason) why it is of no use, or nothing.
  returned: always
  type: list
  elements: dict
"""
