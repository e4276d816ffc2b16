#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: burst_handover
short_description: Hand a task over between the monitor's machine and a burst VM
description:
  - Asks the monitor for the task (C(handover)), has the VM's keeper start or stop it, and tells the
    monitor what the keeper answered (C(confirm)). The monitor says which way the task goes.
  - Between the two the task runs nowhere, so all that can be is done before, and it is one call.
  - Runs on the controller for a host that is the VM, and needs Python nowhere else.
  - Where the VM cannot be reached nothing is asked of the monitor.
  - A hand-over that was done already is answered by monitor and keeper as it was the first time.
options:
  control:
    description: The path of the monitor's control socket.
    type: path
    required: true
  move:
    description: The number of the move; one that is over is refused.
    type: int
    required: true
  task:
    description: The name of the task.
    type: str
    required: true
  ssh_command:
    description: The command line that logs in to the VM, as the inventory gives it.
    type: str
    required: true
  timeout:
    description: Seconds that each step may take.
    type: float
    default: 300
attributes:
  check_mode:
    description: Says what it would do, and asks nobody.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Hand the task over
  cloudspill.gcp.burst_handover:
    control: /run/user/1000/cloudspill/control.sock
    move: 7
    task: Task 3
    ssh_command: "{{ gce_ssh_command }}"
"""

RETURN = r"""
done:
  description: V(true), also where there was nothing to hand over; a failure has no such key.
  returned: success
  type: bool
run:
  description: What the keeper says of the task's run.
  returned: when it was handed over
  type: dict
seconds:
  description: Seconds that the steps C(handover), C(call) and C(confirm) took.
  returned: when it was handed over
  type: dict
kind:
  description: The keeper's or the monitor's word for its refusal.
  returned: failure
  type: str
reached:
  description: Whether the VM could be reached.
  returned: failure
  type: bool
"""
