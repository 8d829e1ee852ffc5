"""The supply of made-up items: from this process for a few, from one of its own for many."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from tradepost.seeding.production import HEADER, Frame, Order, frames

FEW: Final = 10_000
"""Items that are made here: another process takes about a second to start."""
AHEAD: Final = 8 * 2**20
"""Bytes that are made ahead of what is written."""


async def supplied(order: Order) -> AsyncGenerator[Frame]:
    """Yield the frames of an order. Close it (``aclosing``): its process ends with it."""
    if order.items <= FEW:
        for frame in frames(order):
            yield frame
            # Whatever else runs here gets its turn between two frames.
            await asyncio.sleep(0)
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tradepost.seeding.production"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=AHEAD,
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise BrokenPipeError
        process.stdin.write(order.as_json())
        await process.stdin.drain()
        size = 1
        while size:
            size, *lengths = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
            yield Frame(size, *[await process.stdout.readexactly(length) for length in lengths])
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
