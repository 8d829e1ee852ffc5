"""The statements of search: which items a question finds, the best first."""

from typing import Any, Final, NamedTuple, cast

from sqlalchemy import ColumnElement, Select, Table, func, select

from tradepost.core.database.locks import has_one_writer
from tradepost.core.database.repository import Repository
from tradepost.core.search.index import Resolved, TextIndex, resolve
from tradepost.core.search.question import Question
from tradepost.core.search.vocabulary import VocabularyRepository
from tradepost.core.wire.pagination import Total, Window
from tradepost.items.filters import ItemFilter
from tradepost.items.models import Item, ItemText

_TEXTS = cast("Table", ItemText.__table__)
ITEM_TEXTS: Final = TextIndex(
    _TEXTS, _TEXTS.c.item_id, ((_TEXTS.c.title, 4), (_TEXTS.c.tags, 2), (_TEXTS.c.description, 1))
)


class Found(NamedTuple):
    """The ids of a page of results, in their order, and how many results there are, at most ``RANKED``."""

    ids: list[int]
    total: int | None


class ItemSearchRepository(Repository):
    """What search knows of items."""

    async def resolve(self, question: Question) -> Resolved:
        """Look up what the vocabulary knows of a question."""
        words = VocabularyRepository(self.db)
        beginnings = {term: await words.find_beginning(term.word) for term in question.terms if term.begins}
        return resolve(question, beginnings, await words.find_similar(question.terms))

    async def page(
        self,
        resolved: Resolved,
        wanted: ItemFilter,
        window: Window,
        *,
        category_ids: Select[int] | None = None,
    ) -> Found:
        """Return a part of what a question finds among the wanted items."""
        ranked = self._ranked(resolved, wanted, category_ids)
        order = (ranked.c.tier, ranked.c.score.desc(), ranked.c.id.desc())
        page = select(ranked.c.id).order_by(*order).limit(window.limit).offset(window.skip)
        if window.total is not Total.NONE:
            page = page.add_columns(select(func.count()).select_from(ranked).scalar_subquery())
        found = await self.rows(page, wanted.parameters())
        total = None
        if window.total is not Total.NONE:
            total = found[0][1] if found else 0
        return Found([row[0] for row in found], total)

    def _ranked(self, resolved: Resolved, wanted: ItemFilter, category_ids: Select[int] | None) -> Any:
        conditions = wanted.conditions(category_ids)

        def narrowed(rows: Select[Any], key: ColumnElement[int]) -> Select[Any]:
            return rows.join(Item, Item.id == key).where(*conditions)

        return ITEM_TEXTS.ranked(resolved, is_sqlite=has_one_writer(self.db), narrowed=narrowed)
