# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the executor together with ansible-playbook and ssh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloudspill_monitor.burst import leftovers
from cloudspill_monitor.burst.executor import BurstExecutor, BurstSurroundings
from cloudspill_monitor.burst.link import VmLink
from cloudspill_monitor.burst.playbooks import AnsiblePlaybooks
from cloudspill_monitor.burst.vm import BurstVm
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import MonitorConfig
from cloudspill_monitor.console import Reporter
from cloudspill_monitor.control import socket_path
from cloudspill_monitor.journal import Journal
from cloudspill_monitor.workload import Workload

_FIRST_LEASE = 60.0  # seconds that a VM gives itself at least until it first hears from home


def build(
    config: MonitorConfig,
    inventory: Path,
    journal: Journal,
    workload: Workload,
    clock: Clock,
    reporter: Reporter,
    boot_id: str,
) -> tuple[AnsiblePlaybooks, Callable[[MonitorConfig, Callable[[], None]], BurstExecutor]]:
    """What runs playbooks, and what makes the executor for a daemon.

    A playbook that an earlier monitor left behind is ended first: it may be about to ask for a
    task, and nobody would answer. Raises JournalError.
    """
    controller = journal.controller()
    try:
        for words in leftovers.end_leftovers(controller):
            reporter.notice(f"ended what an earlier monitor left: {words}")
    except leftovers.LeftoverError as error:  # its move is over: whatever it asks is refused
        reporter.error(str(error))
    playbooks = AnsiblePlaybooks(inventory, controller, config.state_dir, reporter.notice)

    def make_link(vm: BurstVm, margin: float) -> VmLink:
        record = vm.record
        return VmLink(
            record.ssh_command,
            record.lease,
            margin,
            clock,
            vm,
            initial_lease=max(record.lease, _FIRST_LEASE),
        )

    def make(config: MonitorConfig, poll: Callable[[], None]) -> BurstExecutor:
        given = BurstSurroundings(
            journal=journal,
            workload=workload,
            clock=clock,
            reporter=reporter,
            boot_id=boot_id,
            state_dir=config.state_dir,
            control=socket_path(config.state_dir),
            playbooks=playbooks,
            make_link=make_link,
            poll=poll,
        )
        return BurstExecutor(config, given)

    return playbooks, make
