"""The facets of search: how the items that it finds are spread over categories, tags and ranges of prices."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import CTE, Row, Select, String, func, literal_column, select, union_all

from tradepost.core.database.elements import AmongSelected, TextsJoined
from tradepost.items.models import ItemTag
from tradepost.items.texts import CATEGORY, PRICE_CLASSES, of_price

MOST_VALUES: Final = 100
"""Values of a facet that are told of: those with the most items."""
PRICES: Final = tuple(map(Decimal, ("0", "10", "25", "50", "100", "250", "500", "1000", "2500", "10000")))
"""Where the ranges of the facet of prices begin: each begins a class of prices, too."""
FACETS: Final = frozenset({"category", "tag", "price"})
"""The names of the facets."""


class Counted(NamedTuple):
    """A value of a facet, and the number of items with it."""

    value: int | str
    number: int


class Spread(NamedTuple):
    """How items are spread over facets, and how many they are."""

    number: int
    facets: Mapping[str, Sequence[Counted]]


def spread_statement(best: CTE, names: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """Return the statement for how items are spread, of whom ``best`` has what search tells of each."""
    # All comes with the rows, but for the tags of those whose links have changed since their texts were written.
    told = select(
        literal_column("''", String()).label("tag"),
        func.count().label("number"),
        TextsJoined(best.c.facts, literal_column("' '", String())).label("facts"),
        TextsJoined(best.c.tag_names, literal_column("'\n'", String())).label("tag_names"),
    ).select_from(best)
    parts = [told]
    if "tag" in names:
        nothing = literal_column("''", String())
        parts.append(_by_tag(best).add_columns(nothing, nothing))
    return select(union_all(*parts).subquery("facets"))


def spread_of(rows: Sequence[Row[*tuple[Any, ...]]], names: Sequence[str]) -> Spread:
    """Return what that statement has found."""
    (_, number, facts, tag_names), *links = rows
    counted, tags = Counter((facts or "").split()), Counter((tag_names or "").split("\n"))
    # Of items without any.
    del tags[""]
    tags.update({tag: number for tag, number, *_ in links})
    facets = {
        "category": _most_categories(counted),
        "price": _in_ranges(counted),
        "tag": _most(Counted(tag, number) for tag, number in tags.items()),
    }
    return Spread(number, {name: facets[name] for name in names})


def _by_tag(best: CTE) -> Select[str, int]:
    unknown = select(best.c.id).where(best.c.tag_names.is_(None))
    links = select(ItemTag.tag, func.count().label("number")).where(AmongSelected(ItemTag.item_id, unknown))
    return links.group_by(ItemTag.tag)


def _most(found: Iterable[Counted]) -> list[Counted]:
    """Return the values with the most items; of as many, the lowest."""
    return sorted(found, key=lambda one: (-one.number, one.value))[:MOST_VALUES]


def _most_categories(counted: Mapping[str, int]) -> list[Counted]:
    """Return the categories with the most items, from the numbers of all facts."""
    return _most(
        Counted(int(word.removeprefix(CATEGORY)), number)
        for word, number in counted.items()
        if word.startswith(CATEGORY)
    )


def _in_ranges(counted: Mapping[str, int]) -> list[Counted]:
    """Return the ranges of prices in ascending order, likewise."""
    found: Counter[int] = Counter()
    for number in range(len(PRICE_CLASSES) + 1):
        lowest = PRICE_CLASSES[number - 1] if number else Decimal(0)
        if has := counted.get(of_price(number)):
            found[bisect_right(PRICES, lowest) - 1] += has
    return [Counted(_range(at), number) for at, number in sorted(found.items())]


def _range(at: int) -> str:
    """Return a range of prices as a client can ask for it: from ``min_price`` to ``max_price``."""
    if at == len(PRICES) - 1:
        return f"{PRICES[at]}-"
    return f"{PRICES[at]}-{PRICES[at + 1] - Decimal('0.01')}"
