"""The statements about views: adding to them without waiting for another writer, and ranking by them."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, select, update

from tradepost.core.database.elements import AmongIds
from tradepost.core.database.locks import has_one_writer, lock_no_key_update
from tradepost.core.database.repository import Repository
from tradepost.items.filters import IS_ACTIVE_UNINDEXED, IS_MUCH_VIEWED
from tradepost.items.models import Item


class ItemViewRepository(Repository):
    """The column ``views``, which many requests at once want to add to."""

    async def find_most_viewed(self, limit: int) -> Sequence[int]:
        """Return the ids of the active items with the most views, the most first."""
        active, by_views = select(Item.id).where(IS_ACTIVE_UNINDEXED), (Item.views.desc(), Item.id.desc())
        much_viewed = active.where(IS_MUCH_VIEWED).order_by(Item.views_class.desc(), *by_views)
        found = (await self.db.scalars(much_viewed.limit(limit))).all()
        if len(found) < limit:
            found = (await self.db.scalars(active.order_by(*by_views).limit(limit))).all()
        return found

    async def lock_free_no_key_update(self, item_ids: Collection[int]) -> Collection[int]:
        """Lock those of these items that nobody else has locked, and return their ids; waits for nobody.

        On SQLite a transaction that writes is alone, and all ids are returned.
        """
        if has_one_writer(self.db):
            return item_ids
        wanted = select(Item.id).where(AmongIds(Item.id)).order_by(Item.id)
        free = lock_no_key_update(wanted, Item, skip_locked=True)
        return (await self.db.scalars(free, {"ids": list(item_ids)})).all()

    async def find_existing(self, item_ids: Collection[int]) -> Sequence[int]:
        """Return the ids of those items among these that exist."""
        existing = select(Item.id).where(AmongIds(Item.id))
        return (await self.db.scalars(existing, {"ids": list(item_ids)})).all()

    async def add_views(self, counts: Mapping[int, int]) -> None:
        """Add to the views of items."""
        table = Item.__table__
        statement = (
            update(table)  # type: ignore[arg-type]
            .where(table.c.id == bindparam("of_item"))
            .values(views=table.c.views + bindparam("seen"))
        )
        rows = [{"of_item": item_id, "seen": seen} for item_id, seen in counts.items()]
        await (await self.db.connection()).execute(statement, rows)
