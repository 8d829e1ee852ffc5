"""Bulk creation: many items of one person, in short transactions, one at a time in the whole process.

A client that sends a hundred thousand items takes its turn between other requests' writes after each batch. The facts go out
in groups: a message for each transaction, which programs hear of, and one for the whole, which the owner is told of.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from tradepost.core.database.engines import Database
from tradepost.core.database.faults import is_undone, translate
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError
from tradepost.core.finishing import finished
from tradepost.core.principal import Principal
from tradepost.items.schemas import ItemCreate
from tradepost.items.service import ItemService, NewItem

BATCH: Final = 100
"""Items of a transaction: the others' writes wait for no more."""
ATTEMPTS: Final = 3
"""How often a transaction is tried that the database gives up for another's sake."""

Outcome = int | TradepostError
"""An item's id, or what refuses it."""


Work = Callable[[WriteSession], Awaitable[list[Outcome]]]
Create = Callable[[Sequence[NewItem]], Awaitable[list[Outcome]]]


class _TakenBackError(Exception):
    """Raised within a transaction that makes all or none."""


class BulkItems:
    """The lane of bulk creation. Lives as long as the process, and counts what it has done for ``/metrics``."""

    def __init__(self, database: Database, *, items: Callable[[WriteSession], ItemService]) -> None:
        self.lines = 0
        self._database = database
        self._items = items
        self._lane = asyncio.Lock()

    def run(self, owner: Principal) -> "BulkRun":
        """Begin to create items of this person."""
        return BulkRun(self, owner.user_id)

    async def create(self, new: Sequence[NewItem]) -> list[Outcome]:
        """Create a batch, in which each item is refused by itself."""

        async def work(db: WriteSession) -> list[Outcome]:
            return await self._items(db).create_in_bulk(new)

        return await self._in_lane(work, len(new))

    async def create_all(self, new: Sequence[NewItem]) -> list[Outcome]:
        """Create all of these items or none; none are there when one of the outcomes is an error."""
        outcomes: list[Outcome] = []

        async def work(db: WriteSession) -> list[Outcome]:
            outcomes[:] = await self._items(db).create_in_bulk(new)
            if any(isinstance(outcome, TradepostError) for outcome in outcomes):
                raise _TakenBackError
            await self._items(db).tell_of_bulk(new[0].owner_id, len(new))
            return outcomes

        try:
            return await self._in_lane(work, len(new))
        except _TakenBackError:
            return outcomes

    async def tell(self, owner_id: int, created: int) -> None:
        """Tell the owner of a run that has ended."""
        async with self._database.transaction() as db:
            await self._items(db).tell_of_bulk(owner_id, created)

    async def _in_lane(self, work: Work, lines: int) -> list[Outcome]:
        attempt = 1
        while True:
            try:
                async with self._lane, self._database.transaction() as db:
                    made = await work(db)
            except SQLAlchemyError as error:
                if not is_undone(error) or attempt == ATTEMPTS:
                    raise
                attempt += 1
            else:
                self.lines += lines
                return made


class BulkRun:
    """One client's bulk: how many were created, and whether the database went away on the way."""

    def __init__(self, lane: BulkItems, owner_id: int) -> None:
        self.created = 0
        self._lane = lane
        self._owner_id = owner_id
        self._away: TradepostError | None = None

    async def create(self, items: Sequence[ItemCreate]) -> list[Outcome]:
        """Create a batch; once the database is away, what follows is refused without being tried."""
        return await self._outcomes(self._lane.create, items)

    async def create_all(self, items: Sequence[ItemCreate]) -> list[Outcome]:
        """Create all or none, in one transaction."""
        return await self._outcomes(self._lane.create_all, items)

    async def _outcomes(self, create: Create, items: Sequence[ItemCreate]) -> list[Outcome]:
        if not items:
            return []
        outcomes: list[Outcome]
        if self._away is None:
            try:
                outcomes = await create([NewItem(item, self._owner_id) for item in items])
            except (TradepostError, SQLAlchemyError) as error:
                meaning = error if isinstance(error, TradepostError) else translate(error)
                if meaning is None:
                    raise
                self._away = meaning
            else:
                if create == self._lane.create or not any(
                    isinstance(one, TradepostError) for one in outcomes
                ):
                    self.created += sum(isinstance(one, int) for one in outcomes)
                return outcomes
        return [self._away for _ in items]

    async def end(self) -> None:
        """Tell the owner, whether the run came to its end or its client left."""
        if self.created:
            await finished(self._lane.tell(self._owner_id, self.created))
