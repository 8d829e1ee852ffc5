"""The clock and the source of randomness, behind one Protocol.

No other module reads the time or draws random values: a test that hands an application a clock of its own moves all of it.
"""

import random
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The present, and values that nobody can foresee; one for a whole process."""

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC, to the microsecond."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that is never set back; only differences mean anything."""
        ...

    def token(self, size: int = 16) -> str:
        """Return ``size`` random bytes from the operating system, in URL-safe base 64."""
        ...

    def chance(self) -> float:
        """Return a number from 0 up to, but not, 1, for spreading things in time: guessable, so for nothing secret."""
        ...


class SystemClock:
    """The machine's own clock and randomness."""

    # Asked several times for each request: without a function of ours around it.
    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def token(self, size: int = 16) -> str:
        return secrets.token_urlsafe(size)

    def chance(self) -> float:
        return random.random()  # noqa: S311 - nothing secret comes of it


class SkewedClock:
    """Another clock that can be set wrong: its ``now`` is ahead by ``ahead``, and seconds last as long as ever."""

    def __init__(self, clock: Clock) -> None:
        self.right = clock
        self.ahead = timedelta()
        self.monotonic = clock.monotonic

    def now(self) -> datetime:
        return self.right.now() + self.ahead

    def token(self, size: int = 16) -> str:
        return self.right.token(size)

    def chance(self) -> float:
        return self.right.chance()


class AlignedClock(SkewedClock):
    """The clock of a machine, as another's corrects it: ``ahead`` is by how much this one is behind."""
