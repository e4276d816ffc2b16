# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel parameters are raised and put back, even by a successor."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.kernel_limits import KernelLimits


class FakeKernel:
    """Files that stand for /proc/sys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parameter = folder / "fs/inotify/max_user_instances"
        self._parameter.parent.mkdir(parents=True)
        (folder / "boot_id").write_text("first\n")

    @property
    def instances(self) -> int:
        return int(self._parameter.read_text())

    @instances.setter
    def instances(self, value: int) -> None:
        self._parameter.write_text(f"{value}\n")

    def boot(self, name: str, instances: int) -> None:
        (self._folder / "boot_id").write_text(f"{name}\n")
        self.instances = instances

    def limits(self) -> KernelLimits:
        record = self._folder / "record.json"
        return KernelLimits(record, self._folder, self._folder / "boot_id")


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    kernel = FakeKernel(tmp_path)
    kernel.instances = 128
    return kernel


def test_a_limit_is_raised_and_restored(kernel: FakeKernel) -> None:
    limits = kernel.limits()
    limits.raise_all()
    assert kernel.instances == 8192
    limits.restore()
    assert kernel.instances == 128


def test_a_successor_restores_what_a_killed_sandbox_found(kernel: FakeKernel) -> None:
    kernel.limits().raise_all()
    kernel.limits().raise_all()
    kernel.limits().restore()
    assert kernel.instances == 128


def test_what_was_set_between_a_kill_and_its_successor_is_what_is_restored(
    kernel: FakeKernel,
) -> None:
    kernel.limits().raise_all()
    kernel.instances = 256
    kernel.limits().raise_all()
    kernel.limits().restore()
    assert kernel.instances == 256


def test_a_limit_that_is_high_enough_is_left_alone(kernel: FakeKernel) -> None:
    kernel.instances = 100_000
    limits = kernel.limits()
    limits.raise_all()
    assert kernel.instances == 100_000
    limits.restore()
    assert kernel.instances == 100_000


def test_what_somebody_else_set_meanwhile_stays(kernel: FakeKernel) -> None:
    limits = kernel.limits()
    limits.raise_all()
    kernel.instances = 1024
    limits.restore()
    assert kernel.instances == 1024


def test_a_record_of_an_earlier_boot_is_void(kernel: FakeKernel) -> None:
    kernel.limits().raise_all()
    kernel.boot("second", 8192)
    kernel.limits().restore()
    assert kernel.instances == 8192


def test_restoring_without_a_record_changes_nothing(kernel: FakeKernel) -> None:
    kernel.limits().restore()
    assert kernel.instances == 128
