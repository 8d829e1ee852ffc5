"""Writing behind: what was noted in memory is written every moment, in nobody's time, and what is left at the end."""

import asyncio
from collections.abc import Awaitable, Callable


async def write_behind(
    flush: Callable[[], Awaitable[None]], *, interval: float, failed: Callable[[Exception], None]
) -> None:
    """Call ``flush`` every ``interval`` seconds until cancelled, and once more then; ``failed`` is told of its errors.

    ``flush`` keeps what it could not write for the next time.
    """

    async def quietly() -> None:
        try:
            await flush()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the next time takes these along
            failed(error)

    writing: asyncio.Task[None] | None = None
    itself = asyncio.current_task()
    name = None if itself is None else itself.get_name()
    try:
        while True:
            await asyncio.sleep(interval)
            writing = asyncio.create_task(quietly(), name=name)
            # Cancelled in a commit, a batch would be written and go on waiting: it would be written twice.
            await asyncio.shield(writing)
    finally:
        if writing is not None:
            await writing
        await quietly()
