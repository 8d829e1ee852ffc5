"""The statements about the links between items and tags."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, cast

from sqlalchemy import Table, delete, select, update

from tradepost.core.database.elements import AmongIds
from tradepost.core.database.many_rows import insert_many
from tradepost.core.database.repository import Repository
from tradepost.items.models import Item, ItemTag
from tradepost.items.repository.statements import lock_no_key_update_in_order

_LINKS = cast("Table", ItemTag.__table__)
_NAMES: Final = (
    select(ItemTag.item_id, ItemTag.tag)
    .where(AmongIds(ItemTag.item_id))
    .order_by(ItemTag.item_id, ItemTag.position)
)
_UNLINKED: Final = delete(_LINKS).where(AmongIds(_LINKS.c.item_id))


class ItemTagRepository(Repository):
    """The rows of ``item_tags``, each of which links an item to a tag by name."""

    async def find_several_names(self, item_ids: Collection[int]) -> Mapping[int, list[str]]:
        """Return the tags of items in their order, by the item's id."""
        names: defaultdict[int, list[str]] = defaultdict(list)
        for item_id, tag in await self.rows(_NAMES, {"ids": sorted(item_ids)}):
            names[item_id].append(tag)
        return names

    async def add(self, names: Mapping[int, Sequence[str]]) -> None:
        """Link items that have no tags to tags that exist: the names by the item's id."""
        links = [
            {"item_id": item_id, "tag": name, "position": at}
            for item_id, tags in names.items()
            for at, name in enumerate(tags)
        ]
        # In one statement: the trigger of kept counts is called for it once, not for each row.
        await insert_many(self.db, _LINKS, links)

    async def remove(self, item_ids: Iterable[int]) -> None:
        """Unlink every tag of these items."""
        await (await self.db.connection()).execute(_UNLINKED, {"ids": sorted(item_ids)})

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
