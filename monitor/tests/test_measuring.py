# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: the machine, cgroups that do not count, and the tasks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudspill_monitor.cgroups import CgroupCpu, Hierarchy, find_hierarchies
from cloudspill_monitor.loads import LoadMeter
from cloudspill_monitor.procfs import ProcessStat, read_stat, sessions
from cloudspill_monitor.sampler import HostCpu, Sampler, read_host_cpu, read_memory


class Used:
    """A source of CPU time that does not count."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = iter(seconds)

    def delta(self) -> float:
        return next(self._seconds)


def sampler(*readings: tuple[float, float], ignored: tuple[Used, ...] = ()) -> Sampler:
    values = iter(HostCpu(busy, total) for busy, total in readings)
    return Sampler(ignored, lambda: next(values), lambda: 12.5, cores=4)


def test_the_first_reading_is_thrown_away() -> None:
    assert sampler((300.0, 400.0)).sample() is None


def test_cpu_is_what_was_used_since_the_last_sample() -> None:
    machine = sampler((300.0, 400.0), (303.0, 404.0), (303.0, 408.0))
    machine.sample()
    cpus = [machine.sample(), machine.sample()]
    assert [sample.cpu for sample in cpus if sample] == [75.0, 0.0]
    assert [sample.memory for sample in cpus if sample] == [12.5, 12.5]


def test_ignored_cpu_time_is_subtracted() -> None:
    machine = sampler((0.0, 0.0), (3.0, 4.0), ignored=(Used(99.0, 1.5), Used(0.0, 0.5)))
    machine.sample()
    sample = machine.sample()
    assert sample is not None
    assert (sample.cpu, sample.ignored) == (25.0, 50.0)


def test_ignored_cpu_time_never_makes_cpu_negative() -> None:
    machine = sampler((0.0, 0.0), (1.0, 4.0), ignored=(Used(0.0, 3.0),))
    machine.sample()
    sample = machine.sample()
    assert sample is not None
    assert (sample.cpu, sample.ignored) == (0.0, 25.0)


def test_counters_that_step_back_make_no_negative_cpu() -> None:
    machine = sampler((10.0, 100.0), (9.0, 101.0))
    machine.sample()
    sample = machine.sample()
    assert sample is not None
    assert sample.cpu == 0.0


def test_no_time_passed_is_no_sample() -> None:
    machine = sampler((1.0, 4.0), (1.0, 4.0))
    machine.sample()
    assert machine.sample() is None


def test_this_machine_can_be_read() -> None:
    first = read_host_cpu()
    assert 0.0 < first.busy <= first.total
    assert 0.0 < read_memory() < 100.0


def cgroup(root: Path, version: int, name: str, seconds: float) -> None:
    directory = root / name
    directory.mkdir(parents=True, exist_ok=True)
    if version == 1:
        (directory / "cpuacct.usage").write_text(f"{int(seconds * 1e9)}\n")
    else:
        text = f"usage_usec {int(seconds * 1e6)}\nuser_usec 1\nsystem_usec 1\n"
        (directory / "cpu.stat").write_text(text)


@pytest.mark.parametrize("version", [1, 2])
def test_cgroups_of_both_versions_are_read(tmp_path: Path, version: int) -> None:
    cgroup(tmp_path, version, "machine.slice", 5.0)
    cgroup(tmp_path, version, "other", 100.0)
    source = CgroupCpu(("machine.slice",), (Hierarchy(tmp_path, version),))
    cgroup(tmp_path, version, "machine.slice", 7.5)
    cgroup(tmp_path, version, "other", 200.0)
    assert source.delta() == pytest.approx(2.5)
    assert source.delta() == 0.0


def test_a_group_and_its_parent_count_once(tmp_path: Path) -> None:
    cgroup(tmp_path, 2, "a", 0.0)
    cgroup(tmp_path, 2, "a/b/c", 0.0)
    source = CgroupCpu(("a", "a/*", "a/b/c"), (Hierarchy(tmp_path, 2),))
    cgroup(tmp_path, 2, "a", 3.0)
    cgroup(tmp_path, 2, "a/b/c", 3.0)
    assert source.delta() == pytest.approx(3.0)


def test_a_hybrid_machine_counts_a_group_once(tmp_path: Path) -> None:
    trees = (Hierarchy(tmp_path / "cpuacct", 1), Hierarchy(tmp_path / "unified", 2))
    for tree in trees:
        cgroup(tree.root, tree.version, "pod", 0.0)
    source = CgroupCpu(("pod",), trees)
    for tree in trees:
        cgroup(tree.root, tree.version, "pod", 2.0)
    assert source.delta() == pytest.approx(2.0)


def test_groups_come_and_go(tmp_path: Path) -> None:
    source = CgroupCpu(("pod-*",), (Hierarchy(tmp_path, 2),))
    assert source.delta() == 0.0
    cgroup(tmp_path, 2, "pod-1", 1.0)
    assert source.delta() == pytest.approx(1.0)
    (tmp_path / "pod-1" / "cpu.stat").unlink()
    assert source.delta() == 0.0


def test_groups_that_vanish_while_they_are_listed_do_no_harm(tmp_path: Path) -> None:
    pods = [tmp_path / f"user-{n}" / "pod" for n in range(20)]
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for pod in pods:
                pod.mkdir(parents=True)
            for pod in pods:
                pod.rmdir()
                pod.parent.rmdir()

    coming = threading.Thread(target=come_and_go)
    coming.start()
    try:
        source = CgroupCpu(("user-*/*/scope-*",), (Hierarchy(tmp_path, 2),))
        assert [source.delta() for _ in range(1500)] == [0.0] * 1500
    finally:
        over.set()
        coming.join()


def test_hierarchies_are_found_in_the_mounts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "proc /proc proc rw 0 0\n"
        "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
        "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
        "cgroup2 /sys/fs/cgroup/uni\\040fied cgroup2 rw 0 0\n"
    )
    assert find_hierarchies(mounts) == (
        Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), 1),
        Hierarchy(Path("/sys/fs/cgroup/uni fied"), 2),
    )


def stat(pid: int, cpu: float, threads: int = 1) -> ProcessStat:
    return ProcessStat(pid, "S", 1, 1, 0, cpu, threads, parent=0)


def metered(window: float, *readings: tuple[float, float, float]) -> LoadMeter:
    meter = LoadMeter(window)
    for at, cpu, host in readings:
        meter.read([stat(1, 0.0), stat(2, cpu)], 1, at, host)
    return meter


def test_a_load_is_cpu_time_over_wall_time_in_the_window() -> None:
    assert metered(10.0, (0.0, 5.0, 50.0)).cores is None
    assert metered(10.0, (0.0, 5.0, 50.0), (2.0, 6.0, 50.0)).cores == 0.5
    meter = metered(2.0, *((float(t), 0.0 if t < 8 else t - 8.0, 50.0) for t in range(11)))
    assert meter.cores == 1.0


def test_a_load_is_a_lower_bound_while_the_machine_is_saturated() -> None:
    assert not metered(2.0, (0.0, 0.0, 94.0), (1.0, 1.0, 94.0)).squeezed
    assert metered(2.0, (0.0, 0.0, 99.0), (1.0, 1.0, 50.0)).squeezed
    assert not metered(
        2.0, (0.0, 0.0, 99.0), *((t, t, 50.0) for t in (1.0, 2.0, 3.0, 4.0))
    ).squeezed


def test_cpu_time_lost_with_a_process_counts_as_none() -> None:
    assert metered(10.0, (0.0, 5.0, 50.0), (1.0, 1.0, 50.0)).cores == 0.0


def test_the_waiting_shell_is_no_thread_of_the_task() -> None:
    meter = LoadMeter(1.0)
    meter.read([stat(1, 0.0), stat(2, 1.0, threads=3), stat(3, 1.0)], 1, 0.0, 50.0)
    assert meter.threads == 4


def test_a_process_is_read_whatever_its_name(spawn: Callable[..., int], tmp_path: Path) -> None:
    odd = tmp_path / "a) S 1 (b"
    odd.symlink_to("/bin/sleep")
    pid = spawn([str(odd), "60"])
    found = read_stat(pid)
    assert found is not None
    assert (found.pid, found.session, found.threads) == (pid, pid, 1)
    assert found.start_ticks / os.sysconf("SC_CLK_TCK") == pytest.approx(
        time.clock_gettime(time.CLOCK_BOOTTIME), abs=30.0
    )
    assert pid in sessions()[pid]


def test_no_process_is_none() -> None:
    assert read_stat(2**22 + 1) is None
