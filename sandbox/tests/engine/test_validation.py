# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies and parameters that do not fit are refused in Google's words; what fits is canonical."""

from __future__ import annotations

import base64
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.engine.bodies import MOST_VIOLATIONS
from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.scalars import canonical_base64
from cloudspill_sandbox.engine.validation import (
    check_path,
    parse_json,
    query_parameters,
    request_body,
    validate_response,
)

COMPUTE = load_api("compute", "v1")
INSERT = COMPUTE.methods["compute.instances.insert"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "disks", "labels", "metadata", "items", "zz"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def refusal(body: Any, method: str = "compute.instances.insert") -> str:
    with pytest.raises(ApiError) as caught:
        request_body(COMPUTE, COMPUTE.methods[method], body)
    assert caught.value.status == 400
    assert caught.value.reason == "badRequest"
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"foo": 1},
            "Invalid JSON payload received. Unknown name \"foo\" at 'resource': Cannot find field.",
        ),
        (
            {"disks": [{"initializeParams": {"bar": 1}}]},
            'Invalid JSON payload received. Unknown name "bar" at '
            "'resource.disks[0].initialize_params': Cannot find field.",
        ),
        (
            {"name": ["a"]},
            "Invalid JSON payload received. Unknown name \"name\" at 'resource': "
            "Proto field is not repeating, cannot start list.",
        ),
        ({"name": 5}, "Invalid value at 'resource.name' (TYPE_STRING), 5"),
        (
            {"name": {}},
            "Invalid value at 'resource.name' (name), Starting an object on a scalar field",
        ),
        (
            {"scheduling": "x"},
            "Invalid value at 'resource.scheduling' "
            '(type.googleapis.com/google.cloud.compute.v1.Scheduling), "x"',
        ),
        (
            {"canIpForward": "maybe"},
            "Invalid value at 'resource.can_ip_forward' (TYPE_BOOL), \"maybe\"",
        ),
        (
            {"disks": [{"diskSizeGb": "ten"}]},
            "Invalid value at 'resource.disks[0].disk_size_gb' (TYPE_INT64), \"ten\"",
        ),
        (
            {"disks": [{"diskSizeGb": 2**63}]},
            "Invalid value at 'resource.disks[0].disk_size_gb' (TYPE_INT64), 9223372036854775808",
        ),
        (
            {"disks": [{"type": "FLOPPY"}]},
            "Invalid value at 'resource.disks[0].type' (TYPE_ENUM), \"FLOPPY\"",
        ),
        ({"labels": {"a": 1}}, "Invalid value at 'resource.labels[0].value' (TYPE_STRING), 1"),
        (
            {"fingerprint": "!"},
            "Invalid value at 'resource.fingerprint' (TYPE_BYTES), "
            'Base64 decoding failed for "!"',
        ),
        (
            [],
            'Invalid JSON payload received. Unknown name "": Root element must be a message.',
        ),
    ],
)
def test_what_does_not_fit_is_named(body: Any, message: str) -> None:
    assert refusal(body) == message


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ApiError) as caught:
        request_body(COMPUTE, INSERT, {"foo": 1, "name": 2})
    first, second = caught.value.message.split("\n")
    assert '"foo"' in first
    assert "TYPE_STRING" in second
    violations = caught.value.details[0]["fieldViolations"]
    assert violations == [
        {"field": "resource", "description": first},
        {"field": "resource.name", "description": second},
    ]
    assert caught.value.body()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        ({"disks": [{"diskSizeGb": 10}]}, {"disks": [{"diskSizeGb": "10"}]}),
        ({"disks": [{"index": "3"}]}, {"disks": [{"index": 3}]}),
        ({"disks": {"boot": True}}, {"disks": [{"boot": True}]}),
        ({"name": "a", "description": None}, {"name": "a"}),
        ({"fingerprint": "_-8"}, {"fingerprint": "/+8="}),
        ({"canIpForward": "true"}, {"canIpForward": True}),
    ],
)
def test_what_google_s_parser_reads_comes_in_one_form(body: Any, canonical: Any) -> None:
    assert request_body(COMPUTE, INSERT, body) == canonical


def test_the_zone_that_google_cloud_sends_with_a_snapshot_is_dropped() -> None:
    method = COMPUTE.methods["compute.snapshots.insert"]
    assert request_body(COMPUTE, method, {"name": "s", "zone": "z"}) == {"name": "s"}
    assert "zonee" in refusal({"zonee": "z"}, "compute.snapshots.insert")


@given(JSON)
def test_no_body_is_an_accident_and_the_canonical_form_stays_as_it_is(body: Any) -> None:
    try:
        canonical = request_body(COMPUTE, INSERT, body)
    except ApiError as error:
        assert error.status == 400  # noqa: PT017 - either outcome is right
    else:
        assert request_body(COMPUTE, INSERT, canonical) == canonical


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nope",
        b"[" * 100_000,
        b'{"a": NaN}',
        b"\xff\xfe",
        b'{"a": "\\ud800"}',
        b"[" + b"9" * 5000 + b"]",
    ],
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_json(raw)
    assert caught.value.status == 400
    assert caught.value.message.startswith("Invalid JSON payload received.")


@given(st.binary(max_size=60))
def test_no_bytes_are_an_accident(raw: bytes) -> None:
    try:
        parse_json(raw)
    except ApiError as error:
        assert error.status == 400  # noqa: PT017 - either outcome is right


def query(*pairs: tuple[str, str], method: str = "compute.instances.list") -> dict[str, Any]:
    return query_parameters(COMPUTE, COMPUTE.methods[method], pairs)


def test_parameters_come_converted_the_standard_ones_too() -> None:
    assert query(("maxResults", "7"), ("prettyPrint", "False"), ("$.xgafv", "2"), ("key", "k")) == {
        "maxResults": 7,
        "prettyPrint": False,
        "$.xgafv": "2",
        "key": "k",
    }


def test_a_repeated_parameter_is_a_list() -> None:
    repeated = next(
        (method.id, name)
        for method in COMPUTE.methods.values()
        for name, parameter in method.query_parameters.items()
        if parameter.repeated and not any(p.required for p in method.query_parameters.values())
    )
    assert query((repeated[1], "a"), (repeated[1], "b"), method=repeated[0]) == {
        repeated[1]: ["a", "b"]
    }


@pytest.mark.parametrize(
    ("pair", "reason", "message"),
    [
        (
            ("foo", "1"),
            "badRequest",
            'Invalid JSON payload received. Unknown name "foo": Cannot bind query parameter. '
            "Field 'foo' could not be found in request message.",
        ),
        (
            ("maxResults", "many"),
            "badRequest",
            "Invalid value at 'max_results' (TYPE_UINT32), \"many\"",
        ),
        (
            ("maxResults", "501"),
            "invalidParameter",
            "Invalid value '501'. Values must be within the range: [0, 500]",
        ),
        (
            ("prettyPrint", "yes"),
            "badRequest",
            "Invalid value at 'pretty_print' (TYPE_BOOL), \"yes\"",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_named(
    pair: tuple[str, str], reason: str, message: str
) -> None:
    with pytest.raises(ApiError) as caught:
        query(pair)
    assert (caught.value.status, caught.value.reason) == (400, reason)
    assert caught.value.message == message


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ApiError) as caught:
        query(("autoDelete", "true"), method="compute.instances.setDiskAutoDelete")
    assert (caught.value.reason, caught.value.location) == ("required", "deviceName")


def test_what_gcloud_still_sends_is_understood() -> None:
    assert query(("returnPartialSuccess", "True")) == {"returnPartialSuccess": True}
    with pytest.raises(ApiError, match="return_partial_success"):
        query(("returnPartialSuccess", "perhaps"))


@pytest.mark.parametrize("resource", ["images", "snapshots"])
def test_the_zone_that_clients_send_with_global_resources_is_dropped(resource: str) -> None:
    insert = COMPUTE.methods[f"compute.{resource}.insert"]
    assert request_body(COMPUTE, insert, {"name": "a", "zone": "z"}) == {"name": "a"}


def test_what_libcloud_leaves_over_from_a_list_is_dropped_where_nothing_is_listed() -> None:
    assert query(("maxResults", "500"), method="compute.diskTypes.get") == {}
    assert query(("maxResults", "2"), method="compute.diskTypes.list") == {"maxResults": 2}


def test_a_path_value_must_match_its_pattern() -> None:
    method = COMPUTE.methods["compute.instances.get"]
    check_path(method, {"project": "p", "zone": "us-west1-b", "instance": "web-1"})
    with pytest.raises(ApiError) as caught:
        check_path(method, {"project": "p", "zone": "us-west1-b", "instance": "Web_1"})
    assert caught.value.reason == "invalidParameter"
    assert caught.value.message.startswith("Invalid value 'Web_1'. Values must match")


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        ({"id": "1", "name": "a", "disks": [{"diskSizeGb": "10"}]}, []),
        ({"disks": [{"diskSizeGb": 10}]}, ["Instance.disks[0].diskSizeGb: 10 is no int64"]),
        ({"nope": 1}, ["Instance.nope: no such field"]),
        ({"status": "WELL"}, ["Instance.status: 'WELL' is no string"]),
        ({"name": None}, ["Instance.name: None is no string"]),
        ({"tags": []}, ["Instance.tags: [] is no object"]),
        ({"labels": {"a": "b"}, "fingerprint": "YQ=="}, []),
        ({"fingerprint": "YQ"}, ["Instance.fingerprint: 'YQ' is no byte"]),
    ],
)
def test_answers_are_held_to_the_document(document: Any, faults: list[str]) -> None:
    assert validate_response(COMPUTE, COMPUTE.methods["compute.instances.get"], document) == faults


@given(st.binary(max_size=20))
def test_fingerprints_survive_the_url_safe_alphabet(content: bytes) -> None:

    plain = base64.b64encode(content).decode()
    assert canonical_base64(base64.urlsafe_b64encode(content).decode().rstrip("=")) == plain


def test_schemas_shared_by_methods_are_one_object() -> None:
    api: Api = COMPUTE
    assert api.schemas["Instance"].properties["scheduling"].reference == "Scheduling"
    assert len({id(schema) for schema in api.schemas.values()}) == len(api.schemas)


def test_faults_without_number_are_not_all_named() -> None:
    """Each element of a list may be one: the answer is not larger than what was asked."""
    sentence = refusal({"tags": {"items": [1] * 100_000}})
    assert len(sentence.splitlines()) == MOST_VIOLATIONS
    assert sentence.startswith("Invalid value at 'resource.tags.items[0]'")


def test_a_deep_text_with_escapes_costs_no_more_than_its_size() -> None:
    """Generators within generators took seconds for 250 KB, and nobody else had a turn."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    numbers = [0] * 2000
    deep = "[" * 300 + ",".join([*map(str, numbers), '"\\u0041"']) + "]" * 300
    sys.setprofile(count)
    try:
        value = parse_json(deep.encode())
    finally:
        sys.setprofile(None)
    assert calls < len(numbers)
    for _ in range(299):
        (value,) = value
    assert value == [*numbers, "A"]
    with pytest.raises(ApiError, match="Invalid JSON payload"):
        parse_json(deep.replace("0041", "d800").encode())
