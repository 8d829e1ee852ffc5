"""The read path of search: coalesced like lists, in lanes of its own, so that searches hold up each other and no list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic_core import to_json

from tradepost.core.batching.replicated import ReplicatedReads
from tradepost.core.database.engines import Database
from tradepost.core.database.replica import Replica
from tradepost.core.database.sessions import ReadSession
from tradepost.core.principal import Principal
from tradepost.core.search.highlights import Marker
from tradepost.core.search.question import parse
from tradepost.core.search.steps import Resolved
from tradepost.core.wire.cursors import Cursors
from tradepost.core.wire.pagination import Page, Total
from tradepost.items.projections import WHOLE
from tradepost.items.reader import ListQuery, shown_to, visible_to
from tradepost.items.repository.facets import Counted
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.search import Found, ItemSearchRepository
from tradepost.items.schemas import item_json

LANES: Final = 2
"""Searches that run at once; on SQLite one."""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What a request wants of a search, besides what it wants of a list."""

    listed: ListQuery
    highlight: bool = False
    facets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Results as JSON, and how many of them each facet's values have."""

    page: Page[bytes]
    facets: Mapping[str, Sequence[Counted]]
    is_capped: bool = False
    """Whether there may be more results than were counted."""

    def json(self) -> bytes:
        """Return the envelope of a search with facets."""
        total = self.page.total
        relation = None if total is None else "at-least" if self.is_capped else "exact"
        facets = {
            name: [{"value": value, "count": number} for value, number in values]
            for name, values in self.facets.items()
        }
        rest = to_json(
            {
                "facets": facets,
                "total": total,
                "total_relation": relation,
                "next_cursor": self.page.next_cursor,
            }
        )
        return b'{"items":[%s],%s' % (b",".join(self.page.rows), rest[1:])


class ItemSearch:
    """Answers searches. Lives as long as the process; every search starts after its question."""

    def __init__(self, database: Database, cursors: Cursors, *, replica: Replica | None = None) -> None:
        """``replica`` answers whoever is not logged in."""
        self._cursors = cursors
        lanes = 1 if database.is_sqlite else LANES
        self._searches = ReplicatedReads(database, replica, self._load, lanes=lanes, max_batch=1)

    async def find(self, query: SearchQuery, visitor: Principal | None) -> SearchPage:
        """Return a part of what a question finds among the items that ``visitor`` may see."""
        listed = query.listed
        wanted = visible_to(visitor, listed.wanted)
        window = self._cursors.opened(listed.window, _scope(listed))
        projection = shown_to(visitor, listed.projection)
        asked = replace(query, listed=ListQuery(wanted, window, projection))
        return await self._searches.get(asked, may_be_old=visitor is None)

    async def _load(
        self, db: ReadSession, queries: Sequence[SearchQuery]
    ) -> Mapping[SearchQuery, SearchPage]:
        return {query: await self._answer(db, query) for query in queries}

    async def _answer(self, db: ReadSession, query: SearchQuery) -> SearchPage:
        window, search = query.listed.window, ItemSearchRepository(db)
        question = parse(query.listed.wanted.q or "")
        if question.is_empty:
            total = None if window.total is Total.NONE else 0
            return SearchPage(Page([], total, window), {name: [] for name in query.facets})
        wanted = replace(query.listed.wanted, q=None)
        resolved = await search.resolve(question)
        found = await search.page(resolved, wanted, window, facets=query.facets)
        rows = await self._rows(db, query, found, resolved)
        page = Page(rows, found.total, window, found.end)
        return SearchPage(self._cursors.sealed(page, _scope(query.listed)), found.facets, found.is_capped)

    @staticmethod
    async def _rows(db: ReadSession, query: SearchQuery, found: Found, resolved: Resolved) -> list[bytes]:
        items, projection = ItemRepository(db), query.listed.projection
        rows: Sequence[Any]
        if projection is WHOLE:
            rows = await items.find_rows(found.ids)
            bodies = {row.id: item_json(row) for row in rows}
        else:
            rows = await items.find_projected(found.ids, projection)
            bodies = {row.id: projection.json(row) for row in rows}
        if query.highlight:
            marker = Marker(resolved)
            for item_id, title, description in await items.find_texts(found.ids):
                if item_id in bodies:
                    marks = {"title": marker.mark(title), "description": marker.mark(description)}
                    bodies[item_id] = _with_highlights(bodies[item_id], marks)
        return [bodies[item_id] for item_id in found.ids if item_id in bodies]


def _with_highlights(body: bytes, marks: Mapping[str, str | None]) -> bytes:
    added = b'"highlights":%s}' % to_json(marks)
    return b"{" + added if body == b"{}" else body[:-1] + b"," + added


def _scope(listed: ListQuery) -> str:
    """Return what the cursors of a search are bound to."""
    return f"search {listed.wanted.identity}"
