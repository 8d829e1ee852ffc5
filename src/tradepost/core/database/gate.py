"""A fair queue in front of a connection pool: SQLAlchemy's own lets some of those who wait starve."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tradepost.core.errors import DatabaseUnavailable


class Gate:
    """Lets at most ``size`` holders in, first come, first served, each waiting at most ``timeout`` seconds.

    One task may hold one place only: a second would wait for the first, and ``size`` such tasks would wait for ever.
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
        """Hold a place for the length of the block; ``DatabaseUnavailable`` when none came free in time."""
        task = asyncio.current_task()
        if task in self._holders:
            message = "this task holds a database connection already; hand on its session instead of opening another"
            raise RuntimeError(message)
        if self._places.locked():
            self.waiting += 1
            try:
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
        """Wait until all have left who are in, or in the queue, and let nobody in any more."""
        for _ in range(self.size):
            await self._places.acquire()
