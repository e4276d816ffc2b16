# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics and /healthz over HTTP on loopback, drawn from the state when asked."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from cloudspill_monitor.config import MetricsConfig
from cloudspill_monitor.metrics import MetricsError, MetricsServer
from cloudspill_monitor.snapshot import Snapshot, TaskView, VmView

SNAPSHOT = Snapshot(
    pid=1,
    at=100.0,
    wall=1.7e9,
    started_wall=1.6e9,
    interval=1.0,
    config="monitor.yml",
    dry_run=True,
    cpu=80.0,
    ignored=5.0,
    elsewhere=0.0,
    memory=40.0,
    threshold_high=75.0,
    threshold_low=60.0,
    judgement="",
    samples=7,
    gaps=1,
    moves_out=2,
    moves_in=1,
    moves_failed=3,
    tasks=(TaskView('odd "name"', "vm-1", "running", True, 5, 0.5, 9.0, 4, None, "log"),),
    decisions=(),
)


class State:
    """What the monitor would hold."""

    snapshot: Snapshot | None = SNAPSHOT
    now = 100.5

    def get(self, server: MetricsServer, path: str) -> tuple[int, str]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{server.port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


VM = VmView(
    name="burst-3f2a9c-1",
    zone="us-west1-b",
    machine_type="n1-standard-1",
    spot=True,
    state="up",
    connected=True,
    age=187.0,
    lease=110.0,
    lifetime=42000.0,
    cost=0.0025,
    tasks=("Task 3",),
)


def serve(state: State) -> MetricsServer:
    return MetricsServer(MetricsConfig(port=0), lambda: state.snapshot, lambda: state.now)


def test_metrics_show_the_state_at_the_time_of_the_scrape() -> None:
    state = State()
    with serve(state) as server:
        _, first = state.get(server, "/metrics")
        state.snapshot = replace(SNAPSHOT, cpu=10.0)
        _, second = state.get(server, "/metrics")
    assert "cloudspill_monitor_cpu_ratio 0.8\n" in first
    assert "cloudspill_monitor_cpu_ratio 0.1\n" in second
    assert 'cloudspill_monitor_moves_total{direction="out"} 2.0\n' in first
    assert "cloudspill_monitor_failed_moves_total 3.0\n" in first
    assert "cloudspill_monitor_sample_age_seconds 0.5\n" in first
    assert 'task_running{place="vm-1",task="odd \\"name\\""} 1.0\n' in first
    assert 'task_restarts_total{task="odd \\"name\\""} 4.0\n' in first


def test_metrics_tell_of_vms_and_what_they_cost() -> None:
    state = State()
    made = replace(VM, name="burst-2", state="planned", connected=False, lease=None, lifetime=None)
    away = replace(SNAPSHOT.tasks[0], name="a", place=VM.name, phase="away")
    state.snapshot = replace(SNAPSHOT, tasks=(away,), vms=(VM, made), cost=0.5, drained_wall=1.65e9)
    with serve(state) as server:
        _, text = state.get(server, "/metrics")
    of = 'machine_type="n1-standard-1",spot="true"'
    assert f'vm_up{{{of},vm="burst-3f2a9c-1",zone="us-west1-b"}} 1.0\n' in text
    assert f'vm_up{{{of},vm="burst-2",zone="us-west1-b"}} 0.0\n' in text
    assert 'task_running{place="burst-3f2a9c-1",task="a"} 1.0\n' in text
    assert 'vm_connected{vm="burst-2"} 0.0\n' in text
    assert [line for line in text.splitlines() if "vm_lease_seconds{" in line] == [
        'cloudspill_monitor_vm_lease_seconds{vm="burst-3f2a9c-1"} 110.0'
    ]
    assert 'vm_lifetime_seconds{vm="burst-3f2a9c-1"} 42000.0\n' in text
    assert "cloudspill_monitor_cost_total 0.5\n" in text
    assert "cloudspill_monitor_drained 1.0\n" in text


def test_health_is_a_recent_sample() -> None:
    state = State()
    with serve(state) as server:
        assert state.get(server, "/healthz") == (200, "ok\n")
        state.now = 104.0
        assert state.get(server, "/healthz") == (503, "the last sample was taken 4.0 s ago\n")
        state.snapshot = None
        assert state.get(server, "/healthz")[0] == 503
        assert state.get(server, "/metrics")[0] == 200
        assert state.get(server, "/other")[0] == 404


def test_a_client_that_says_nothing_holds_up_nobody() -> None:
    state = State()
    with socket.socket() as silent:
        with serve(state) as server:
            silent.connect(("127.0.0.1", server.port))
            assert state.get(server, "/healthz") == (200, "ok\n")
            ended = time.monotonic()
        assert time.monotonic() - ended < 4.5


def test_a_port_that_is_taken_is_named() -> None:
    state = State()
    with serve(state) as server, pytest.raises(MetricsError, match=f"port {server.port}"):
        MetricsServer(MetricsConfig(port=server.port), lambda: None, lambda: 0.0)
