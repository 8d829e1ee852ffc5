"""Seeded chance: the same seed gives the same sequence, in every process and on every version of Python."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from tradepost.core.clock import Clock
from tradepost.injection.grammar import Notation

REMEMBERED: Final = 1_024
"""Sequences whose place a process knows; of more than that, those that were asked for longest ago begin anew."""
_WHOLE: Final = 2**64


class Draws:
    """Draws two numbers from 0 up to 1 for each fault of each request: whether, and how much.

    A sequence is that of one notation with one seed, or of one named fault. It begins with 1, and each process has its own:
    which requests come to which process is nobody's to say.
    """

    def __init__(self, clock: Clock) -> None:
        self._chance = clock.chance
        self._places: OrderedDict[str, int] = OrderedDict()

    def next(self, notation: Notation, *, of: str = "") -> tuple[int, Sequence[tuple[float, float]]]:
        """Return the place in the sequence of the request that comes now, 0 without a seed, and the draws of each fault."""
        if notation.seed is None:
            return 0, [(self._chance(), self._chance()) for _ in notation.faults]
        key = f"{of}\0{notation.text}"
        place = self._places.pop(key, 0) + 1
        if len(self._places) >= REMEMBERED:
            self._places.popitem(last=False)
        self._places[key] = place
        return place, [drawn(notation.seed, place, index) for index in range(len(notation.faults))]

    def restart(self, of: str | None = None) -> None:
        """Begin the sequence of a named fault anew, or all there are."""
        for key in [key for key in self._places if of is None or key.startswith(f"{of}\0")]:
            del self._places[key]


def drawn(seed: int, place: int, index: int) -> tuple[float, float]:
    """Return the two numbers of one fault of a notation at one place in the sequence."""
    digest = hashlib.blake2b(f"{seed} {place} {index}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]) / _WHOLE, int.from_bytes(digest[8:]) / _WHOLE
