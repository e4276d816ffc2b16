# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest tells: serial output and guest attributes.

https://cloud.google.com/compute/docs/troubleshooting/viewing-serial-port-output,
https://cloud.google.com/compute/docs/metadata/manage-guest-attributes.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import guest_attributes, instance_metadata, refusals
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError

_LARGEST_CHUNK = 1024 * 1024
_PORTS = range(1, 5)


async def _get_serial_port_output(cloud: Cloud, call: Call) -> Document:
    """Port 1 is the console; the others are silent.

    A negative `start` means the most recent bytes, as many as one answer holds at most:
    https://cloud.google.com/compute/docs/reference/rest/v1/instances/getSerialPortOutput.
    """
    instance = found(cloud.store, zonal(call, "instances", "instance"))
    port = call.query.get("port") or 1
    if port not in _PORTS:
        raise refusals.invalid_value("port", port, "Must be between 1 and 4, inclusive.")
    start = _start(call.query.get("start"))
    output, end = b"", 0
    if port == 1:
        output, end = cloud.runtime.serial_output(instance["id"], max(start, -_LARGEST_CHUNK))
    start = end - len(output)
    # Google cuts at a megabyte and lets the client go on from `next`.
    chunk = output[:_LARGEST_CHUNK]
    return {
        "kind": "compute#serialPortOutput",
        "selfLink": f"{instance['selfLink']}/serialPort",
        "contents": chunk.decode("utf-8", errors="replace"),
        "start": str(start),
        "next": str(start + len(chunk)),
    }


def _start(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        raise refusals.invalid_value("start", text, "Must be an integer.") from None


async def _get_guest_attributes(cloud: Cloud, call: Call) -> Document:
    """By `queryPath` (`namespace/` or `namespace/key`) or the older `variableKey`."""
    name = zonal(call, "instances", "instance")
    instance = found(cloud.store, name)
    if not _enabled(cloud, instance):
        raise ApiError(
            412,
            "conditionNotMet",
            f"Guest attributes endpoint access is disabled for '{name}' "
            "(metadata enable-guest-attributes is not TRUE).",
        )
    attributes = guest_attributes.read(cloud.store, instance["id"])
    base = {
        "kind": "compute#guestAttributes",
        "selfLink": f"{instance['selfLink']}/guestAttributes",
    }
    if key := call.query.get("variableKey"):
        namespace, _, rest = key.partition("/")
        value = attributes.get(namespace, {}).get(rest)
        if value is None:
            raise _absent(key)
        return base | {"variableKey": key, "variableValue": value}
    path = call.query.get("queryPath") or ""
    items = guest_attributes.matching(attributes, path.strip("/"))
    if not items:
        raise _absent(path)
    return base | {"queryPath": path, "queryValue": {"items": items}}


def _enabled(cloud: Cloud, instance: Document) -> bool:
    project = found(cloud.store, cloud.project)
    return guest_attributes.enabled(
        instance_metadata.values(project["commonInstanceMetadata"]),
        instance_metadata.values(instance["metadata"]),
    )


def _absent(key: str) -> ApiError:
    return ApiError(
        404, "notFound", f"The resource '{key}' of type 'Guest Attribute' was not found."
    )


METHODS: Methods = {
    "getGuestAttributes": _get_guest_attributes,
    "getSerialPortOutput": _get_serial_port_output,
}
