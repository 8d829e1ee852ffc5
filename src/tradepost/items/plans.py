"""The plan of a list: walk along the order's index and check the filter, or gather what the filter finds and sort it.

Both engines choose by statistics, and choose wrongly for a tag that is neither rare nor common, which costs up to a whole
scan. Kept counts say how many rows a filter finds, so the choice is made here, and the statement leaves the engine no other
way.
"""

from collections.abc import Collection, Mapping
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
    steps: int | None = None
    """How far is walked at the most; what it did not find by then is gathered by ``otherwise``."""
    otherwise: str | None = None
    joins_tags: bool = False
    """What the driver finds, and the links of each tag, are read as wholes and joined; else each row's links are looked up."""
    much_viewed: bool = False
    """Only items with many views are looked at, the most first; what comes after them, the database finds by itself."""

    def shows(self, part: str) -> bool:
        """Tell whether the database may find rows by this part."""
        return self.by_engine or part == self.driver

    @property
    def second(self) -> "Plan | None":
        """The plan for when this one did not find enough; None where this one finds all there is."""
        if self.much_viewed:
            return BY_ENGINE
        return None if self.steps is None else Plan(self.otherwise, gathers=True, joins_tags=self.joins_tags)


BY_ENGINE: Final = Plan(by_engine=True)
MUCH_VIEWED: Final = Plan(much_viewed=True)
ROW_BY_ROW: Final = Plan()
"""Each row is checked, and none is found by an index of the filter's."""
LOOKED_UP: Final = 2.5
"""What a row costs that is gathered, in rows that are walked past: it is looked up by its id, and sorted."""
IN_ONE_PLACE: Final = 0.15
"""The same where the index that finds the rows has all that is sorted by."""
JOINED: Final = 0.15
"""The same of each row, of the driver and of each tag, where whole sets of ids are joined."""
TOGETHER: Final = frozenset({"category", "owner_id", "seller_id", "visitor_id"})
"""The parts that have such an index."""
PATIENCE: Final = 4
"""How many times farther than expected a walk may go before it is given up, at the most; half of that at the least.

Parts of a filter may have to do with the order, or with each other: few things of gold are among the cheapest. Then a walk
finds less than it should, for very long. So it is tried only where even one that is given up costs less than half of what
gathering does.
"""
PRICE: Final = "price"
"""The part that the two bounds of a price are."""


def smallest(parts: Mapping[str, int]) -> str:
    """Return the part that leaves the fewest rows."""
    return min(parts, key=lambda part: parts[part])


def unfiltered(sort: str) -> Plan:
    """Return the plan for everything in an order."""
    return MUCH_VIEWED if sort == "-views" else BY_ENGINE


def chosen(everything: int, parts: Mapping[str, int], *, sort: str, needed: int) -> Plan:
    """Return the plan for the first ``needed`` rows in an order, of ``everything`` there is.

    ``parts`` tells how many rows each part of the filter leaves; it is as if they had nothing to do with each other.
    """
    if not parts:
        return unfiltered(sort)
    driver, joins = smallest(parts), False
    if joined := _joined(parts, TOGETHER):
        driver, joins = joined, True
    field = sort.removeprefix("-")
    expected = everything * prod(min(1.0, number / everything) for number in parts.values())
    walking = needed * everything / max(expected, 1.0)
    if field not in INDEXED or walking * PATIENCE > _gathering(everything, parts, driver, joins=joins) / 2:
        return Plan(driver, gathers=True, joins_tags=joins)
    limited = PRICE if field == PRICE else None
    # A power of two: each number is another statement, to be prepared anew.
    steps = 1 << int(walking * PATIENCE).bit_length() - 1
    if steps >= everything:
        return Plan(limited)
    return Plan(limited, steps=steps, otherwise=driver, joins_tags=joins)


def counting(parts: Mapping[str, int]) -> Plan:
    """Return the plan for counting what parts of a filter leave together."""
    joined = _joined(parts, TOGETHER | {PRICE})
    return Plan(joined or smallest(parts), gathers=True, joins_tags=joined is not None)


def _joined(parts: Mapping[str, int], drivers: Collection[str]) -> str | None:
    """Return the part to join with all links of the tags, whose index alone tells enough; None to look links up."""
    tags = [number for part, number in parts.items() if part.startswith("tag_")]
    others = {part: number for part, number in parts.items() if part in drivers}
    if not (tags and others):
        return None
    driver = smallest(others)
    return driver if (others[driver] + sum(tags)) * JOINED < min(parts.values()) else None


def _gathering(everything: int, parts: Mapping[str, int], driver: str, *, joins: bool) -> float:
    """Return what it costs to gather by a driver, in rows that are walked past for the same.

    Links of a tag are looked up among those of the other tags first, and only the items with all of them are fetched.
    """
    rows = float(parts[driver])
    tags = [number for part, number in parts.items() if part.startswith("tag_") and part != driver]
    if joins:
        return (rows + sum(tags)) * JOINED
    if driver in TOGETHER:
        return rows * (IN_ONE_PLACE + bool(tags))
    if not driver.startswith("tag_") or not tags:
        return rows * LOOKED_UP
    return rows * IN_ONE_PLACE + LOOKED_UP * rows * prod(min(1.0, number / everything) for number in tags)
