"""A bulkhead: so much of one kind at once, and a queue that is bounded in number and in time, so that it sinks nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from tradepost.core.errors import TradepostError

T = TypeVar("T")
PATIENCE: Final = 5.0
"""Seconds that anybody waits for a place."""


class Bulkhead:
    """``size`` places, first come, first served; ``refusal`` is raised where the queue is full, or a wait was too long.

    ``held``, ``waiting`` and ``refused`` (since the start) are shown by ``/metrics``.
    """

    def __init__(
        self,
        size: int,
        *,
        waiting: int,
        refusal: Callable[[], TradepostError],
        patience: float = PATIENCE,
    ) -> None:
        self.size = size
        self.held = 0
        self.refused = 0
        self._most = waiting
        self._refusal = refusal
        self._patience = patience
        self._queue: dict[asyncio.Future[None], None] = {}

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._queue)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for the length of the block."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()

    async def enter(self) -> None:
        """Take a place, which ``leave`` gives back."""
        if self.held < self.size:
            self.held += 1
            return
        if len(self._queue) >= self._most:
            self.refused += 1
            raise self._refusal()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            self._queue.pop(turn, None)
            if turn.done() and not turn.cancelled():
                # The place came in the moment in which this stopped waiting for it.
                self.leave()
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise self._refusal() from None
            raise

    def leave(self) -> None:
        """Hand the place to the first who waits."""
        while self._queue:
            turn = next(iter(self._queue))
            del self._queue[turn]
            if not turn.done():
                turn.set_result(None)
                return
        self.held -= 1

    async def until_done(self, job: "asyncio.Future[T]") -> T:
        """Return the result of a thread's work, whose end gives the place back: a caller that is gone does not end it."""
        job.add_done_callback(self._done)
        return await asyncio.shield(job)

    def _done(self, job: "asyncio.Future[Any]") -> None:
        self.leave()
        if not job.cancelled():
            job.exception()  # Retrieved, or asyncio warns of a failure whose caller is gone.
