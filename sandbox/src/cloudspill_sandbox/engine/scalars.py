# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values: what JSON may say for each type, and the one form in which handlers get it.

Rules: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

from cloudspill_sandbox.engine.schema import Schema

_INTEGER_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,19})", re.ASCII)
_JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


class BadScalarError(ValueError):
    """The value is not of the type; `args[0]` adds to Google's sentence, "" for nothing."""


def convert(schema: Schema, value: Any) -> Any:
    """Return the canonical form of a JSON value: 64-bit integers and bytes as strings.

    Raises:
        BadScalarError: it is none of what JSON may say for the type.
    """
    if schema.type == "string" and schema.format in ("int64", "uint64"):
        return str(_integer(schema.format, value))
    if schema.type == "integer":
        return _integer(schema.format or "int32", value)
    if schema.type == "number":
        return _number(value)
    if schema.type == "boolean":
        return _boolean(value)
    if not isinstance(value, str):
        raise BadScalarError("")
    if schema.format == "byte":
        return canonical_base64(value)
    if schema.enum is not None and value not in schema.enum:
        raise BadScalarError("")
    return value


def type_name(schema: Schema) -> str:
    """Return what Google calls the type in its sentences, `TYPE_INT64`."""
    if schema.type in ("integer", "string") and schema.format in _INTEGER_RANGES:
        return f"TYPE_{schema.format.upper()}"
    if schema.type == "integer":
        return "TYPE_INT32"
    if schema.type == "number":
        return "TYPE_FLOAT" if schema.format == "float" else "TYPE_DOUBLE"
    if schema.type == "boolean":
        return "TYPE_BOOL"
    return "TYPE_BYTES" if schema.format == "byte" else "TYPE_STRING"


def is_canonical(schema: Schema, value: Any) -> bool:
    """Whether a value is in the form in which Google's answers carry it."""
    expected = _JSON_TYPES.get(schema.type)
    if expected is None or not isinstance(value, expected):
        return expected is None
    if isinstance(value, bool) and schema.type != "boolean":
        return False
    try:
        return bool(convert(schema, value) == value)
    except BadScalarError:
        return False


def canonical_base64(value: str) -> str:
    """Return standard base64 with padding for either alphabet, padded or not.

    gcloud echoes fingerprints in the URL-safe alphabet, in which protocol buffers may carry bytes.

    Raises:
        BadScalarError: it is not base64.
    """
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadScalarError(f'Base64 decoding failed for "{value}"') from None
    return base64.b64encode(content).decode()


def _integer(kind: str, value: Any) -> int:
    if isinstance(value, str):
        value = int(value) if _DECIMAL.fullmatch(value) else None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadScalarError("")
    low, high = _INTEGER_RANGES[kind]
    if not low <= value <= high:
        raise BadScalarError("")
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise BadScalarError("") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadScalarError("")
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise BadScalarError("")
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise BadScalarError("")
