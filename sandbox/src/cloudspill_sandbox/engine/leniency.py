# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox lets pass although Google's published schema does not have it, and for whom.

Numbers for 64-bit strings, numbers in quotation marks and null are no leniencies: they are how
Google's API front end reads JSON (https://protobuf.dev/programming-guides/json/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A body field that is dropped instead of refused.

    Attributes:
        schema: schema in which it stands.
        field: its name.
        client: who sends it.
    """

    schema: str
    field: str
    client: str


@dataclass(frozen=True, slots=True)
class UnknownParameter:
    """A query parameter that is dropped instead of refused, on every method of an API.

    Attributes:
        api: name of the API.
        name: of the parameter.
        client: who sends it.
        boolean: it is not dropped: handlers get it as a boolean.
    """

    api: str
    name: str
    client: str
    boolean: bool = False


UNKNOWN_FIELDS = (
    UnknownField("Snapshot", "zone", "google.cloud.gcp_compute_snapshot"),
    UnknownField("Image", "zone", "apache-libcloud"),
    UnknownField("Bucket", "project", "google.cloud.gcp_storage_bucket"),
    UnknownField("Bucket", "predefinedDefaultObjectAcl", "google.cloud.gcp_storage_bucket"),
)

UNKNOWN_PARAMETERS = (
    # Newer documents recommend it in their prose and have lost it from their parameters.
    UnknownParameter("compute", "returnPartialSuccess", "gcloud, google-cloud-compute", True),
    # It deletes buckets by the address at which it reads them.
    UnknownParameter("storage", "projection", "google.cloud.gcp_storage_bucket"),
    # It keeps a list's parameters for the calls that follow on the same connection.
    UnknownParameter("compute", "maxResults", "apache-libcloud"),
)

QUERY_BOOLEANS = {"true": True, "false": False, "True": True, "False": False}
"""`True` and `False` are what gcloud sends."""

_IAM = frozenset({"https://www.googleapis.com/auth/iam"})

FURTHER_SCOPES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "iam": _IAM,  # google.cloud.gcp_iam_*
        "iamcredentials": _IAM,  # google-auth's impersonated credentials
    }
)
"""Scopes that an API's pages name and its document does not.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/create,
https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
"""
