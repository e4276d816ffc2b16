# SPDX-License-Identifier: GPL-3.0-or-later
"""All parts of a sandbox, wired together in the order of need.

The VPC comes first, then what guests ask for while they boot (metadata, names, the API inside the
VPC), then the machines, and the host's door to the API last: whoever gets an answer finds all of
it. Taking apart is the reverse.
"""

from __future__ import annotations

import datetime
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from cloudspill_sandbox import provision, repositories
from cloudspill_sandbox.compute.beginnings import default_account
from cloudspill_sandbox.compute.catalogue.regions import ZONES
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.faulty_instances import FaultyInstances
from cloudspill_sandbox.compute.guests_in_memory import publish_host_key
from cloudspill_sandbox.compute.latency import latency_of
from cloudspill_sandbox.compute.metadata_view import MetadataView
from cloudspill_sandbox.compute.names import EVERY_PROJECT
from cloudspill_sandbox.compute.permissions import compute_access
from cloudspill_sandbox.compute.service import compute_service
from cloudspill_sandbox.control import environment
from cloudspill_sandbox.control.call_log import CallLog
from cloudspill_sandbox.engine.call import Document, Service
from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.engine.witness import Witness
from cloudspill_sandbox.faults.administration import FaultAdministration
from cloudspill_sandbox.faults.calls import exposed
from cloudspill_sandbox.faults.hooks import FaultHooks
from cloudspill_sandbox.faults.instances import InstanceFaults
from cloudspill_sandbox.faults.registry import Faults
from cloudspill_sandbox.front.server import Front
from cloudspill_sandbox.front.tls import (
    CERTIFICATE,
    ServerCertificate,
    client_bundle,
    ensure_authority,
)
from cloudspill_sandbox.front.tunnel import Tunneller, Upstream
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.authenticator import TokenAuthenticator
from cloudspill_sandbox.identity.credentials_api import CredentialMethods, credentials_access
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.iam_api import iam_access, iam_service
from cloudspill_sandbox.identity.owner import ensure_owned, ensure_owner, owner_email
from cloudspill_sandbox.identity.projects import ProjectNames, ensure_policy
from cloudspill_sandbox.identity.resource_manager import (
    resource_manager_access,
    resource_manager_service,
)
from cloudspill_sandbox.identity.service_activation import Admission, ServiceActivation
from cloudspill_sandbox.identity.service_catalogue import ServiceCatalogue
from cloudspill_sandbox.identity.service_usage import ServiceUsage
from cloudspill_sandbox.identity.service_usage_api import ServiceUsageMethods, service_usage_access
from cloudspill_sandbox.identity.tokens import Signers, Tokens
from cloudspill_sandbox.metadata import server as metadata
from cloudspill_sandbox.network.interface import API_ADDRESS, METADATA_ADDRESS
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.network.name_server import NameServer
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.runtime.interface import MachineError, Runtime
from cloudspill_sandbox.runtime.kept_volumes import KeptVolumes
from cloudspill_sandbox.runtime.machines import PodmanRuntime
from cloudspill_sandbox.runtime.memory import MemoryRuntime
from cloudspill_sandbox.settings import Settings
from cloudspill_sandbox.storage import permissions as storage_permissions
from cloudspill_sandbox.storage.access_control import Project
from cloudspill_sandbox.storage.blobs import Blobs
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.generations import Generations
from cloudspill_sandbox.storage.recovery import recover
from cloudspill_sandbox.storage.service import storage_service
from cloudspill_sandbox.storage.upkeep import kept_up

Progress = Callable[[str], None]

_BUNDLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")


class PortTakenError(RuntimeError):
    """Something else listens where the API should."""


def access_control(cloud: Cloud, accounts: ServiceAccounts, usage: ServiceUsage) -> Iam:
    """Return who may do what, with what each API asks of its callers."""
    projects = ProjectNames(cloud.store, project_numbers(cloud.settings))
    rules = {
        "cloudresourcemanager": resource_manager_access(projects),
        "compute": compute_access(cloud),
        "iam": iam_access(accounts, projects),
        "iamcredentials": credentials_access(accounts),
        "serviceusage": service_usage_access(usage, projects),
    }
    iam = Iam(cloud.store, accounts, projects, cloud.clock, rules)
    rules["storage"] = storage_permissions.access_rules(
        cloud.store, iam.policies, _project(cloud.settings), _projects(cloud.settings)
    )
    return iam


def storage_cloud(cloud: Cloud, iam: Iam) -> StorageCloud:
    """Return the buckets and objects of a sandbox."""
    return StorageCloud(
        store=cloud.store,
        blobs=Blobs(cloud.settings.objects_dir),
        generations=Generations(cloud.store, cloud.clock),
        clock=cloud.clock,
        project=_project(cloud.settings),
        projects=_projects(cloud.settings),
        policies=iam.policies,
        permissions=iam.authorizer,
    )


def implemented_services(
    cloud: Cloud, iam: Iam, tokens: Tokens, usage: ServiceUsage, storage: StorageCloud
) -> dict[str, Service]:
    """Return what the sandbox implements of each API (all of version v1), by the API's name."""
    return {
        "compute": compute_service(cloud),
        "cloudresourcemanager": resource_manager_service(cloud.store, iam),
        "iam": iam_service(cloud.store, iam),
        "iamcredentials": CredentialMethods(iam, tokens, cloud.clock).service(),
        "serviceusage": ServiceUsageMethods(usage, iam.projects).service(),
        "storage": storage_service(storage),
    }


def _project(settings: Settings) -> Project:
    return Project(settings.project, settings.project_number)


def _projects(settings: Settings) -> dict[str, Project]:
    """Return every project by its id and by its number."""
    every = [_project(settings.of(project)) for project in settings.projects]
    return {key: each for each in every for key in (each.id, str(each.number))}


def project_numbers(settings: Settings) -> dict[str, str]:
    """Return the ids of projects by their numbers, which clients may write in their place."""
    return {str(settings.of(each).project_number): each for each in settings.projects}


class Sandbox:
    """A whole sandbox.

    Args:
        progress: called with a sentence at each step of starting.
    """

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._started = time.monotonic()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start every part, and stop all of them when the block ends.

        Raises:
            PortTakenError: nothing was changed.
            NetworkError, MachineError, GuestImageError: what was made is gone again.
        """
        settings = self._settings
        _check_port(settings.port)
        authority = ensure_authority(settings.ca_dir)
        async with AsyncExitStack() as stack:
            store = Store(settings.database if settings.lasting else None)
            stack.callback(store.close)
            network, self._runtime = await self._host()
            self._progress("making the VPC")
            await network.start()
            stack.push_async_callback(network.stop)
            self._clock = clock = Clock(store)
            accounts = ServiceAccounts(store, clock)
            calls = stack.enter_context(CallLog(settings.call_log))
            signers = Signers.kept_in(settings.state_dir / "keys", time.time)
            tokens = Tokens(signers, accounts, clock, time.time)
            latency = latency_of(settings.latency, settings.seed)
            faults = Faults(store, clock, ZONES)
            self._cloud = cloud = Cloud(
                store=store,
                runtime=self._runtime,
                network=network,
                settings=settings,
                clock=clock,
                latency=latency,
                tokens=tokens,
                faults=FaultHooks(faults, store),
            )
            struck = InstanceFaults(faults, FaultyInstances(cloud))
            self.faults = FaultAdministration(faults, struck)
            metadata_server = await metadata.serve(
                self._metadata_view(), network.listen(METADATA_ADDRESS, 80, socket.SOCK_STREAM)
            )
            stack.push_async_callback(metadata_server.cleanup)
            names = NameServer(lambda: network.topology, api_names=[repositories.HOST])
            await names.start(
                network.listen(METADATA_ADDRESS, 53, socket.SOCK_DGRAM),
                network.listen(METADATA_ADDRESS, 53, socket.SOCK_STREAM),
            )
            stack.push_async_callback(names.stop)
            settings.repositories_dir.mkdir(parents=True, exist_ok=True)
            usage = ServiceUsage(store, ServiceCatalogue(), clock)
            iam = access_control(cloud, accounts, usage)
            _own_projects(cloud, iam)
            storage = storage_cloud(cloud, iam)
            recover(storage)
            implemented = implemented_services(cloud, iam, tokens, usage, storage)
            apis = {name: load_api(name, "v1") for name in implemented}
            services = exposed(implemented, faults, iam.authorizer.denial)
            front = Front(
                apis=apis,
                services=_watched(settings.witness, services, apis),
                authenticator=TokenAuthenticator(accounts, tokens, clock, time.time),
                authorizer=Admission(ServiceActivation(store, usage, iam), iam.authorizer),
                certificate=ServerCertificate(authority, [repositories.HOST], _now),
                sites={repositories.HOST: settings.repositories_dir},
                tunneller=Tunneller(Upstream.from_environment(os.environ, settings.port)),
                record=calls.record,
            )
            stack.push_async_callback(front.stop)
            await front.listen_tls(network.listen(API_ADDRESS, 443, socket.SOCK_STREAM))
            self._progress("starting the cloud")
            stack.push_async_callback(cloud.stop)
            stack.callback(latency.end_waits)  # before the cloud waits for its operations
            stack.callback(faults.end_waits)
            stack.push_async_callback(struck.stop)
            await cloud.start()
            struck.start()
            await stack.enter_async_context(kept_up(storage, clock))
            self._write_client_files(accounts)
            await front.listen_proxy(port=settings.port)
            yield

    def _metadata_view(self) -> MetadataView:
        """Return what instances see; those in memory use it as soon as they have booted."""
        view = MetadataView(self._cloud)
        if isinstance(self._runtime, MemoryRuntime):
            self._runtime.on_boot = lambda spec: publish_host_key(view, spec.nic.internal_ip)
        return view

    async def _host(self) -> tuple[NamespaceNetwork | MemoryNetwork, Runtime]:
        if self._settings.in_memory:
            kept = KeptVolumes(self._settings.volumes_dir) if self._settings.lasting else None
            return MemoryNetwork(), MemoryRuntime(kept)
        root = await provision.guest_image(self._settings, self._progress)
        return NamespaceNetwork(self._settings), PodmanRuntime(self._settings, root)

    def status(self) -> dict[str, Any]:
        """Return what `cloudspill-sandbox status` shows."""
        return {
            "running": True,
            "in_memory": self._settings.in_memory,
            "keep_state": self._settings.keep_state,
            "name": self._settings.name,
            "quotas": self._settings.quotas,
            "project": self._settings.project,
            "projects": list(self._settings.projects),
            "pid": os.getpid(),
            "port": self._settings.port,
            "latency": self._settings.latency,
            "seed": self._settings.seed,
            "uptime_seconds": round(time.monotonic() - self._started),
            "clock": self.clock(),
            "faults": self.faults.pending(),
            "memory_mb": _resident_mb(),
            "instances": [_summary(instance) for instance in self._instances()],
        }

    def clock(self) -> dict[str, Any]:
        """Return the cloud's time; see control.admin.Administered."""
        now = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
        return {"now": now.isoformat(timespec="seconds"), "ahead_seconds": self._clock.offset}

    def advance_clock(self, seconds: float) -> dict[str, Any]:
        """Set the cloud's time ahead; see control.admin.Administered."""
        self._clock.advance(seconds)
        return self.clock()

    def serial_output(self, instance: str, start: int) -> tuple[bytes, int]:
        """Return console output of an instance; see control.admin.Administered."""
        return self._runtime.serial_output(self._find(instance)["id"], start)

    def console_command(self, instance: str, tty: bool) -> list[str]:
        """Return the words that run a command in an instance; see control.admin.Administered."""
        document = self._find(instance)
        try:
            return self._runtime.console_command(document["id"], tty)
        except MachineError as error:
            raise LookupError(f"instance {instance!r} is {document['status']}: {error}") from error

    def _instances(self) -> list[Document]:
        collections = self._cloud.store.collections(EVERY_PROJECT, "instances")
        return [document for _, documents in collections for document in documents.values()]

    def _find(self, instance: str) -> Document:
        found = [document for document in self._instances() if document["name"] == instance]
        if not found:
            raise LookupError(f"no instance is called {instance!r}")
        if len(found) > 1:
            zones = ", ".join(_last_segment(document["zone"]) for document in found)
            raise LookupError(f"instances called {instance!r} are in several zones: {zones}")
        return found[0]

    def _write_client_files(self, accounts: ServiceAccounts) -> None:
        settings = self._settings
        authority = settings.ca_dir / CERTIFICATE
        settings.client_dir.mkdir(parents=True, exist_ok=True)
        environment.replace(settings.client_ca, authority.read_bytes())
        others = [Path(os.environ[name]) for name in _BUNDLES if name in os.environ]
        environment.replace(settings.client_bundle, client_bundle(authority, others))
        for project in settings.projects:
            ensure_owner(accounts, project, settings.credentials_of(project), _invoking_user())


def _watched(
    witness: Path | None, services: dict[str, Service], apis: dict[str, Api]
) -> dict[str, Service]:
    return Witness(witness).watching(services, apis) if witness else services


def _own_projects(cloud: Cloud, iam: Iam) -> None:
    """Let the owner of each project be there and own it."""
    for project in cloud.settings.projects:
        own = cloud.of(project) or cloud
        ensure_policy(iam.policies, cloud.store, own.project, _first_members(own))
        ensure_owned(cloud.store, iam.accounts, iam.policies, project)


def _first_members(cloud: Cloud) -> dict[str, str]:
    """Return the roles in a new project, by member; the second is Google's own default."""
    return {
        f"serviceAccount:{owner_email(cloud.settings.project)}": "roles/owner",
        f"serviceAccount:{default_account(cloud)}": "roles/editor",
    }


def _summary(instance: Document) -> dict[str, str | None]:
    interface = instance["networkInterfaces"][0]
    access = (interface.get("accessConfigs") or [{}])[0]
    return {
        "name": instance["name"],
        "zone": _last_segment(instance["zone"]),
        "machine_type": _last_segment(instance["machineType"]),
        "status": instance["status"],
        "internal_ip": interface["networkIP"],
        "external_ip": access.get("natIP"),
    }


def _last_segment(link: str) -> str:
    return link.rpartition("/")[2]


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} on 127.0.0.1 is taken ({error.strerror}): end what listens there, "
                "or choose another with `cloudspill-sandbox up --port PORT`"
            ) from error


def _invoking_user() -> tuple[int, int] | None:
    if "SUDO_UID" not in os.environ:
        return None
    return int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000, 1)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
