"""Chance that is the same everywhere: a named pseudo-random sequence, and draws by weight."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import sqrt
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")

SQRT_3: Final = sqrt(3)


class Dice:
    """A pseudo-random sequence, seeded by the name of a ``section`` of the marketplace."""

    def __init__(self, section: str) -> None:
        digest = hashlib.sha256(section.encode()).digest()
        self.random = Random(int.from_bytes(digest, "big")).random  # noqa: S311 - has to be predictable

    def below(self, limit: int) -> int:
        """Draw a whole number from 0 to ``limit`` - 1."""
        return int(self.random() * limit)

    def chance(self, percent: int) -> bool:
        """Return True in ``percent`` of the draws."""
        return self.random() * 100 < percent

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of ``choices``, each with the same probability."""
        return choices[int(self.random() * len(choices))]

    def weighted(self, totals: Sequence[int]) -> int:
        """Draw a place by weight; ``totals`` are the sums of the weights up to and with each place."""
        return bisect_right(totals, int(self.random() * totals[-1]))

    def factor(self, spread: float) -> float:
        """Draw a factor around 1 that is about log-normal; ``spread`` is the deviation of its logarithm, below 2."""
        random = self.random
        normal = (random() + random() + random() + random() - 2) * SQRT_3
        power = 1 + normal * spread / 16
        for _ in range(4):
            power *= power  # (1 + x/16)^16 is near e^x
        return power


def totals(weights: Iterable[int]) -> tuple[int, ...]:
    """Return the running sums of ``weights``, which ``Dice.weighted`` draws by."""
    return tuple(accumulate(weights))


def zipf(count: int, *, flat: int) -> tuple[int, ...]:
    """Return the running sums of ``count`` weights that fall with the rank; ``flat`` evens out the first ones."""
    return totals(10_000_000 // (rank + flat) for rank in range(1, count + 1))
