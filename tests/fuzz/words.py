# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests are made of: words that a client might send, and words that only an enemy would."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from types import MappingProxyType

from cloudspill_sandbox.identity.owner import ACCOUNT_ID

PROJECT, OTHER_PROJECT, REGION, ZONE = "cloudspill-sandbox", "acme-two", "us-west1", "us-west1-b"
IMAGE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"
WORKER = f"worker@{PROJECT}.iam.gserviceaccount.com"
SERVICE = "dns.googleapis.com"
OWNER = f"{ACCOUNT_ID}@{PROJECT}.iam.gserviceaccount.com"
WIDER = "a wider range"
"""Stands for one that the range of a subnetwork is part of."""

NAMES = ("vm",) * 7 + ("two", "default", "none")
"""Of resources; few, so that calls meet each other's."""

PLACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "project": (PROJECT,) * 16 + ("415104041262", "debian-cloud", OTHER_PROJECT, "elsewhere"),
        "projectsId": (PROJECT,) * 12 + ("-", OTHER_PROJECT, "elsewhere"),
        "projectId": (PROJECT,),
        "v1Id": ("projects",) * 12 + ("folders", "none"),
        "v1Id1": (PROJECT,) * 12 + ("415104041262", OTHER_PROJECT, "elsewhere"),
        "zone": (ZONE,) * 12 + ("us-east1-b", "nowhere-a"),
        "region": (REGION,) * 12 + ("us-east1", "nowhere"),
        "serviceAccountsId": (WORKER, f"other@{PROJECT}.iam.gserviceaccount.com", "-"),
        "servicesId": (SERVICE, "storage.googleapis.com", "none"),
        "rolesId": ("mine", "viewer", "owner"),
        "bucket": ("bucket", "bucket", "bucket-two", "a"),
        "sourceBucket": ("bucket", "bucket-two"),
        "destinationBucket": ("bucket", "bucket-two"),
        "object": ("object", "folder%2Fobject", "none"),
        "sourceObject": ("object", "none"),
        "destinationObject": ("object", "copy"),
        "entity": ("allUsers", "allAuthenticatedUsers", f"user-{WORKER}", "project-owners-1"),
    }
)
"""Path parameters, and parts of them, that mean something; any other is one of NAMES."""

SOUND_PLACES: Mapping[tuple[str, str], str] = MappingProxyType(
    {("iamcredentials", "projectsId"): "-"}
)
"""Path parameters of calls that are carried out, by API and name, where others will not do."""

SOUND_QUERIES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "compute.instances.addAccessConfig": {"networkInterface": "nic0"},
        "compute.instances.deleteAccessConfig": {
            "networkInterface": "nic0",
            "accessConfig": "External NAT",
        },
        "compute.instances.setDiskAutoDelete": {"autoDelete": "true"},
        "compute.instances.updateAccessConfig": {"networkInterface": "nic0"},
        "compute.instances.updateNetworkInterface": {"networkInterface": "nic0"},
        "iam.projects.roles.patch": {"updateMask": "title"},
        "serviceusage.services.batchGet": {"names": f"projects/{PROJECT}/services/{SERVICE}"},
        "storage.buckets.insert": {"project": PROJECT},
        "storage.buckets.list": {"project": PROJECT},
        "storage.buckets.testIamPermissions": {"permissions": "storage.objects.get"},
    }
)
"""Query parameters of calls that are carried out, by method."""

_OFF = ("setMachineType", "setMinCpuPlatform", "setScheduling", "setServiceAccount", "start")
STATUSES: Mapping[str, str] = MappingProxyType(
    {f"compute.instances.{verb}": "TERMINATED" for verb in _OFF}
    | {"compute.instances.resume": "SUSPENDED"}
    | {f"compute.instances.{verb}": "RUNNING" for verb in ("attachDisk", "stop", "suspend")}
)
"""In which status an instance lets a method be carried out."""


def usual(name: str, before: str) -> tuple[str, ...]:
    """Return what may stand in the place of a path parameter, the best first.

    Args:
        before: the path up to there.
    """
    if before.endswith("projects/"):
        return PLACES["project"]
    return PLACES.get(name, NAMES)


RARE = frozenset(
    {
        "cloudresourcemanager.projects.setIamPolicy",
        "serviceusage.services.batchEnable",
        "serviceusage.services.disable",
    }
)
"""Methods that may lock everybody out: after one of these there is little left to try."""

LASTING = frozenset({"compute.instances.simulateMaintenanceEvent"})
"""Methods whose operation takes a minute by design."""

WORDS = (
    "",
    "vm",
    "default",
    "Bad_Name",
    "a" * 64,
    "ä\x00\n",
    "-1",
    "0",
    "10",
    "99999999999999999999",
    "10.138.0.2",
    "10.138.0.0/20",
    "10.0.0.0/8",
    "::1/64",
    "../..",
    "global/networks/default",
    f"regions/{REGION}/subnetworks/default",
    f"zones/{ZONE}/machineTypes/f1-micro",
    f"zones/{ZONE}/disks/vm",
    f"projects/{PROJECT}/zones/{ZONE}/instances/vm",
    f"projects/{OTHER_PROJECT}/global/networks/default",
    f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/global/snapshots/vm",
    "https://[::1",
    "global/snapshots/vm",
    "global/instanceTemplates/vm",
    IMAGE,
    "tcp",
    "0-65536",
    "2026-01-01T00:00:00Z",
    "3.5s",
    "READER",
    "roles/viewer",
    f"serviceAccount:{WORKER}",
    "resource.name.startsWith('vm')",
    "US",
    "c3RhbGU=",
    "\u202e\ud7ff\U0001f4a5",
    "x" * 70_000,
)
"""Values of texts."""

NUMBERS = (0, 1, 10, 500, 65536, 2**31 - 1, -1, -(2**31), 2**63, 10**30, 0.5, 1e300)
LONGS = ("0", "1", "10", "100", "4611686018427387904", "-1", "9" * 30, 10)

TEXTS_OF_QUERIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alt": ("json", "media", "proto", "xml", ""),
        "fields": ("*", "items(name,id)", "items/*/instances(name)", "((", "a/" * 100, "," * 50),
        "filter": (
            'name="vm"',
            "name eq v.*",
            "(labels.a:*) (status=RUNNING)",
            "NOT (" * 60,
            "name eq (a+)+$",
            'name="' + "\\" * 99,
            "a.b.c.d.e!=1 AND",
        ),
        "generation": ("0", "1", "-1", "9" * 20),
        "ifGenerationMatch": ("0", "1", "-5"),
        "key": ("none",),
        "maxResults": ("0", "1", "500", "501", "-1", "9" * 25),
        "mostDisruptiveAllowedAction": ("NO_EFFECT", "REFRESH", "RESTART", "none"),
        "networkInterface": ("nic0", "nic1", "eth0"),
        "name": ("object", "folder/object", "", "a" * 1025, "\r\n", "."),
        "orderBy": ("name", "creationTimestamp desc", "size asc"),
        "pageToken": ("", "WyIiLCAidm0iXQ==", "WzFd", "bnVsbA==", "////", "W" * 5000),
        "prettyPrint": ("true", "false", "maybe"),
        "projection": ("full", "noAcl", "none"),
        "requestId": ("6f5cb2a4-5a0e-4ce5-9b2c-0a7c4de0c1f2", "no-uuid"),
        "start": ("0", "1", "-1", "9223372036854775807"),
        "updateMask": ("name", "policy,etag", "a.b.c", "*"),
        "upload_id": ("none", ""),
        "uploadType": ("media", "multipart", "resumable", "other"),
    }
)
"""Values of query parameters that mean something; any other is one of WORDS."""

BODIES = (
    b"",
    b"null",
    b"[]",
    b"{",
    b'"text"',
    b"NaN",
    b'{"name": NaN}',
    b'{"name": 1e999}',
    b'{"sizeGb": ' + b"9" * 5000 + b"}",
    b'{"name": "\\ud800"}',
    b'{"name": "a", "name": "b"}',
    b'{"\\u0000": 1}',
    b"\xff\xfe{\x00}\x00",
    b'\xef\xbb\xbf{"name": "vm"}',
    b'{"labels":' * 3000,
    b"[" * 100_000,
    b'{"metadata": {"items": [' + b'{"key": "k", "value": "v"},' * 3000 + b"{}]}}",
    b"name=vm&filter=a",
)
"""Bodies that are no document of any method."""

BOMB = gzip.compress(bytes(64 << 20))
"""64 KiB that stand for 64 MiB."""

HEADERS = (
    ("X-HTTP-Method-Override", "GET"),
    ("X-HTTP-Method-Override", "BREW"),
    ("If-Match", "*"),
    ("If-None-Match", '"none"'),
    ("Range", "bytes=5-2"),
    ("Range", "bytes=-9999999999999999999"),
    ("Content-Range", "bytes */*"),
    ("Content-Range", "bytes 0-99999999999999999999/5"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("Content-Type", "multipart/related; boundary="),
    ("Content-Type", "text/plain; charset=utf-7"),
    ("Accept-Encoding", "gzip;q=banana"),
    ("Content-Encoding", "gzip"),
    ("Content-Encoding", "br"),
    ("Expect", "100-continue"),
    ("X-Goog-User-Project", "elsewhere"),
    ("X-Goog-Hash", "crc32c=!!"),
    ("X-Upload-Content-Type", "\x7f"),
    ("X-Upload-Content-Length", "-1"),
    ("Cookie", "a=" + "b" * 4000),
    ("Content-Type", "text/\udcff"),
    ("Content-MD5", "\udcff"),
    ("x-goog-meta-a", "\udcff"),
    ("x-goog-acl", "\udcff"),
    ("x-goog-if-generation-match", "\udcff"),
)

CREDENTIALS = ("", "Bearer", "Bearer ", "Bearer none", "Basic YTpi", "Bearer " + "e" * 9000)
"""Values of Authorization that are nobody's; none is sent for "Bearer" without more."""

HOSTILE_PLACES = (
    *("%00", "%0D%0Ax", "..", ".", "%2e%2e%2f", "%", "%zz", "%ff", "a" * 9000, "ä", ":", "*"),
    *("vm:none", "vm%2Fother", "", " ", "%20"),
)
"""Segments of paths."""

HOSTS = (
    *("oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"),
    *("storage.googleapis.com", "storage.googleapis.com", "bucket.storage.googleapis.com"),
    *("git.cloudspill.internal", "none.googleapis.com", "metadata.google.internal"),
)
PATHS = (
    *("/", "//", "/..", "/?%", "/%2e%2e/%2e%2e/etc/passwd", "/flask.git/HEAD"),
    *("/token", "/oauth2/v3/certs", "/o/oauth2/token", "/batch/storage/v1"),
    *("/bucket", "/bucket/object", "/bucket?uploads", "/bucket/object?acl", "/bucket?versions"),
    "/bucket/object?X-Goog-Signature=00&X-Goog-Algorithm=GOOG4-RSA-SHA256",
    "/bucket/object?GoogleAccessId=a@b&Expires=4102444800&Signature=AAAA",
    "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=object",
    "/resumable/upload/storage/v1/b/bucket/o?upload_id=none",
)
"""Of what is no method of an API: token endpoint, XML API, sites, nothing."""

HTTP_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "X")
