# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and answers against the discovery document.

`request_body` and `query_parameters` return what handlers get, in one canonical form (64-bit
integers as strings, bytes as padded base64, no nulls); what does not fit is refused in the words
of Google's API front end, all faults of a body at once. `validate_response` is for tests.

Sentences: as that front end writes them, fields in snake_case,
`Invalid JSON payload received. Unknown name "foo" at 'resource.disks[0]': Cannot find field.`
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.discovery import Api, Method, Parameter
from cloudspill_sandbox.engine.errors import invalid_parameter, malformed, required
from cloudspill_sandbox.engine.leniency import (
    QUERY_BOOLEANS,
    UNKNOWN_FIELDS,
    UNKNOWN_PARAMETERS,
)
from cloudspill_sandbox.engine.scalars import BadScalarError, convert, is_canonical, type_name
from cloudspill_sandbox.engine.schema import Schema

_IGNORED_FIELDS = frozenset((entry.schema, entry.field) for entry in UNKNOWN_FIELDS)
_IGNORED_PARAMETERS = frozenset((entry.api, entry.name) for entry in UNKNOWN_PARAMETERS)
_UNKNOWN = 'Invalid JSON payload received. Unknown name "{}"'
_BODY_ROOTS = {"compute": "resource"}
"""What an API calls the body as a whole, where Google's sentences name it."""

_MAXIMA = {"compute": {"maxResults": 500}}
"""Limits that documents give in prose alone."""


def parse_json(raw: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ApiError: 400, it is none.
    """
    try:
        text = raw.decode()
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except json.JSONDecodeError as error:
        start = error.pos - min(error.pos, 20)
        snippet = error.doc[start : error.pos + 20].replace("\n", " ")
        what = "Unexpected token." if error.pos < len(error.doc) else "Unexpected end of string."
        sentence = f"Invalid JSON payload received. {what}\n{snippet}\n{' ' * (error.pos - start)}^"
        raise malformed(("", sentence)) from None
    except RecursionError:
        sentence = "Invalid JSON payload received. Message too deep. Max recursion depth reached."
        raise malformed(("", sentence)) from None
    except ValueError:  # not UTF-8, a number without bounds
        raise malformed(("", "Invalid JSON payload received.")) from None
    return value


def request_body(api: Api, method: Method, value: Any) -> Document:
    """Return the canonical body of a request.

    Args:
        value: what the JSON text says; None for no body.

    Raises:
        ApiError: 400 that names every field that does not fit.
    """
    if method.request is None or value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(("", _UNKNOWN.format("") + ": Root element must be a message."))
    checker = _BodyChecker(api)
    body = checker.message(
        api.schemas[method.request], value, _BODY_ROOTS.get(api.name, ""), method.request
    )
    if checker.violations:
        raise malformed(*checker.violations)
    return body


def query_parameters(api: Api, method: Method, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return query parameters by name, converted to their types; standard ones included.

    Raises:
        ApiError: 400, one is unknown, missing or not of its type.
    """
    values: dict[str, Any] = {}
    unknown: list[tuple[str, str]] = []
    for name, text in pairs:
        parameter = method.query_parameters.get(name) or api.parameters.get(name.lstrip("$"))
        parameter = parameter or api.parameters.get(name)
        if parameter is None:
            if (api.name, name) not in _IGNORED_PARAMETERS:
                unknown.append((name, text))
            continue
        value = _parameter_value(api, parameter, text)
        if parameter.repeated:
            values.setdefault(parameter.name, []).append(value)
        else:
            values[parameter.name] = value
    if unknown:
        raise malformed(
            *(
                (
                    "",
                    f"{_UNKNOWN.format(name)}: Cannot bind query parameter. "
                    f"Field '{name}' could not be found in request message.",
                )
                for name, _ in unknown
            )
        )
    for name, parameter in method.query_parameters.items():
        if parameter.required and name not in values:
            raise required(name)
    return values


def check_path(method: Method, values: Mapping[str, str]) -> None:
    """Refuse a path parameter that does not match its pattern.

    Raises:
        ApiError: 400 in the words of Compute Engine.
    """
    for name, value in values.items():
        parameter = method.path_parameters.get(name)
        if parameter is not None:
            _check_pattern(parameter, value)


def validate_response(api: Api, method: Method, document: Any) -> list[str]:
    """Return what of an answer does not fit the method's response schema, as sentences."""
    if method.response is None:
        return [f"{method.id} answers nothing, not {document!r}"] if document else []
    return _ResponseChecker(api).faults(api.schemas[method.response], document, method.response)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _parameter_value(api: Api, parameter: Parameter, text: str) -> Any:
    value: Any = text
    if parameter.schema.type == "boolean":
        value = QUERY_BOOLEANS.get(text, text)
    try:
        value = convert(parameter.schema, value)
    except BadScalarError:
        if parameter.schema.enum is not None:
            raise invalid_parameter(
                parameter.name,
                f"Invalid value '{text}'. Values must be one of: "
                f"[{', '.join(sorted(parameter.schema.enum))}]",
            ) from None
        field = _snake(parameter.name)
        sentence = f"Invalid value at '{field}' ({type_name(parameter.schema)}), {json.dumps(text)}"
        raise malformed((field, sentence)) from None
    _check_pattern(parameter, text)
    _check_range(api, parameter, value)
    return value


def _check_pattern(parameter: Parameter, text: str) -> None:
    if parameter.pattern is not None and not re.fullmatch(parameter.pattern, text):
        raise invalid_parameter(
            parameter.name,
            f"Invalid value '{text}'. Values must match the following regular expression: "
            f"'{parameter.pattern}'",
        )


def _check_range(api: Api, parameter: Parameter, value: Any) -> None:
    low = parameter.minimum
    high = parameter.maximum
    if high is None:
        high = _MAXIMA.get(api.name, {}).get(parameter.name)
    if (low is not None and value < low) or (high is not None and value > high):
        raise invalid_parameter(
            parameter.name,
            f"Invalid value '{value}'. Values must be within the range: "
            f"[{low if low is not None else ''}, {high if high is not None else ''}]",
        )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"


class _BodyChecker:
    """Walks a body beside its schema, collecting (field path, sentence) violations."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.violations: list[tuple[str, str]] = []

    def message(self, schema: Schema, value: Mapping[str, Any], path: str, name: str) -> Document:
        """Return the canonical form of an object with fixed fields."""
        body: Document = {}
        for key, inner in value.items():
            field = schema.properties.get(key)
            if field is None:
                if (name, key) not in _IGNORED_FIELDS:
                    self._unknown(key, path, "Cannot find field.")
            elif inner is not None:  # null is "not set"
                where = f"{path}.{_snake(key)}" if path else _snake(key)
                body[key] = self._value(field, inner, (path, key, where))
        return body

    def _value(self, schema: Schema, value: Any, at: tuple[str, str, str]) -> Any:
        """Check one value; `at` is (path of its message, its key, its own path)."""
        name = schema.reference or ""
        if name:
            schema = self._api.schemas[name]
        parent, key, path = at
        if schema.type in ("any", "array"):
            return self._list(schema, value, at) if schema.type == "array" else value
        if isinstance(value, list):
            self._unknown(key, parent, "Proto field is not repeating, cannot start list.")
            return None
        if schema.type == "object":
            return self._object(schema, value, path, name)
        if isinstance(value, dict):
            self._invalid(path, f"({_snake(key)}), Starting an object on a scalar field")
            return None
        return self._scalar(schema, value, path)

    def _list(self, schema: Schema, value: Any, at: tuple[str, str, str]) -> Any:
        parent, key, path = at
        items = schema.items or Schema("any")
        # One value stands for a list of one, as in Google's parser.
        elements = value if isinstance(value, list) else [value]
        return [
            self._value(items, element, (parent, key, f"{path}[{index}]"))
            for index, element in enumerate(elements)
        ]

    def _object(self, schema: Schema, value: Any, path: str, name: str) -> Any:
        if not isinstance(value, dict):
            kind = (
                f"type.googleapis.com/google.cloud.{self._api.name}.{self._api.version}.{name}"
                if name
                else "Map"
            )
            self._invalid(path, f"({kind}), {_json(value)}")
            return None
        if schema.additional is None:
            return self.message(schema, value, path, name)
        return {
            key: self._value(schema.additional, inner, (path, key, f"{path}[{index}].value"))
            for index, (key, inner) in enumerate(value.items())
        }

    def _scalar(self, schema: Schema, value: Any, path: str) -> Any:
        try:
            return convert(schema, value)
        except BadScalarError as error:
            kind = "TYPE_ENUM" if schema.enum is not None else type_name(schema)
            self._invalid(path, f"({kind}), {error.args[0] or _json(value)}")
            return None

    def _unknown(self, key: str, path: str, why: str) -> None:
        where = f" at '{path}'" if path else ""
        self.violations.append((path, f"{_UNKNOWN.format(key)}{where}: {why}"))

    def _invalid(self, path: str, why: str) -> None:
        self.violations.append((path, f"Invalid value at '{path}' {why}"))


class _ResponseChecker:
    """Walks an answer beside its schema; nothing is forgiven."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def faults(self, schema: Schema, value: Any, path: str) -> list[str]:
        if schema.reference is not None:
            schema = self._api.schemas[schema.reference]
        if schema.type == "any":
            return []
        if schema.type == "array":
            return self._list_faults(schema, value, path)
        if schema.type == "object":
            return self._object_faults(schema, value, path)
        if is_canonical(schema, value):
            return []
        return [f"{path}: {value!r} is no {schema.format or schema.type}"]

    def _list_faults(self, schema: Schema, value: Any, path: str) -> list[str]:
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        items = schema.items or Schema("any")
        return _flat(self.faults(items, one, f"{path}[{i}]") for i, one in enumerate(value))

    def _object_faults(self, schema: Schema, value: Any, path: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no object"]
        faults = []
        for key, inner in value.items():
            field = schema.properties.get(key, schema.additional)
            if field is None:
                faults.append(f"{path}.{key}: no such field")
            else:
                faults += self.faults(field, inner, f"{path}.{key}")
        return faults


def _flat(lists: Iterable[Sequence[str]]) -> list[str]:
    return [one for many in lists for one in many]
