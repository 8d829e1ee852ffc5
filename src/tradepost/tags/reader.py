"""The read path of tags: coalesced reads, whose answers are never older than the question.

The smallest reader, for other domains to follow: it lives as long as the process, asks through a ``ReadCoalescer``, and makes the
JSON once for all requests that asked the same. A question that comes while its like is being read joins the next read.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.wire.cursors import Cursors
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.representations import Representation
from tradepost.core.wire.row_json import RenderedPage, page_json, row_encoder
from tradepost.tags.errors import TagNotFound
from tradepost.tags.models import Tag
from tradepost.tags.repository import TagRepository, TagRow
from tradepost.tags.schemas import TagRead, normalised_tag
from tradepost.tags.tagged import TaggedItems

LIST_LANES: Final = 2
"""Different lists that are read at once."""

_tag_json = row_encoder(TagRead)
_COLUMNS: Final = [name for name in TagRead.model_fields if name != "item_count"]


def tag_shown(tag: TagRow | Tag, item_count: int) -> Representation:
    """Return a tag with its entity tag: the JSON of ``TagRead``."""

    def write() -> bytes:
        columns = {name: getattr(tag, name) for name in _COLUMNS}
        return _tag_json({**columns, "item_count": item_count})

    return Representation(tag.version, f"{tag.updated_at}\0{item_count}", write)


def _scope(containing: str) -> str:
    return f"tags {containing}"


class TagReader:
    """Finds tags and returns them as JSON. Lives as long as the process."""

    def __init__(
        self, database: Database, items: TaggedItems, cursors: Cursors, *, observe: Observe | None = None
    ) -> None:
        self._items = items
        self._cursors = cursors
        self._points = ReadCoalescer(database, self._load_points, observe=observe)
        self._lists = ReadCoalescer(database, self._load_list, lanes=LIST_LANES, max_batch=1)

    async def get(self, tag_id: int) -> Representation:
        """Return the tag of this id, the JSON of ``TagRead``, or raise ``TagNotFound``."""
        found = await self._points.find(tag_id)
        if found is None:
            raise TagNotFound
        return found

    async def page(self, window: Window, *, containing: str = "") -> RenderedPage:
        """List all tags, or those whose names contain a text, however it is written: the JSON of ``TagPage``."""
        containing = normalised_tag(containing)
        return await self._lists.get((self._cursors.opened(window, _scope(containing)), containing))

    async def _load_points(self, db: ReadSession, tag_ids: Sequence[int]) -> Mapping[int, Representation]:
        tags = TagRepository(db)
        rows = await tags.find_rows(tag_ids)
        shown = await self._counted(tags, rows)
        return dict(zip((row.id for row in rows), shown, strict=True))

    async def _load_list(
        self, db: ReadSession, asked: Sequence[tuple[Window, str]]
    ) -> Mapping[tuple[Window, str], RenderedPage]:
        found = {}
        tags = TagRepository(db)
        for window, containing in asked:
            page = await tags.page(window, self._items.numbers(), containing=containing)
            rows = [tag.body for tag in await self._counted(tags, page.rows)]
            counted = Page(rows, page.total, window, page.end)
            shown = self._cursors.sealed(counted, _scope(containing))
            found[window, containing] = RenderedPage(shown, page_json("tags", shown))
        return found

    async def _counted(self, tags: TagRepository, rows: Sequence[TagRow]) -> list[Representation]:
        names = [row.name for row in rows]
        counts = await self._items.counts(tags.db, names) if names else {}
        return [tag_shown(row, counts.get(row.name, 0)) for row in rows]
