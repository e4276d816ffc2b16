# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies with a Content-Encoding: what they stand for, and what unpacking them costs others."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import AsyncIterator

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.transport import unpacked

MIXED = b"".join(b"%d," % (n * n) for n in range(9_000)) + bytes(300_000)


async def came(packed: bytes, size: int) -> AsyncIterator[bytes]:
    """Yield a body in pieces, all of which are there already."""
    for start in range(0, len(packed), size):
        yield packed[start : start + size]


async def whole(coding: str, packed: bytes, size: int) -> bytes:
    return b"".join([piece async for piece in unpacked(coding, came(packed, size))])


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(MIXED)),
        (" X-GZip ", gzip.compress(MIXED[:65536]) + gzip.compress(MIXED[65536:])),
        ("deflate", zlib.compress(MIXED)),
        ("identity", MIXED),
    ],
)
async def test_a_body_is_what_was_packed_however_it_comes(
    coding: str, packed: bytes, size: int
) -> None:
    assert await whole(coding, packed, size) == MIXED


@pytest.mark.parametrize("missing", [1, 8, 9, 100])
async def test_a_body_whose_end_is_missing_is_refused(missing: int) -> None:
    with pytest.raises(ApiError) as refusal:
        await whole("gzip", gzip.compress(MIXED)[:-missing], 1000)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("packed", "steps"),
    [(gzip.compress(bytes(16 << 20)), 256), (gzip.compress(b"") * 256, 256)],
    ids=["zeros", "empty members"],
)
async def test_a_few_bytes_that_stand_for_many_leave_others_their_turn(
    packed: bytes, steps: int
) -> None:
    turns = itertools.count()

    async def others() -> None:
        for _ in turns:
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    await whole("gzip", packed, len(packed))
    other.cancel()
    assert next(turns) >= steps
