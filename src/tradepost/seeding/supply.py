"""The supply of made-up items: from this process for a few, from several of their own for many."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from tradepost.seeding.production import HEADER, Frame, Order, frames

FEW: Final = 10_000
"""Items that are made here: another process takes about a second to start."""
SHARE: Final = 50_000
"""Items that are worth one more process."""
MOST_PRODUCERS: Final = 4
"""Processes beside the one that writes, which they outrun from here on."""
AHEAD: Final = 8 * 2**20
"""Bytes that each has made ahead of what is written."""


async def supplied(order: Order) -> AsyncGenerator[Frame]:
    """Yield the frames of an order, in the order of the items. Close it (``aclosing``): its processes end with it."""
    if order.items <= FEW:
        for frame in frames(order):
            yield frame
            # Whatever else runs here gets its turn between two frames.
            await asyncio.sleep(0)
        return
    shares = min(MOST_PRODUCERS, os.cpu_count() or 1, -(-order.items // SHARE))
    async with AsyncExitStack() as running:
        producers = [
            await running.enter_async_context(_producer(replace(order, share=share, shares=shares)))
            for share in range(shares)
        ]
        yield await _frame(producers[0])
        for number in range(order.batches):
            yield await _frame(producers[number % shares])
        for producer in producers:
            yield await _frame(producer)


@asynccontextmanager
async def _producer(order: Order) -> AsyncIterator[asyncio.StreamReader]:
    """Start a process that makes a share, and give what it writes; it ends with the block."""
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
        yield process.stdout
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _frame(source: asyncio.StreamReader) -> Frame:
    size, *lengths = HEADER.unpack(await source.readexactly(HEADER.size))
    return Frame(size, *[await source.readexactly(length) for length in lengths])
