# SPDX-License-Identifier: GPL-3.0-or-later
"""Make one Compute Engine instance, from inside another.

Runs on an instance that has Python 3.8 or later and nothing else. It authenticates as the service
account that the instance has attached, or as the one whose JSON key it is given, and brings the
instance that the specification describes to RUNNING: it makes it where there is none, starts it
where it is off, waits where another is at it. So any number of runs make one instance.

Lines of progress go to standard output; one sentence says on standard error why it failed. Exit
status (sysexits.h): 0 it runs; 64 wrong arguments; 65 a malformed file; 69 Google does not answer,
or cannot do it; 75 not done in time, run it again; 77 no permission, or the instance is somebody
else's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from google_web import ApiError, LaunchError, Web, attached_token, key_token, read_json, read_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Document = dict[str, Any]

COMPUTE = "https://compute.googleapis.com/compute/v1/"
MARK = ("cloudspill-run", "cloudspill-owner")
INTERVAL = 0.5  # seconds between two looks at what is under way


class Compute:
    """The part of Compute Engine that making an instance takes.

    https://cloud.google.com/compute/docs/reference/rest/v1/instances
    """

    def __init__(self, web: Web, token: str, base: str) -> None:
        """Bind to a zone: `base` is its URL, ending in a slash."""
        self._web, self._token, self._base = web, token, base

    def find(self, name: str) -> Document | None:
        """An instance's document, or None where there is no such instance."""
        try:
            return self._call("GET", f"instances/{name}", name)
        except ApiError as error:
            if error.code == 404 and "instances/" in str(error):
                return None
            raise

    def change(self, path: str, name: str, body: Document | None = None) -> None:
        """POST something that answers with an operation, and wait until that is done.

        Raises:
            LaunchError: it was refused, failed, or was not done before the deadline.
        """
        operation = self._call("POST", f"{path}?requestId={uuid.uuid4()}", name, body)
        while operation.get("status") != "DONE":
            late = f"{name}: operation {operation['name']} is still {operation.get('status')}"
            operation = self._call("POST", f"operations/{operation['name']}/wait", name)
            if operation.get("status") != "DONE":
                self._web.pause(INTERVAL, LaunchError(late, os.EX_TEMPFAIL))
        errors = (operation.get("error") or {}).get("errors") or []
        if errors:
            said = "; ".join(
                f"{e.get('message', '').rstrip('.')} ({e.get('code')})" for e in errors
            )
            raise LaunchError(f"{name}: {said}", os.EX_UNAVAILABLE)

    def _call(self, method: str, path: str, about: str, body: Document | None = None) -> Document:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        # A POST without a body still says how long it is.
        data = json.dumps(body).encode() if body else b"" if method == "POST" else None
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        return self._web.call(request, about)


def launch(compute: Compute, web: Web, body: Document, say: Callable[[str], None]) -> Document:
    """Bring an instance to RUNNING, from wherever it is.

    Args:
        compute, web: the clients.
        body: what instances.insert takes.
        say: gets lines of progress.

    Returns:
        its document.

    Raises:
        LaunchError: it cannot be made or started, is somebody else's, or is not up in time.
    """
    name = body["name"]
    turn_on = {"TERMINATED": "start", "SUSPENDED": "resume"}
    while True:
        found = compute.find(name)
        status = found["status"] if found else "absent"
        if found is None:
            say(f"asking for {name}")
            _insert(compute, body)
        else:
            _refuse_a_strangers(found, body)
            if status == "RUNNING":
                return found
        if status in turn_on:
            say(f"{name} is {status}: asking for its {turn_on[status]}")
            compute.change(f"instances/{name}/{turn_on[status]}", name)
        web.pause(INTERVAL, LaunchError(f"{name} is still {status}", os.EX_TEMPFAIL))


def _insert(compute: Compute, body: Document) -> None:
    try:
        compute.change("instances", body["name"], body)
    except ApiError as error:
        # Somebody was faster, or the answer was lost; unless it is a disk that has the name.
        if error.code != 409 or "/disks/" in str(error):
            raise


def _refuse_a_strangers(found: Document, body: Document) -> None:
    labels = found.get("labels") or {}
    if any(labels.get(key) != body["labels"][key] for key in MARK):
        sentence = f"{found['name']} exists and is not of this run: it is left alone"
        raise LaunchError(sentence, os.EX_NOPERM)


def specification(arguments: argparse.Namespace) -> Document:
    """Read what to make, its startup script included.

    Raises:
        LaunchError: a file cannot be read or lacks something.
    """
    spec = read_json(arguments.specification)
    missing = [name for name in ("project", "zone", "instance") if not spec.get(name)]
    if missing:
        sentence = f"{arguments.specification} lacks {', '.join(missing)}"
        raise LaunchError(sentence, os.EX_DATAERR)
    try:
        script = Path(arguments.startup_script).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        sentence = f"cannot read {arguments.startup_script}: {error}"
        raise LaunchError(sentence, os.EX_DATAERR) from error
    items = spec["instance"].setdefault("metadata", {}).setdefault("items", [])
    items.append({"key": "startup-script", "value": script})
    return spec


def say(line: str) -> None:
    """Tell how it goes, in the form that is looked for in the serial output."""
    sys.stdout.write(f"cloudspill: {line}\n")
    sys.stdout.flush()


def run(arguments: argparse.Namespace) -> None:
    """Do what the arguments ask for.

    Raises:
        LaunchError: in vain.
    """
    spec = specification(arguments)
    web = Web(arguments.deadline)
    if arguments.key_file:
        key = read_key(arguments.key_file)
        say(f"signing in as {key['client_email']}, by its key")
        token = key_token(web, key, int(time.time()))
    else:
        say("signing in as the attached service account")
        token = attached_token(web)
    zone = f"{arguments.endpoint}projects/{spec['project']}/zones/{spec['zone']}/"
    compute = Compute(web, token, zone)
    document = launch(compute, web, spec["instance"], say)
    say(f"{document['name']} is RUNNING in {spec['zone']}, {address_of(document)}")


def address_of(document: Document) -> str:
    """An instance's external address, else its internal one."""
    interface = document["networkInterfaces"][0]
    external = (interface.get("accessConfigs") or [{}])[0].get("natIP")
    return str(external or interface.get("networkIP"))


def main(command_line: Sequence[str] | None = None) -> int:
    """Run as a program, and return its exit status."""
    parser = argparse.ArgumentParser(description="Make one Compute Engine instance.")
    parser.add_argument("--specification", required=True, help="JSON: project, zone, instance")
    parser.add_argument("--startup-script", required=True, help="what the instance runs at boot")
    parser.add_argument("--key-file", help="JSON key; the attached service account if not given")
    parser.add_argument("--endpoint", default=COMPUTE, help="Compute Engine v1, if it is elsewhere")
    parser.add_argument("--deadline", type=float, default=420.0, help="seconds for all of it")
    try:
        arguments = parser.parse_args(command_line)
    except SystemExit as error:
        return os.EX_OK if error.code in (None, os.EX_OK) else os.EX_USAGE
    try:
        run(arguments)
    except LaunchError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
