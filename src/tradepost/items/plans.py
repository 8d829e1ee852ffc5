"""The plan of a list: walk along the order's index and check the filter, or gather what the filter finds and sort it.

Both engines choose by statistics, and choose wrongly for a tag that is neither rare nor common, which costs up to a whole
scan. Kept counts say how many rows a filter finds, so the choice is made here, and the statement leaves the engine no other
way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

INDEXED: Final = frozenset({"created_at", "price", "title"})
"""The orders that an index has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the rows of a page are found, and by which part of the filter: ``driver`` is named like its parameter.

    Rows that are gathered are found by the driver's index. Else the order's index is walked along; a driver is then a part
    that limits the walk itself, as a price range does in the order of prices. No other part may use an index of its own,
    but with ``by_engine`` the database chooses.
    """

    driver: str | None = None
    gathers: bool = False
    by_engine: bool = False

    def shows(self, part: str) -> bool:
        """Tell whether the database may find rows by this part."""
        return self.by_engine or part == self.driver


BY_ENGINE: Final = Plan(by_engine=True)
FETCHED: Final = 2.5
"""What a row costs that is gathered, in rows that are walked past: it is fetched from anywhere in the table, and sorted."""
PRICE: Final = "price"
"""The part that the two bounds of a price are."""


def smallest(parts: Mapping[str, int]) -> str:
    """Return the part that leaves the fewest rows."""
    return min(parts, key=lambda part: parts[part])


def chosen(
    everything: int, parts: Mapping[str, int], *, sort: str, needed: int, share: float | None = None
) -> Plan:
    """Return the plan for the first ``needed`` rows in an order, of ``everything`` there is.

    ``parts`` tells how many rows each part of the filter leaves, ``share`` how many of the smallest one's all of them
    leave; without it, it is as if the parts had nothing to do with each other.
    """
    if not parts:
        return BY_ENGINE
    driver = smallest(parts)
    field = sort.removeprefix("-")
    if field in INDEXED:
        if share is None:
            expected = everything * prod(min(1.0, number / everything) for number in parts.values())
        else:
            expected = parts[driver] * share
        if needed * everything / max(expected, 1.0) < _gathering(everything, parts, driver):
            return Plan(PRICE if field == PRICE else None)
    return Plan(driver, gathers=True)


def _gathering(everything: int, parts: Mapping[str, int], driver: str) -> float:
    """Return what it costs to gather by a driver, in rows that are walked past for the same.

    Links of a tag are looked up among those of the other tags first, and only the items with all of them are fetched.
    """
    rows = float(parts[driver])
    tags = [number for part, number in parts.items() if part.startswith("tag_") and part != driver]
    if not driver.startswith("tag_") or not tags:
        return rows * FETCHED
    return rows + FETCHED * rows * prod(min(1.0, number / everything) for number in tags)
