"""Places at the same door are few, so that a slow one does not take everybody's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.messages import Postponed

FIRST_GUESS: Final = 0.1
"""Seconds that a visit is thought to take before one has ended."""
LONGEST_WAIT: Final = 300.0
WEIGHT: Final = 0.3
"""How much the last visit counts in what the next one is thought to take."""


class _Door:
    def __init__(self) -> None:
        self.held = 0
        self.seconds = FIRST_GUESS
        self.next_turn = 0.0


class Turns:
    """Lets a few in at each door; who finds one full is told when it should be its turn, one after the other.

    Counts within one process, and remembers a door only as long as somebody is in.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._doors: dict[str, _Door] = {}

    @contextmanager
    def turn(self, places: Mapping[str, int]) -> Iterator[None]:
        """Be in at several doors for the length of the block; ``places`` says how many may be in at each.

        ``Postponed`` when one is full.
        """
        started = self._clock.monotonic()
        waits = [
            self._wait(door, most, started)
            for name, most in places.items()
            if (door := self._doors.get(name)) is not None and door.held >= most
        ]
        if waits:
            raise Postponed(
                "Other messages are on their way to the same receiver", timedelta(seconds=max(waits))
            )
        doors = {name: self._doors.setdefault(name, _Door()) for name in places}
        for door in doors.values():
            door.held += 1
        try:
            yield
        finally:
            took = self._clock.monotonic() - started
            for name, door in doors.items():
                door.held -= 1
                door.seconds += WEIGHT * (took - door.seconds)
                if not door.held:
                    del self._doors[name]

    def _wait(self, door: _Door, most: int, now: float) -> float:
        """Return in how many seconds the next one that waits should come: as many places as come free by then."""
        door.next_turn = min(max(door.next_turn, now) + door.seconds / most, now + LONGEST_WAIT)
        return door.next_turn - now
