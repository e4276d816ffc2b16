# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of identity's own APIs over one store, checked against Google's discovery documents."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudspill_sandbox.engine.call import Call, Document, Principal, Reply, Service
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.validation import check_path, request_body, validate_response
from cloudspill_sandbox.front.interface import Authorizer

PROJECT = "projects/p1234"
NUMBER = "123456789012"
OWNER = "owner-1@p1234.iam.gserviceaccount.com"


@dataclass(frozen=True)
class Caller:
    """Makes calls by name: authorized, and with answers that fit Google's schema."""

    apis: Mapping[str, Api]
    services: Mapping[str, Service]
    authorizer: Authorizer
    email: str = OWNER

    def by(self, email: str) -> Caller:
        """Return one that calls as another account."""
        return dataclasses.replace(self, email=email)

    def __call__(
        self, method: str, body: Document | None = None, query: Any = None, **path: str
    ) -> Document:
        """Return what a method answers; raises ApiError as the front would get it."""
        name = method.partition(".")[0]
        api, described = self.apis[name], self.apis[name].methods[method]
        check_path(described, path)
        checked = request_body(api, described, body)
        call = Call(method, path, query or {}, checked, Principal(self.email))
        self.authorizer.authorize(call)
        answer = asyncio.run(_answered(self.services[name], call))
        assert not validate_response(api, described, answer)
        return answer


async def _answered(service: Service, call: Call) -> Document:
    answer = await service[call.method](call)
    assert not isinstance(answer, Reply)
    return answer
