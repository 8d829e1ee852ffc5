"""Group commit for new items: those that arrive while a transaction is under way share the next one."""

from collections.abc import Callable, Sequence
from typing import Final

from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError
from tradepost.core.idempotency.claim import CLAIM, KeepsKeys, Kept
from tradepost.core.idempotency.groups import Keeping, Keyed, each_once
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.principal import Principal
from tradepost.core.wire.representations import Representation
from tradepost.items.schemas import ItemCreate
from tradepost.items.service import ItemService, NewItem

ETAG: Final = "etag"
KEEPING: Final[Keeping[Representation]] = Keeping(
    keep=lambda shown: Kept(201, shown.body, [(ETAG, shown.etag)]),
    read=lambda kept: Representation.known(dict(kept.headers)[ETAG], kept.answer),
)


class ItemIntake(KeepsKeys):
    """Hands ``ItemService.create_many`` the new items of many requests, in one transaction. Lives as long as the process.

    An item that is refused (its owner or its category is gone) fails alone; the others are created.
    """

    def __init__(
        self,
        database: Database,
        keys: IdempotencyKeys,
        *,
        items: Callable[[WriteSession], ItemService],
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._items = items
        self._writer: GroupWriter[Keyed[NewItem], Representation] = GroupWriter(self._create, observe=observe)

    async def create(self, new: ItemCreate, owner: Principal) -> Representation:
        """Put an item up for sale; returns the JSON of ``ItemRead`` once it is committed."""
        return await self._writer.submit(Keyed(NewItem(new, owner.user_id), CLAIM.get()))

    async def _create(self, new: Sequence[Keyed[NewItem]]) -> list[Representation | TradepostError]:
        async with self._database.transaction() as db:
            return await each_once(self._keys, db, new, self._items(db).create_many, KEEPING)
