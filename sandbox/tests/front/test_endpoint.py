# SPDX-License-Identifier: GPL-3.0-or-later
"""One API call: which refusal comes first, what handlers get, what callers see."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.front.http import HttpRequest, HttpResponse, headers

from .conftest import INSTANCES, World

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


def document(response: HttpResponse) -> Any:
    return json.loads(response.body)


def message(response: HttpResponse) -> str:
    return str(document(response)["error"]["message"])


async def test_a_call_reaches_its_handler(world: World) -> None:
    response = await world.ask("GET", f"{INSTANCES}?filter=name%3Dx&maxResults=5")
    assert response.status == 200
    (call,) = world.stub.calls
    assert call.method == "compute.instances.list"
    assert call.path == {"project": "p1234", "zone": "us-west1-b"}
    assert call.query == {"filter": "name=x", "maxResults": 5}
    assert call.principal.email == world.email


async def test_the_older_host_serves_the_same(world: World) -> None:
    response = await world.ask("GET", f"{INSTANCES}/web", host="www.googleapis.com")
    assert document(response)["name"] == "web"


async def test_a_body_comes_canonical(world: World) -> None:
    body = b'{"name": "web", "disks": [{"diskSizeGb": 10}]}'
    assert (await world.ask("POST", INSTANCES, body)).status == 200
    assert world.stub.calls[0].body == {"name": "web", "disks": [{"diskSizeGb": "10"}]}


async def unauthorized(world: World, method: str, target: str, body: bytes = b"") -> HttpResponse:
    request = HttpRequest(method, "compute.googleapis.com", target, headers({}), body)
    return await world.endpoint().answer(request)


async def test_refusals_come_in_google_s_order(world: World) -> None:
    """404 for a path to everyone, 401 before what is wrong with the request, 403 after it."""
    assert (await unauthorized(world, "GET", "/compute/v1/nothing")).status == 404
    assert (await unauthorized(world, "POST", INSTANCES, b"{")).status == 401
    assert (await world.ask("POST", INSTANCES.replace("p1234", "none"), b"{")).status == 400
    world.store.put("projects/other", {"name": "other"})
    assert (await world.ask("POST", INSTANCES.replace("p1234", "other"), b"{}")).status == 403
    assert (await world.ask("POST", INSTANCES.replace("p1234", "none"), b"{}")).status == 404
    assert world.stub.calls == []


async def test_a_401_names_service_and_method(world: World) -> None:
    response = await unauthorized(world, "GET", "/compute/v1/projects/p/aggregated/instances")
    assert document(response)["error"]["details"][0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "CREDENTIALS_MISSING",
        "domain": "googleapis.com",
        "metadata": {
            "service": "compute.googleapis.com",
            "method": "compute.v1.InstancesService.AggregatedList",
        },
    }
    assert response.headers["WWW-Authenticate"].startswith("Bearer realm=")


async def test_a_method_that_is_not_there_is_named(world: World) -> None:
    response = await world.ask("POST", f"{INSTANCES}/web/suspend", b"{}")
    assert response.status == 501
    assert "compute.instances.suspend" in message(response)


async def test_a_path_that_google_does_not_have_is_a_404(world: World) -> None:
    response = await world.ask("PUT", f"{INSTANCES}/web/bogus")
    assert response.status == 404
    assert "/bogus" in message(response)


async def test_a_refusal_is_rendered_as_google_s(world: World) -> None:
    response = await world.ask("GET", f"{INSTANCES}/missing")
    assert document(response) == {
        "error": {
            "code": 404,
            "message": "The resource 'projects/p1234/zones/us-west1-b/instances/missing' "
            "was not found",
            "errors": [
                {
                    "message": "The resource "
                    "'projects/p1234/zones/us-west1-b/instances/missing' was not found",
                    "domain": "global",
                    "reason": "notFound",
                }
            ],
        }
    }
    assert response.content_type == "application/json; charset=UTF-8"


async def test_an_accident_is_a_500_whose_cause_is_in_the_log_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    response = await world.ask("GET", f"{INSTANCES}/broken")
    assert response.status == 500
    assert "secret of the inside" not in response.body.decode()
    code = message(response).partition("Code: '")[2].partition("'")[0]
    assert len(code) == 8
    (record,) = [record for record in caplog.records if record.exc_info]
    assert code in record.getMessage()
    assert "secret of the inside" in str(record.exc_info)


async def test_fields_select_and_a_broken_selection_does_nothing(world: World) -> None:
    response = await world.ask("GET", f"{INSTANCES}?fields=items/name")
    assert document(response) == {"items": [{"name": "a"}, {"name": "b"}]}
    refused = await world.ask("POST", f"{INSTANCES}?fields=a(", b'{"name": "x"}')
    assert refused.status == 400
    assert [call.method for call in world.stub.calls] == ["compute.instances.list"]


async def test_a_selection_of_what_the_answer_cannot_have_does_nothing(world: World) -> None:
    """https://cloud.google.com/compute/docs/api/performance-tips#partial-response"""
    refused = await world.ask("GET", f"{INSTANCES}?fields=items(name,bogus)")
    assert (refused.status, message(refused)) == (400, "Invalid field selection bogus")
    refused = await world.ask("GET", f"{INSTANCES}/web?fields=items/name")
    assert (refused.status, message(refused)) == (400, "Invalid field selection items")
    assert world.stub.calls == []


async def test_pretty_print(world: World) -> None:
    assert b"\n" not in (await world.ask("GET", f"{INSTANCES}/web")).body
    pretty = await world.ask("GET", f"{INSTANCES}/web?prettyPrint=true")
    assert pretty.body.startswith(b'{\n  "name": "web"')


async def test_a_long_get_may_come_as_post(world: World) -> None:
    override = {
        "X-HTTP-Method-Override": "GET",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    response = await world.ask("POST", INSTANCES, b"maxResults=3", **override)
    assert response.status == 200
    assert world.stub.calls[0].method == "compute.instances.list"
    assert world.stub.calls[0].query == {"maxResults": 3}


async def test_a_token_may_stand_in_the_query(world: World) -> None:
    response = await unauthorized(world, "GET", f"{INSTANCES}?access_token={world.token}")
    assert response.status == 200


async def test_one_line_a_call_is_logged_and_no_token(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = world.token
    await unauthorized(world, "GET", f"{INSTANCES}/missing?access_token={token}")
    await world.ask("POST", INSTANCES, b'{"metadata": {"items": [{"value": "hidden"}]}}')
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith(
        f"compute.instances.get GET compute.googleapis.com{INSTANCES}/missing "
        f"by {world.email}: 404 in "
    )
    assert lines[0].endswith("was not found)")
    assert not any(token in line or "hidden" in line or "Bearer" in line for line in lines)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "X"]),
    path=st.lists(
        st.sampled_from(
            ["compute", "v1", "projects", "p1234", "zones", "us-west1-b", "instances", "web", ""]
        )
        | st.text(max_size=4),
        max_size=9,
    ),
    query=st.text(max_size=12),
    body=st.binary(max_size=30) | st.just(b'{"name": "x"}'),
)
async def test_no_request_is_an_accident(
    world: World, method: str, path: list[str], query: str, body: bytes
) -> None:
    response = await world.ask(method, f"/{'/'.join(path)}?{query}", body)
    assert response.status < 500 or response.status == 501
    json.loads(response.body)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.lists(
        st.tuples(
            st.sampled_from(["maxResults", "fields", "filter", "alt", "$alt", "prettyPrint", "x"]),
            st.text(max_size=6),
        ),
        max_size=3,
    ),
    body=st.text(max_size=20),
)
async def test_no_call_of_a_method_is_an_accident(
    world: World, query: list[tuple[str, str]], body: str
) -> None:
    target = f"{INSTANCES}?{'&'.join(f'{name}={value}' for name, value in query)}"
    for method in ("GET", "POST"):
        response = await world.ask(method, target, body.encode())
        assert response.status in (200, 400)


READ_ONLY = "https://www.googleapis.com/auth/compute.readonly"


async def scoped(world: World, method: str, target: str, *scopes: str) -> HttpResponse:
    """Ask with a token of these scopes."""
    token = world.tokens.issue(Principal(world.email, frozenset(scopes)))
    return await world.ask(method, target, b"{}", Authorization=f"Bearer {token}")


async def test_a_token_does_what_its_scopes_allow(world: World) -> None:
    assert (await scoped(world, "GET", INSTANCES, READ_ONLY)).status == 200
    assert (await scoped(world, "POST", INSTANCES, READ_ONLY, CLOUD_PLATFORM)).status == 200


async def test_a_token_with_other_scopes_is_refused_as_google_refuses_it(world: World) -> None:
    response = await scoped(world, "POST", INSTANCES, READ_ONLY)
    assert world.stub.calls == []
    error = document(response)["error"]
    assert (response.status, error["status"]) == (403, "PERMISSION_DENIED")
    assert error["message"] == "Request had insufficient authentication scopes."
    assert error["errors"] == [
        {
            "message": "Insufficient Permission",
            "domain": "global",
            "reason": "insufficientPermissions",
        }
    ]
    (detail,) = error["details"]
    assert detail["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    assert detail["metadata"] == {
        "service": "compute.googleapis.com",
        "method": "compute.v1.InstancesService.Insert",
    }
    challenge = response.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert CLOUD_PLATFORM in challenge
    assert READ_ONLY not in challenge


async def test_a_self_signed_jwt_for_the_service_needs_no_scopes(world: World) -> None:
    key = json.loads(world.key_file.read_bytes())
    now = int(time.time())
    claims = {"iss": world.email, "sub": world.email, "iat": now, "exp": now + 600}

    async def asked(**more: str) -> int:
        headers = {"kid": key["private_key_id"]}
        token = jwt.encode(claims | more, key["private_key"], "RS256", headers=headers)
        authorization = f"Bearer {token}"
        return (await world.ask("POST", INSTANCES, b"{}", Authorization=authorization)).status

    assert await asked(aud="https://compute.googleapis.com/") == 200
    assert await asked(scope=CLOUD_PLATFORM) == 200
    assert await asked(scope=READ_ONLY) == 403
