"""Rate limiting by the generic cell rate algorithm (GCRA, ITU-T I.371), one number of state for each key.

A rate of 10 in 60 seconds lets ten through at once and then one every six seconds; there is no window whose edge could
be used to get twice as many.
"""

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from tradepost.core.clock import Clock
from tradepost.core.settings.settings import Rate

MAX_KEYS: Final = 50_000
"""Keys that are remembered at a time; some 15 MB."""

_LONGEST_KEY: Final = 128
_INSPECTED: Final = 4
# Differences of clock readings are not exact: without it the last of the allowed hits would be refused now and then.
_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a rate limit to one hit.

    ``remaining`` is how many more may follow at once, ``reset_after`` the seconds until all ``limit`` may, and
    ``retry_after`` the seconds until this one may come again; 0 when it was allowed.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_after: float
    retry_after: float
    is_shared: bool = False
    """Whether all processes count together."""


class RateLimiter(Protocol):
    """Counts hits. A refused one does not count."""

    async def hit(self, key: str, rate: Rate, *, cost: int = 1) -> Verdict:
        """Count ``cost`` hits on ``key``; one key always comes with one rate."""
        ...


class LocalRateLimiter:
    """Counts within this process: right for one worker, and never more than a factor of the workers off."""

    def __init__(self, clock: Clock, *, max_keys: int = MAX_KEYS) -> None:
        self._monotonic = clock.monotonic
        self._max_keys = max_keys
        # Key to the moment at which nothing of its hits is left; the least recently hit comes first.
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._empty_at)

    async def hit(self, key: str, rate: Rate, *, cost: int = 1) -> Verdict:
        """Count ``cost`` hits on ``key``."""
        if cost > rate.limit:
            raise ValueError(f"{cost} at once can never be allowed by {rate}")
        if len(key) > _LONGEST_KEY:
            key = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        now = self._monotonic()
        interval = rate.seconds / rate.limit
        before = max(self._empty_at.get(key, now), now)
        after = before + cost * interval
        wait = after - rate.seconds - now
        if wait > _TOLERANCE:
            return Verdict(
                allowed=False,
                limit=rate.limit,
                remaining=_whole((rate.seconds - (before - now)) / interval),
                reset_after=before - now,
                retry_after=wait,
            )
        if key not in self._empty_at:
            self._make_room(now)
        self._empty_at[key] = after
        self._empty_at.move_to_end(key)
        return Verdict(
            allowed=True,
            limit=rate.limit,
            remaining=_whole((rate.seconds - (after - now)) / interval),
            reset_after=after - now,
            retry_after=0.0,
        )

    def _make_room(self, now: float) -> None:
        """Evict a few keys that hold no state any more, and when there is no room, the one nearest to that.

        A few at every new key, never all at once: the event loop waits meanwhile. Of those looked at, the key that is
        nearest to empty goes, so that a flood of new keys does not wipe out the one that it should distract from.
        """
        inspected: list[tuple[float, str]] = []
        for _ in range(min(_INSPECTED, len(self._empty_at))):
            key, empty_at = self._empty_at.popitem(last=False)
            if empty_at > now:
                inspected.append((empty_at, key))
        inspected.sort(reverse=True)
        if inspected and len(self._empty_at) + len(inspected) >= self._max_keys:
            inspected.pop()
        self._empty_at.update((key, empty_at) for empty_at, key in inspected)


def _whole(number: float) -> int:
    return max(0, math.floor(number + _TOLERANCE))
