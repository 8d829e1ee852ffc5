"""Places at the same door are few, so that a slow one does not take everybody's."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.messaging.messages import Postponed

FIRST_GUESS: Final = 0.1
"""Seconds that a visit is thought to take before one has ended."""
PATIENCE: Final = 0.5
"""Seconds that may be waited at a door where places come free soon: less than it costs to come again."""
LONGEST_WAIT: Final = 300.0
WEIGHT: Final = 0.3
"""How much the last visit counts in what the next one is thought to take."""


class _Door:
    """One that has places, and what is known of it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside: dict[object, float] = {}
        """When each came in; the oldest first."""
        self.waiting = 0
        self.seconds = FIRST_GUESS
        self.next_turn = 0.0

    @property
    def full(self) -> bool:
        return len(self.inside) >= self.most

    def lasts(self, now: float) -> float:
        """Return how long a visit is thought to take: no less than the longest that is under way."""
        return max(self.seconds, now - next(iter(self.inside.values()), now))

    def queue(self, now: float) -> float:
        """Return how long one more would wait here."""
        return (self.waiting + 1) * self.lasts(now) / self.most if self.full else 0.0

    def later(self, now: float) -> float:
        """Return in how many seconds one that is sent away should come again: one after the other, as places come free."""
        self.next_turn = min(max(self.next_turn, now) + self.lasts(now) / self.most, now + LONGEST_WAIT)
        return self.next_turn - now


class Turns:
    """Lets a few in at each door. Who finds one full waits there if that is not for long, and else is sent away.

    Counts within one process, and remembers a door only as long as somebody is in or waits.
    """

    def __init__(self, clock: Clock, *, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._doors: dict[str, _Door] = {}
        self._left = asyncio.Event()

    @asynccontextmanager
    async def turn(self, places: Mapping[str, int]) -> AsyncIterator[None]:
        """Be in at several doors for the length of the block; ``places`` says how many may be in at each.

        ``Postponed`` when one is full and will be for a while.
        """
        doors = [self._doors.setdefault(name, _Door(most)) for name, most in places.items()]
        visit = object()
        try:
            await self._wait(doors)
            started = self._clock.monotonic()
            for door in doors:
                door.inside[visit] = started
            try:
                yield
            finally:
                took = self._clock.monotonic() - started
                for door in doors:
                    del door.inside[visit]
                    door.seconds += WEIGHT * (took - door.seconds)
                self._left.set()
                self._left = asyncio.Event()
        finally:
            for name, door in zip(places, doors, strict=True):
                if not (door.inside or door.waiting) and self._doors.get(name) is door:
                    del self._doors[name]

    async def _wait(self, doors: list[_Door]) -> None:
        if not any(door.full for door in doors):
            return
        now = self._clock.monotonic()
        if max(door.queue(now) for door in doors) > self._patience:
            raise self._sent_away(doors)
        for door in doors:
            door.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                while any(door.full for door in doors):
                    await self._left.wait()
        except TimeoutError:
            raise self._sent_away(doors) from None
        finally:
            for door in doors:
                door.waiting -= 1

    def _sent_away(self, doors: list[_Door]) -> Postponed:
        now = self._clock.monotonic()
        after = max(door.later(now) for door in doors if door.full or door.waiting)
        return Postponed("Other messages are on their way to the same receiver", timedelta(seconds=after))
