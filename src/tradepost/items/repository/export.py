"""The statement of an export: every wanted item, read bit by bit within one transaction."""

from collections.abc import AsyncGenerator, Sequence

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from tradepost.core.database.sessions import ReadSession
from tradepost.items.filters import ItemFilter
from tradepost.items.models import Item
from tradepost.items.repository.search import ItemSearchRepository
from tradepost.items.repository.statements import EVERY_ITEM
from tradepost.items.schemas import ItemRow


class ItemExportRepository:
    """Items in the order of their ids, through a cursor: no more of them than a group is in memory."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def groups(self, wanted: ItemFilter, *, size: int) -> AsyncGenerator[Sequence[ItemRow]]:
        """Yield the wanted items, so many at a time."""
        by_words: ColumnElement[bool] | None = None
        if wanted.q is not None:
            async with ReadSession(self._connection, None) as db:
                by_words = await ItemSearchRepository(db).find_all(wanted.q)
        statement = EVERY_ITEM.where(*wanted.conditions(by_words)).order_by(Item.id)
        reading = self._connection.execution_options(yield_per=size)
        found = await (await reading).stream(statement, wanted.parameters())
        try:
            async for rows in found.partitions():
                yield list(map(ItemRow._make, rows))
        finally:
            await found.close()
