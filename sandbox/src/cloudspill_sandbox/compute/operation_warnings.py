# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation warns of, though it goes well: clients print it.

Codes: https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations (warnings[].code);
wording as gcloud prints it in public guides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.engine.call import Document


def of_image(image: Document) -> Iterator[Document]:
    """Warn of an image that can be used still, but is DEPRECATED."""
    deprecation = image.get("deprecated") or {}
    if deprecation.get("state") != "DEPRECATED":
        return
    name = names.relative(image["selfLink"])
    sentences, data = [f"The resource '{name}' is deprecated."], {"resource_name": name}
    if replacement := deprecation.get("replacement"):
        suggestion = f"A suggested replacement is '{names.relative(replacement)}'."
        sentences.append(suggestion)
        data["replacement_suggestion"] = suggestion
    yield _warning("DEPRECATED_RESOURCE_USED", " ".join(sentences), data)


def of_disk(disk: Document, origin: Document | None) -> Iterator[Document]:
    """Warn of what a new disk is made from: a deprecated image, one smaller than the disk."""
    if origin is None or origin["kind"] != "compute#image":
        return
    yield from of_image(origin)
    sizes = {"disk_size_gb": disk["sizeGb"], "image_size_gb": origin["diskSizeGb"]}
    if int(disk["sizeGb"]) > int(origin["diskSizeGb"]):
        sentence = (
            f"Disk size: '{disk['sizeGb']} GB' is larger than image size: '{origin['diskSizeGb']} "
            "GB'. You might need to resize the root repartition manually if the operating system "
            "does not support automatic resizing. See "
            "https://cloud.google.com/compute/docs/disks/add-persistent-disk#resize_pd for details."
        )
        yield _warning("DISK_SIZE_LARGER_THAN_IMAGE_SIZE", sentence, sizes)


def of_leftover(name: str) -> Document:
    """Warn of a resource that a failed operation made and could not take back (wording ours)."""
    sentence = f"The resource '{name}' could not be deleted and stays."
    return _warning("CLEANUP_FAILED", sentence, {"resource_name": name})


def _warning(code: str, message: str, data: Mapping[str, str]) -> Document:
    entries = [{"key": key, "value": value} for key, value in data.items()]
    return {"code": code, "message": message, "data": entries}
