# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell ssh the host keys of an instance, as the instance published them to Google's API.

ssh runs this as its KnownHostsCommand, for every connection (ssh_config(5)). The guest agent writes
the keys to the guest attributes `hostkeys/` of its own instance
(https://cloud.google.com/compute/docs/metadata/manage-guest-attributes), which nobody but that
instance can do, so a first connection is as well verified as any other. They are kept by instance
id: a new instance of the same name or address has another id, and so other keys.

Only the standard library is imported until the keys have to be fetched.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compute import Compute

DEADLINE = 60.0
"""Seconds after which an instance that published no keys is given up."""

_INTERVAL = 0.2
_WITHOUT_ATTRIBUTES = (
    "where a policy forbids guest attributes, give its key by the inventory's option host_keys"
)


def alias(instance_id: str) -> str:
    """The name under which ssh knows an instance: its HostKeyAlias."""
    return f"compute.{instance_id}"


def cached(folder: Path, instance_id: str) -> str:
    """The lines kept for an instance; empty where there are none."""
    try:
        return (folder / alias(instance_id)).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def keep(folder: Path, instance_id: str, lines: str) -> None:
    """Keep the lines of an instance, complete or not at all, readable by the user alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f".{alias(instance_id)}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(lines)
    draft.replace(folder / alias(instance_id))


def known_hosts_lines(instance_id: str, attributes: dict[str, Any]) -> str:
    """Write the answer of instances.getGuestAttributes as lines of a known_hosts file."""
    items = (attributes.get("queryValue") or {}).get("items") or []
    return "".join(
        f"{alias(instance_id)} {item['key']} {item['value'].strip()}\n"
        for item in sorted(items, key=lambda item: str(item["key"]))
        if item.get("namespace") == "hostkeys" and item.get("value")
    )


def fetch(
    compute: Compute,
    instance: str,
    instance_id: str,
    *,
    deadline: float = DEADLINE,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Read the host keys of an instance, waiting until it has published them.

    Args:
        instance: `zones/ZONE/instances/NAME`.
        instance_id: its id; an instance of that name with another id is refused.
        deadline: seconds to wait.

    Raises:
        CloudError: the instance is not that one, publishes no keys, or the API refuses.
    """
    from .api_errors import ApiError, CloudError, DeadlineError

    document = compute.get(instance, fields="id")
    if str(document.get("id")) != instance_id:
        raise CloudError(
            f"{instance} is another instance now (id {document.get('id')}, not {instance_id}): "
            "read the inventory again"
        )
    until = now() + deadline
    while True:
        try:
            attributes = compute.find(f"{instance}/getGuestAttributes", queryPath="hostkeys/")
        except ApiError as error:
            if "guest attribute" not in error.message.lower():
                raise
            raise CloudError(f"{error.sentence}; {_WITHOUT_ATTRIBUTES}") from error
        lines = known_hosts_lines(instance_id, attributes or {})
        if lines:
            return lines
        if now() >= until:
            raise DeadlineError(
                f"{instance} published no ssh host keys within {deadline:.0f} s: its metadata "
                f"needs enable-guest-attributes=TRUE and its image Google's guest agent; "
                f"{_WITHOUT_ATTRIBUTES}"
            )
        sleep(_INTERVAL)


def default_folder() -> Path:
    """Where the keys of all instances are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "cloudspill" / "host_keys"


def command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments that `ssh_options.py` writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--project", required=True)
    parser.add_argument("--zone", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--environment-file", type=Path)
    parser.add_argument("--host-key", help="the key itself: nothing is fetched")
    parser.add_argument("--deadline", type=float, default=DEADLINE)
    return parser.parse_args(arguments)


def fetch_from_cloud(options: argparse.Namespace) -> str:
    """Read the keys through the API with the credentials of the environment.

    Raises:
        CloudError: they cannot be had.
    """
    import site

    site.main()  # ssh_options starts Python without it, since only this needs what it finds
    from .compute import Compute
    from .credentials import load_credentials
    from .target_environment import read_environment_file
    from .transport import Transport

    if options.environment_file:
        os.environ.update(read_environment_file(options.environment_file))
    key_file = None if options.environment_file else os.environ.get("GCP_SERVICE_ACCOUNT_FILE")
    credentials = load_credentials(
        {
            "auth_kind": "serviceaccount" if key_file else "application",
            "service_account_file": key_file,
        }
    )
    instance = f"zones/{options.zone}/instances/{options.instance}"
    compute = Compute(Transport(credentials), options.project)
    return fetch(compute, instance, options.id, deadline=options.deadline)


def main() -> int:
    """Print the lines of an instance; exit status 1, and a sentence, if they cannot be had."""
    options = command_line()
    if options.host_key:
        sys.stdout.write(f"{alias(options.id)} {options.host_key}\n")
        return 0
    folder = default_folder()
    lines = cached(folder, options.id)
    if not lines:
        try:
            lines = fetch_from_cloud(options)
        except Exception as error:  # noqa: BLE001  # ssh shows stderr: a sentence, no traceback
            sys.stderr.write(f"cloudspill: {error}\n")
            return 1
        keep(folder, options.id, lines)
    sys.stdout.write(lines)
    return 0


if __name__ == "__main__":
    # A program is part of no package: say where its siblings are (PEP 366).
    folder = Path(__file__).resolve().parent
    sys.path.insert(0, str(folder.parent))
    __package__ = folder.name
    raise SystemExit(main())
