# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's two Python libraries for Compute Engine behind one way to call them.

A method is called by its name in the discovery document, `addresses.insert`, with its parameters
and body as they stand there; what comes back is JSON of the same form. So one test shows what both
libraries do: what they send, how they wait for an operation, how they read answers and pages.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from typing import Any, Protocol

Json = dict[str, Any]
DEADLINE = 120.0


class Sdk(Protocol):
    """One library."""

    def __call__(self, method: str, **parameters: Any) -> Any:
        """Return a method's answer: a resource, all items of a list, or an operation that ended.

        Raises:
            Refused: Google's API said no.
        """

    def begin(self, method: str, **parameters: Any) -> Json:
        """Return a method's operation as it is answered, without waiting for its end."""

    def close(self) -> None:
        """End all connections."""


class Refused(Exception):  # noqa: N818 - what it is, in a word
    """The API refused a call.

    Attributes:
        status: HTTP status code.
        message: the API's sentence.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class ApiPythonClient:
    """google-api-python-client."""

    def __init__(self, place: Json) -> None:
        from googleapiclient import discovery  # type: ignore[import-untyped]

        self._place = place
        self._service = discovery.build("compute", "v1", cache_discovery=False)

    def __call__(self, method: str, **parameters: Any) -> Any:
        from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

        try:
            return self._answer(method, parameters)
        except HttpError as error:
            raise Refused(error.status_code, error.reason) from error

    def begin(self, method: str, **parameters: Any) -> Json:
        """Return the operation."""
        operation: Json = self._request(method, parameters)[1].execute()
        return operation

    def _request(self, method: str, parameters: Json) -> tuple[Any, Any]:
        """Return the collection that a method is of, and what would call it."""
        resource, verb = method.split(".")
        collection = getattr(self._service, resource)()
        wanted = {
            key: value
            for key, value in self._place.items()
            if key in _parameters_of(collection, verb)
        }
        return collection, getattr(collection, verb)(**wanted | parameters)

    def _answer(self, method: str, parameters: Json) -> Any:
        verb = method.rpartition(".")[2]
        collection, request = self._request(method, parameters)
        answer = request.execute()
        if verb in {"list", "aggregatedList"} and "items" in answer:
            return self._items(getattr(collection, f"{verb}_next"), request, answer)
        return self._ended(answer) if answer and "operationType" in answer else answer

    def _items(self, following: Any, request: Any, page: Json) -> Any:
        items = page["items"]
        while (request := following(request, page)) is not None:
            page = request.execute()
            items = items + page["items"] if isinstance(items, list) else items | page["items"]
        return items

    def _ended(self, operation: Json) -> Json:
        collection, place = self._service.globalOperations(), {"project": self._place["project"]}
        for scope in ("zone", "region"):
            if scope in operation:
                collection = getattr(self._service, f"{scope}Operations")()
                place[scope] = operation[scope].rpartition("/")[2]
        while operation["status"] != "DONE":
            operation = collection.wait(**place, operation=operation["name"]).execute()
        if "error" in operation:
            (error,) = operation["error"]["errors"]
            raise Refused(operation["httpErrorStatusCode"], error["message"])
        return operation

    def close(self) -> None:
        self._service.close()


def _parameters_of(collection: Any, verb: str) -> set[str]:
    """Return the names of a method's parameters, out of what the library says of it."""
    documented = getattr(collection, verb).__doc__ or ""
    return set(re.findall(r"^  (\w+): ", documented, re.MULTILINE))


class CloudCompute:
    """google-cloud-compute."""

    def __init__(self, place: Json) -> None:
        from google.cloud import compute_v1

        self._place = place
        self._v1: Any = compute_v1
        self._clients: dict[str, Any] = {}

    def __call__(self, method: str, **parameters: Any) -> Any:
        from google.api_core.exceptions import GoogleAPICallError

        try:
            return self._plain(self._called(method, parameters), method.rpartition(".")[2])
        except GoogleAPICallError as error:
            raise Refused(error.code or 0, error.message or "") from error

    def begin(self, method: str, **parameters: Any) -> Json:
        """Return the operation's name and status."""
        operation = self._called(method, parameters)
        return {"name": operation.name, "status": operation.status.name}

    def _called(self, method: str, parameters: Json) -> Any:
        resource, verb = method.split(".")
        call = getattr(self._client(resource), _snake(verb))
        kind = _request_of(call)
        fields = kind.meta.fields
        document = {
            name: value
            for name, value in (self._place | parameters).items()
            if _snake(name) in fields
        }
        if "body" in parameters:
            (name,) = (each for each in fields if each.endswith("_resource"))
            document[_camel(name)] = parameters["body"]
        left_out = parameters.keys() - {"body"} - document.keys()
        assert not left_out, f"{method} has no parameters {left_out}"
        return call(kind.from_json(json.dumps(document)))

    def _plain(self, answer: Any, verb: str) -> Any:
        if hasattr(answer, "result"):
            answer.result(timeout=DEADLINE)
            return {"name": answer.name, "status": "DONE"}
        if verb == "list":
            return [_json(item) for item in answer]
        if verb == "aggregatedList":
            return {scope: _json(part) for scope, part in answer}
        return _json(answer)

    def _client(self, resource: str) -> Any:
        if resource not in self._clients:
            name = f"{resource[0].upper()}{resource[1:]}Client"
            self._clients[resource] = getattr(self._v1, name)()
        return self._clients[resource]

    def close(self) -> None:
        for client in self._clients.values():
            client.transport.close()


def _request_of(call: Any) -> Any:
    annotation = inspect.signature(call).parameters["request"].annotation
    return next(each for each in typing.get_args(annotation) if hasattr(each, "meta"))


def _json(message: Any) -> Any:
    kind = type(message)
    text = kind.to_json(
        message, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
    return json.loads(text)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
