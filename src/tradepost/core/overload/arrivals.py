"""Who asks: how many requests come by rank, and how many of the ranks can be served at a rate."""

from enum import IntEnum
from typing import Final

PLACES: Final = 32
"""Places of persons within a class."""

_DECAY: Final = 0.85
"""What is left of a step's count after the next: some 130 ms are remembered."""


class Importance(IntEnum):
    """The classes of requests, the most important first: those at the end are refused first."""

    KEYED = 0
    """Changes by people with an ``Idempotency-Key``: perhaps a retry of what is done already."""
    WRITE = 1
    """Other changes by people."""
    READ = 2
    """What people read."""
    STRANGER = 3
    """Whatever comes without a credential that was accepted a moment ago."""
    HEAVY = 4
    """Search, export and pictures in other sizes, whoever asks."""


RANKS: Final = len(Importance) * PLACES
_CLASSES: Final = tuple(Importance)


def rank_of(importance: Importance, place: int) -> int:
    """Return where a request stands among all; ``place`` is any number, the same for all requests of a person."""
    return importance * PLACES + place % PLACES


def importance_of(rank: int) -> Importance:
    """Return the class that a rank is in."""
    return _CLASSES[rank // PLACES]


class Arrivals:
    """Counts of requests by rank that forget, and the border between ranks: below it all are served, past it none.

    At the border itself a share is: all may come from one address, and have one rank.
    """

    def __init__(self) -> None:
        self.border = RANKS
        self.share = 0.0
        self._counts = [0.0] * RANKS
        self._seconds = 0.0
        self._due = 0.0

    def is_served(self, rank: int) -> bool:
        """Count a request, and tell whether it is on the served side."""
        self._counts[rank] += 1
        if rank != self.border:
            return rank < self.border
        self._due += self.share
        if self._due < 1:
            return False
        self._due -= 1
        return True

    def step(self, seconds: float, wanted: float) -> None:
        """Put the border where ``wanted`` requests a second are served, by what came lately; ``seconds`` since the last step."""
        self._seconds += seconds
        left = max(0.0, wanted) * self._seconds
        self.border, self.share = RANKS, 0.0
        for rank, count in enumerate(self._counts):
            if count > left:
                self.border, self.share = rank, left / count
                break
            left -= count
        self._counts = [count * _DECAY for count in self._counts]
        self._seconds *= _DECAY

    def forget(self) -> None:
        """Begin anew: all are served."""
        self.border, self.share = RANKS, 0.0
        self._counts = [0.0] * RANKS
        self._seconds = 0.0

    @property
    def level(self) -> float:
        """How many of the classes are served, from 0 to all of them."""
        return (self.border + self.share) / PLACES
