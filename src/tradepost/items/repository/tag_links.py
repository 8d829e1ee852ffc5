"""The statements about the links between items and tags."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import Table, delete, select, update

from tradepost.core.database.many_rows import insert_many
from tradepost.core.database.repository import Repository
from tradepost.items.models import Item, ItemTag
from tradepost.items.repository.statements import lock_no_key_update_in_order

_LINKS = cast("Table", ItemTag.__table__)


class ItemTagRepository(Repository):
    """The rows of ``item_tags``, each of which links an item to a tag by name."""

    async def find_names(self, item_id: int) -> Sequence[str]:
        """Return the tags of an item in their order."""
        names = select(ItemTag.tag).where(ItemTag.item_id == item_id).order_by(ItemTag.position)
        return (await self.db.scalars(names)).all()

    async def add(self, names: Mapping[int, Sequence[str]]) -> None:
        """Link items that have no tags to tags that exist: the names by the item's id."""
        links = [
            {"item_id": item_id, "tag": name, "position": at}
            for item_id, tags in names.items()
            for at, name in enumerate(tags)
        ]
        # In one statement: the trigger of kept counts is called for it once, not for each row.
        await insert_many(self.db, _LINKS, links)

    async def remove(self, item_id: int) -> None:
        """Unlink every tag of an item."""
        await self.db.execute(delete(ItemTag).where(ItemTag.item_id == item_id))

    async def note_change(self, tag: str, *, now: datetime) -> None:
        """Count a change on every item that bears a tag."""
        tagged = Item.id.in_(select(ItemTag.item_id).where(ItemTag.tag == tag))
        await lock_no_key_update_in_order(self.db, tagged)
        await self.db.execute(
            update(Item)
            .where(tagged)
            .values(version=Item.version + 1, updated_at=now)
            .execution_options(synchronize_session=False)
        )

    async def move(self, *, source: str, target: str) -> None:
        """Turn links to one tag into links to another; an item that has both keeps the other's place."""
        linked = select(ItemTag.item_id).where(ItemTag.tag == target)
        await self.db.execute(
            delete(ItemTag)
            .where(ItemTag.tag == source, ItemTag.item_id.in_(linked))
            .execution_options(synchronize_session=False)
        )
        await self.db.execute(
            update(ItemTag)
            .where(ItemTag.tag == source)
            .values(tag=target)
            .execution_options(synchronize_session=False)
        )
