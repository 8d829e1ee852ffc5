"""Work that many ask for at once is done once, for all of them."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, Generic, TypeVar

from tradepost.core.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_FLIGHTS: Final = 256


class SingleFlight(Generic[K, V]):
    """Runs one piece of work per key at a time; who asks meanwhile gets what it ends with, a failure too.

    The end of one caller, even of the first, touches no other and not the work. Nothing is remembered: who asks after the
    end has it done anew, so a failure lasts no longer than itself.
    """

    def __init__(self, *, most: int = MOST_FLIGHTS) -> None:
        self._most = most
        self._under_way: dict[K, asyncio.Task[V]] = {}

    async def join(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return what the work under way for ``key`` comes to, or what ``work`` does when there is none."""
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= self._most:
                raise Unavailable
            task = self._under_way[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End the work that is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _land(self, key: K, task: asyncio.Task[V]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            # Looked at, or the loop would complain where every caller has left.
            task.exception()
