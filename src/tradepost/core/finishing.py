"""Structured ends of concurrent work: what was begun ends before its awaiter goes on, cancelled or not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def finished(work: Awaitable[T]) -> T:
    """Await ``work`` to its end; a cancellation of the awaiting task takes effect after that.

    For work in a thread, which no cancellation reaches: closing a file under a thread that still writes could have it
    write into whatever is opened next.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            # Retrieved, or the loop would complain of an exception that was never seen.
            task.exception()
        raise


@asynccontextmanager
async def alongside(work: Mapping[str, Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run each named coroutine as a task beside the block; at its end cancel them and wait until they have ended.

    A task that outlived the block would use resources that are closed by then.
    """
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def heed_cancellation() -> None:
    """Raise ``CancelledError`` if this task was cancelled and did not hear of it; for loops that end in no other way.

    Until Python 3.12, ``asyncio.wait_for``, by which libraries send, swallows a cancellation that comes in the moment when
    its work is done.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
