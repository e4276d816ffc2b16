# SPDX-License-Identifier: GPL-3.0-or-later
"""No field of a request is passed over in silence: it is kept, or acts, or is refused by name.

Google's discovery document says which fields there are; so one that comes with a new version of it
is tried too.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cloudspill_sandbox.compute.service import compute_service
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError

from .conftest import Client
from .input_fields import MAP_KEY, InputField, dotted, found, of_method, with_value
from .request_cases import CASES, Case

ACTS = {
    "archiveSizeBytes": "the server's own",
    "bulkInsert.count": "there are so many instances",
    "createSnapshot.sourceDisk": "the path names the disk",
    "fingerprint": "the server's own; what is changed is held against it",
    "guestFlush": "nothing here could do it (docs/fidelity.md)",
    "labelFingerprint": "the server's own; what is changed is held against it",
    "locationPolicy.targetShape": "the zones are chosen by it",
    "onUpdateAction": "only what an update does by default is taken",
}
"""Why a field that is taken need not show."""

SAID = {
    "update.disks": "Attach and detach disks with attachDisk and detachDisk",
    "attachDisk.initializeParams": "source and initializeParams",
    "direction": "Egress rules cannot have a source",
    "labelFingerprint": "Labels fingerprint",
    "provisioningModel": "preemptible be false",
    "serviceAccounts.email": "serviceAccounts/value",
    "setServiceAccount.email": "serviceAccounts/value",
    "setPublicPtr": "PTR domain",
    "sourceImage": "one source",
    "sourceSnapshot": "one source",
}
"""How a field is named by a refusal that does not name it as it is called."""

VALUES: dict[str, tuple[Any, ...]] = {
    "diskName": ("other",),
    "state": ("DEPRECATED", "OBSOLETE", "DELETED"),  # ACTIVE shows by there being no state
}
"""What to try where the schema does not say enough."""


def test_every_method_with_a_body_is_tried(api: Client) -> None:
    taking = {name for name in compute_service(api.cloud) if api.api.methods[name].request}
    assert {f"compute.{case.method}" for case in CASES} == taking


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.method)
async def test_a_field_is_kept_or_acts_or_is_refused_by_name(case: Case, api: Client) -> None:
    base, parameters = await _prepared(api, case, "whole")
    await api.done(case.method, base, **parameters)
    tried = [
        (field, value)
        for field in of_method(case.method)
        for value in VALUES.get(field.last, field.values)
    ]
    faults = {
        f"{field.name} = {value!r}": await _fault(api, case, f"n{number}", field, value)
        for number, (field, value) in enumerate(tried)
    }
    assert {field: fault for field, fault in faults.items() if fault} == {}


async def _prepared(api: Client, case: Case, name: str) -> tuple[Document, dict[str, str]]:
    """Call what comes first; return the valid body and the parameters of the call."""
    for method, body, parameters in _named(case.before, name):
        await api.done(method, body, **parameters)
    base, parameters = _named((case.body, case.parameters), name)
    held = await case.read(api, name) if case.fresh else {}
    return base | {key: held[key] for key in case.fresh}, parameters


async def _fault(api: Client, case: Case, name: str, field: InputField, value: Any) -> str:
    """Return what is wrong with what becomes of a field, "" for nothing."""
    base, parameters = await _prepared(api, case, name)
    try:
        await api.done(case.method, with_value(base, field.path, value), **parameters)
    except ApiError as refusal:
        return "" if _names(case, refusal, field, base) else f"refused: {refusal.message}"
    if _entry(ACTS, case, field):
        return ""
    renamed = field.path == ("name",) and base.get("name") == name
    shown = found(await case.read(api, value if renamed else name), field.path)
    return "" if any(_says(each, value) for each in shown or [None]) else f"dropped: {shown}"


def _named(text: Any, name: str) -> Any:
    return json.loads(json.dumps(text).replace("NAME", name))


def _says(shown: Any, asked: Any) -> bool:
    if shown is None:
        return asked in (False, 0, "")
    if isinstance(shown, str) and isinstance(asked, str):
        return shown.rpartition("/")[2] == asked.rpartition("/")[2]
    return bool(shown == asked)


def _names(case: Case, refusal: ApiError, field: InputField, base: Document) -> bool:
    """Whether a refusal names a field, or that which it is in and which is new with it."""
    if not 400 <= refusal.status < 500:
        return False
    sentence = re.sub(r"\[\d*\]", "", refusal.message.replace(f"[{MAP_KEY}]", f".{MAP_KEY}"))
    said = _entry(SAID, case, field)
    if re.search(rf"\b{field.last}\b", sentence) or (said and said in sentence):
        return True
    ends = [end for end in range(1, len(field.path) + 1) if not found(base, field.path[:end])]
    return any(f"{dotted(field.path[:end])}'" in sentence for end in ends)


def _entry(table: dict[str, str], case: Case, field: InputField) -> str:
    """Return what a table says of a field or of what it is in, "" for nothing."""
    name = f".{case.method}.{field.name}."
    return next((text for part, text in table.items() if f".{part}." in name), "")


REPLACING = (
    "firewalls.patch",
    "firewalls.update",
    "images.patch",
    "instances.setMetadata",
    "instances.setScheduling",
    "instances.setTags",
    "instances.update",
    "instances.updateAccessConfig",
    "instances.updateNetworkInterface",
    "instances.updateShieldedInstanceConfig",
    "networks.patch",
    "subnetworks.patch",
)


@pytest.mark.parametrize("method", REPLACING)
async def test_what_was_read_may_be_sent_back(method: str, api: Client) -> None:
    (case,) = (case for case in CASES if case.method == method)
    _, parameters = await _prepared(api, case, "whole")
    held = await case.read(api, "whole")
    await api.done(method, held, **parameters)
    assert await case.read(api, "whole") == held


async def test_sole_tenancy_is_refused_at_any_time(api: Client) -> None:
    (case,) = (case for case in CASES if case.method == "instances.setScheduling")
    _, parameters = await _prepared(api, case, "whole")
    nodes = {"nodeAffinities": [{"key": "k", "operator": "IN", "values": ["v"]}]}
    for asked in (nodes, {"minNodeCpus": 2}):
        refusal = await api.refused(case.method, asked, **parameters)
        assert f"'scheduling.{next(iter(asked))}'" in refusal.message
