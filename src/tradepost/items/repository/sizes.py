"""The sizes of a filter's parts, from kept counts: the exact total of a filter, and how many rows each part leaves."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    union_all,
)

from tradepost.categories.service import CategoryService
from tradepost.core.database.elements import AmongSelected, Unindexed, counted
from tradepost.core.database.repository import Repository
from tradepost.items.filters import ACTIVE, IS_ACTIVE_UNINDEXED, ItemFilter
from tradepost.items.models import Item
from tradepost.items.plans import BY_ENGINE, PRICE, Plan, chosen, counting
from tradepost.items.repository.counts import Dimension, Matches, as_key, kept_counts
from tradepost.items.schemas import ItemStatus

PUBLIC: Final = frozenset({ItemStatus.ACTIVE})
ANY: Final = frozenset(ItemStatus)

EVERYTHING: Final = "everything"
VISITOR: Final = "visitor_id"
OWNERS: Final = ("owner_id", "seller_id")
CATEGORY: Final = "category"
"""The names of what is counted, those of parts of a filter like their parameters; a tag's is ``tag_0`` and so on."""
SAMPLE: Final = 200
"""Items that are looked at for what share of all a price range has."""
HALF: Final = 0.5
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
    def links(self) -> dict[str, int]:
        """How many items have each tag of the filter, whoever sees them: whoever reads the links of a tag reads them all."""
        return {name: self.of(name) for name, kept in _parts_of(self.wanted).items() if kept is Dimension.TAG}

    @property
    def everything(self) -> int:
        """How many items there are, at least one."""
        return max(1, self.of(EVERYTHING))

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


@lru_cache(maxsize=64)
def _sizes_like(wanted: ItemFilter, parts: tuple[tuple[str, Dimension], ...]) -> Select[str, str, int]:
    """Return the statement for the sizes of parts of every filter of this shape, from a cache."""
    sides = []
    for part, dimension in parts:
        counts = kept_counts(dimension, _matching(part, wanted.category)).subquery()
        named = literal_column(f"'{part}'", String()).label("part")
        sides.append(select(named, counts.c.status, counts.c.n))
    found = union_all(*sides).subquery()
    return select(found.c.part, found.c.status, func.sum(found.c.n)).group_by(found.c.part, found.c.status)


def _matching(part: str, category: str | None) -> Matches | None:
    if part == EVERYTHING:
        return None
    if part == CATEGORY and category is not None:
        keys = select(as_key(CategoryService.subtree(category).subquery().c.id))
        return lambda key: AmongSelected(key, keys)
    return partial(_equals, bindparam(f"{part}_key", type_=String()))


def _equals(value: ColumnElement[str], key: ColumnElement[str]) -> ColumnElement[bool]:
    return key == value


@lru_cache(maxsize=256)
def _counted_like(wanted: ItemFilter, plan: Plan) -> Select[int]:
    """Return the statement that counts what every filter of this shape finds, likewise."""
    found = select(Item.id).where(*wanted.conditions(plan=plan))
    return counted(wanted.joined(found) if plan.joins_tags else found)


class ItemSizeRepository(Repository):
    """Reads the sizes of filters."""

    async def find(self, wanted: ItemFilter) -> Sizes:
        """Return the sizes of a filter's parts, of all items, and of what the visitor sells, all of one snapshot.

        The filter in them is a stranger's, where it finds the same for its visitor.
        """
        counted = {EVERYTHING: Dimension.ALL} | _parts_of(wanted)
        keys: dict[str, Any] = {f"tag_{number}_key": tag for number, tag in enumerate(wanted.tags)}
        for name in OWNERS:
            if name in counted:
                keys[f"{name}_key"] = str(getattr(wanted, name))
        if wanted.visitor_id is not None and not wanted.sees_all:
            counted[VISITOR] = Dimension.OWNER
            keys[f"{VISITOR}_key"] = str(wanted.visitor_id)
        if wanted.category is not None:
            keys |= CategoryService.subtree_values(wanted.category)
        statement = _sizes_like(wanted.shape, tuple(counted.items()))
        found: dict[str, dict[str, int]] = {}
        for name, status, number in await self.rows(statement, keys):
            found.setdefault(name, {})[status] = int(number)
        sizes = Sizes(wanted, found)
        if VISITOR in counted and not wanted.hides_active and not sizes.of(VISITOR, ANY - PUBLIC):
            # Who hides nothing sees what a stranger does, of which indexes alone tell: they do not have the owner.
            return Sizes(replace(wanted, visitor_id=None), found)
        return sizes

    async def total(self, sizes: Sizes) -> int:
        """Return the exact total of a filter without words, for its visitor."""
        wanted = sizes.wanted
        if is_kept(wanted):
            return await self._kept_total(sizes)
        if not _parts_of(wanted) and not wanted.hides_active:
            return await self._range_total(sizes)
        plan = counting(await self._parts(sizes) | sizes.links)
        total = _counted_like(wanted.shape, plan)
        return int(await self.db.scalar(total, wanted.parameters()) or 0)

    async def _kept_total(self, sizes: Sizes) -> int:
        """Return a total that kept counts have.

        What everybody sees is a kept count. Only the visitor's own hidden items of a tag or a category are counted row by
        row, and only where there are some.
        """
        if sizes.total is not None:
            return sizes.total
        wanted = sizes.wanted
        (part,) = _parts_of(wanted)
        own = _own_hidden(wanted.conditions(plan=Plan(VISITOR, gathers=True)))
        return sizes.of(part, PUBLIC & set(sizes.asked)) + int(
            await self.db.scalar(own, wanted.parameters()) or 0
        )

    async def _range_total(self, sizes: Sizes) -> int:
        """Return how many items a price range has: those within, or all less those without, whichever are fewer.

        One statement sees both in one snapshot, so a total from kept counts is as exact as one of rows.
        """
        wanted = sizes.wanted
        is_wide = await self._share(wanted) > HALF
        seen = [] if wanted.sees_all and wanted.status is None else [IS_ACTIVE_UNINDEXED]
        low, high = (bindparam(name, type_=Item.price.type) for name in ("min_price", "max_price"))
        if is_wide:
            kept = kept_counts(Dimension.ALL).subquery()
            number = select(func.coalesce(func.sum(kept.c.n), 0)).where(
                *([kept.c.status == literal_column(f"'{ItemStatus.ACTIVE}'", String())] if seen else [])
            )
            total: ColumnElement[int] = number.scalar_subquery()
            for bound, beyond in (
                (wanted.min_price, Item.price < low),
                (wanted.max_price, Item.price > high),
            ):
                if bound is not None:
                    total = total - select(func.count()).where(beyond, *seen).scalar_subquery()
        else:
            total = select(func.count()).where(*wanted.price_range(), *seen).scalar_subquery()
        if seen and wanted.status is None and sizes.of(VISITOR, ANY - PUBLIC):
            total = total + _own_hidden(wanted.price_range(Unindexed(Item.price))).scalar_subquery()
        return int(await self.db.scalar(select(total), wanted.parameters()) or 0)

    async def plan(self, sizes: Sizes, *, sort: str, needed: int) -> Plan:
        """Return the plan for the first ``needed`` rows of a filter in an order."""
        wanted = sizes.wanted
        if wanted.q is not None:
            return BY_ENGINE
        goes_far = wanted.visitor_id is None or wanted.sees_all
        # In order of their price, items of a range are walked along from one bound of it to the other.
        is_walked = wanted.is_priced and sort.removeprefix("-") == PRICE
        parts = sizes.parts if is_walked else await self._parts(sizes)
        plan = chosen(sizes.everything, parts, sort=sort, needed=needed, links=sizes.links, goes_far=goes_far)
        return Plan(PRICE) if is_walked and plan.by_engine else plan

    async def _parts(self, sizes: Sizes) -> dict[str, int]:
        """Return how many rows each part of the filter leaves, with the price range."""
        parts = sizes.parts
        if sizes.wanted.is_priced:
            parts[PRICE] = await self._in_range(sizes.wanted, sizes.everything)
        return parts

    async def _in_range(self, wanted: ItemFilter, everything: int) -> int:
        """Return how many items a price range has, from the index alone; of many it is not told how many exactly."""
        some = select(Item.id).where(*wanted.price_range()).limit(MANY).subquery()
        found = int(await self.db.scalar(select(func.count()).select_from(some), wanted.parameters()) or 0)
        return found if found < MANY else max(MANY, int(everything * await self._share(wanted)))

    async def _share(self, wanted: ItemFilter) -> float:
        """Return what share of the newest items is in a price range: about what share of all is."""
        newest = select(Item.price.label("price")).order_by(Item.id.desc()).limit(SAMPLE).subquery()
        within = case((and_(*wanted.price_range(newest.c.price)), 1.0), else_=0.0)
        return float(await self.db.scalar(select(func.avg(within)), wanted.parameters()) or 0)


def _own_hidden(conditions: Sequence[ColumnElement[bool]]) -> Select[int]:
    """Return the statement that counts the visitor's own hidden items, from the index of owners."""
    own = Item.owner_id == bindparam(VISITOR)
    return select(func.count()).select_from(Item).where(*conditions, own, Unindexed(Item.status) != ACTIVE)
