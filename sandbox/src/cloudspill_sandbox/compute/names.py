# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource names, links to them, and every form in which clients refer to a resource.

A relative name is `projects/p/zones/z/instances/i`; a collection is one without its last segment.
Forms of a reference: https://cloud.google.com/compute/docs/naming-resources and
https://cloud.google.com/apis/design/resource_names.
"""

from __future__ import annotations

import re

from cloudspill_sandbox.compute import refusals
from cloudspill_sandbox.settings import number_of

ROOT = "https://www.googleapis.com/compute/v1/"
"""Google's own links have this host, whichever host a client called; google.cloud compares them."""

EVERY_PROJECT = "projects"
"""What the relative names of all resources begin with."""

NAME = r"(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
"""RFC 1035 label, in the words that Google's refusal quotes."""

_NAME = re.compile(NAME)
_HOST = re.compile(
    r"https?://(?:(?:www|compute|content-compute)\.googleapis\.com|(?:localhost|127\.0\.0\.1):\d+)"
    r"/compute/[a-z0-9]+/+"
)
"""Google's hosts, and what a client asks whose endpoint is overridden."""

_RELATIVE = re.compile(
    r"projects/(?P<project>[^/]+)/"
    r"(?P<rest>(?:global|zones/[^/]+|regions/[^/]+)/(?P<kind>[A-Za-z]+)/(?:family/)?[^/]+)"
)
_LABEL_KEY = re.compile(r"[^\W\d_A-Z][-\w]{0,62}")
_LABEL_VALUE = re.compile(r"[-\w]{0,63}")
_MOST_LABELS = 64


def link(name: str) -> str:
    """Return the self link of a relative name."""
    return ROOT + name


def relative(url: str) -> str:
    """Return the relative name of a self link that the sandbox itself wrote."""
    return url.removeprefix(ROOT)


def last(name: str) -> str:
    """Return the last segment of a name or link."""
    return name.rpartition("/")[2]


def project(name: str) -> str:
    """Return the id of the project that a relative name is in."""
    return name.split("/", 2)[1]


def scope(name: str) -> str:
    """Return `zones/z`, `regions/r` or `global` of a relative name; a project is global."""
    segments = name.split("/")
    return "global" if len(segments) < 4 or segments[2] == "global" else "/".join(segments[2:4])


def without_host(reference: str) -> str:
    """Return a reference less the host and version that a full URL has."""
    return _HOST.sub("", reference).lstrip("/")


def resolve(field: str, reference: str, collection: str, *, bare: bool = True) -> str:
    """Return the relative name that a client's reference means.

    Args:
        field: the field in the request, for the refusal.
        reference: full URL of either host, `projects/…`, `zones/…`, `global/…`, or a bare name;
            the collection's project by its id or its number.
        collection: where a bare name is looked for; its last segment is the kind that is meant.
        bare: whether a bare name is a reference at all.

    Raises:
        ApiError: 400 when the reference has none of these forms or means another kind.
    """
    path = without_host(reference)
    project, kind = collection.split("/")[1], last(collection)
    if "/" not in path and bare:
        path = f"{collection}/{path}"
    elif not path.startswith("projects/"):
        path = f"projects/{project}/{path}"
    match = _RELATIVE.fullmatch(path)
    if match is None or match["kind"] != kind:
        raise refusals.malformed(field, reference)
    if match["project"] == str(number_of(project)):
        return f"projects/{project}/{match['rest']}"
    return path


def resolve_own(field: str, reference: str, collection: str) -> str:
    """Return the relative name that a reference to something of the same project means.

    Args:
        field: as of `resolve`.
        reference: as of `resolve`, but no bare name.
        collection: as of `resolve`.

    Raises:
        ApiError: as `resolve`; 400 too when it names another project.
    """
    name = resolve(field, reference, collection, bare=False)
    if project(name) != project(collection):
        raise refusals.of_another_project(field, reference)
    return name


def is_name(value: str) -> bool:
    """Whether a value is an RFC 1035 label, as names of resources are."""
    return _NAME.fullmatch(value) is not None


def check_name(field: str, value: object) -> str:
    """Return a resource's name when Google would take it.

    Raises:
        ApiError: 400, missing or not an RFC 1035 label.
    """
    if not isinstance(value, str) or not value:
        raise refusals.missing(field)
    if not is_name(value):
        raise refusals.no_match(field, value, NAME)
    return value


def check_labels(field: str, labels: dict[str, str] | None) -> dict[str, str]:
    """Return labels when Google would take them; None means none.

    Rules: https://cloud.google.com/compute/docs/labeling-resources#requirements.

    Raises:
        ApiError: 400 for a key or value that breaks the rules, or too many.
    """
    labels = labels or {}
    if len(labels) > _MOST_LABELS:
        raise refusals.invalid_value(
            field, "", f"The number of labels exceeds the limit of {_MOST_LABELS}."
        )
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or key != key.lower():
            raise refusals.invalid_value(
                field,
                "",
                f"Label key '{key}' violates format constraints. The key must start with a "
                "lowercase character, can only contain lowercase letters, numeric characters, "
                "underscores and dashes. The key can be at most 63 characters long. "
                "International characters are allowed.",
            )
        if not _LABEL_VALUE.fullmatch(value) or value != value.lower():
            raise refusals.invalid_value(
                field,
                "",
                f"Label value '{value}' violates format constraints. The value can only contain "
                "lowercase letters, numeric characters, underscores and dashes. The value can be "
                "at most 63 characters long. International characters are allowed.",
            )
    return dict(labels)
