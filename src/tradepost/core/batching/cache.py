"""One value, remembered for a while: for the few answers that may be a little old."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tradepost.core.clock import Clock

T = TypeVar("T")


class Remembered(Generic[T]):
    """Keeps a value at most ``seconds`` old.

    From half that age on, one caller at a time loads it anew while the others still get the remembered one, so that a busy
    value is never waited for. ``seconds`` of 0 loads for every caller.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._loaded_at = float("-inf")
        self._forgotten = False

    async def get(self, load: Callable[[], Awaitable[T]]) -> T:
        """Return the value, from ``load`` when it is too old; what ``load`` raises reaches only its own caller."""
        if (value := self._still_good()) is not None:
            return value
        async with self._lock:
            if (value := self._still_good(self._seconds / 2)) is not None:
                return value
            started = self._clock.monotonic()
            self._forgotten = False
            self._value = value = await load()
            # Counted from before the load: what was read is as old as the question. What was to be forgotten during
            # the load was most likely read before the reason for it.
            self._loaded_at = float("-inf") if self._forgotten else started
            return value

    def adjust(self, change: Callable[[T], T]) -> None:
        """Replace the remembered value, if there is one, by what ``change`` makes of it; its age stays.

        A value that is just being loaded may have been read before or after the reason for it; it is taken as it is, and
        is right again with the next load.
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
