"""The read path of items: coalesced reads. Requests that come while a read is under way share the next one."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from tradepost.accounts.permissions import STAFF
from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.batching.replicated import ReplicatedReads
from tradepost.core.database.engines import Database
from tradepost.core.database.replica import Replica
from tradepost.core.database.sessions import ReadSession
from tradepost.core.principal import Principal
from tradepost.core.wire.cursors import Cursors
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.representations import NOTHING_KNOWN, KnownTags, Representation
from tradepost.core.wire.row_json import RenderedPage, page_json
from tradepost.items.errors import ItemNotFound
from tradepost.items.filters import ItemFilter
from tradepost.items.projections import WHOLE, Expansion, Projection
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.search import ItemSearchRepository
from tradepost.items.schemas import ItemStatus, item_json, item_shown
from tradepost.items.view_counter import ViewCounter

LIST_LANES: Final = 4
"""Different lists that are read at once; more would only wait for each other in the database."""
SEARCH_LANES: Final = 2
"""Searches look through many rows: in lanes of their own they hold up each other, and no list. On SQLite one."""


_ACTIVE: Final = ItemStatus.ACTIVE.value


def sees_all(principal: Principal | None) -> bool:
    """Tell whether a visitor may see the drafts and inactive items of others."""
    return principal is not None and STAFF in principal.permissions


def is_visible(status: str, owner_id: int, visitor: Principal | None) -> bool:
    """Tell whether ``visitor`` may see an item."""
    return status == _ACTIVE or (visitor is not None and visitor.may_act_for(owner_id, overriding=STAFF))


def shown_to(visitor: Principal | None, projection: Projection) -> Projection:
    """Return a projection that adds only categories that ``visitor`` may see."""
    if projection.category is Expansion.NONE or not sees_all(visitor):
        return projection
    return replace(projection, category=Expansion.ALL)


def visible_to(visitor: Principal | None, wanted: ItemFilter) -> ItemFilter:
    """Return a filter that lets only items through that ``visitor`` may see."""
    if visitor is None:
        return wanted
    return replace(wanted, visitor_id=visitor.user_id, sees_all=sees_all(visitor))


_OWNED: Final = Projection(frozenset({"owner_id"}))
"""What is asked of an item that somebody writes to: whose it is."""


class _Found(NamedTuple):
    """An item as an answer shows it, with the columns that decide who may see it."""

    status: str
    owner_id: int
    shown: Representation


def _visible(found: _Found | None, visitor: Principal | None) -> _Found:
    if found is None or not is_visible(found.status, found.owner_id, visitor):
        raise ItemNotFound
    return found


class ListName(StrEnum):
    """The lists of items: a cursor of one is none of another."""

    ITEMS = "items"
    MINE = "my items"


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a request wants of a list: which items, which part of them, and what is shown of each."""

    wanted: ItemFilter
    window: Window
    projection: Projection = WHOLE

    def showing(self, projection: Projection) -> "ListQuery":
        """Return the query with what is shown of each item."""
        return self if projection is WHOLE else replace(self, projection=projection)


@dataclass(frozen=True, slots=True)
class _Question:
    """The key of a coalesced list: requests with equal questions share one answer."""

    name: ListName
    wanted: ItemFilter
    window: Window
    projection: Projection

    @property
    def scope(self) -> str:
        """What its cursors are bound to."""
        return f"{self.name} {self.wanted.identity}"


class ItemReader:
    """Finds items and returns them as JSON. Lives as long as the process; every read starts after its question."""

    def __init__(
        self,
        database: Database,
        *,
        views: ViewCounter,
        cursors: Cursors,
        replica: Replica | None = None,
        observe: Observe | None = None,
    ) -> None:
        """``replica`` answers lists of whoever is not logged in."""
        self._views = views
        self._cursors = cursors
        self._points = ReadCoalescer(database, self._load_points, observe=observe)
        self._projected = ReadCoalescer(database, self._load_projected)
        self._lists = ReplicatedReads(database, replica, self._load_list, lanes=LIST_LANES, max_batch=1)
        lanes = 1 if database.is_sqlite else SEARCH_LANES
        self._searches = ReplicatedReads(database, replica, self._load_list, lanes=lanes, max_batch=1)

    async def get(
        self,
        item_id: int,
        visitor: Principal | None,
        projection: Projection = WHOLE,
        known: KnownTags = NOTHING_KNOWN,
    ) -> Representation:
        """Return an item that ``visitor`` may see: the JSON of ``ItemRead`` or of a part of it.

        It counts a view, unless it is among the representations that the visitor has already.
        """
        found = _visible(await self._find(item_id, visitor, projection), visitor)
        if known.matching(found.shown.etag) is None:
            self._views.count(item_id)
        return found.shown

    async def owner_of(self, item_id: int, principal: Principal) -> int:
        """Return the id of the owner of an item that ``principal`` may see."""
        return _visible(await self._find(item_id, principal, _OWNED), principal).owner_id

    def _find(
        self, item_id: int, visitor: Principal | None, projection: Projection
    ) -> Awaitable[_Found | None]:
        if projection is WHOLE:
            return self._points.find(item_id)
        return self._projected.find((item_id, shown_to(visitor, projection)))

    async def page(self, query: ListQuery, visitor: Principal | None) -> RenderedPage:
        """List the wanted items that ``visitor`` may see: the JSON of ``ItemPage``, and of each item."""
        wanted, projection = visible_to(visitor, query.wanted), query.projection
        if projection is not WHOLE:
            projection = shown_to(visitor, projection)
        asked = _Question(ListName.ITEMS, wanted, query.window, projection)
        return await self._ask(asked, may_be_old=visitor is None)

    async def page_of_own(self, query: ListQuery, owner: Principal) -> RenderedPage:
        """List one's own items, hidden ones too, likewise."""
        wanted = replace(query.wanted, seller_id=owner.user_id, sees_all=True)
        projection = shown_to(owner, query.projection)
        asked = _Question(ListName.MINE, wanted, query.window, projection)
        return await self._ask(asked, may_be_old=False)

    async def _ask(self, asked: _Question, *, may_be_old: bool) -> RenderedPage:
        if asked.window.cursor is not None:
            asked = replace(asked, window=self._cursors.opened(asked.window, asked.scope))
        coalescer = self._lists if asked.wanted.q is None else self._searches
        return await coalescer.get(asked, may_be_old=may_be_old)

    async def _load_points(self, db: ReadSession, item_ids: Sequence[int]) -> Mapping[int, _Found]:
        rows = await ItemRepository(db).find_rows(item_ids)
        return {row.id: _Found(row.status, row.owner_id, item_shown(row)) for row in rows}

    async def _load_projected(
        self, db: ReadSession, asked: Sequence[tuple[int, Projection]]
    ) -> Mapping[tuple[int, Projection], _Found]:
        items, found = ItemRepository(db), {}
        for projection in {projection for _, projection in asked}:
            ids = [item_id for item_id, wanted in asked if wanted == projection]
            for row in await items.find_projected(ids, projection):
                found[row.id, projection] = _Found(row.status, row.owner_id, projection.shown(row))
        return found

    async def _load_list(
        self, db: ReadSession, questions: Sequence[_Question]
    ) -> Mapping[_Question, RenderedPage]:
        items = ItemRepository(db)
        return {asked: await self._read_list(items, asked) for asked in questions}

    async def _read_list(self, items: ItemRepository, asked: _Question) -> RenderedPage:
        wanted, window, projection = asked.wanted, asked.window, asked.projection
        by_words = None
        if wanted.q is not None:
            by_words = await ItemSearchRepository(items.db).find_for_list(wanted)
        page = await items.page(wanted, window, projection, by_words=by_words)
        written = item_json if projection is WHOLE else projection.json
        rendered = Page([written(row) for row in page.rows], page.total, window, page.end)
        shown = self._cursors.sealed(rendered, asked.scope)
        return RenderedPage(shown, page_json("items", shown))
