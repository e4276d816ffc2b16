# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment variables that point a Google client at the sandbox."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from cloudspill_sandbox.settings import Settings

SAVED = "CLOUDSPILL_SAVED_ENVIRONMENT"
"""Holds, in a shell that evaluated `env`, what its variables were before."""

PRIVATE_RANGES = "localhost,127.0.0.1,::1,198.18.0.0/15,10.128.0.0/9"


def play_environment(settings: Settings, no_proxy: str | None, project: str) -> dict[str, str]:
    """Return the variables for a play: few, and a CA file that loads in a millisecond.

    Every request of google.cloud opens a new session and loads the CA file again, so the file
    holds the sandbox's CA alone. GCP_SERVICE_ACCOUNT_FILE is left out: google.cloud reads it even
    for tasks that authenticate otherwise, and those then fail.

    Args:
        no_proxy: NO_PROXY of the environment in which the sandbox was started.
        project: id of the clients' project.
    """
    direct = ",".join(part for part in (PRIVATE_RANGES, no_proxy) if part)
    return {
        "HTTPS_PROXY": f"http://127.0.0.1:{settings.port}",
        "https_proxy": f"http://127.0.0.1:{settings.port}",
        "NO_PROXY": direct,
        "no_proxy": direct,
        "REQUESTS_CA_BUNDLE": str(settings.client_ca),
        "GOOGLE_APPLICATION_CREDENTIALS": str(settings.credentials_of(project)),
        "GCP_PROJECT": project,
        "CLOUDSDK_CORE_PROJECT": project,
    }


def shell_environment(settings: Settings, play: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a shell: every client's, and a bundle with the system's CAs too.

    gcloud's are documented at https://cloud.google.com/sdk/docs/properties.
    """
    bundle = str(settings.client_bundle)
    port = play["HTTPS_PROXY"].rpartition(":")[2]
    return dict(play) | {
        "REQUESTS_CA_BUNDLE": bundle,
        "SSL_CERT_FILE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "GIT_SSL_CAINFO": bundle,
        "PIP_CERT": bundle,
        "HTTPLIB2_CA_CERTS": bundle,
        "GOOGLE_CLOUD_PROJECT": play["GCP_PROJECT"],
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": bundle,
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": play["GOOGLE_APPLICATION_CREDENTIALS"],
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": port,
    }


def write(path: Path, variables: Mapping[str, str]) -> None:
    """Write the play's variables where the inventory reads them, atomically, for everyone."""
    replace(path, json.dumps(variables, indent=2).encode() + b"\n")


def replace(path: Path, content: bytes) -> None:
    """Give a file that everyone may read new content; a reader sees the old or the new, whole."""
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_bytes(content)
    scratch.chmod(0o644)
    scratch.replace(path)


def read(path: Path) -> dict[str, str]:
    """Return the variables that write() left. Raises FileNotFoundError when there are none."""
    variables: dict[str, str] = json.loads(path.read_text())
    return variables


def exports(variables: Mapping[str, str], current: Mapping[str, str] = os.environ) -> str:
    """Return shell lines that set the variables and remember what they replace."""
    earlier = json.loads(current.get(SAVED, "{}"))
    for name in variables:
        earlier.setdefault(name, current.get(name))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, f"export {SAVED}={shlex.quote(json.dumps(earlier))}"])


def unsets(current: Mapping[str, str] = os.environ) -> str:
    """Return shell lines that give back what exports() replaced; none where it never ran."""
    earlier = json.loads(current.get(SAVED, "{}"))
    lines = [
        f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"
        for name, value in earlier.items()
    ]
    return "\n".join([*lines, f"unset {SAVED}"])
