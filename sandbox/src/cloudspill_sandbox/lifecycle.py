# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting, stopping and wiping a sandbox from a command line."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudspill_sandbox import provision, repositories
from cloudspill_sandbox.control import client, lock, protocol
from cloudspill_sandbox.runtime.trees import remove_tree
from cloudspill_sandbox.settings import Settings

Progress = Callable[[str], None]

OTHERS_DEADLINE = 180.0
"""Seconds that a command waits for another one on the same sandbox."""

STOP_DEADLINE = 150.0
"""Seconds for machines to run their shutdown scripts; longer than the runtime's own bound."""


class StartError(RuntimeError):
    """The sandbox could not be started or stopped; the message says why."""


def running_status(settings: Settings) -> dict[str, Any] | None:
    """Return the status of the running sandbox, None when there is none.

    Raises:
        PermissionError: only root may ask.
    """
    try:
        status: dict[str, Any] = client.call(settings.admin_socket, "GET", "/status")
    except client.NotRunningError:
        return None
    return status


def wait_for_others(settings: Settings, progress: Progress) -> dict[str, Any] | None:
    """Return running_status() once no other command is starting or stopping the sandbox.

    Raises:
        StartError: the other one takes longer than OTHERS_DEADLINE.
    """
    deadline = time.monotonic() + OTHERS_DEADLINE
    announced = False
    while (status := running_status(settings)) is None and lock.is_held(settings.lock_file):
        if time.monotonic() > deadline:
            raise StartError(
                "another process has been starting or stopping the sandbox for "
                f"{OTHERS_DEADLINE:.0f} s (pid {settings.lock_file.read_text()}): see "
                f"{settings.log_file}"
            )
        if not announced:
            progress("another command is starting or stopping the sandbox: waiting for it")
            announced = True
        time.sleep(0.1)
    return status


def refuse_neighbours(settings: Settings) -> None:
    """Check that no other sandbox with machines runs on this host.

    Raises:
        StartError: one does; the message names it.
    """
    for other in sorted(settings.run_root.glob("*/lock")):
        name = other.parent.name
        if name == settings.name or not lock.is_held(other):
            continue
        status = running_status(dataclasses.replace(settings, name=name))
        if status is None or not status["in_memory"]:
            raise StartError(
                f"the sandbox {name!r} runs on this host, and only one with machines can: "
                f"end it with `CLOUDSPILL_SANDBOX={name} cloudspill-sandbox down`"
            )


def build_guest_image(settings: Settings, progress: Progress) -> None:
    """Build the guest image unless it is there.

    Raises:
        GuestImageError: it could not be built.
    """
    asyncio.run(provision.guest_image(settings, progress))


def publish(settings: Settings, folders: Mapping[str, Path], progress: Progress) -> None:
    """Publish folders as git repositories; works whether or not the sandbox runs."""
    for name, folder in folders.items():
        if repositories.publish(settings.repositories_dir, name, folder.resolve()):
            progress(f"published {folder} as https://{repositories.HOST}/{name}.git")


def start_daemon(settings: Settings, progress: Progress) -> None:
    """Start the daemon and return when its API answers.

    Raises:
        StartError: it could not start; what it had made is gone again.
        lock.LockedError: another process is starting, running or stopping it.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()
    with settings.log_file.open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "cloudspill_sandbox.daemon", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=os.environ | settings.to_environment(),
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    for message in protocol.messages(reader):
        if message.kind == "ready":
            return
        if message.kind == "locked":
            daemon.wait()
            raise lock.LockedError(message.text)
        if message.kind == "failed":
            daemon.wait()
            raise StartError(message.text)
        progress(message.text)
    raise StartError(
        f"the sandbox ended (exit status {daemon.wait()}) before its API answered; "
        f"its log is {settings.log_file}"
    )


def stop_daemon(settings: Settings) -> bool:
    """Stop the daemon and wait for its end; return whether one was running.

    Raises:
        StartError: it did not end within STOP_DEADLINE.
    """
    status = running_status(settings)
    if status is None:
        return False
    try:
        process = os.pidfd_open(status["pid"])
    except ProcessLookupError:  # it has ended since it answered
        return True
    try:
        client.call(settings.admin_socket, "POST", "/shutdown")
        ended, _, _ = select.select([process], [], [], STOP_DEADLINE)
    finally:
        os.close(process)
    if not ended:
        raise StartError(
            f"the sandbox (pid {status['pid']}) did not stop within {STOP_DEADLINE:.0f} s; "
            f"its log is {settings.log_file}"
        )
    return True


def sweep(settings: Settings) -> bool:
    """Remove from the host what a sandbox that died left; return whether there was anything.

    Raises:
        lock.LockedError: a sandbox is running.
    """
    with lock.hold(settings.lock_file):
        return asyncio.run(provision.sweep(settings))


def wipe(settings: Settings) -> None:
    """Forget every resource and volume; keep the CA, the guest image and published repositories.

    Raises:
        lock.LockedError: a sandbox is running.
    """
    with lock.hold(settings.lock_file):
        for end in ("", "-wal", "-shm"):
            settings.database.with_name(settings.database.name + end).unlink(missing_ok=True)
        for folder in (settings.volumes_dir, settings.client_dir):
            remove_tree(folder)
