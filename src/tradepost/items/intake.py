"""Group commit for new items: those that arrive while a transaction is under way share the next one."""

from collections.abc import Callable, Sequence

from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError
from tradepost.core.principal import Principal
from tradepost.core.wire.representations import Representation
from tradepost.items.schemas import ItemCreate
from tradepost.items.service import ItemService, NewItem


class ItemIntake:
    """Hands ``ItemService.create_many`` the new items of many requests, in one transaction. Lives as long as the process.

    An item that is refused (its owner or its category is gone) fails alone; the others are created.
    """

    def __init__(
        self,
        database: Database,
        *,
        items: Callable[[WriteSession], ItemService],
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._items = items
        self._writer: GroupWriter[NewItem, Representation] = GroupWriter(self._create, observe=observe)

    async def create(self, new: ItemCreate, owner: Principal) -> Representation:
        """Put an item up for sale; returns the JSON of ``ItemRead`` once it is committed."""
        return await self._writer.submit(NewItem(new, owner.user_id))

    async def _create(self, new: Sequence[NewItem]) -> list[Representation | TradepostError]:
        async with self._database.transaction() as db:
            return await self._items(db).create_many(new)
