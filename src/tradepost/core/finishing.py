"""Work that is begun is brought to its end, whatever becomes of who waits for it; and who is told to end does."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def finished(work: Awaitable[T]) -> T:
    """Await ``work`` to its end; when the awaiting task is cancelled meanwhile, that comes after the end.

    For what runs in a thread, which no cancellation reaches: closing a file under a thread that still writes could have
    it write into whatever is opened next.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            # Looked at, or the loop would complain that nobody did.
            task.exception()
        raise


def heed_cancellation() -> None:
    """Raise ``CancelledError`` if this task was cancelled and did not hear of it; for loops that end in no other way.

    Until Python 3.12, ``asyncio.wait_for``, by which libraries send, keeps a cancellation to itself that comes in the moment
    when its work is done.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
