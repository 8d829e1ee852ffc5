"""A fair semaphore in front of a connection pool: in SQLAlchemy's own queue some waiters starve when many wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.observability.server_timing import timing


class Gate:
    """A semaphore of ``size`` places, first come, first served, with a limit of ``timeout`` seconds to the wait.

    A task may hold one place only: with a second it could wait for itself, and ``size`` such tasks would wait for ever.
    """

    def __init__(self, size: int, timeout: float) -> None:
        self.size = size
        self.waiting = 0
        self._timeout = timeout
        self._places = asyncio.Semaphore(size)
        self._holders: set[asyncio.Task[Any] | None] = set()

    @property
    def held(self) -> int:
        """How many places are taken."""
        return len(self._holders)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for the length of the block; ``DatabaseUnavailable`` when none becomes free in time."""
        task = asyncio.current_task()
        if task in self._holders:
            message = "this task holds a database connection already; hand on its session instead of opening another"
            raise RuntimeError(message)
        if self._places.locked():
            self.waiting += 1
            asked = timing.get()
            try:
                with nullcontext() if asked is None else asked.spent_on("wait"):
                    async with asyncio.timeout(self._timeout):
                        await self._places.acquire()
            except TimeoutError as error:
                raise DatabaseUnavailable from error
            finally:
                self.waiting -= 1
        else:
            await self._places.acquire()
        self._holders.add(task)
        try:
            yield
        finally:
            self._holders.discard(task)
            self._places.release()

    async def shut(self) -> None:
        """Wait until every holder and every waiter has left, and admit no other."""
        for _ in range(self.size):
            await self._places.acquire()
