"""The statements about views: adding to them without waiting for another writer, and ranking by them."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ARRAY, BigInteger, ColumnElement, any_, bindparam, literal, select, update

from tradepost.core.database.repository import Repository
from tradepost.items.filters import IS_ACTIVE
from tradepost.items.models import Item


def _is_one_of(item_ids: Collection[int]) -> ColumnElement[bool]:
    # One parameter, where IN would take one for each.
    return Item.id == any_(literal(list(item_ids), ARRAY(BigInteger)))


class ItemViewRepository(Repository):
    """The column ``views``, which many requests at once want to add to."""

    async def find_most_viewed(self, limit: int) -> Sequence[int]:
        """Return the ids of the active items with the most views, the most first."""
        ranked = select(Item.id).where(IS_ACTIVE)
        return (await self.db.scalars(ranked.order_by(Item.views.desc(), Item.id.desc()).limit(limit))).all()

    async def lock_free(self, item_ids: Collection[int]) -> Collection[int]:
        """Lock those of these items that nobody else has locked, and return their ids; waits for nobody.

        On SQLite a transaction that writes is alone, and all ids are returned.
        """
        if not self.on_postgres:
            return item_ids
        free = select(Item.id).where(_is_one_of(item_ids)).order_by(Item.id)
        return (await self.db.scalars(free.with_for_update(key_share=True, skip_locked=True))).all()

    async def find_existing(self, item_ids: Collection[int]) -> Sequence[int]:
        """Return the ids of those items among these that exist; on PostgreSQL only."""
        return (await self.db.scalars(select(Item.id).where(_is_one_of(item_ids)))).all()

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
