# SPDX-License-Identifier: GPL-3.0-or-later
"""One file a resource: functions over (cloud, call), listed in METHODS by their last name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from cloudspill_sandbox.engine.call import Call, Document, Reply

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

CloudHandler = Callable[["Cloud", Call], Awaitable[Document | Reply]]
"""Answers a call with the cloud's help; raises ApiError to refuse it."""

Methods = Mapping[str, CloudHandler]
"""The handlers of one resource by method name, `insert`."""
