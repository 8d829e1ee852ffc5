"""The statements of search: which items a question finds, the best first, and how they are spread over the facets."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import CTE, ColumnElement, Select, Table, case, false, func, select, tuple_

from tradepost.core.database.keyset import Order, nulls_of
from tradepost.core.database.locks import has_one_writer
from tradepost.core.database.repository import Repository
from tradepost.core.search.index import Resolved, Rows, TextIndex, resolve
from tradepost.core.search.question import Question, parse
from tradepost.core.search.vocabulary import VocabularyRepository
from tradepost.core.wire.pagination import Place, Total, Window
from tradepost.items.filters import ItemFilter
from tradepost.items.models import Item, ItemTag, ItemText
from tradepost.items.repository.statements import SORTS

BEST_FIRST: Final = "-rank"
"""The order of a search unless another is asked for."""
MOST_VALUES: Final = 100
"""Values of a facet that are told of: those with the most items."""
PRICES: Final = ("0", "10", "25", "50", "100", "250", "500", "1000", "2500", "10000")
"""Where the ranges of the facet of prices begin."""

_TEXTS = cast("Table", ItemText.__table__)
ITEM_TEXTS: Final = TextIndex(
    _TEXTS, _TEXTS.c.item_id, ((_TEXTS.c.title, 4), (_TEXTS.c.tags, 2), (_TEXTS.c.description, 1))
)


class Found(NamedTuple):
    """A page of results in their order, how many there are of the most that are counted, and where the page ends."""

    ids: list[int]
    total: int | None
    end: Place | None


class Counted(NamedTuple):
    """A value of a facet, and the number of items with it."""

    value: int | str
    number: int


class ItemSearchRepository(Repository):
    """What search knows of items."""

    async def resolve(self, question: Question) -> Resolved:
        """Look up what the vocabulary knows of a question."""
        words = VocabularyRepository(self.db)
        beginnings = {term: await words.find_beginning(term.word) for term in question.terms if term.begins}
        return resolve(question, beginnings, await words.find_similar(question.terms))

    async def matching(self, q: str) -> Select[int]:
        """Return the statement for the ids of everything that a question finds, for the filter of a list."""
        question = parse(q)
        if question.is_empty:
            return select(Item.id).where(false())
        return ITEM_TEXTS.matching(await self.resolve(question), is_sqlite=has_one_writer(self.db))

    async def page(
        self,
        resolved: Resolved,
        wanted: ItemFilter,
        window: Window,
        *,
        category_ids: Select[int] | None = None,
    ) -> Found:
        """Return a part of what a question finds among the wanted items, and one total for all parts."""
        ranked = self._ranked(resolved, wanted, category_ids)
        values = wanted.parameters()
        page, order = self._ordered(ranked, window, values)
        page = page.limit(window.limit + 1)
        if window.skip:
            page = page.offset(window.skip)
        counted = window.total is not Total.NONE
        if counted:
            page = page.add_columns(select(func.count()).select_from(ranked).scalar_subquery().label("total"))
        found = await self.rows(page, values)
        total: int | None = None
        if counted:
            total = found[0].total if found else await self._count(ranked, window, values)
        shown = found[: window.limit]
        end: Place | None = None
        if len(found) > len(shown):
            last: Any = shown[-1]
            end = (last.tier, last.score, last.id) if order is None else order.place_of(last)
        return Found([row.id for row in shown], total, end)

    async def _count(self, ranked: CTE, window: Window, values: Mapping[str, Any]) -> int:
        """Count the results behind an empty page."""
        if window.skip == 0 and window.after is None:
            return 0
        return (await self.rows(select(func.count()).select_from(ranked), values))[0][0]  # type: ignore[no-any-return]

    @staticmethod
    def _ordered(ranked: CTE, window: Window, values: dict[str, Any]) -> tuple[Select[Any], Order | None]:
        """Return the results from the place of a window on, by rank or by the columns of the sort."""
        if window.sort == BEST_FIRST:
            # All one way, as a comparison of rows wants it: the highest score and the highest id first.
            key = (ranked.c.tier, -ranked.c.score, -ranked.c.id)
            page = select(ranked.c.id, ranked.c.tier, ranked.c.score).order_by(*key)
            if window.after is not None:
                tier, score, item_id = cast("tuple[int, int, int]", window.after)
                page = page.where(tuple_(*key) > tuple_(tier, -score, -item_id))
            return page, None
        order = Order(window.sort, SORTS, ties=Item.id)
        page = select(ranked.c.id, *order.columns()).join(Item, Item.id == ranked.c.id).order_by(*order.by())
        if window.after is not None:
            page = page.where(order.after(nulls_of(window.after)))
            values.update(order.parameters(window.after))
        return page, order

    async def facets(
        self,
        resolved: Resolved,
        wanted: ItemFilter,
        names: Sequence[str],
        *,
        category_ids: Select[int] | None = None,
    ) -> dict[str, list[Counted]]:
        """Count how the results are spread over categories, tags or prices."""
        ranked = self._ranked(resolved, wanted, category_ids)
        values = wanted.parameters()
        counts: dict[str, list[Counted]] = {}
        for name in names:
            rows = await self.rows(_FACETS[name](ranked), values)
            counts[name] = [Counted(row[0], row[1]) for row in rows]
        if "price" in counts:
            counts["price"] = [Counted(_range(int(at)), n) for at, n in sorted(counts["price"])]
        return counts

    def _ranked(self, resolved: Resolved, wanted: ItemFilter, category_ids: Select[int] | None) -> CTE:
        conditions = wanted.conditions(category_ids)

        def narrowed(rows: Rows, key: ColumnElement[int]) -> Rows:
            return rows.join(Item, Item.id == key).where(*conditions)

        return ITEM_TEXTS.ranked(resolved, is_sqlite=has_one_writer(self.db), narrowed=narrowed)


def _most(rows: Select[Any], value: ColumnElement[Any]) -> Select[Any]:
    number = func.count()
    return rows.add_columns(value, number).group_by(value).order_by(number.desc(), value).limit(MOST_VALUES)


def _by_category(ranked: CTE) -> Select[Any]:
    items = select().select_from(ranked).join(Item, Item.id == ranked.c.id)
    return _most(items.where(Item.category_id.is_not(None)), Item.category_id.expression)


def _by_tag(ranked: CTE) -> Select[Any]:
    links = select().select_from(ranked).join(ItemTag, ItemTag.item_id == ranked.c.id)
    return _most(links, ItemTag.tag.expression)


def _by_price(ranked: CTE) -> Select[Any]:
    items = select().select_from(ranked).join(Item, Item.id == ranked.c.id)
    place = case(
        *((Item.price >= Decimal(PRICES[at]), at) for at in range(len(PRICES) - 1, 0, -1)), else_=0
    ).label("place")
    placed = items.add_columns(place).subquery("placed")
    return select(placed.c.place, func.count()).group_by(placed.c.place)


_FACETS: Final = {"category": _by_category, "tag": _by_tag, "price": _by_price}
FACETS: Final = frozenset(_FACETS)
"""The names of the facets."""


def _range(at: int) -> str:
    """Return a range of prices as a client can ask for it: from ``min_price`` to ``max_price``."""
    if at == len(PRICES) - 1:
        return f"{PRICES[at]}-"
    return f"{PRICES[at]}-{Decimal(PRICES[at + 1]) - Decimal('0.01')}"
