# SPDX-License-Identifier: GPL-3.0-or-later
"""Several things at once, none of which is left under way when another fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")


async def all_ended(*work: Awaitable[_Result]) -> list[_Result]:
    """Await all to the end of each; return their results in order.

    Raises:
        BaseException: the first of their errors; the log has the others.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []
    for ended in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(ended, BaseException):
            errors.append(ended)
        else:
            results.append(ended)
    for error in errors[1:]:
        logger.error("this failed too", exc_info=error)
    if errors:
        raise errors[0]
    return results
