"""The read path of categories: coalesced reads, whose answers are never older than the question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tradepost.accounts.permissions import STAFF
from tradepost.categories.errors import CategoryMoved, CategoryNotFound
from tradepost.categories.nodes import category_shown, count_items, roots, topmost, with_descendants
from tradepost.categories.repository import CategoryRepository
from tradepost.categories.schemas import CategoryPage, CategoryRead
from tradepost.categories.sorted import SortedItems
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.principal import Principal
from tradepost.core.wire.cursors import BadCursor, Cursors
from tradepost.core.wire.pagination import Page, Total, Window
from tradepost.core.wire.representations import Representation
from tradepost.core.wire.row_json import RenderedPage

LANES: Final = 2
"""Different categories, and different lists, that are read at once."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What makes two lists the same; a tree has only the order and the total of its window."""

    window: Window
    tree: bool
    active_only: bool
    is_active: bool | None
    counts: bool

    @property
    def scope(self) -> str:
        return f"categories {self.active_only} {self.is_active}"


def _active_only(visitor: Principal | None) -> bool:
    return visitor is None or STAFF not in visitor.permissions


class CategoryReader:
    """Finds categories and returns them as JSON. Lives as long as the process."""

    def __init__(self, database: Database, items: SortedItems, cursors: Cursors) -> None:
        self._database = database
        self._items = items
        self._cursors = cursors
        self._single = ReadCoalescer(database, self._load_single, lanes=LANES, max_batch=1)
        self._lists = ReadCoalescer(database, self._load_lists, lanes=LANES, max_batch=1)

    async def get(self, key: str, visitor: Principal | None, *, counts: bool = False) -> Representation:
        """Return a category by id or slug with all those below it that ``visitor`` may see: the JSON of ``CategoryRead``.

        With ``counts``, each has the number of its items and of those below it. ``CategoryMoved`` for a former slug.
        """
        active_only = _active_only(visitor)
        found = await self._single.find((key, active_only, counts))
        if found is None:
            async with self._database.read() as db:
                slug = await CategoryRepository(db).find_slug_after(key, active_only=active_only)
            raise CategoryNotFound if slug is None else CategoryMoved(slug)
        return found

    async def page(
        self,
        window: Window,
        visitor: Principal | None,
        *,
        tree: bool,
        is_active: bool | None = None,
        counts: bool = False,
    ) -> RenderedPage:
        """List the categories that ``visitor`` may see, flat or as a tree: the JSON of ``CategoryPage``.

        Inactive ones, and all below them, are for staff. A tree is one page, which no cursor leads to.
        """
        if tree and window.cursor is not None:
            raise BadCursor
        asked = _Question(
            Window(sort=window.sort, total=window.total) if tree else window,
            tree,
            _active_only(visitor),
            is_active,
            counts,
        )
        return await self._lists.get(replace(asked, window=self._cursors.opened(asked.window, asked.scope)))

    async def _load_single(
        self, db: ReadSession, keys: Sequence[tuple[str, bool, bool]]
    ) -> Mapping[tuple[str, bool, bool], Representation]:
        found: dict[tuple[str, bool, bool], Representation] = {}
        categories = CategoryRepository(db)
        for key, active_only, counts in keys:
            top = topmost(await categories.find_subtree(key, active_only=active_only))
            if top is not None:
                sums = await self._sums(categories) if counts else None
                found[key, active_only, counts] = category_shown(top, sums)
        return found

    async def _count(self, categories: CategoryRepository, shown: Sequence[CategoryRead]) -> None:
        """Give each of these, and those below them, the number of its items."""
        if shown:
            count_items(shown, await self._sums(categories))

    async def _sums(self, categories: CategoryRepository) -> dict[int, int]:
        """Return the number of items of each category with those below it."""
        return with_descendants(await self._items.counts(categories.db), await categories.find_parents())

    async def _load_lists(
        self, db: ReadSession, questions: Sequence[_Question]
    ) -> Mapping[_Question, RenderedPage]:
        categories = CategoryRepository(db)
        return {asked: await self._load_list(categories, asked) for asked in questions}

    async def _load_list(self, categories: CategoryRepository, asked: _Question) -> RenderedPage:
        if asked.tree:
            rows = await categories.find_all(
                asked.window.sort, active_only=asked.active_only, is_active=asked.is_active
            )
            tree = [CategoryRead.model_validate(node) for node in roots(rows)]
            await self._count(categories, tree if asked.counts else [])
            return _tree(tree, len(rows), counted=asked.window.total is not Total.NONE)
        found = await categories.page(asked.window, active_only=asked.active_only, is_active=asked.is_active)
        page = self._cursors.sealed(found, asked.scope)
        shown = [CategoryRead.model_validate(row) for row in page.rows]
        await self._count(categories, shown if asked.counts else [])
        return RenderedPage(page, CategoryPage(categories=shown, **page.info).model_dump_json().encode())


def _tree(top: list[CategoryRead], shown: int, *, counted: bool) -> RenderedPage:
    page = CategoryPage(
        categories=top,
        total=shown if counted else None,
        page=1,
        size=shown,
        pages=min(1, shown) if counted else None,
        next_cursor=None,
    )
    return RenderedPage(Page(top, page.total, Window()), page.model_dump_json().encode())
