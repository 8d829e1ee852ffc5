"""A fair semaphore in front of a connection pool: in SQLAlchemy's own queue some waiters starve when many wait."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from tradepost.core.errors import DatabaseUnavailable, Overloaded
from tradepost.core.observability.server_timing import timing
from tradepost.core.overload.waits import PATIENCE, Waits, monotonic


class Gate:
    """A semaphore of ``size`` places, first come, first served, with a limit of ``timeout`` seconds to the wait.

    A task may hold one place only: with a second it could wait for itself, and ``size`` such tasks would wait for ever.
    """

    def __init__(self, size: int, timeout: float) -> None:
        self.size = size
        self.observe: Callable[[float], None] | None = None
        """Told how long each had to wait who had to, in seconds."""
        self._timeout = timeout
        self._places = asyncio.Semaphore(size)
        self._holders: set[asyncio.Task[Any] | None] = set()
        # Told False when somebody wants the places of those who rest, the longest at rest first.
        self._resting: dict[asyncio.Future[bool], None] = {}
        self._is_shut = False
        # Since when each has waited, in the order in which they came.
        self._came: dict[object, float] = {}
        self._waits = Waits.shared("connection", lambda: next(iter(self._came.values()), None))

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._came)

    @property
    def held(self) -> int:
        """How many places are in use."""
        return len(self._holders) - len(self._resting)

    def rest(self, work: "asyncio.Future[bool]") -> None:
        """Say that a place is held without use until ``work`` comes: that is False when somebody else wants the place."""
        if self.waiting or self._is_shut:
            work.set_result(False)
        else:
            self._resting[work] = None

    def resume(self, work: "asyncio.Future[bool]") -> None:
        """Say that the place is in use again."""
        self._resting.pop(work, None)

    def _ask_for_one(self) -> None:
        for work in self._resting:
            if not work.done():
                work.set_result(False)
                return

    @asynccontextmanager
    async def place(self, *, gives_way: bool = False) -> AsyncIterator[None]:
        """Hold a place for the length of the block; ``DatabaseUnavailable`` when none becomes free in time.

        Who ``gives_way`` is refused after a wait for which there is no time while there is overload.
        """
        task = asyncio.current_task()
        if task in self._holders:
            message = "this task holds a database connection already; hand on its session instead of opening another"
            raise RuntimeError(message)
        if self._places.locked():
            self._ask_for_one()
            place = object()
            came = self._came[place] = monotonic()
            asked = timing.get()
            try:
                with nullcontext() if asked is None else asked.spent_on("wait"):
                    async with asyncio.timeout(self._timeout):
                        await self._places.acquire()
            except TimeoutError as error:
                raise DatabaseUnavailable from error
            finally:
                del self._came[place]
            waited = monotonic() - came
            if self.observe is not None:
                self.observe(waited)
            self._waits.ended(waited)
            if gives_way and waited > PATIENCE and self._waits.impatient:
                self._places.release()
                raise Overloaded(retry_after=self._waits.back_after())
        else:
            await self._places.acquire()
            self._waits.ended(0.0)
        self._holders.add(task)
        try:
            yield
        finally:
            self._holders.discard(task)
            self._places.release()

    async def shut(self) -> None:
        """Wait until every holder and every waiter has left, and admit no other."""
        self._is_shut = True
        for _ in range(self.size):
            self._ask_for_one()
            await self._places.acquire()
