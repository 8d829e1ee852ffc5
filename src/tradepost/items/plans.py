"""The plan of a list: walk along the order's index and check the filter, or gather what the filter finds and sort it.

Both engines choose by statistics, and choose wrongly for a tag that is neither rare nor common, which costs up to a whole
scan. Kept counts say how many rows a filter finds, so the choice is made here, and the statement leaves the engine no other
way.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import Final

from tradepost.items.texts import MANY_VIEWS

INDEXED: Final = frozenset({"created_at", "price", "title"})
"""The orders that an index has."""


class ByViews(Enum):
    """How a part of all items is found that the order by views begins with."""

    FROM_MOST = "from the most"
    """Only items with many views, class by class, the most first."""
    TO_MOST = "to the most"
    """The same the other way: from a place among them on, there are no others."""
    ALIKE = "alike"
    """Only items with as many views as that at the place after which the page begins, by a walk along their ids."""


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
    """How far is walked at the most."""
    sieve: str | None = None
    """The tag of which all links are read first, to be looked for among them; else each row's link is looked up."""
    joins_tags: bool = False
    """What the driver finds, and the links of each tag, are read as wholes and joined; else each row's links are looked up."""
    by_views: ByViews | None = None
    """The order by views, of a part of all items; what comes after it, the database finds by itself."""

    second: "Plan | None" = field(default=None, compare=False)
    """The plan for when this one did not find enough; None where this one finds all there is."""

    def shows(self, part: str) -> bool:
        """Tell whether the database may find rows by this part."""
        return self.by_engine or part == self.driver


BY_ENGINE: Final = Plan(by_engine=True)
ALIKE: Final = Plan(by_views=ByViews.ALIKE, second=BY_ENGINE)
FROM_MOST: Final = Plan(by_views=ByViews.FROM_MOST, second=BY_ENGINE)
TO_MOST: Final = Plan(by_views=ByViews.TO_MOST)
ROW_BY_ROW: Final = Plan()
"""Each row is checked, and none is found by an index of the filter's."""
FAR: Final = 1 << 16
"""How many ids long the walk for items with as many views is, at the most: twenty of as many are mostly found by then."""
LOOKED_UP: Final = 2.5
"""What a row costs that is gathered, in rows that are walked past: it is looked up by its id, and sorted."""
LINKED: Final = 0.5
"""What a link of a tag costs that is looked for among those of another."""
IN_ONE_PLACE: Final = 0.15
"""The same where the index that finds the rows has all that is sorted by."""
JOINED: Final = 0.15
"""The same of each row, of the driver and of each tag, where whole sets of ids are joined."""
TOGETHER: Final = frozenset({"category", "owner_id", "seller_id", "visitor_id"})
"""The parts that have such an index."""
SIEVED: Final = 0.25
"""What a row costs that is walked past, if its id is looked for among those of a tag, which have been read as a whole."""
MOST_SIEVED: Final = 1 << 16
"""Ids that are read as a whole for that: PostgreSQL has room for them in half of the memory that it takes unless told."""
PATIENCE: Final = 4
"""How many times farther than expected a walk may go before it is given up, at the most; half of that at the least.

Parts of a filter may have to do with the order, or with each other: few things of gold are among the cheapest. Then a walk
finds less than it should, for very long. So it is tried only where even one that is given up costs less than half of what
gathering does.
"""
FARTHER: Final = 32
"""The same of a long walk, which is tried before all is gathered: after the short one, or instead of it."""
LEAST: Final = 1.5
"""The least of that: forty-nine of fifty such walks find enough, if the parts have nothing to do with the order."""
PRICE: Final = "price"
"""The part that the two bounds of a price are."""


def smallest(parts: Mapping[str, int]) -> str:
    """Return the part that leaves the fewest rows."""
    return min(parts, key=lambda part: parts[part])


def unfiltered(sort: str, views: int | None = None) -> Plan:
    """Return the plan for everything in an order; ``views`` has the item after which a page by views begins, if it is one."""
    if sort == "-views":
        return FROM_MOST if views is None or views >= MANY_VIEWS else ALIKE
    if sort == "views":
        return ALIKE if (views or 0) < MANY_VIEWS else TO_MOST
    return BY_ENGINE


def chosen(
    everything: int,
    parts: Mapping[str, int],
    *,
    sort: str,
    needed: int,
    links: Mapping[str, int] | None = None,
    goes_far: bool = True,
) -> Plan:
    """Return the plan for the first ``needed`` rows in an order, of ``everything`` there is.

    ``parts`` tells how many rows each part of the filter leaves; it is as if they had nothing to do with each other.
    ``links`` tells how many links each tag has: more, where the visitor does not see all of its items. A walk ``goes_far``
    where the order's index alone tells of each row who sees it.
    """
    if not parts:
        return BY_ENGINE
    read = {**parts, **(links or {})}
    plan, key = _gathered(read, TOGETHER), sort.removeprefix("-")
    if key not in INDEXED:
        return plan
    expected = everything * prod(min(1.0, number / everything) for number in parts.values())
    walking = needed * everything / max(expected, 1.0)
    most = _gathering(everything, read, plan) / 2
    limited = PRICE if key == PRICE else None
    is_near = walking * PATIENCE <= most
    far, sieve = _far(read, walking, most) if goes_far and _by_index_alone(parts, key) else (0.0, None)
    if _rounded(far) >= walking * (2 * PATIENCE if is_near else LEAST):
        plan = Plan(limited, steps=_rounded(far), sieve=sieve, second=plan)
    if is_near:
        plan = Plan(limited, steps=_rounded(walking * PATIENCE), second=plan)
    return Plan(limited) if plan.steps is not None and plan.steps >= everything else plan


def _by_index_alone(parts: Mapping[str, int], key: str) -> bool:
    """Tell whether a walk along an order's index, and links of tags, tell of each row whether it is wanted."""
    return all(part.startswith("tag_") or part == "status" or part == key == PRICE for part in parts)


def _far(parts: Mapping[str, int], walking: float, most: float) -> tuple[float, str | None]:
    """Return how far a long walk may go that costs no more than ``most``, and the tag by which it sieves, if it does."""
    far = walking * FARTHER
    if tags := _tags(parts):
        sieve = smallest(tags)
        made = tags[sieve] * JOINED
        if tags[sieve] <= MOST_SIEVED and made < most and made + far * SIEVED < far:
            return min(far, (most - made) / SIEVED), sieve
    return min(far, most), None


def _rounded(steps: float) -> int:
    """Return a power of two: each number is another statement, to be prepared anew."""
    return 1 << max(0, int(steps).bit_length() - 1)


def counting(parts: Mapping[str, int]) -> Plan:
    """Return the plan for counting what parts of a filter leave together; ``parts`` has the links of each tag."""
    return _gathered(parts, TOGETHER | {PRICE})


def _gathered(parts: Mapping[str, int], drivers: Collection[str]) -> Plan:
    """Return the plan to gather what parts leave together: what one of ``drivers`` finds, its index alone tells enough of."""
    driver = _joined(parts, drivers)
    if driver is None:
        return Plan(smallest(parts), gathers=True)
    tag = smallest(_tags(parts))
    if parts[tag] <= MOST_SIEVED:
        return Plan(driver, gathers=True, sieve=tag)
    return Plan(driver, gathers=True, joins_tags=True)


def _tags(parts: Mapping[str, int]) -> dict[str, int]:
    return {part: number for part, number in parts.items() if part.startswith("tag_")}


def _joined(parts: Mapping[str, int], drivers: Collection[str]) -> str | None:
    """Return the part to join with all links of the tags, whose index alone tells enough; None to look links up."""
    tags = _tags(parts).values()
    others = {part: number for part, number in parts.items() if part in drivers}
    if not (tags and others):
        return None
    driver = smallest(others)
    return driver if (others[driver] + sum(tags)) * JOINED < min(parts.values()) else None


def _gathering(everything: int, parts: Mapping[str, int], plan: Plan) -> float:
    """Return what it costs to gather by a plan, in rows that are walked past for the same.

    Links of a tag are looked up among those of the other tags first, and only the items with all of them are fetched.
    """
    driver = plan.driver or smallest(parts)
    rows, tags = float(parts[driver]), _tags(parts)
    if plan.joins_tags:
        return (rows + sum(tags.values())) * JOINED
    if plan.sieve is not None:
        return (rows + tags[plan.sieve]) * JOINED
    if driver in TOGETHER:
        return rows * (IN_ONE_PLACE + bool(tags))
    others = [number for part, number in tags.items() if part != driver]
    if not driver.startswith("tag_") or not others:
        return rows * LOOKED_UP
    return rows * LINKED + LOOKED_UP * rows * prod(min(1.0, number / everything) for number in others)
