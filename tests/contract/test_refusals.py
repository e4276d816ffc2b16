# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, in Google's JSON and as google-api-python-client and google-auth report it.

Form of an error: https://cloud.google.com/apis/design/errors#http_mapping and
https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-http-errors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.auth.transport.requests
import pytest
import requests
from google.auth import crypt, exceptions, jwt
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from .conftest import SCOPES
from .rest import Rest
from .target import Target

Named = Callable[[str], str]


@pytest.fixture(scope="module")
def compute(_environment: None) -> Iterator[Any]:
    """Compute Engine by google-api-python-client."""
    from googleapiclient import discovery  # type: ignore[import-untyped]

    service = discovery.build("compute", "v1", cache_discovery=False)
    yield service
    service.close()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal in both its forms.

    Attributes:
        status: of the response.
        reported: the sentence that the client shows.
        error: Google's `error` object.
    """

    status: int
    reported: str
    error: dict[str, Any]


def refused(request: Any) -> Refusal:
    """Execute a request that must be refused."""
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    with pytest.raises(HttpError) as caught:
        request.execute()
    body = json.loads(caught.value.content)
    assert set(body) == {"error"}
    return Refusal(caught.value.status_code, caught.value.reason, body["error"])


def check(refusal: Refusal, status: int, reason: str, message: str) -> None:
    """Compare a refusal of Compute Engine itself with all that Google says in it."""
    item = {"message": message, "domain": "global", "reason": reason}
    assert refusal == Refusal(
        status, message, {"code": status, "message": message, "errors": [item]}
    )


@pytest.fixture(scope="module")
def at(target: Target) -> dict[str, str]:
    """What every zonal call takes."""
    return {"project": target.project, "zone": target.zone}


@pytest.fixture(scope="module")
def taken(rest: Rest, prefix: str) -> str:
    """The name of an instance that is there."""
    name = f"{prefix}taken"
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(name))
    return name


def test_a_field_that_the_schema_does_not_have(
    compute: Any, at: dict[str, str], rest: Rest, named: Named
) -> None:
    # https://cloud.google.com/apis/design/errors#error_details (BadRequest)
    name = named("vm")
    body = rest.instance(name, labells={"team": "a"})
    refusal = refused(compute.instances().insert(**at, body=body))
    sentence = (
        "Invalid JSON payload received. Unknown name \"labells\" at 'resource': Cannot find field."
    )
    assert (refusal.status, refusal.reported) == (400, sentence)
    assert refusal.error["status"] == "INVALID_ARGUMENT"
    assert refusal.error["errors"][0]["reason"] == "badRequest"
    assert refusal.error["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "resource", "description": sentence}],
        }
    ]
    assert rest.call("GET", f"zones/{rest.zone}/instances/{name}").status_code == 404


def test_a_name_that_is_taken(
    compute: Any, at: dict[str, str], rest: Rest, target: Target, taken: str
) -> None:
    # https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-http-errors
    before = rest.get(f"zones/{rest.zone}/instances/{taken}")
    name = f"projects/{target.project}/zones/{target.zone}/instances/{taken}"
    refusal = refused(compute.instances().insert(**at, body=rest.instance(taken)))
    check(refusal, 409, "alreadyExists", f"The resource '{name}' already exists")
    assert rest.get(f"zones/{rest.zone}/instances/{taken}") == before


def test_an_instance_that_is_not_there(
    compute: Any, at: dict[str, str], target: Target, named: Named
) -> None:
    # https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-http-errors
    missing = named("vm")
    name = f"projects/{target.project}/zones/{target.zone}/instances/{missing}"
    refusal = refused(compute.instances().get(**at, instance=missing))
    check(refusal, 404, "notFound", f"The resource '{name}' was not found")


def test_an_image_that_is_not_there(
    compute: Any, at: dict[str, str], rest: Rest, named: Named
) -> None:
    # https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation
    reference = "projects/debian-cloud/global/images/debian-12-of-nobody"
    body = rest.instance(named("vm"))
    body["disks"][0]["initializeParams"]["sourceImage"] = reference
    refusal = refused(compute.instances().insert(**at, body=body))
    check(
        refusal,
        400,
        "invalid",
        f"Invalid value for field 'resource.disks[0].initializeParams.sourceImage': '{reference}'. "
        "The referenced image resource cannot be found.",
    )


def test_a_family_without_images(compute: Any) -> None:
    # https://cloud.google.com/compute/docs/reference/rest/v1/images/getFromFamily
    refusal = refused(compute.images().getFromFamily(project="debian-cloud", family="debian-3"))
    name = "projects/debian-cloud/global/images/family/debian-3"
    check(refusal, 404, "notFound", f"The resource '{name}' was not found")


def test_a_zone_that_does_not_exist(compute: Any, target: Target) -> None:
    # https://cloud.google.com/compute/docs/regions-zones
    refusal = refused(compute.instances().list(project=target.project, zone="us-west1"))
    check(refusal, 400, "invalid", "Invalid value for field 'zone': 'us-west1'. Unknown zone.")


def test_a_project_that_does_not_exist(compute: Any, target: Target) -> None:
    # https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-http-errors
    project = "cloudspill-nobody-has-this"
    refusal = refused(compute.instances().list(project=project, zone=target.zone))
    check(refusal, 404, "notFound", f"The resource 'projects/{project}' was not found")


def test_a_fingerprint_that_is_not_the_current_one(
    compute: Any, at: dict[str, str], rest: Rest, taken: str
) -> None:
    # https://cloud.google.com/compute/docs/reference/rest/v1/instances/setTags
    before = rest.get(f"zones/{rest.zone}/instances/{taken}")
    body = {"items": ["web"], "fingerprint": "AAAAAAAAAAA="}
    refusal = refused(compute.instances().setTags(**at, instance=taken, body=body))
    sentence = "Supplied fingerprint does not match current tags fingerprint."
    check(refusal, 412, "conditionNotMet", sentence)
    assert rest.get(f"zones/{rest.zone}/instances/{taken}")["tags"] == before["tags"]


def test_a_disk_that_is_in_use(
    compute: Any, at: dict[str, str], target: Target, taken: str
) -> None:
    # https://cloud.google.com/compute/docs/reference/rest/v1/disks/delete
    where = f"projects/{target.project}/zones/{target.zone}"
    refusal = refused(compute.disks().delete(**at, disk=taken))
    check(
        refusal,
        400,
        "resourceInUseByAnotherResource",
        f"The disk resource '{where}/disks/{taken}' is already being used by "
        f"'{where}/instances/{taken}'",
    )


def test_a_method_that_the_sandbox_does_not_have(compute: Any, sandbox_only: Target) -> None:
    # https://cloud.google.com/apis/design/errors#handling_errors (UNIMPLEMENTED is 501)
    refusal = refused(compute.routes().insert(project=sandbox_only.project, body={"name": "own"}))
    assert refusal.status == 501
    assert refusal.error["errors"][0]["reason"] == "notImplemented"
    assert refusal.reported.startswith("compute.routes.insert is not implemented")


def with_token(target: Target, token: str | None) -> requests.Response:
    """List zones by hand, with this token or none."""
    url = f"https://compute.googleapis.com/compute/v1/projects/{target.project}/zones"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(url, headers=headers, timeout=10)


def expired_token(target: Target) -> str:
    """Sign a token with the project's key that ended an hour ago."""
    now = int(time.time())
    claims = {
        "iss": target.email,
        "sub": target.email,
        "aud": "https://compute.googleapis.com/",
        "iat": now - 7200,
        "exp": now - 3600,
    }
    signer = crypt.RSASigner.from_service_account_file(str(target.key_file))
    return str(jwt.encode(signer, claims), "ascii")


def test_no_token(target: Target) -> None:
    # https://cloud.google.com/docs/authentication/troubleshoot-adc
    answer = with_token(target, None)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (401, "UNAUTHENTICATED")
    assert error["message"].startswith(
        "Request is missing required authentication credential. Expected OAuth 2 access token"
    )
    assert error["errors"][0]["reason"] == "required"
    assert error["errors"][0]["location"] == "Authorization"
    assert error["details"][0]["reason"] == "CREDENTIALS_MISSING"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")


@pytest.mark.parametrize("kind", ["expired", "made up"])
def test_a_token_that_does_not_hold(target: Target, kind: str) -> None:
    # https://cloud.google.com/docs/authentication/token-types#at-lifetime
    token = expired_token(target) if kind == "expired" else "ya29.nobody-issued-this"
    answer = with_token(target, token)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (401, "UNAUTHENTICATED")
    assert error["message"].startswith("Request had invalid authentication credentials.")
    assert error["errors"][0]["reason"] == "authError"
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_google_auth_tries_to_refresh_an_expired_token(target: Target) -> None:
    # https://google-auth.readthedocs.io/en/stable/reference/google.oauth2.credentials.html
    stale = user_credentials.Credentials(expired_token(target))
    with (
        google.auth.transport.requests.AuthorizedSession(stale) as session,
        pytest.raises(exceptions.RefreshError),
    ):
        session.get(
            f"https://compute.googleapis.com/compute/v1/projects/{target.project}/zones",
            timeout=10,
        )


def test_a_key_file_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    # https://cloud.google.com/iam/docs/keys-create-delete
    broken = tmp_path / "key.json"
    broken.write_text('{"type": "service_account", "client_email": "a@b"}')
    with pytest.raises(exceptions.MalformedError, match=r"private_key|token_uri"):
        service_account.Credentials.from_service_account_file(str(broken), scopes=SCOPES)


def test_a_key_file_with_another_private_key(target: Target, tmp_path: Path) -> None:
    # https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    forged = tmp_path / "key.json"
    content = json.loads(target.key_file.read_text()) | {"private_key": other.decode()}
    forged.write_text(json.dumps(content))
    credentials = service_account.Credentials.from_service_account_file(str(forged), scopes=SCOPES)
    with pytest.raises(exceptions.RefreshError) as caught:
        credentials.refresh(google.auth.transport.requests.Request())
    assert caught.value.args[1] == {
        "error": "invalid_grant",
        "error_description": "Invalid JWT Signature.",
    }
