"""Adapters: what ``items`` supplies to the ports of ``tags``, ``categories`` and ``media``.

The lower domains declare what they need of items as Protocols, because they must not import a higher domain. Each call
runs in the caller's transaction, so that a tag or a category and the items under it change together or not at all.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Select

from tradepost.categories.sorted import SortedItems
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.resources import Resources
from tradepost.items.dependencies import build_item_service
from tradepost.items.repository.counts import Dimension, ItemCountRepository, active_counts
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.tag_links import ItemTagRepository
from tradepost.items.service import ItemService
from tradepost.media.subjects import FileSubjects
from tradepost.tags.tagged import TaggedItems


class ItemsByTag:
    """Supplies ``tags.tagged.TaggedItems``."""

    async def counts(self, db: ReadSession | WriteSession, names: Sequence[str]) -> dict[str, int]:
        """Count the active items of each tag; a tag without any is left out."""
        return await ItemCountRepository(db).find_active(Dimension.TAG, names)

    def numbers(self) -> Select[str, int]:
        """Return the statement for the number of active items of each tag, ``key`` and ``n``."""
        return active_counts(Dimension.TAG)

    async def note_change(self, db: ReadSession | WriteSession, *, tag: str, now: datetime) -> None:
        """Count a change on every item that bears a tag."""
        await ItemTagRepository(db).note_change(tag, now=now)

    async def move(self, db: ReadSession | WriteSession, *, source: str, target: str) -> None:
        """Turn the links to one tag into links to another."""
        await ItemTagRepository(db).move(source=source, target=target)


class ItemsByCategory:
    """Supplies ``categories.sorted.SortedItems``."""

    async def counts(self, db: ReadSession | WriteSession) -> dict[int, int]:
        """Count the active items right in each category; one without any may be left out."""
        return {
            int(key): number
            for key, number in (await ItemCountRepository(db).find_all_active(Dimension.CATEGORY)).items()
        }

    async def move(
        self, db: ReadSession | WriteSession, *, source_id: int, target_id: int, now: datetime
    ) -> None:
        """Put the items of one category into another."""
        await ItemRepository(db).move_category(source_id=source_id, target_id=target_id, now=now)


class ItemsWithFiles:
    """Supplies ``media.subjects.FileSubjects``: the things that files belong to are items."""

    def __init__(self, items: Callable[[WriteSession], ItemService]) -> None:
        self._items = items

    async def shown(self, db: ReadSession | WriteSession, subject_ids: Collection[int]) -> Collection[int]:
        """Return the ids of the active items among these."""
        return await ItemRepository(db).find_active(subject_ids)

    async def detach(self, db: WriteSession, *, subject_id: int, url: str) -> None:
        """Take a picture off an item; a document stands in no column of it."""
        await self._items(db).remove_image(subject_id, url)


def supply_item_ports(resources: Resources) -> None:
    """Put in what tags, categories and files need of items, before the domains that ask for it are opened."""
    resources.put(TaggedItems, ItemsByTag())
    resources.put(SortedItems, ItemsByCategory())
    resources.put(FileSubjects, ItemsWithFiles(partial(build_item_service, resources=resources)))
