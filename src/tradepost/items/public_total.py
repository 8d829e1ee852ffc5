"""A cached count of the items that everybody may see, so that the public list does not count all rows each time."""

from collections.abc import Awaitable, Callable
from typing import Final

from tradepost.core.batching.cache import Remembered
from tradepost.core.clock import Clock

LAG: Final = 1.0
"""Seconds by which the total of the unfiltered public list may lag behind other processes' writes."""


class PublicTotal:
    """Counts at most twice a second, and in between follows this process's own writes."""

    def __init__(self, clock: Clock) -> None:
        self._remembered: Remembered[int] = Remembered(clock, LAG)

    async def get(self, count: Callable[[], Awaitable[int]]) -> int:
        """Return the total, from ``count`` when it was counted too long ago."""
        return await self._remembered.get(count)

    def forget(self) -> None:
        """Have it counted anew: rows were changed past the services."""
        self._remembered.forget()

    def shift(self, by: int) -> None:
        """Follow a write of this process that made ``by`` items more visible."""
        self._remembered.adjust(lambda total: max(0, total + by))
