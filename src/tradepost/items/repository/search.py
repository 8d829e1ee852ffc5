"""The statements of search: which items a question finds, the best first, and how they are spread over the facets."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    false,
    func,
    select,
)

from tradepost.categories.service import CategoryService
from tradepost.core.database.elements import AmongSelected
from tradepost.core.database.keyset import nulls_of
from tradepost.core.database.locks import has_one_writer
from tradepost.core.database.repository import Repository
from tradepost.core.search.index import choice_parts
from tradepost.core.search.question import Question, Term, parse
from tradepost.core.search.statements import RANKED, End, Narrowing, SearchStatements
from tradepost.core.search.steps import Choice, Resolved, resolve
from tradepost.core.search.vocabulary import VocabularyRepository
from tradepost.core.wire.folding import searchable
from tradepost.core.wire.pagination import Place, Total, Window
from tradepost.items.filters import ItemFilter
from tradepost.items.models import Item
from tradepost.items.repository.facets import Counted, Spread, spread_of
from tradepost.items.repository.search_statements import (
    BEGUN,
    BEST_FIRST,
    ITEM_TEXTS,
    MOST_FACTS,
    SAMPLE,
    SAMPLED,
    TEXTS,
    Kept,
    PageShape,
    facets_of,
    facts_of,
    in_price_range,
    is_tagged,
    joining,
    made,
    newest_of,
    order_of,
    place_values,
    priced_counted,
    results_page,
)
from tradepost.items.repository.statements import ByWords
from tradepost.items.texts import (
    of_category,
)

DENSE: Final = 5
"""It is better looked for text by text, if one of so many has it."""
FEW: Final = 1_000
"""Results that are all placed by a look at their texts: more are asked for class by class."""
MOST_PRICED: Final = 5_000
"""Items of a price range whose texts are looked at, whatever is asked for."""
MANY_BEGINNINGS: Final = 50
"""Words that begin alike of which it is worth to know whether very many texts have one."""


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
    """What a question finds, if it is little, else of the newest how many they are, and the first and last id."""

    ids: Sequence[int] | None
    number: int = 0
    lowest: int = 0
    highest: int = 0

    @property
    def is_likely_many(self) -> bool:
        """Tell whether more than a search ranks are found, if these lie as near together as the others do."""
        return self.number * self.highest > RANKED * (self.highest - self.lowest + 1)


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
        ((number,),) = await self.rows(SAMPLED, choice_parts(replace(BEGUN, beginning=term.word)))
        return bool(number * DENSE >= SAMPLE)

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
        has_text = select(TEXTS.c.item_id).where(TEXTS.c.item_id == Item.id, *asked.matches())
        return ByWords(has_text.correlate_except(TEXTS).scalar_subquery().is_not(None), counted=counted)

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
        values |= place_values(window, after)
        nulls = None if window.after is None else nulls_of(window.after)
        shape = PageShape(window.sort, window.limit, window.skip, nulls, after, needed)
        newest = await self._newest(asked, wanted, values)
        if newest.ids is not None:
            values["ids"] = newest.ids
            shape = replace(shape, needed=None, after=None)
            found = await self._page(asked, shape, values | asked.text_values)
        else:
            # Mostly the best tier fills a page: its statement is a part of the whole one.
            in_one_tier = by_rank and asked.has_tiers
            found = await self._ranked(asked, replace(shape, in_one_tier=in_one_tier), values)
            if in_one_tier and len(found) <= window.limit:
                found = await self._ranked(asked, shape, values)
        total: int | None = None
        spread: Mapping[str, Sequence[Counted]] = {}
        if facets:
            total, spread = await self._spread(asked, newest, facets, values)
        if window.total is Total.NONE:
            total = None
        elif not facets:
            total = await self._count(asked, values) if newest.ids is None else len(newest.ids)
        shown = found[: window.limit]
        end: Place | None = None
        if len(found) > len(shown):
            last: Any = shown[-1]
            seen = (window.skip if after is None else after.seen) + len(shown)
            end = (
                End(last.tier, last.score, last.id, seen) if by_rank else order_of(window.sort).place_of(last)
            )
        is_capped = total is not None and await self._is_capped(asked, total, values)
        return Found([row.id for row in shown], total, end, is_capped, spread)

    async def _spread(
        self, asked: SearchStatements, newest: _Newest, names: Sequence[str], values: dict[str, Any]
    ) -> Spread:
        """Return how the results are spread over facets; their number is the total of the search."""

        async def spread(best: str, given: dict[str, str]) -> Spread:
            return spread_of(await self._kept(asked, facets_of, best, names, values=values | given), names)

        if newest.ids is not None:
            return await spread("told", asked.text_values)
        # What is looked into for a phrase, all is looked into alike for the total.
        if asked.looks_into or not newest.is_likely_many:
            found = await spread("unranked", asked.values(is_found=True))
            if found.number < RANKED:
                return found
        return await spread("best", asked.values())

    async def _is_capped(self, asked: SearchStatements, total: int, values: dict[str, Any]) -> bool:
        """Tell whether not all was counted: it is much, or what is looked into for a phrase is."""
        if total >= RANKED or not asked.looks_into:
            return total >= RANKED
        given = values | asked.values(is_found=True)
        ((number,),) = await self._kept(asked, SearchStatements.looked_at, values=given)
        return bool(number >= RANKED)

    async def _newest(self, asked: SearchStatements, wanted: ItemFilter, values: dict[str, Any]) -> _Newest:
        """Return all that a question finds, if it is little, else as many of the newest."""
        if wanted.is_priced:
            price = ItemFilter(min_price=wanted.min_price, max_price=wanted.max_price).shape
            ((number,),) = await self.rows(priced_counted(price, MOST_PRICED + 1), values)
            if number <= MOST_PRICED:
                rows = await self._kept(asked, in_price_range, price, values=values | asked.text_values)
                return _Newest([row.id for row in rows])
        given = values | asked.values(is_found=True)
        ((ids, number, lowest, highest),) = await self._kept(asked, newest_of, FEW, values=given)
        return _Newest(ids or []) if number <= FEW else _Newest(None, number, lowest, highest)

    async def _count(self, asked: SearchStatements, values: dict[str, Any]) -> int:
        given = values | asked.values(is_found=True)
        ((number,),) = await self._kept(asked, SearchStatements.counted, values=given)
        return int(number)

    async def _ranked(
        self, asked: SearchStatements, shape: PageShape, values: dict[str, Any]
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the results of a page and one more, asked for class by class."""
        given = {} if shape.after is not None else asked.values(in_one_tier=shape.in_one_tier)
        return await self._page(asked, shape, values | given)

    async def _page(
        self, asked: SearchStatements, shape: PageShape, values: dict[str, Any]
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        # The place of a page farther down stands in its text: one for each would drive the others out.
        if shape.after is not None or shape.skip:
            return await self.rows(results_page(asked, shape), values)
        return await self._kept(asked, results_page, shape, values=values)

    async def _kept(
        self,
        asked: SearchStatements,
        make: Callable[..., Select[*tuple[Any, ...]] | None],
        *arguments: Hashable,
        values: dict[str, Any],
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Execute what ``make`` makes for a search and these arguments; it is made once for each shape."""
        return await self.rows(made(Kept(asked.shape, make, arguments, asked)), values)

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
        facts, category = facts_of(wanted), wanted.category
        if category is not None:
            ids = [row[0] for row in await self.rows(CategoryService.subtree(category), wanted.parameters())]
            if len(ids) <= MOST_FACTS:
                facts.append([of_category(category_id) for category_id in ids] or [of_category(0)])
                category = None

        rest = ItemFilter(
            category=category, min_price=wanted.min_price, max_price=wanted.max_price, sees_all=True
        ).shape
        return Narrowing(
            facts=tuple(Choice(tuple(words)) for words in facts),
            # The words of a tag let few items through that have others with the same words. In any field: until the index
            # has a tag's new name, its words may be in the title alone.
            words=tuple(Choice((word,)) for tag in wanted.tags for word in searchable(tag).split()),
            texts=tuple(map(is_tagged, range(len(wanted.tags)))),
            join=joining(rest),
            shape=(len(wanted.tags), rest),
        )
