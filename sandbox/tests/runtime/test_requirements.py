# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host lacks is named with what mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.requirements import Host, missing
from cloudspill_sandbox.settings import Settings

SETTINGS = Settings(state_root=Path("/var/lib/cloudspill"))


def answers(command: Sequence[str]) -> tuple[int, str]:
    if command[0] == "podman":
        return 0, "podman version 4.3.1\n"
    if command[0] == "findmnt":
        return 0, "ext4\n"
    return 0, ""


GOOD = Host(
    system="Linux",
    kernel="6.1.0-18-amd64",
    user=0,
    which=lambda command: f"/usr/bin/{command}",
    exists=lambda _path: True,
    run=answers,
    free_bytes=lambda _path: 50 << 30,
    has_pip=True,
)


def complaints(host: Host) -> list[str]:
    return [str(requirement) for requirement in missing(SETTINGS, host)]


def test_a_host_with_everything_lacks_nothing() -> None:
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("command", "package"),
    [("podman", "podman"), ("nft", "nftables"), ("ip", "iproute2"), ("ssh", "openssh-client")],
)
def test_a_missing_command_is_named_with_its_package(command: str, package: str) -> None:
    host = replace(GOOD, which=lambda name: None if name == command else name)
    assert complaints(host) == [f"the command {command} is missing: apt-get install {package}"]


def test_either_container_runtime_will_do() -> None:
    assert complaints(replace(GOOD, which=lambda name: None if name == "crun" else name)) == []
    neither = replace(GOOD, which=lambda name: None if name in {"crun", "runc"} else name)
    assert complaints(neither) == [
        "neither crun nor runc is there to run containers: apt-get install runc"
    ]


def test_without_root_nothing_is_tried() -> None:
    def run(command: Sequence[str]) -> tuple[int, str]:
        raise AssertionError(command)

    assert complaints(replace(GOOD, user=1000, run=run)) == [
        "the sandbox needs root: run the command with sudo"
    ]


def test_another_operating_system_is_refused() -> None:
    assert complaints(replace(GOOD, system="Darwin")) == [
        "the sandbox runs on Linux, not on Darwin: use a Linux machine"
    ]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("podman version 3.0.1\n", "Podman is podman version 3.0.1, older than 3.4"),
        ("", "Podman is of unknown version"),
    ],
)
def test_a_podman_too_old_is_named(answer: str, complaint: str) -> None:
    host = replace(GOOD, run=lambda command: (0, answer) if command[0] == "podman" else (0, ""))
    assert [text for text in complaints(host) if text.startswith(complaint)]


def test_podman_4_needs_its_network_backend() -> None:
    host = replace(GOOD, exists=lambda path: "netavark" not in path)
    assert complaints(host) == [
        "Podman lacks netavark, its network backend: apt-get install netavark"
    ]


def test_a_kernel_without_overlays_is_named_with_the_kernel_s_answer() -> None:
    def run(command: Sequence[str]) -> tuple[int, str]:
        if "--mount" in command:
            return 32, "mount: /mnt/m: unknown filesystem type 'overlay'.\n"
        return answers(command)

    assert complaints(replace(GOOD, run=run)) == [
        "the kernel does not offer overlay file systems here "
        "(mount: /mnt/m: unknown filesystem type 'overlay'.): modprobe overlay"
    ]


def test_state_on_a_file_system_that_cannot_carry_disks_is_refused() -> None:
    def run(command: Sequence[str]) -> tuple[int, str]:
        return (0, "overlay\n") if command[0] == "findmnt" else answers(command)

    assert complaints(replace(GOOD, run=run)) == [
        "/var/lib/cloudspill lies on a file system of type overlay, which cannot carry disks: "
        "mount a local disk (ext4, xfs, btrfs) at /var/lib/cloudspill"
    ]


def test_too_little_space_is_said_in_figures() -> None:
    assert complaints(replace(GOOD, free_bytes=lambda _path: 100 << 20)) == [
        "/var/lib/cloudspill has 100 MiB free, fewer than the 2048 that the guest image needs: "
        "free some space there"
    ]
