# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client asks for when it adds a fault: checked as a whole before anything is changed."""

from __future__ import annotations

import difflib
import fnmatch
import http
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import Side
from cloudspill_sandbox.faults.kinds import KINDS, Kind, Scope

_ERROR = re.compile(r"(?P<status>[45]\d\d):(?P<reason>\w+):(?P<message>.+)", re.DOTALL)
_LONGEST = 31 * 24 * 3600.0

Seconds = Annotated[float, Field(ge=0, le=_LONGEST, allow_inf_nan=False)]
Glob = Annotated[str, Field(min_length=1, max_length=256)]


class FaultError(ValueError):
    """A fault that cannot be; the message lists what can. Nothing was changed."""


def _with_status(error: str | None) -> str | None:
    """Raises ValueError for a status that HTTP does not have: operations name it in words."""
    if error is not None:
        http.HTTPStatus(int(error.partition(":")[0]))
    return error


class Order(BaseModel):
    """A fault as a client words it, in JSON.

    Attributes:
        kind: a name in KINDS.
        match: glob of the target's name.
        zone: the target's zone; any when None.
        count: how often it strikes.
        method: glob of discovery ids, `compute.instances.*`; the kind's own when None.
        step: glob of an operation's step, `boot` of `instances.insert.boot`.
        delay: seconds.
        after: seconds between the arming (or the start of an instance that runs later) and the
            strike.
        lasting: seconds that the effect goes on; until it is cleared when None. `for` in JSON.
        side: what an instance is cut from; `from` in JSON.
        when: when the connection is closed.
        status: HTTP status of a rate limit.
        error: STATUS:REASON:MESSAGE.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    kind: str
    match: Glob = "*"
    zone: Glob | None = None
    count: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | Literal["forever"] = 1
    method: Glob | None = None
    step: Glob | None = None
    delay: Seconds | None = None
    after: Seconds | None = None
    lasting: Annotated[Seconds | None, Field(alias="for", gt=0)] = None
    side: Annotated[Literal["host", "api", "all"] | None, Field(alias="from")] = None
    when: Literal["before", "after"] | None = None
    status: Literal[403, 429] | None = None
    error: Annotated[str | None, Field(pattern=_ERROR), AfterValidator(_with_status)] = None

    def document(self) -> Document:
        """Return the order as JSON, with what was given and what holds by default."""
        return self.model_dump(by_alias=True, exclude_none=True)

    @property
    def methods(self) -> str:
        """Glob of the methods that are meant."""
        return self.method or KINDS[self.kind].method

    @property
    def sides(self) -> frozenset[Side]:
        """What a network-cut cuts an instance from."""
        side = self.side or "host"
        return frozenset({"host", "api"}) if side == "all" else frozenset({side})

    def given_error(self) -> ApiError | None:
        """Return a new error of the order's own words, None without any."""
        parts = _ERROR.fullmatch(self.error or "")
        return parts and ApiError(int(parts["status"]), parts["reason"], parts["message"])


def parse(document: Any, methods: Iterable[str], zones: Iterable[str] = ()) -> Order:
    """Return the order that a JSON document is.

    Args:
        methods: discovery ids of what is implemented.
        zones: all that there are; any will do when there are none.

    Raises:
        FaultError: it is none.
    """
    if not isinstance(document, Mapping):
        raise FaultError('a fault is a JSON object such as {"kind": "stock-out"}')
    name = document.get("kind")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FaultError(f"no fault is called {name!r}; the kinds are {', '.join(KINDS)}")
    given = {key: value for key, value in document.items() if value is not None}
    if strange := sorted(given.keys() - {"kind", *kind.options}):
        raise FaultError(
            f"{kind.name} takes no {_quoted(strange)}; it takes {', '.join(kind.options)}"
        )
    if lacking := sorted(kind.needs - given.keys()):
        raise FaultError(f"{kind.name} needs {_quoted(lacking)}: {kind.summary}")
    try:
        order = Order.model_validate(given)
    except ValidationError as error:
        raise FaultError(_sentence(error)) from None
    _check_methods(order, kind, sorted(methods))
    _check_zone(order, sorted(zones))
    return order


def _check_methods(order: Order, kind: Kind, methods: list[str]) -> None:
    glob = order.method
    what = "method that this sandbox implements"
    if kind.scope is Scope.OPERATION:
        what = "method of Compute Engine, which alone has operations that fail,"
        methods = fnmatch.filter(methods, "compute.*")
    if glob is None or fnmatch.filter(methods, glob):
        return
    raise FaultError(
        f"no {what} matches {glob!r}{_hint(glob, methods)}; docs/fidelity.md lists them"
    )


def _check_zone(order: Order, zones: list[str]) -> None:
    if order.zone is None or not zones or order.zone in zones:
        return
    raise FaultError(f"no zone is called {order.zone!r}{_hint(order.zone, zones)}")


def _hint(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=3)
    return f" (do you mean {' or '.join(near)}?)" if near else ""


def _quoted(words: Iterable[str]) -> str:
    return " and ".join(f"`{word}`" for word in words)


def _sentence(error: ValidationError) -> str:
    """Say the first thing that is wrong, in the client's own words for it."""
    first = error.errors(include_url=False)[0]
    field = first["loc"][0]
    if field == "error":
        return (
            "`error` wants STATUS:REASON:MESSAGE with an HTTP status of an error, for example "
            "409:alreadyExists:It is there"
        )
    if field == "count":
        return f"`count` wants a whole number from 1 or `forever`, not {first['input']!r}"
    _, _, complaint = first["msg"].partition(" should ")
    return f"`{field}` should {complaint}, not {first['input']!r}"
