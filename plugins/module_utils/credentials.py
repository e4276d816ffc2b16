# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Credentials for Google Cloud out of a module's options, checked before they are used.

The kinds and the names of the options are those of google.cloud's modules, so that one
`module_defaults` serves both: https://google.aip.dev/auth/4110 describes the application default.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .api_errors import CredentialsError, MissingLibraryError

COMPUTE_SCOPE = "https://www.googleapis.com/auth/compute"
CLOUD_PLATFORM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

_KEY_FIELDS = ("client_email", "private_key", "token_uri")


def load_credentials(options: dict[str, Any]) -> Any:
    """Make google-auth credentials from a module's options.

    Args:
        options: `auth_kind` and what goes with it: `service_account_file`,
            `service_account_contents`, `service_account_email`, `access_token`; `scopes`.

    Returns:
        `google.auth.credentials.Credentials`.

    Raises:
        CredentialsError: they are missing, malformed, or a key that everybody can read.
        MissingLibraryError: google-auth is not installed.
    """
    try:
        return _credentials(options)
    except ImportError as error:
        raise MissingLibraryError(error) from error


def _credentials(options: dict[str, Any]) -> Any:
    scopes = options.get("scopes") or [CLOUD_PLATFORM_SCOPE]
    kind = options["auth_kind"]
    if kind == "serviceaccount":
        return _service_account(_key_information(options), scopes)
    if kind == "application":
        return _application_default(scopes)
    if kind == "machineaccount":
        from google.auth import compute_engine

        return compute_engine.Credentials(options.get("service_account_email") or "default")
    if not options.get("access_token"):
        raise CredentialsError("auth_kind is accesstoken: set access_token")
    from google.oauth2 import credentials

    return credentials.Credentials(options["access_token"])


def _key_information(options: dict[str, Any]) -> dict[str, Any]:
    contents = options.get("service_account_contents")
    if contents:
        return parse_key(contents, "service_account_contents")
    path = options.get("service_account_file")
    if not path:
        raise CredentialsError(
            "auth_kind is serviceaccount: set gcp_service_account_file to the path of a JSON key"
        )
    return read_key_file(Path(path).expanduser())


def read_key_file(path: Path) -> dict[str, Any]:
    """Read a service-account key file.

    Raises:
        CredentialsError: it is absent, unreadable, readable by everybody, or no key.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise CredentialsError(f"cannot read the key file {path}: it is no text") from error
    if mode & stat.S_IROTH:
        raise CredentialsError(
            f"the key file {path} can be read by everybody (mode {mode:04o}): "
            f"run `chmod 600 {path}`"
        )
    return parse_key(text, str(path))


def unreadable(path: Path, error: OSError) -> CredentialsError:
    """Say why a key file cannot be read and, where it is another user's, who can."""
    try:
        found = path.stat()
    except OSError:  # a folder on the way is closed to us
        found = None
    if not isinstance(error, PermissionError) or found is None:
        return CredentialsError(f"cannot read the key file {path}: {error.strerror or error}")
    owner = _name(pwd.getpwuid, found.st_uid)
    readers = owner
    if found.st_mode & stat.S_IRGRP:
        readers += f" and the group {_name(grp.getgrgid, found.st_gid)}"
    return CredentialsError(
        f"only {readers} can read the key file {path}: run this as {owner}, or ask {owner} for a "
        "key and a target of your own"
    )


def _name(look_up: Callable[[int], Sequence[Any]], number: int) -> str:
    """The name of a user or group, else its number."""
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


def parse_key(contents: str | dict[str, Any], origin: str) -> dict[str, Any]:
    """Decode a service-account key and check that it is one.

    Raises:
        CredentialsError: it is no JSON object, or a field is missing; never quotes the contents.
    """
    try:
        key = json.loads(contents) if isinstance(contents, str) else contents
    except ValueError as error:
        raise CredentialsError(
            f"{origin} is no JSON: download the service account's key again"
        ) from error
    missing = [name for name in _KEY_FIELDS if not isinstance(key, dict) or not key.get(name)]
    if missing:
        raise CredentialsError(
            f"{origin} is no service-account key ({', '.join(missing)} missing): "
            "download the service account's key again"
        )
    return dict(key)


def _service_account(key: dict[str, Any], scopes: list[str]) -> Any:
    from google.oauth2 import service_account

    try:
        return service_account.Credentials.from_service_account_info(key, scopes=scopes)
    except ValueError as error:
        raise CredentialsError(
            f"the private key of {key['client_email']} is malformed: "
            "download the service account's key again"
        ) from error


def _application_default(scopes: list[str]) -> Any:
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    try:
        if path and not Path(path).exists():
            raise CredentialsError(
                f"GOOGLE_APPLICATION_CREDENTIALS names {path}, which does not exist"
            )
        return google.auth.default(scopes=scopes)[0]
    except OSError as error:
        raise unreadable(Path(path or error.filename or "?"), error) from error
    except GoogleAuthError as error:
        raise CredentialsError(
            "no application default credentials: set GCP_SERVICE_ACCOUNT_FILE to a service "
            "account's key, or run `gcloud auth application-default login`"
        ) from error
