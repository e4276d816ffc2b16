# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of access control lists as answers show them.

https://cloud.google.com/storage/docs/json_api/v1/bucketAccessControls#resource,
https://cloud.google.com/storage/docs/json_api/v1/objectAccessControls#resource
"""

from __future__ import annotations

from urllib.parse import quote

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.storage.access_control import AccessControlList, described_entity
from cloudspill_sandbox.storage.buckets import DEFAULT_OBJECT_ACL
from cloudspill_sandbox.storage.entity_tags import entity_tag
from cloudspill_sandbox.storage.links import link


def bucket_entries(call: Call, bucket: Document, acl: AccessControlList) -> list[Document]:
    """Return the entries of a bucket's list."""
    name = bucket["name"]
    return [
        {
            "kind": "storage#bucketAccessControl",
            "id": f"{name}/{entity}",
            "selfLink": link(call, f"b/{name}/acl/{quote(entity, safe='')}"),
            "bucket": name,
            **_entry(entity, role, entity_tag(int(bucket["metageneration"]))),
        }
        for entity, role in acl.items()
    ]


def default_object_entries(bucket: Document) -> list[Document]:
    """Return the entries of the list that a bucket's new objects get."""
    tag = entity_tag(int(bucket["metageneration"]))
    return [
        {
            "kind": "storage#objectAccessControl",
            "bucket": bucket["name"],  # google.cloud compares it
            **_entry(entity, role, tag),
        }
        for entity, role in bucket[DEFAULT_OBJECT_ACL].items()
    ]


def object_entries(call: Call, document: Document, acl: AccessControlList) -> list[Document]:
    """Return the entries of an object's list.

    Args:
        document: of the object, with bucket, name, generation and metageneration.
    """
    bucket, name, generation = document["bucket"], document["name"], document["generation"]
    tag = entity_tag(int(generation), int(document["metageneration"]))
    return [
        {
            "kind": "storage#objectAccessControl",
            "id": f"{bucket}/{name}/{generation}/{entity}",
            "selfLink": link(
                call, f"b/{bucket}/o/{quote(name, safe='')}/acl/{quote(entity, safe='')}"
            ),
            "bucket": bucket,
            "object": name,
            "generation": generation,
            **_entry(entity, role, tag),
        }
        for entity, role in acl.items()
    ]


def _entry(entity: str, role: str, etag: str) -> Document:
    return {"entity": entity, "role": role, "etag": etag, **described_entity(entity)}
