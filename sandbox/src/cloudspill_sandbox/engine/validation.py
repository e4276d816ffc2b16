# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and answers against the discovery document.

`request_body` and `query_parameters` return what handlers get, in one canonical form (64-bit
integers as strings, bytes as padded base64, nulls in merge patches alone); what does not fit is
refused in the words of Google's API front end, all faults of a body at once. `validate_response`
is for tests.

Sentences: as that front end writes them, fields in snake_case,
`Invalid JSON payload received. Unknown name "foo" at 'resource.disks[0]': Cannot find field.`
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any

from cloudspill_sandbox.engine.bodies import (
    UNKNOWN_NAME,
    BodyChecker,
    TooManyViolationsError,
    snake_case,
)
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.discovery import Api, Method, Parameter
from cloudspill_sandbox.engine.errors import (
    ApiError,
    Violation,
    invalid_parameter,
    malformed,
    required_parameter,
)
from cloudspill_sandbox.engine.leniency import (
    QUERY_BOOLEANS,
    UNKNOWN_PARAMETERS,
)
from cloudspill_sandbox.engine.scalars import BadScalarError, convert, is_canonical, type_name
from cloudspill_sandbox.engine.schema import Schema

_IGNORED_PARAMETERS = frozenset((entry.api, entry.name) for entry in UNKNOWN_PARAMETERS)
_FURTHER_PARAMETERS = {
    (entry.api, entry.name): Parameter(
        entry.name,
        Schema("boolean"),
        required=False,
        repeated=False,
        pattern=None,
        minimum=None,
        maximum=None,
    )
    for entry in UNKNOWN_PARAMETERS
    if entry.boolean
}
_BODY_ROOTS = {"compute": "resource"}
"""What an API calls the body as a whole, where Google's sentences name it."""

_MAXIMA = {"compute": {"maxResults": 500}}
"""Limits that documents give in prose alone."""


_REMOVING_PATCHES = frozenset({"storage"})
"""APIs in whose patches `null` removes a field (RFC 7386), handed to the handlers as None."""


LARGE = 256 * 1024
"""Bytes from which on a text takes so long that others must have their turn meanwhile."""


def parse_json(raw: bytes) -> Any:
    """Return the value of a JSON text; of a large one slowly, so that other threads may run.

    Raises:
        ApiError: 400, it is none.
    """
    try:
        text = raw.decode()
        value = _decoder(large=len(raw) > LARGE).decode(text)
        if "\\u" in text:
            _refuse_half_pairs(value)
    except json.JSONDecodeError as error:
        start = error.pos - min(error.pos, 20)
        snippet = error.doc[start : error.pos + 20].replace("\n", " ")
        what = "Unexpected token." if error.pos < len(error.doc) else "Unexpected end of string."
        sentence = f"Invalid JSON payload received. {what}"
        place = f"\n{snippet}\n{' ' * (error.pos - start)}^"
        raise malformed(Violation("", sentence, place)) from None
    except RecursionError:
        sentence = "Invalid JSON payload received. Message too deep. Max recursion depth reached."
        raise malformed(Violation("", sentence)) from None
    except ValueError:  # not UTF-8, a number without bounds
        raise malformed(Violation("", "Invalid JSON payload received.")) from None
    return value


def _refuse_half_pairs(value: Any) -> None:
    """Raise UnicodeEncodeError where a text has half a surrogate pair, which is none."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            each.encode()
        elif isinstance(each, dict):
            left += each
            left += each.values()
        elif isinstance(each, list):
            left += each


def request_body(api: Api, method: Method, value: Any) -> Document:
    """Return the canonical body of a request; nulls are left out, but of a merge patch.

    Args:
        value: what the JSON text says; None for no body.

    Raises:
        ApiError: 400 that names every field that does not fit, MOST_VIOLATIONS at most.
    """
    if method.request is None or value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(
            Violation("", UNKNOWN_NAME.format("") + ": Root element must be a message.")
        )
    checker = BodyChecker(api, merge_patch=method.is_merge_patch)
    body: Document = {}
    with contextlib.suppress(TooManyViolationsError):
        root = _BODY_ROOTS.get(api.name, "")
        body = checker.message(api.schemas[method.request], value, root, method.request)
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
        parameter = parameter or _FURTHER_PARAMETERS.get((api.name, name))
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
                Violation(
                    "",
                    f"{UNKNOWN_NAME.format(name)}: Cannot bind query parameter. "
                    f"Field '{name}' could not be found in request message.",
                )
                for name, _ in unknown
            )
        )
    for name, parameter in method.query_parameters.items():
        if parameter.required and name not in values:
            raise required_parameter(name)
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


def _decoder(*, large: bool) -> json.JSONDecoder:
    """Return a decoder; the one for large texts is Python, where C would let nobody else run."""
    if not large:
        return json.JSONDecoder(parse_constant=_refuse_constant)
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_slow_dict)
    decoder.scan_once = py_make_scanner(decoder)  # type: ignore[attr-defined]
    return decoder


def _slow_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs}  # noqa: C416 - dict() lets nobody else run


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
            raise _no_value(
                parameter,
                text,
                f"Values must be one of: [{', '.join(sorted(parameter.schema.enum))}]",
            ) from None
        field = snake_case(parameter.name)
        sentence = f"Invalid value at '{field}' ({type_name(parameter.schema)})"
        raise malformed(Violation(field, sentence, f", {json.dumps(text)}")) from None
    _check_pattern(parameter, text)
    _check_range(api, parameter, value)
    return value


def _check_pattern(parameter: Parameter, text: str) -> None:
    if parameter.pattern is not None and not re.fullmatch(parameter.pattern, text):
        raise _no_value(
            parameter,
            text,
            f"Values must match the following regular expression: '{parameter.pattern}'",
        )


def _check_range(api: Api, parameter: Parameter, value: Any) -> None:
    low = parameter.minimum
    high = parameter.maximum
    if high is None:
        high = _MAXIMA.get(api.name, {}).get(parameter.name)
    if (low is not None and value < low) or (high is not None and value > high):
        raise _no_value(
            parameter,
            value,
            "Values must be within the range: "
            f"[{low if low is not None else ''}, {high if high is not None else ''}]",
        )


def _no_value(parameter: Parameter, value: object, why: str) -> ApiError:
    logged = f"Invalid value of '{parameter.name}'. {why}"
    return invalid_parameter(parameter.name, f"Invalid value '{value}'. {why}", logged=logged)


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
