"""The statements of search: which items a question finds, the best first, and how they are spread over the facets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    Select,
    String,
    Table,
    and_,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from tradepost.categories.service import CategoryService
from tradepost.core.database.elements import AmongSelected
from tradepost.core.database.keyset import Order, nulls_of
from tradepost.core.database.locks import has_one_writer
from tradepost.core.database.repository import Repository
from tradepost.core.search.index import TextIndex, contains
from tradepost.core.search.question import Question, Term, parse
from tradepost.core.search.statements import RANKED, End, Narrowing, Rows, SearchStatements
from tradepost.core.search.steps import Choice, Resolved, resolve
from tradepost.core.search.vocabulary import VocabularyRepository
from tradepost.core.wire.folding import searchable
from tradepost.core.wire.pagination import Place, Total, Window
from tradepost.items.filters import ItemFilter, bears
from tradepost.items.models import Item, ItemText
from tradepost.items.plans import ROW_BY_ROW
from tradepost.items.repository.facets import Counted, Spread, spread_of, spread_statement
from tradepost.items.repository.statements import SORTS, ByWords
from tradepost.items.schemas import ItemStatus
from tradepost.items.texts import (
    PRICE_CLASSES,
    of_category,
    of_owner,
    of_price,
    of_status,
    price_class,
)

BEST_FIRST: Final = "-rank"
"""The order of a search unless another is asked for."""
SAMPLE: Final = 1_000
"""Texts among which a beginning is counted that very many words have."""
DENSE: Final = 5
"""It is better looked for text by text, if one of so many has it."""
FEW: Final = 1_000
"""Results that are all placed by a look at their texts: more are asked for class by class."""
MOST_PRICED: Final = 5_000
"""Items of a price range whose texts are looked at, whatever is asked for."""
MANY_BEGINNINGS: Final = 50
"""Words that begin alike of which it is worth to know whether very many texts have one."""
MOST_FACTS: Final = 64
"""Categories that the index is asked for one by one; of more, items are."""

_TEXTS = cast("Table", ItemText.__table__)
_NEW_LINE: Final = literal_column("'\n'", String())
ITEM_TEXTS: Final = TextIndex(
    _TEXTS,
    _TEXTS.c.item_id,
    ((_TEXTS.c.title, 4), (_TEXTS.c.tags, 2), (_TEXTS.c.description, 1)),
    _TEXTS.c.facts,
    (_TEXTS.c.tag_names,),
)


class Found(NamedTuple):
    """A page of results in their order, how many there are of the most that are counted, and where the page ends."""

    ids: list[int]
    total: int | None
    end: Place | None
    is_capped: bool = False
    """Whether there may be more than ``total`` says."""
    facets: Mapping[str, Sequence[Counted]] = {}
    """How many of all results each value of the asked facets has."""


class _Newest(NamedTuple):
    """The newest of what a question finds, in no order."""

    ids: Sequence[int]
    is_all: bool
    """Whether it finds nothing else."""

    @property
    def is_likely_many(self) -> bool:
        """Tell whether more than a search ranks are found, if these lie as near together as the others do."""
        if self.is_all:
            return False
        newest, oldest = max(self.ids), min(self.ids)
        return len(self.ids) * newest > RANKED * (newest - oldest + 1)


class ItemSearchRepository(Repository):
    """What search knows of items."""

    async def resolve(self, question: Question) -> Resolved:
        """Look up what the vocabulary knows of a question."""
        words = VocabularyRepository(self.db)
        beginnings = {term: await words.find_beginning(term.word) for term in question.terms if term.begins}
        similar = await words.find_similar(question.terms)
        dense = {
            term.word
            for term, begun in beginnings.items()
            if (begun is None or len(begun) > MANY_BEGINNINGS) and await self._is_dense(term)
        }
        beginnings = {term: None if term.word in dense else begun for term, begun in beginnings.items()}
        return resolve(question, beginnings, similar, dense=frozenset(dense))

    async def _is_dense(self, term: Term) -> bool:
        """Tell whether a large part of the newest texts has a word that begins like this one."""
        newest = select(*_TEXTS.c).order_by(_TEXTS.c.item_id.desc()).limit(SAMPLE).subquery()
        index = replace(
            ITEM_TEXTS, fields=tuple((newest.c[text.name], weight) for text, weight in ITEM_TEXTS.fields)
        )
        met = index.meets(Choice((), term.word))
        number = await self.db.scalar(select(func.count()).select_from(newest).where(met))
        return int(number or 0) * DENSE >= SAMPLE

    async def find_all(self, q: str) -> ColumnElement[bool]:
        """Return the condition for everything that a question finds."""
        question = parse(q)
        if question.is_empty:
            return false()
        statements = await self._statements(await self.resolve(question), None)
        return Item.id.in_(statements.matching())

    async def find_for_list(self, wanted: ItemFilter) -> ByWords:
        """Return how a list finds what its filter wants by words, and otherwise: by whether that is much."""
        question = parse(wanted.q or "")
        if question.is_empty:
            return ByWords(false(), number=0)
        asked = await self._statements(await self.resolve(question), wanted)
        values = wanted.parameters()
        number = int(await self.db.scalar(asked.counted(), values) or 0)
        if number < RANKED:
            return ByWords(AmongSelected(Item.id.expression, asked.matching(RANKED)), number=number)
        counted = select(func.count()).select_from(asked.matching().subquery("found"))
        has_text = select(_TEXTS.c.item_id).where(_TEXTS.c.item_id == Item.id, *asked.matches())
        return ByWords(has_text.correlate_except(_TEXTS).scalar_subquery().is_not(None), counted=counted)

    async def page(
        self,
        resolved: Resolved,
        wanted: ItemFilter,
        window: Window,
        *,
        facets: Sequence[str] = (),
    ) -> Found:
        """Return a part of what a question finds among the wanted items, and one total and the facets for all parts."""
        asked = await self._statements(resolved, wanted, looks_at=RANKED)
        values, by_rank = wanted.parameters(), window.sort == BEST_FIRST
        needed = min(RANKED, window.skip + window.limit + 1) if by_rank else RANKED
        after = (
            None
            if window.after is None or not by_rank
            else End(*cast("tuple[int, int, int, int]", window.after))
        )
        newest = await self._newest(asked, wanted, values)
        if newest.is_all:
            values["ids"] = newest.ids
            found, order = await self._rows(asked.placed(), window, values, after)
        else:
            # Mostly the best tier fills a page: its statement is a part of the whole one.
            in_one_tier = by_rank and asked.has_tiers
            ranked = asked.ranked(needed, after, in_one_tier=in_one_tier)
            found, order = await self._rows(ranked, window, values, after)
            if in_one_tier and len(found) <= window.limit:
                found, order = await self._rows(asked.ranked(needed, after), window, values, after)
        total: int | None = None
        spread: Mapping[str, Sequence[Counted]] = {}
        if facets:
            total, spread = await self._spread(asked, newest, facets, values)
        if window.total is Total.NONE:
            total = None
        elif not facets:
            total = len(newest.ids) if newest.is_all else await self._count(asked, values)
        shown = found[: window.limit]
        end: Place | None = None
        if len(found) > len(shown):
            last: Any = shown[-1]
            seen = (window.skip if after is None else after.seen) + len(shown)
            end = End(last.tier, last.score, last.id, seen) if order is None else order.place_of(last)
        is_capped = total is not None and await self._is_capped(asked, total, values)
        return Found([row.id for row in shown], total, end, is_capped, spread)

    async def _spread(
        self, asked: SearchStatements, newest: _Newest, names: Sequence[str], values: Mapping[str, Any]
    ) -> Spread:
        """Return how the results are spread over facets; their number is the total of the search."""

        async def spread(best: CTE) -> Spread:
            return spread_of(await self.rows(spread_statement(best, names), values), names)

        if newest.is_all:
            return await spread(asked.told())
        # What is looked into for a phrase, all is looked into alike for the total.
        if asked.looked_at() is not None or not newest.is_likely_many:
            found = await spread(asked.unranked())
            if found.number < RANKED:
                return found
        return await spread(asked.best())

    async def _is_capped(self, asked: SearchStatements, total: int, values: Mapping[str, Any]) -> bool:
        """Tell whether not all was counted: it is much, or what is looked into for a phrase is."""
        looked_at = asked.looked_at()
        if total >= RANKED or looked_at is None:
            return total >= RANKED
        return int(await self.db.scalar(looked_at, values) or 0) >= RANKED

    async def _newest(
        self, asked: SearchStatements, wanted: ItemFilter, values: Mapping[str, Any]
    ) -> _Newest:
        """Return all that a question finds, if it is little, else as many of the newest."""
        if wanted.is_priced:
            priced = select(Item.id).where(*wanted.price_range())
            some = select(func.count()).select_from(priced.limit(MOST_PRICED + 1).subquery())
            if int(await self.db.scalar(some, values) or 0) <= MOST_PRICED:
                return _Newest([row.id for row in await self.rows(asked.among(priced), values)], is_all=True)
        found = [row.id for row in await self.rows(asked.matching(FEW + 1), values)]
        return _Newest(found, is_all=len(found) <= FEW)

    async def _count(self, asked: SearchStatements, values: Mapping[str, Any]) -> int:
        return int(await self.db.scalar(asked.counted(), values) or 0)

    async def _rows(
        self, ranked: CTE, window: Window, values: dict[str, Any], after: End | None
    ) -> tuple[Sequence[Row[*tuple[Any, ...]]], Order | None]:
        """Return the results of a page and one more, and their order unless it is that of the rank."""
        page, order = self._ordered(ranked, window, values, after)
        page = page.limit(window.limit + 1)
        return await self.rows(page.offset(window.skip) if window.skip else page, values), order

    @staticmethod
    def _ordered(
        ranked: CTE, window: Window, values: dict[str, Any], after: End | None
    ) -> tuple[Select[Any], Order | None]:
        """Return the results from the place of a window on, by rank or by the columns of the sort."""
        if window.sort == BEST_FIRST:
            # All one way, as a comparison of rows wants it: the highest score and the highest id first.
            key = (ranked.c.tier, -ranked.c.score, -ranked.c.id)
            page = select(ranked.c.id, ranked.c.tier, ranked.c.score).order_by(*key)
            if after is not None:
                page = page.where(tuple_(*key) > tuple_(after.tier, -after.score, -after.row_id))
            return page, None
        order = Order(window.sort, SORTS, ties=Item.id)
        found = AmongSelected(Item.id, select(ranked.c.id))
        page = select(Item.id, *order.columns()).where(found).order_by(*order.by())
        if window.after is not None:
            page = page.where(order.after(nulls_of(window.after)))
            values.update(order.parameters(window.after))
        return page, order

    async def _statements(
        self,
        resolved: Resolved,
        wanted: ItemFilter | None,
        *,
        looks_at: int | None = None,
    ) -> SearchStatements:
        narrowing = Narrowing() if wanted is None else await self._narrowing(wanted)
        is_sqlite = has_one_writer(self.db)
        return SearchStatements(ITEM_TEXTS, resolved, narrowing, is_sqlite=is_sqlite, looks_at=looks_at)

    async def _narrowing(self, wanted: ItemFilter) -> Narrowing:
        """Return the filter of a list as facts that the index has, and what only items themselves can tell."""
        facts, category = _facts(wanted), wanted.category
        if category is not None:
            ids = (await self.db.scalars(CategoryService.subtree(category))).all()
            if len(ids) <= MOST_FACTS:
                facts.append([of_category(category_id) for category_id in ids] or [of_category(0)])
                category = None

        rest = ItemFilter(
            category=category, min_price=wanted.min_price, max_price=wanted.max_price, sees_all=True
        )
        conditions = rest.conditions(plan=ROW_BY_ROW)

        def join(rows: Rows, key: ColumnElement[int]) -> Rows:
            return rows.join(Item, Item.id == key).where(*conditions)

        tags = [_is_tagged(number, tag) for number, tag in enumerate(wanted.tags)]
        return Narrowing(
            facts=tuple(Choice(tuple(words)) for words in facts),
            # The words of a tag let few items through that have others with the same words. In any field: until the index
            # has a tag's new name, its words may be in the title alone.
            words=tuple(Choice((word,)) for tag in wanted.tags for word in searchable(tag).split()),
            texts=tuple(tags),
            join=join if conditions else None,
        )


def _is_tagged(number: int, tag: str) -> ColumnElement[bool]:
    """Match texts of items with a tag: by the names beside them, or by the item's links where these have changed since."""
    names = _NEW_LINE + _TEXTS.c.tag_names + _NEW_LINE
    return or_(
        contains(names, f"\n{tag}\n"),
        and_(_TEXTS.c.tag_names.is_(None), bears(_TEXTS.c.item_id, f"tag_{number}")),
    )


def _facts(wanted: ItemFilter) -> list[Sequence[str]]:
    """Return groups of words of each of which an item must have one, so that a filter lets it through."""
    groups: list[Sequence[str]] = []
    if not wanted.sees_all:
        groups.append([of_status(ItemStatus.ACTIVE)])
        if wanted.visitor_id is not None:
            groups[0] = [*groups[0], of_owner(wanted.visitor_id)]
    if wanted.status is not None:
        groups.append([of_status(wanted.status)])
    groups += [[of_owner(owner)] for owner in (wanted.owner_id, wanted.seller_id) if owner is not None]
    if wanted.is_priced:
        lowest = 0 if wanted.min_price is None else price_class(wanted.min_price)
        highest = len(PRICE_CLASSES) if wanted.max_price is None else price_class(wanted.max_price)
        # No price is of the last class, which stands for a range that has none.
        groups.append(
            [of_price(number) for number in range(lowest, highest + 1)] or [of_price(len(PRICE_CLASSES) + 1)]
        )
    return groups
