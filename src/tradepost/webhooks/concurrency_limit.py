"""A concurrency limit per receiver and per person, so that a slow receiver does not occupy the whole channel."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.messaging.messages import Postponed

FIRST_ESTIMATE: Final = 0.1
"""Seconds that a request is expected to take before one has ended."""
PATIENCE: Final = 0.5
"""Seconds to wait for a slot that becomes free soon: less than a postponement costs."""
LONGEST_POSTPONEMENT: Final = 300.0
WEIGHT: Final = 0.3
"""The weight of the last request in the moving average of their durations."""


class _Limit:
    """The slots of one key, and a moving average of how long they are held."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.holders: dict[object, float] = {}
        """When each slot was taken; the oldest first."""
        self.waiting = 0
        self.average = FIRST_ESTIMATE
        self.next_free = 0.0

    @property
    def full(self) -> bool:
        return len(self.holders) >= self.most

    def expected(self, now: float) -> float:
        """Return the expected duration: no less than the longest that is under way."""
        return max(self.average, now - next(iter(self.holders.values()), now))

    def wait(self, now: float) -> float:
        """Return how long one more would wait here."""
        return (self.waiting + 1) * self.expected(now) / self.most if self.full else 0.0

    def postponement(self, now: float) -> float:
        """Return the seconds after which to come again; spaced, one after the other, as slots become free."""
        self.next_free = min(
            max(self.next_free, now) + self.expected(now) / self.most, now + LONGEST_POSTPONEMENT
        )
        return self.next_free - now


class ConcurrencyLimiter:
    """Limits concurrent requests by several keys at once. Where a slot is free soon it waits, else it postpones.

    It counts within one process, and forgets a key that no request holds or waits for.
    """

    def __init__(self, clock: Clock, *, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._limits: dict[str, _Limit] = {}
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def slot(self, keys: Mapping[str, int]) -> AsyncIterator[None]:
        """Hold a slot of every key for the length of the block; ``keys`` gives the limit of each.

        ``Postponed`` when one is full and stays so for a while.
        """
        limits = [self._limits.setdefault(key, _Limit(most)) for key, most in keys.items()]
        holder = object()
        try:
            await self._wait(limits)
            started = self._clock.monotonic()
            for limit in limits:
                limit.holders[holder] = started
            try:
                yield
            finally:
                took = self._clock.monotonic() - started
                for limit in limits:
                    del limit.holders[holder]
                    limit.average += WEIGHT * (took - limit.average)
                self._freed.set()
                self._freed = asyncio.Event()
        finally:
            for key, limit in zip(keys, limits, strict=True):
                if not (limit.holders or limit.waiting) and self._limits.get(key) is limit:
                    del self._limits[key]

    async def _wait(self, limits: list[_Limit]) -> None:
        if not any(limit.full for limit in limits):
            return
        now = self._clock.monotonic()
        if max(limit.wait(now) for limit in limits) > self._patience:
            raise self._postponed(limits)
        for limit in limits:
            limit.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                while any(limit.full for limit in limits):
                    await self._freed.wait()
        except TimeoutError:
            raise self._postponed(limits) from None
        finally:
            for limit in limits:
                limit.waiting -= 1

    def _postponed(self, limits: list[_Limit]) -> Postponed:
        now = self._clock.monotonic()
        after = max(limit.postponement(now) for limit in limits if limit.full or limit.waiting)
        return Postponed("Other messages are on their way to the same receiver", timedelta(seconds=after))
