"""A cache of one value with a time to live, for the few answers that may be a little old."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tradepost.core.clock import Clock
from tradepost.core.observability.tallies import CACHE_READS

T = TypeVar("T")


class Remembered(Generic[T]):
    """A cached value that is at most ``seconds`` old, refreshed early by one caller at a time.

    From half that age on, one caller loads it anew while the others still get the cached one: no crowd of callers waits
    when it expires. ``seconds`` of 0 loads for every caller. Its name is for the metrics.
    """

    def __init__(self, clock: Clock, seconds: float, *, name: str) -> None:
        self._name = name
        self._clock = clock
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._loaded_at = float("-inf")
        self._forgotten = False

    async def get(self, load: Callable[[], Awaitable[T]]) -> T:
        """Return the value, from ``load`` when it is too old; what ``load`` raises reaches only its own caller."""
        if (value := self._still_good()) is not None:
            CACHE_READS.add(self._name, "hit")
            return value
        async with self._lock:
            if (value := self._still_good(self._seconds / 2)) is not None:
                CACHE_READS.add(self._name, "hit")
                return value
            CACHE_READS.add(self._name, "miss")
            started = self._clock.monotonic()
            self._forgotten = False
            self._value = value = await load()
            # Counted from before the load: the value may be as old as that. One that was forgotten during the load was
            # most likely read before the reason to forget it.
            self._loaded_at = float("-inf") if self._forgotten else started
            return value

    def adjust(self, change: Callable[[T], T]) -> None:
        """Replace the cached value, if there is one, by ``change(value)``; its age stays.

        A value that is being loaded may have been read before or after the change; it is kept as it is, and the next load
        corrects it.
        """
        if self._value is not None:
            self._value = change(self._value)

    def forget(self) -> None:
        """Have the next caller load the value anew."""
        self._loaded_at = float("-inf")
        self._forgotten = True

    def _still_good(self, limit: float | None = None) -> T | None:
        age = self._clock.monotonic() - self._loaded_at
        if limit is None:
            limit = self._seconds if self._lock.locked() else self._seconds / 2
        return self._value if age < limit else None
