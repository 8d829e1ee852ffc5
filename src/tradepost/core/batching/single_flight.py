"""Single flight: concurrent requests for the same work share one run of it, where each would repeat it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, Generic, TypeVar

from tradepost.core.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_FLIGHTS: Final = 256


class SingleFlight(Generic[K, V]):
    """Runs one piece of work per key at a time; callers that join meanwhile get its result, or its error.

    Cancelling a caller, even the first, affects neither the others nor the work. Nothing is remembered: a call after the
    end runs the work anew, so that an error is not handed out for longer than it lasts.
    """

    def __init__(self, *, most: int = MOST_FLIGHTS) -> None:
        self._most = most
        self._under_way: dict[K, asyncio.Task[V]] = {}

    async def join(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return the result of the work under way for ``key``, or run ``work`` when there is none."""
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
            # Retrieved, or the loop would report an error that no caller waited for.
            task.exception()
