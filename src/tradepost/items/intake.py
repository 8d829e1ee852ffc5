"""Group commit for items: what arrives while a transaction is under way shares the next one."""

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
from tradepost.core.wire.representations import Expected, Representation
from tradepost.items.changing import Change, Deletion, ItemChangeService
from tradepost.items.schemas import ItemCreate, ItemUpdate
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


class ItemChanges:
    """Hands ``ItemChangeService`` the changes and the deletions of many requests likewise; each that is refused fails alone."""

    def __init__(
        self,
        database: Database,
        *,
        items: Callable[[WriteSession], ItemChangeService],
        observe: Callable[[str], Observe],
    ) -> None:
        self._database = database
        self._items = items
        self._updates: GroupWriter[Change, Representation] = GroupWriter(
            self._update, observe=observe("changed items")
        )
        self._deletions: GroupWriter[Deletion, None] = GroupWriter(
            self._delete, observe=observe("deleted items")
        )

    async def update(
        self, item_id: int, changes: ItemUpdate, principal: Principal, expected: Expected
    ) -> Representation:
        """Change an item of an expected version; returns it once that is committed."""
        return await self._updates.submit(Change(item_id, principal, expected, changes=changes))

    async def delete(self, item_id: int, principal: Principal, expected: Expected) -> None:
        """Delete an item of an expected version; returns once that is committed."""
        await self._deletions.submit(Deletion(item_id, principal, expected))

    async def _update(self, wanted: Sequence[Change]) -> list[Representation | TradepostError]:
        async with self._database.transaction() as db:
            return await self._items(db).update_many(wanted)

    async def _delete(self, wanted: Sequence[Deletion]) -> list[TradepostError | None]:
        async with self._database.transaction() as db:
            return await self._items(db).delete_many(wanted)
