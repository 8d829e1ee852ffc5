"""The read path of items: coalesced reads. Requests that come while a read is under way share the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tradepost.accounts.permissions import STAFF
from tradepost.categories.service import CategoryService
from tradepost.core.batching.coalescer import Observe, ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.principal import Principal
from tradepost.core.wire.pagination import Page, Total, Window
from tradepost.items.errors import ItemNotFound
from tradepost.items.filters import ItemFilter
from tradepost.items.public_total import PublicTotal
from tradepost.items.repository.items import ItemRepository
from tradepost.items.schemas import ItemStatus, item_json
from tradepost.items.view_counter import ViewCounter

LIST_LANES: Final = 4
"""Different lists that are read at once; more would only wait for each other in the database."""
SEARCH_LANES: Final = 2
"""Searches look through many rows: in lanes of their own they hold up each other, and no list. On SQLite one."""


def sees_all(principal: Principal | None) -> bool:
    """Tell whether a visitor may see the drafts and inactive items of others."""
    return principal is not None and STAFF in principal.permissions


def is_visible(status: str, owner_id: int, visitor: Principal | None) -> bool:
    """Tell whether ``visitor`` may see an item."""
    return status == ItemStatus.ACTIVE or (
        visitor is not None and visitor.may_act_for(owner_id, overriding=STAFF)
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """An item as JSON, with the columns that decide who may see it."""

    status: str
    owner_id: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Question:
    """The key of a coalesced list: requests with equal questions share one answer."""

    wanted: ItemFilter
    window: Window


class ItemReader:
    """Finds items and returns them as JSON. Lives as long as the process; every read starts after its question."""

    def __init__(
        self,
        database: Database,
        *,
        views: ViewCounter,
        public_total: PublicTotal,
        observe: Observe | None = None,
    ) -> None:
        self._views = views
        self._public_total = public_total
        self._points = ReadCoalescer(database, self._load_points, observe=observe)
        self._lists = ReadCoalescer(database, self._load_list, lanes=LIST_LANES, max_batch=1)
        lanes = 1 if database.is_sqlite else SEARCH_LANES
        self._searches = ReadCoalescer(database, self._load_list, lanes=lanes, max_batch=1)

    async def get(self, item_id: int, visitor: Principal | None) -> bytes:
        """Return an item that ``visitor`` may see, and count the view; the JSON of ``ItemRead``."""
        found = await self._visible(item_id, visitor)
        self._views.count(item_id)
        return found.body

    async def owner_of(self, item_id: int, principal: Principal) -> int:
        """Return the id of the owner of an item that ``principal`` may see."""
        return (await self._visible(item_id, principal)).owner_id

    async def _visible(self, item_id: int, visitor: Principal | None) -> _Found:
        found = await self._points.find(item_id)
        if found is None or not is_visible(found.status, found.owner_id, visitor):
            raise ItemNotFound
        return found

    async def page(self, wanted: ItemFilter, window: Window, visitor: Principal | None) -> Page[bytes]:
        """List the wanted items that ``visitor`` may see, each as the JSON of ``ItemRead``."""
        if visitor is not None:
            wanted = replace(wanted, visitor_id=visitor.user_id, sees_all=sees_all(visitor))
        return await self._ask(wanted, window)

    async def page_of_own(self, owner: Principal, window: Window) -> Page[bytes]:
        """List one's own items, hidden ones too, likewise."""
        return await self._ask(ItemFilter(owner_id=owner.user_id, sees_all=True), window)

    async def _ask(self, wanted: ItemFilter, window: Window) -> Page[bytes]:
        coalescer = self._lists if wanted.q is None else self._searches
        return await coalescer.get(_Question(wanted, window))

    async def _load_points(self, db: ReadSession, item_ids: Sequence[int]) -> Mapping[int, _Found]:
        rows = await ItemRepository(db).find_rows(item_ids)
        return {row.id: _Found(row.status, row.owner_id, item_json(row)) for row in rows}

    async def _load_list(
        self, db: ReadSession, questions: Sequence[_Question]
    ) -> Mapping[_Question, Page[bytes]]:
        items = ItemRepository(db)
        return {asked: await self._read_list(items, asked.wanted, asked.window) for asked in questions}

    async def _read_list(self, items: ItemRepository, wanted: ItemFilter, window: Window) -> Page[bytes]:
        categories = None if wanted.category is None else CategoryService.subtree(wanted.category)
        lagging = wanted.is_public_list and window.total is Total.EXACT
        asked = replace(window, total=Total.NONE) if lagging else window
        page = await items.page(wanted, asked, category_ids=categories)
        total = await self._public_total.get(items.count_public) if lagging else page.total
        return Page([item_json(row) for row in page.rows], total, window)
