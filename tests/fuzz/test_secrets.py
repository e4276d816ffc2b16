# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets through every door of a sandbox: none is in what it writes outside its store.

Each door gets a word of its own, so that a leak names it. What the sandbox makes up itself, tokens
and keys, is looked for as well.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from cloudspill_sandbox.control import client
from cloudspill_sandbox.settings import Settings
from tests.fuzz.request import Request
from tests.fuzz.wire import NoAnswerError, Wire
from tests.lives.__main__ import free_port
from tests.lives.process import SandboxProcess, settings_below

P = "/compute/v1/projects/cloudspill-sandbox"
ZONE = f"{P}/zones/us-west1-b"
COMPUTE, STORAGE, OAUTH = (f"{name}.googleapis.com" for name in ("compute", "storage", "oauth2"))
IAM, CREDENTIALS = "iam.googleapis.com", "iamcredentials.googleapis.com"
ACCOUNTS = "/v1/projects/cloudspill-sandbox/serviceAccounts"
EMAIL = "worker@cloudspill-sandbox.iam.gserviceaccount.com"
WORKER, ANYWHERE = f"{ACCOUNTS}/{EMAIL}", f"/v1/projects/-/serviceAccounts/{EMAIL}"
JSON = ("Content-Type", "application/json")
STORE = frozenset({"memory.sqlite3", "objects", "keys", "credentials.json", "ca.key"})
"""Files and folders that a sandbox keeps secrets in, for nobody else to read."""


class Doors:
    """Words that nobody may find again, and the ways in which a sandbox is told them."""

    def __init__(self, wire: Wire, settings: Settings) -> None:
        self.words: dict[str, str] = {}
        self._wire = wire
        self._settings = settings

    def secret(self, door: str) -> str:
        """Return a word for a door."""
        return self.words.setdefault(door, f"hush{secrets.token_hex(8)}")

    def send(
        self,
        method: str,
        host: str,
        target: str,
        body: Any = b"",
        *headers: tuple[str, str],
        anonymous: bool = False,
        failing: bool = False,
    ) -> Any:
        """Send a request as the owner; return the answer's document or its bytes.

        Args:
            failing: it may fail on the server's side, or have no answer.
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kinds = () if any(name == "Content-Type" for name, _ in headers) else (JSON,)
        request = Request(
            "", method, host, target, (*headers, *kinds), content, anonymous=anonymous
        )
        with contextlib.suppress(*(NoAnswerError,) if failing else ()):
            answer = self._wire.send(request)
            assert answer.status < 500 or answer.status == (503 if failing else 501), answer
            with contextlib.suppress(ValueError):
                return json.loads(answer.body)
            return answer.body
        return None

    def bodies(self) -> None:
        """Documents that are taken, that are none, and whose parts are in wrong places.

        Not in names, labels and tags: a refusal says which name it does not take.
        """
        word = self.secret("a startup script")
        items = [{"key": "startup-script", "value": f"#!/bin/sh\nexport PASSWORD={word}\n"}]
        disk = {"boot": True, "initializeParams": {"sourceImage": DEBIAN}}
        sound = {
            "name": "vm",
            "machineType": "zones/us-west1-b/machineTypes/f1-micro",
            "disks": [disk],
            "networkInterfaces": [{}],
            "metadata": {"items": items},
        }
        assert self.send("POST", COMPUTE, f"{ZONE}/instances", sound)["status"] == "DONE"
        for field, value in {
            "canIpForward": "{}",
            "disks": ["{}"],
            "labels": {"key": ["{}"]},
            "tags": {"items": {"password": "{}"}},
            "metadata": {"items": [{"key": "a b", "value": "{}"}]},
            "scheduling": {"provisioningModel": "{}"},
            "minCpuPlatform": "{}",
            "unknown": "{}",
        }.items():
            word = self.secret(f"a wrong {field}")
            wrong = json.loads(json.dumps(value).replace("{}", word + "_A"))
            self.send("POST", COMPUTE, f"{ZONE}/instances", sound | {"name": "other", field: wrong})
        twice = [{"key": "a", "value": self.secret("metadata twice")}] * 2
        self.send("POST", COMPUTE, f"{ZONE}/instances/vm/setMetadata", {"items": twice})
        large = self.secret("metadata that are too large") * 20_000
        stale = {"fingerprint": "c3RhbGU=", "items": [{"key": "a", "value": large}]}
        self.send("POST", COMPUTE, f"{ZONE}/instances/vm/setMetadata", stale)
        self.send("POST", COMPUTE, f"{P}/setCommonInstanceMetadata", stale)
        for door, text in (
            ("JSON that is cut off", '{"name": "%s'),
            ("JSON that is none", "password=%s"),
            ("JSON without quotes", '{"metadata": %s}'),
            ("a list", '["%s"]'),
            ("a text", '"%s"'),
            ("half a surrogate", '{"name": "%s\\ud800"}'),
        ):
            self.send("POST", COMPUTE, f"{ZONE}/instances", (text % self.secret(door)).encode())
        policy = {"policy": {"bindings": [{"role": self.secret("a role"), "members": ["x"]}]}}
        self.send("POST", IAM, f"{WORKER}:setIamPolicy", policy)
        key = {"publicKeyData": base64.b64encode(self.secret("a key").encode()).decode()}
        self.send("POST", IAM, f"{WORKER}/keys:upload", key)

    def headers(self) -> None:
        """Credentials that hold for nothing, and headers that are none."""
        for door, name, value in (
            ("a bearer token", "Authorization", "Bearer {}"),
            ("basic credentials", "Authorization", "Basic {}"),
            ("another scheme", "Authorization", "{}"),
            ("a JWT", "Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.{}.c2ln"),
        ):
            header = (name, value.format(self.secret(door)))
            self.send("GET", COMPUTE, f"{ZONE}/instances", b"", header, anonymous=True)
        for name in ("Cookie", "X-Goog-Api-Key", "Proxy-Authorization", "X-Goog-Encryption-Key"):
            self.send(
                "GET", COMPUTE, f"{ZONE}/none", b"", (name, self.secret(f"the header {name}"))
            )
        head = f"GET / HTTP/1.1\r\nHost: {COMPUTE}\r\n"
        for door, line in (
            ("a header without a colon", "Authorization Bearer {}"),
            ("a header with a NUL", "Authorization: Bearer \0{}"),
            ("a folded header", "Authorization: Bearer\r\n {}"),
        ):
            self._wire.throw("http", f"{head}{line.format(self.secret(door))}\r\n\r\n".encode())

    def queries(self) -> None:
        """Tokens, keys, signatures and passwords in addresses."""
        for name in (
            *("access_token", "oauth_token", "key", "fields", "alt", "password", "quotaUser"),
            *("maxResults", "prettyPrint", "requestId", "userIp", "$.xgafv"),
        ):
            query = urlencode({name: self.secret(f"the parameter {name}")})
            self.send("GET", COMPUTE, f"{ZONE}/instances?{query}", anonymous="token" in name)
        signed = {"X-Goog-Algorithm": "GOOG4-RSA-SHA256", "X-Goog-Date": "20260101T000000Z"}
        signed |= {"X-Goog-Expires": "60", "X-Goog-SignedHeaders": "host"}
        scope = "w@x.iam.gserviceaccount.com/20260101/auto/storage/goog4_request"
        signed |= {"X-Goog-Credential": scope, "X-Goog-Signature": self.secret("a signature")}
        for host, path in ((STORAGE, "/bucket/object"), (f"bucket.{STORAGE}", "/object")):
            self.send("GET", host, f"{path}?{urlencode(signed)}", anonymous=True)
        old = {"GoogleAccessId": self.secret("an account that signs"), "Expires": "4102444800"}
        old |= {"Signature": self.secret("a signature of version 2")}
        wrong = {"Expires": self.secret("an expiry"), "Signature": "none"}
        for query in (urlencode(old), urlencode(old | wrong)):
            self.send("GET", STORAGE, f"/bucket/object?{query}", anonymous=True)
        session = self.secret("an upload's session")
        for path in ("/upload/storage/v1/b/bucket/o", "/resumable/upload/storage/v1/b/bucket/o"):
            target = f"{path}?uploadType=resumable&upload_id={session}"
            self.send("PUT", STORAGE, target, b"x", ("Content-Range", "bytes 0-0/2"))

    def batches(self) -> None:
        """Parts with credentials and bodies of their own, and parts that are none."""
        token, body, broken = (
            self.secret(f"a batch's {what}") for what in ("token", "body", "rest")
        )
        part = "--cut\r\nContent-Type: application/http\r\n\r\n{}\r\n"
        content = part.format(f"GET {ZONE}/instances HTTP/1.1\r\nAuthorization: Bearer {token}\r\n")
        content += part.format(
            f'POST {ZONE}/instances HTTP/1.1\r\n\r\n{{"canIpForward": "{body}"}}'
        )
        kind = ("Content-Type", "multipart/mixed; boundary=cut")
        self.send("POST", COMPUTE, "/batch/compute/v1", f"{content}--cut--".encode(), kind)
        content += part.format(broken)
        self.send("POST", COMPUTE, "/batch/compute/v1", f"{content}--cut--".encode(), kind)

    def uploads(self) -> None:
        """Metadata that are none, and bytes."""
        assert "error" not in self.send(
            "POST", STORAGE, "/storage/v1/b?project=cloudspill-sandbox", {"name": "bucket"}
        )
        upload = "/upload/storage/v1/b/bucket/o?uploadType"
        for door, metadata in (
            ("an object's metadata", '{{"name": "o", "metadata": {{"password": "{}"}}}}'),
            ("an upload's wrong metadata", '{{"name": ["{}"]}}'),
            ("an upload's cut metadata", '{{"name": "{}'),
        ):
            head = "--cut\r\nContent-Type: application/json\r\n\r\n"
            text = f"{head}{metadata.format(self.secret(door))}\r\n--cut\r\n\r\nx\r\n--cut--"
            kind = ("Content-Type", "multipart/related; boundary=cut")
            self.send("POST", STORAGE, f"{upload}=multipart", text.encode(), kind)
        self.send("POST", STORAGE, f"{upload}={self.secret('an upload of no type')}&name=o", b"x")
        metadata = json.dumps({"name": self.secret("another name")})
        text = f"--cut\r\n\r\n{metadata}\r\n--cut\r\n\r\nx\r\n--cut--"
        target = f"{upload}=multipart&name={self.secret('one name')}"
        self.send("POST", STORAGE, target, text.encode(), kind)
        content = self.secret("an object's content").encode()
        text_kind = ("Content-Type", "text/plain")
        self.send("POST", STORAGE, f"{upload}=media&name=o", content, text_kind)
        header = ("x-goog-meta-password", self.secret("a header of the XML API"))
        self.send("PUT", STORAGE, "/bucket/xml", content, header)
        customer = ("x-goog-encryption-key", self.secret("a customer's key"))
        self.send("GET", STORAGE, "/storage/v1/b/bucket/o/o?alt=media", b"", customer)

    def tokens(self) -> None:
        """What the token endpoint is asked with, and what it and others give away."""
        form = ("Content-Type", "application/x-www-form-urlencoded")
        for fields in (
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": ""},
            {"grant_type": "refresh_token", "refresh_token": "", "client_secret": ""},
            {"grant_type": "password", "username": "me", "password": ""},
        ):
            filled = {name: value or self.secret(f"the {name}") for name, value in fields.items()}
            self.send("POST", OAUTH, "/token", urlencode(filled).encode(), form, anonymous=True)
            self.send("POST", OAUTH, "/token", filled, anonymous=True)
        self.send("POST", IAM, ACCOUNTS, {"accountId": "worker"})
        key = self.send("POST", IAM, f"{WORKER}/keys", {})
        private = json.loads(base64.b64decode(key["privateKeyData"]))["private_key"]
        self.words["the private key that was made"] = private.splitlines()[3]
        self.words["the same in base64"] = key["privateKeyData"][200:280]
        role = "roles/iam.serviceAccountTokenCreator"
        binding = {"role": role, "members": [f"serviceAccount:{self._wire.email}"]}
        policy = {"policy": {"bindings": [binding]}}
        self.send("POST", IAM, f"{WORKER}:setIamPolicy", policy)
        scope = {"scope": ["https://www.googleapis.com/auth/cloud-platform"]}
        made = self.send("POST", CREDENTIALS, f"{ANYWHERE}:generateAccessToken", scope)
        self.words["the access token that was made"] = made["accessToken"]
        made = self.send("POST", CREDENTIALS, f"{ANYWHERE}:generateIdToken", {"audience": "x"})
        self.words["the identity token that was made"] = made["token"]
        header = ("Authorization", f"Bearer {self.words['the access token that was made']}")
        self.send("GET", COMPUTE, f"{ZONE}/instances", b"", header, anonymous=True)

    def proxy(self) -> None:
        """Credentials for other hosts, in lines that are meant for proxies."""
        for door, line in (
            ("an address's password", "GET http://me:{}@none.invalid/ HTTP/1.1"),
            ("a destination's password", "CONNECT me:{}@none.invalid:443 HTTP/1.1"),
            (
                "a proxy's credentials",
                "CONNECT none.invalid:443 HTTP/1.1\r\nProxy-Authorization: {}",
            ),
            ("a line that is none", "{}"),
        ):
            self._wire.throw("proxy", f"{line.format(self.secret(door))}\r\n\r\n".encode())

    def faults(self) -> None:
        """Calls that fail because somebody wanted it, before and after they were carried out."""
        for kind in ({"kind": "error", "error": "503:backendError:x"}, {"kind": "reset"}):
            order = kind | {"method": "compute.instances.setMetadata", "match": "*"}
            client.call(self._settings.admin_socket, "POST", "/faults", body=order)
            items = [{"key": "a", "value": self.secret(f"a call that fails by {kind['kind']}")}]
            path = f"{ZONE}/instances/vm/setMetadata?access_token="
            path += self.secret(f"the token of a call that fails by {kind['kind']}")
            self.send("POST", COMPUTE, path, {"items": items}, failing=True)


DEBIAN = "projects/debian-cloud/global/images/family/debian-12"


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxProcess]:
    """A sandbox that would reach the outside by a proxy with a password, if there were one."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PROXY_PASSWORD}@127.0.0.1:9")
    monkeypatch.delenv("https_proxy", raising=False)
    made = SandboxProcess(settings_below(tmp_path, "hush", free_port()))
    made.settings = dataclasses.replace(made.settings, witness=tmp_path / "witness.jsonl")
    yield made
    made.kill()


PROXY_PASSWORD = "hush7fd3a9c2"


def parts(folder: Path, *, secret: bool) -> list[Path]:
    """Return the files of a sandbox's store, or all others."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret is bool(STORE & {*path.relative_to(folder).parts})]


def open_to_others(folder: Path, file: Path) -> bool:
    """Whether more than its owner may read a file; a folder above may shut them out."""
    above = [each for each in file.parents if folder in each.parents]
    others = stat.S_IRGRP | stat.S_IROTH
    return bool(file.stat().st_mode & others) and all(
        each.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for each in above
    )


def test_no_secret_is_in_what_a_sandbox_writes_outside_its_store(
    process: SandboxProcess, tmp_path: Path
) -> None:
    process.launch()
    process.wait_until_ready()
    settings = process.settings
    with Wire(settings) as wire:
        doors = Doors(wire, settings)
        doors.words["the password of the proxy"] = PROXY_PASSWORD
        doors.words["the same in base64"] = base64.b64encode(
            f"me:{PROXY_PASSWORD}".encode()
        ).decode()
        doors.bodies()
        doors.tokens()
        doors.uploads()
        doors.headers()
        doors.queries()
        doors.batches()
        doors.proxy()
        doors.faults()
    shown = subprocess.run(
        [Path(sys.executable).with_name("cloudspill-sandbox"), "log", "--output", "json"],
        env=settings.to_environment() | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    ).stdout
    faults = json.dumps(client.call(settings.admin_socket, "GET", "/faults")).encode()
    status = json.dumps(client.call(settings.admin_socket, "GET", "/status")).encode()
    process.stop()
    files = {path.name: path.read_bytes() for path in parts(tmp_path, secret=False)}
    files |= {"log": shown, "faults": faults, "status": status}
    assert {"sandbox.log", "calls.jsonl", "witness.jsonl"} <= files.keys()
    assert b"setMetadata" in shown
    leaks = {
        f"{door} in {path}"
        for path, content in files.items()
        for door, word in doors.words.items()
        if word.encode() in content
    }
    assert leaks == set()
    store = parts(tmp_path, secret=True)
    assert {path.name for path in store} >= STORE - {"objects", "keys"}
    assert [path for path in store if open_to_others(tmp_path, path)] == []
