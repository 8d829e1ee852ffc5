"""The sizes of a filter's parts, from kept counts: the exact total of a filter, and how many rows each part leaves."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
)

from tradepost.core.database.elements import AmongSelected, Unindexed
from tradepost.core.database.repository import Repository
from tradepost.items.filters import ACTIVE, ItemFilter
from tradepost.items.models import Item, ItemTag
from tradepost.items.plans import BY_ENGINE, PRICE, Plan, chosen, smallest
from tradepost.items.repository.counts import Dimension, Matches, as_key, kept_counts
from tradepost.items.schemas import ItemStatus

PUBLIC: Final = frozenset({ItemStatus.ACTIVE})
ANY: Final = frozenset(ItemStatus)

EVERYTHING: Final = "everything"
VISITOR: Final = "visitor_id"
OWNERS: Final = ("owner_id", "seller_id")
CATEGORY: Final = "category"
"""The names of what is counted, those of parts of a filter like their parameters; a tag's is ``tag_0`` and so on."""
SAMPLE: Final = 300
"""Rows of a part that are tried."""
MANY: Final = 10_000
"""Rows of a price range that are worth counting for a plan."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many items each part of a filter has, by status, and what that says of the rows that its visitor may see."""

    wanted: ItemFilter
    counted: Mapping[str, Mapping[str, int]]

    def of(self, name: str, statuses: Collection[str] = ANY) -> int:
        """Return how many items of these statuses there are of what is counted under a name."""
        by_status = self.counted.get(name, {})
        return sum(by_status.get(status, 0) for status in statuses)

    @property
    def asked(self) -> Collection[ItemStatus]:
        """The statuses that the filter asks for."""
        return ANY if self.wanted.status is None else {self.wanted.status}

    def visible(self, name: str) -> int:
        """Return how many rows of the asked statuses the visitor sees at most, where no other part takes some away."""
        if self.wanted.sees_all:
            return self.of(name, self.asked)
        hidden = set(self.asked) - PUBLIC
        own = min(self.of(name, hidden), self.of(VISITOR, hidden))
        return self.of(name, PUBLIC & set(self.asked)) + own

    @property
    def parts(self) -> dict[str, int]:
        """How many rows each part of the filter leaves the visitor."""
        parts = {name: self.visible(name) for name in _parts_of(self.wanted)}
        if self.wanted.status is not None:
            parts["status"] = self.visible(EVERYTHING)
        if self.wanted.only_own and self.wanted.visitor_id is not None:
            parts[VISITOR] = self.of(VISITOR, self.asked)
        return parts

    @property
    def is_empty(self) -> bool:
        """Whether some part leaves no row at all: then nothing has to be looked for."""
        return not all(self.parts.values())

    @property
    def total(self) -> int | None:
        """The exact total, where kept counts alone tell it."""
        parts = _parts_of(self.wanted)
        if not is_kept(self.wanted):
            return None
        (name,) = parts or [EVERYTHING]
        if self.wanted.sees_all or name == EVERYTHING:
            return self.visible(name)
        hidden = set(self.asked) - PUBLIC
        own = self.of(VISITOR, hidden)
        if name in OWNERS and self.wanted.visitor_id != getattr(self.wanted, name):
            own = 0
        elif name not in OWNERS and own and self.of(name, hidden):
            return None
        return self.of(name, PUBLIC & set(self.asked)) + (own if name in OWNERS else 0)


def _parts_of(wanted: ItemFilter) -> dict[str, Dimension]:
    """Return the parts of a filter whose counts are kept, each with its dimension; the status is none of them."""
    parts = {f"tag_{number}": Dimension.TAG for number in range(len(wanted.tags))}
    if wanted.category is not None:
        parts[CATEGORY] = Dimension.CATEGORY
    for name in OWNERS:
        if getattr(wanted, name, None) is not None:
            parts[name] = Dimension.OWNER
    return parts


def is_kept(wanted: ItemFilter) -> bool:
    """Tell whether kept counts have the total of a filter: it has one part at most, besides a status."""
    return len(_parts_of(wanted)) <= 1 and all(
        limit is None for limit in (wanted.min_price, wanted.max_price, wanted.q)
    )


def _statement(
    parts: Iterable[tuple[str, Dimension]], category_ids: Select[int] | None
) -> Select[str, str, int]:
    sides = []
    for part, dimension in parts:
        counts = kept_counts(dimension, _matching(part, category_ids)).subquery()
        named = literal_column(f"'{part}'", String()).label("part")
        sides.append(select(named, counts.c.status, counts.c.n))
    found = union_all(*sides).subquery()
    return select(found.c.part, found.c.status, func.sum(found.c.n)).group_by(found.c.part, found.c.status)


def _matching(part: str, category_ids: Select[int] | None) -> Matches | None:
    if part == EVERYTHING:
        return None
    if part == CATEGORY and category_ids is not None:
        keys = select(as_key(category_ids.subquery().c.id))
        return lambda key: AmongSelected(key, keys)
    return partial(_equals, bindparam(f"{part}_key", type_=String()))


def _equals(value: ColumnElement[str], key: ColumnElement[str]) -> ColumnElement[bool]:
    return key == value


@lru_cache(maxsize=64)
def _like(parts: tuple[tuple[str, Dimension], ...]) -> Select[str, str, int]:
    return _statement(parts, None)


class ItemSizeRepository(Repository):
    """Reads the sizes of filters."""

    async def find(self, wanted: ItemFilter, category_ids: Select[int] | None) -> Sizes:
        """Return the sizes of a filter's parts, of all items, and of what the visitor sells, all of one snapshot."""
        counted = {EVERYTHING: Dimension.ALL} | _parts_of(wanted)
        keys: dict[str, Any] = {f"tag_{number}_key": tag for number, tag in enumerate(wanted.tags)}
        for name in OWNERS:
            if name in counted:
                keys[f"{name}_key"] = str(getattr(wanted, name))
        if wanted.visitor_id is not None and not wanted.sees_all:
            counted[VISITOR] = Dimension.OWNER
            keys[f"{VISITOR}_key"] = str(wanted.visitor_id)
        asked = tuple(counted.items())
        statement = _like(asked) if category_ids is None else _statement(asked, category_ids)
        found: dict[str, dict[str, int]] = {}
        for name, status, number in await self.rows(statement, keys):
            found.setdefault(name, {})[status] = int(number)
        return Sizes(wanted, found)

    async def total(self, sizes: Sizes, category_ids: Select[int] | None) -> int:
        """Return the exact total of a filter that ``is_kept``, for its visitor.

        What everybody sees is a kept count. Only the visitor's own hidden items of a tag or a category are counted row by
        row, and only where there are some.
        """
        if sizes.total is not None:
            return sizes.total
        wanted = sizes.wanted
        (part,) = _parts_of(wanted)
        hidden = (
            select(func.count())
            .select_from(Item)
            .where(
                *wanted.conditions(category_ids, plan=Plan(VISITOR, gathers=True)),
                Item.owner_id == bindparam(VISITOR),
                Unindexed(Item.status) != ACTIVE,
            )
        )
        own = int(await self.db.scalar(hidden, wanted.parameters()) or 0)
        return sizes.of(part, PUBLIC & set(sizes.asked)) + own

    async def plan(self, sizes: Sizes, category_ids: Select[int] | None, *, sort: str, needed: int) -> Plan:
        """Return the plan for the first ``needed`` rows of a filter in an order."""
        wanted, parts = sizes.wanted, sizes.parts
        everything = max(1, sizes.of(EVERYTHING))
        if wanted.q is not None:
            return BY_ENGINE
        if wanted.is_priced and sort.removeprefix("-") != PRICE:
            parts[PRICE] = await self._in_range(wanted, everything)
        plan = chosen(everything, parts, sort=sort, needed=needed)
        if plan.gathers or plan.by_engine or len(parts) == 1:
            return plan
        # A tag may be on few items of a category although both are common: the walk might find none for very long.
        share = await self._share(wanted, category_ids, smallest(parts))
        return chosen(everything, parts, sort=sort, needed=needed, share=share)

    async def _share(self, wanted: ItemFilter, category_ids: Select[int] | None, driver: str) -> float:
        """Return what share of a part's rows the whole filter leaves, from a sample."""
        if driver.startswith("tag_"):
            rows = select(ItemTag.item_id.label("id")).where(ItemTag.tag == bindparam(driver))
        else:
            names = {"status", "category", *OWNERS} & {driver}
            alone = ItemFilter(**{name: getattr(wanted, name) for name in names}, sees_all=True)
            if driver == PRICE:
                alone = replace(alone, min_price=wanted.min_price, max_price=wanted.max_price)
            elif driver == VISITOR:
                alone = replace(alone, owner_id=0)
            ids = category_ids if driver == CATEGORY else None
            rows = select(Item.id).where(*alone.conditions(ids))
        sample = rows.limit(SAMPLE).subquery()
        left = select(func.count()).where(
            AmongSelected(Item.id, select(sample.c.id)),
            *wanted.conditions(category_ids, plan=Plan(gathers=True)),
        )
        values = wanted.parameters()
        if driver == VISITOR:
            values["owner_id"] = wanted.visitor_id
        return int(await self.db.scalar(left, values) or 0) / SAMPLE

    async def _in_range(self, wanted: ItemFilter, everything: int) -> int:
        """Return how many items a price range has, from the index alone; of many it is not told how many exactly."""
        prices = ItemFilter(min_price=wanted.min_price, max_price=wanted.max_price, sees_all=True)
        some = select(Item.id).where(*prices.conditions(None)).limit(MANY).subquery()
        found = int(await self.db.scalar(select(func.count()).select_from(some), prices.parameters()) or 0)
        return found if found < MANY else max(MANY, everything // 10)
