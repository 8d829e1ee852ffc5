"""What tags, categories and files need to know and do about items, without knowing items."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from tradepost.core.database.sessions import WriteSession
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.tag_links import ItemTagRepository
from tradepost.items.service import ItemService


class ItemsOfTags:
    """Fulfils ``tags.service.TagUsage``, in the caller's transaction."""

    async def counts(self, db: AsyncSession, names: Sequence[str]) -> dict[str, int]:
        """Count the active items of each tag; a tag without any may be left out."""
        return await ItemTagRepository(db).count_items(names)

    async def note_change(self, db: AsyncSession, *, tag: str, now: datetime) -> None:
        """Count a change on every item that bears a tag."""
        await ItemTagRepository(db).note_change(tag, now=now)

    async def move(self, db: AsyncSession, *, source: str, target: str) -> None:
        """Turn the links of one tag into the other's."""
        await ItemTagRepository(db).move(source=source, target=target)


class ItemsOfCategories:
    """Fulfils ``categories.service.CategoryUsage``, in the caller's transaction."""

    async def move(self, db: AsyncSession, *, source_id: int, target_id: int, now: datetime) -> None:
        """Put the items of one category into another."""
        await ItemRepository(db).move_category(source_id=source_id, target_id=target_id, now=now)


class FilesOfItems:
    """Fulfils ``media.usage.FileSubjects``, in the caller's session."""

    def __init__(self, items: Callable[[WriteSession], ItemService]) -> None:
        self._items = items

    async def shown(self, db: AsyncSession, subject_ids: Collection[int]) -> Collection[int]:
        """Return which of these items are active."""
        return await ItemRepository(db).find_active(subject_ids)

    async def detach(self, db: WriteSession, *, subject_id: int, url: str) -> None:
        """Take a picture off an item; a document is not on it."""
        await self._items(db).remove_image(subject_id, url)
