# SPDX-License-Identifier: GPL-3.0-or-later
"""Values, directories, recursion: https://cloud.google.com/compute/docs/metadata/querying-metadata."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import pytest

from cloudspill_sandbox.metadata.tree import dashed

if TYPE_CHECKING:
    from sandbox.tests.metadata.conftest import Client, OneInstance


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("instance/id", "8274650932874650"),
        ("instance/machine-type", "projects/415104041262/machineTypes/f1-micro"),
        ("instance/attributes/camelCase_key", "kept"),
        ("instance/attributes/startup-script", "#!/bin/sh\n"),
        ("instance/disks/1/device-name", "data"),
        ("instance/network-interfaces/0/access-configs/0/external-ip", "198.18.0.2"),
        ("instance/network-interfaces/0/dns-servers", "169.254.169.254\n"),
        ("instance/scheduling/automatic-restart", "TRUE"),
        (
            "instance/service-accounts/default/scopes",
            "https://www.googleapis.com/auth/cloud-platform\n",
        ),
        ("project/numeric-project-id", "415104041262"),
        ("//project//project-id", "cloudspill-sandbox"),
        ("instance/tags?alt=text", "bread\nbutter\n"),
        ("instance/tags", '["bread","butter"]'),
        ("project/project-id?alt=json", '"cloudspill-sandbox"'),
        ("instance/id?alt=json", "8274650932874650"),
    ],
)
async def test_a_value_is_read_by_its_dashed_path(client: Client, path: str, body: str) -> None:
    target = f"/computeMetadata/v1{path}" if path.startswith("//") else path
    status, text, headers = await client.get(target)
    assert (status, text) == (200, body)
    assert headers["metadata-flavor"] == "Google"
    assert headers["server"] == "Metadata Server for VM"
    assert headers["etag"]


@pytest.mark.parametrize(
    ("path", "listing"),
    [
        ("/", "computeMetadata/\n"),
        ("/computeMetadata/", "v1/\nv1beta1/\n"),
        ("/computeMetadata/v1/", "instance/\nproject/\n"),
        ("project/", "attributes/\nnumeric-project-id\nproject-id\n"),
        ("instance/disks/", "0/\n1/\n"),
        ("instance/licenses/", ""),
        ("instance/network-interfaces/0/forwarded-ips/", ""),
        ("instance/service-accounts/default/", "aliases\nemail\nidentity\nscopes\ntoken\n"),
        (
            "instance/",
            "attributes/\ndisks/\nguest-attributes/\nid\nlicenses/\nmachine-type\n"
            "network-interfaces/\npreempted\nscheduling/\nservice-accounts/\ntags\n",
        ),
    ],
)
async def test_a_directory_lists_its_names_with_slashes(
    client: Client, path: str, listing: str
) -> None:
    status, text, headers = await client.get(path)
    assert (status, text) == (200, listing)
    assert headers["content-type"] == "application/text"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("instance", "/computeMetadata/v1/instance/"),
        ("instance/disks/0?recursive=true", "/computeMetadata/v1/instance/disks/0/?recursive=true"),
        ("/computeMetadata", "/computeMetadata/"),
    ],
)
async def test_a_directory_without_its_slash_is_redirected(
    client: Client, path: str, location: str
) -> None:
    status, _, headers = await client.get(path)
    assert (status, headers["location"]) == (301, location)


async def test_recursion_gives_the_json_that_the_guest_agent_reads(
    client: Client, source: OneInstance
) -> None:
    status, text, headers = await client.get("/computeMetadata/v1//?recursive=true&alt=json")
    assert status == 200
    assert json.loads(text) == source.document
    assert headers["content-type"] == "application/json"


async def test_recursion_as_text_gives_one_line_a_value(client: Client) -> None:
    _, text, headers = await client.get("instance/disks/?recursive=true&alt=text")
    assert text.splitlines()[:3] == ["0/device-name boot", "0/index 0", "0/mode READ_WRITE"]
    assert headers["content-type"] == "application/text"


@pytest.mark.parametrize(
    "path",
    ["instance/nothing", "instance/disks/2/", "instance/id/", "/computeMetadata/v2/", "/latest/x"],
)
async def test_an_unknown_path_is_not_found(client: Client, path: str) -> None:
    status, text, headers = await client.get(path)
    assert status == 404
    assert "was not found on this server." in text
    assert headers["metadata-flavor"] == "Google"


@pytest.mark.parametrize(
    ("target", "status"),
    [("/computeMetadata/v1/<b>x", b" 404 "), ("/computeMetadata/v1beta1/<b>x", b" 403 ")],
)
async def test_a_hostile_path_is_shown_escaped(client: Client, target: str, status: bytes) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nMetadata-Flavor: Google\r\n"
    answer = await _exchange(client.port, f"{request}Connection: close\r\n\r\n".encode())
    assert status in answer
    assert b"&lt;b&gt;x" in answer
    assert b"<b>x" not in answer


@pytest.mark.parametrize("query", ["alt=xml", "wait_for_change=true&timeout_sec=soon"])
async def test_a_bad_parameter_is_refused(client: Client, query: str) -> None:
    status, _, _ = await client.get(f"instance/id?{query}")
    assert status == 400


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "Missing Metadata-Flavor:Google header."),
        ({"Metadata-Flavor": "google"}, "Missing Metadata-Flavor:Google header."),
        ({"Metadata-Flavor": "Google", "X-Forwarded-For": "10.0.0.1"}, "X-Forwarded-For"),
    ],
)
async def test_what_no_program_on_the_instance_would_send_is_forbidden(
    client: Client, headers: dict[str, str], reason: str
) -> None:
    status, text, answered = await client.request("GET", "instance/id", headers=headers)
    assert status == 403
    assert reason in text
    assert answered["metadata-flavor"] == "Google"


async def test_the_root_answers_without_the_header(client: Client) -> None:
    status, _, headers = await client.request("GET", "/", headers={})
    assert (status, headers["metadata-flavor"]) == (200, "Google")


@pytest.mark.parametrize("path", ["/computeMetadata/v1beta1/instance/id", "/0.1/meta-data/id"])
async def test_legacy_endpoints_are_disabled(client: Client, path: str) -> None:
    status, text, _ = await client.get(path)
    assert status == 403
    assert "Legacy metadata endpoints are disabled. Please use the /v1/ endpoint." in text


async def test_an_address_without_an_instance_sees_nothing(
    client: Client, source: OneInstance
) -> None:
    source.tree = lambda address: None  # type: ignore[method-assign]
    status, text, _ = await client.get("project/project-id")
    assert status == 403
    assert "cloudspill-sandbox" not in text


async def test_values_cannot_be_written(client: Client) -> None:
    status, _, _ = await client.request("PUT", "instance/attributes/key", data=b"value")
    assert status == 405


async def test_a_request_in_absolute_form_is_understood(client: Client) -> None:
    request = (
        b"GET http://metadata.google.internal/computeMetadata/v1/project/project-id HTTP/1.1\r\n"
        b"Host: metadata.google.internal\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n"
    )
    assert (await _exchange(client.port, request)).endswith(b"cloudspill-sandbox")


async def test_a_malformed_request_ends_only_its_connection(client: Client) -> None:
    assert b"400" in await _exchange(client.port, b"\x16\x03\x01 nonsense\r\n\r\n")
    assert (await client.get("instance/preempted"))[:2] == (200, "FALSE")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("numericProjectId", "numeric-project-id"),
        ("ip", "ip"),
        ("forwardedIpv6s", "forwarded-ipv6s"),
        ("cpuPlatform", "cpu-platform"),
        ("targetInstanceIps", "target-instance-ips"),
    ],
)
def test_json_keys_are_dashed_in_paths(key: str, path: str) -> None:
    assert dashed(key) == path


async def _exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_no_path_brings_control_characters_into_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    status, _, _ = await client.get("instance/none%0DINFO forged %1B[2J")
    assert status == 404
    (line,) = [record.getMessage() for record in caplog.records]
    assert "forged" in line
    assert line.isprintable()
