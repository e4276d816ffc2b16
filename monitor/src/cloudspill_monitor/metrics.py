# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus metrics and /healthz, drawn from the monitor's state when they are asked for.

Imported only when the configuration has `metrics`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cloudspill_monitor.config import MetricsConfig
from cloudspill_monitor.snapshot import Snapshot

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PREFIX = "cloudspill_monitor"
_PATIENCE = 5.0  # seconds without a word from a client
_LATE = 3  # intervals without a sample after which the monitor is not healthy

Read = Callable[[], Snapshot | None]


class MetricsError(Exception):
    """The port cannot be used; the message says why."""


class StateCollector(Collector):
    """Turns a snapshot into metrics at scrape."""

    def __init__(self, read: Read, now: Callable[[], float]) -> None:
        self._read = read
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on the tasks."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics; none before the first sample."""
        snapshot = self._read()
        if snapshot is None:
            return
        yield from _machine(snapshot, self._now() - snapshot.at)
        yield from _moves(snapshot)
        yield from _tasks(snapshot)
        yield from _vms(snapshot)


class MetricsServer:
    """Serves /metrics and /healthz from a thread of its own. Raises MetricsError."""

    def __init__(self, config: MetricsConfig, read: Read, now: Callable[[], float]) -> None:
        registry = CollectorRegistry()
        registry.register(StateCollector(read, now))
        try:
            self._server = make_server(
                config.address,
                config.port,
                _application(make_wsgi_app(registry), read, now),
                server_class=_server_class(config.address),
                handler_class=_Quiet,
            )
        except OSError as error:
            raise MetricsError(
                f"metrics: cannot listen on {config.address} port {config.port}: {error.strerror}"
            ) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    """A client that says nothing holds up neither another one nor the end of the monitor."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = _PATIENCE

    def handle(self) -> None:
        """One request; clients that go away or say nothing are no news."""
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """No line for each scrape."""


def _server_class(address: str) -> type[WSGIServer]:
    if ":" not in address:
        return _Server
    return type("IPv6Server", (_Server,), {"address_family": socket.AF_INET6})


def _application(metrics: WSGIApplication, read: Read, now: Callable[[], float]) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            return metrics(environ, start_response)
        status, text = _health(read(), now()) if path == "/healthz" else ("404 Not Found", "no")
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    return application


def _health(snapshot: Snapshot | None, now: float) -> tuple[str, str]:
    if snapshot is None:
        return "503 Service Unavailable", "no sample has been taken yet"
    age = now - snapshot.at
    if age > _LATE * snapshot.interval:
        return "503 Service Unavailable", f"the last sample was taken {age:.1f} s ago"
    return "200 OK", "ok"


def _machine(snapshot: Snapshot, age: float) -> Iterator[Metric]:
    for name, text, value in (
        ("cpu_ratio", "CPU that is judged, of the whole machine", snapshot.cpu / 100.0),
        ("ignored_cpu_ratio", "CPU of ignore_cgroups", snapshot.ignored / 100.0),
        ("memory_ratio", "Memory in use", snapshot.memory / 100.0),
        ("threshold_high_ratio", "CPU above which tasks go out", snapshot.threshold_high / 100.0),
        ("threshold_low_ratio", "CPU below which tasks come home", snapshot.threshold_low / 100.0),
        ("sample_age_seconds", "Age of the last sample", age),
        ("drained", "Whether all tasks are kept home", float(snapshot.drained_wall is not None)),
        ("start_time_seconds", "When the monitor was started, Unix time", snapshot.started_wall),
    ):
        yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
    for name, text, count in (
        ("samples", "Samples taken", snapshot.samples),
        ("gaps", "Times that samples were missing", snapshot.gaps),
    ):
        yield CounterMetricFamily(f"{_PREFIX}_{name}", text, value=count)


def _moves(snapshot: Snapshot) -> Iterator[Metric]:
    moves = CounterMetricFamily(f"{_PREFIX}_moves", "Moves by direction", labels=["direction"])
    moves.add_metric(["out"], snapshot.moves_out)
    moves.add_metric(["in"], snapshot.moves_in)
    yield moves
    yield CounterMetricFamily(
        f"{_PREFIX}_failed_moves", "Moves that failed", value=snapshot.moves_failed
    )


def _vms(snapshot: Snapshot) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        f"{_PREFIX}_vm_up",
        "Whether the VM is up (0: it is being made or deleted)",
        labels=["vm", "zone", "machine_type", "spot"],
    )
    connected = GaugeMetricFamily(
        f"{_PREFIX}_vm_connected", "Whether the VM's stream is open", labels=["vm"]
    )
    lease = GaugeMetricFamily(
        f"{_PREFIX}_vm_lease_seconds", "What is left of the VM's lease", labels=["vm"]
    )
    lifetime = GaugeMetricFamily(
        f"{_PREFIX}_vm_lifetime_seconds", "Until Google Cloud deletes the VM", labels=["vm"]
    )
    for vm in snapshot.vms:
        spot = "true" if vm.spot else "false"
        up.add_metric([vm.name, vm.zone, vm.machine_type, spot], float(vm.state == "up"))
        connected.add_metric([vm.name], float(vm.connected))
        for family, seconds in ((lease, vm.lease), (lifetime, vm.lifetime)):
            if seconds is not None:
                family.add_metric([vm.name], seconds)
    yield from (up, connected, lease, lifetime)
    yield CounterMetricFamily(
        f"{_PREFIX}_cost", "What VMs have cost, by price_per_hour", value=snapshot.cost
    )


def _tasks(snapshot: Snapshot) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        f"{_PREFIX}_task_running", "Whether the task runs, and where", labels=["task", "place"]
    )
    cores = GaugeMetricFamily(f"{_PREFIX}_task_cpu_cores", "Cores in use", labels=["task"])
    restarts = CounterMetricFamily(
        f"{_PREFIX}_task_restarts", "Times that it died and was restarted", labels=["task"]
    )
    for task in snapshot.tasks:
        up.add_metric([task.name, task.place], float(task.runs))
        restarts.add_metric([task.name], task.restarts)
        if task.cores is not None:
            cores.add_metric([task.name], task.cores)
    yield from (up, cores, restarts)
