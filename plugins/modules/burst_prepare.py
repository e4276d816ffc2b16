#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: burst_prepare
short_description: Make a burst VM ready for tasks
description:
  - Waits until the keeper on the VM answers, tells the monitor of the VM (C(vm_ready)), and has the
    keeper unpack the files of the tasks. The tasks run where they are meanwhile.
  - Runs on the controller for a host that is the VM, and needs Python nowhere else.
options:
  control:
    description: The path of the monitor's control socket.
    type: path
    required: true
  move:
    description: The number of the move; one that is over is refused.
    type: int
    required: true
  zone:
    description: The zone of the VM.
    type: str
    required: true
  instance_id:
    description: The id of the VM.
    type: str
    required: true
  machine_type:
    description: The machine type of the VM.
    type: str
    required: true
  spot:
    description: Whether Google may take the VM back.
    type: bool
    default: false
  ssh_command:
    description: The command line that logs in to the VM, as the inventory gives it.
    type: str
    required: true
  files:
    description: A tar archive with a folder for each task; none where no task has files.
    type: path
  timeout:
    description: Seconds that it may take.
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
- name: Make the VM ready
  cloudspill.gcp.burst_prepare:
    control: /run/user/1000/cloudspill/control.sock
    move: 7
    zone: "{{ gce_zone }}"
    instance_id: "{{ gce_id }}"
    machine_type: "{{ gce_machineType }}"
    ssh_command: "{{ gce_ssh_command }}"
"""

RETURN = r"""
done:
  description: V(true) for it is ready; a failure has no such key.
  returned: success
  type: bool
prepared:
  description: The folders that were unpacked.
  returned: success
  type: list
  elements: str
kind:
  description: The keeper's or the monitor's word for its refusal.
  returned: failure
  type: str
reached:
  description: Whether the VM could be reached.
  returned: failure
  type: bool
"""
