"""Bulk creation: many items of one person, in short transactions, one at a time in the whole process.

A client that sends a hundred thousand items takes its turn between other requests' writes after each batch. The facts go out
in groups: a message for each transaction, which programs hear of, and one for the whole, which the owner is told of.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from tradepost.core.database.engines import Database
from tradepost.core.database.faults import is_undone, translate
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError
from tradepost.core.finishing import finished
from tradepost.core.idempotency.claim import CLAIM, KeepsKeys
from tradepost.core.idempotency.progress import Progress, ProgressKeeper
from tradepost.core.principal import Principal
from tradepost.items.schemas import ItemCreate
from tradepost.items.service import ItemService, NewItem

BATCH: Final = 200
"""Items of a transaction, for which others' writes wait on SQLite; of fewer, the transaction itself is a third of the cost."""
ATTEMPTS: Final = 3
"""How often a transaction is tried that the database gives up for another's sake."""

Outcome = int | TradepostError
"""An item's id, or what refuses it."""


Work = Callable[[WriteSession], Awaitable[list[Outcome]]]
Then = Callable[[WriteSession, Sequence[Outcome]], Awaitable[None]]
Create = Callable[[Sequence[NewItem], Then], Awaitable[list[Outcome]]]
Answered = Callable[[Sequence[Outcome]], bytes]
"""Writes the part of the answer that tells of these outcomes."""


class _TakenBackError(Exception):
    """Raised within a transaction that makes all or none."""


class BulkItems(KeepsKeys):
    """The lane of bulk creation. Lives as long as the process, and counts what it has done for ``/metrics``."""

    def __init__(
        self, database: Database, progress: ProgressKeeper, *, items: Callable[[WriteSession], ItemService]
    ) -> None:
        self.lines = 0
        self._database = database
        self._progress = progress
        self._items = items
        self._lane = asyncio.Lock()

    async def run(self, owner: Principal) -> "BulkRun":
        """Begin to create items of this person, or go on where an earlier request with the same key ended."""
        claim = CLAIM.get()
        progress = None if claim is None else await self._progress.begin(claim)
        return BulkRun(self, owner.user_id, progress)

    async def create(self, new: Sequence[NewItem], then: Then) -> list[Outcome]:
        """Create a batch, in which each item is refused by itself; ``then`` is done in the same transaction."""

        async def work(db: WriteSession) -> list[Outcome]:
            outcomes: list[Outcome] = await self._items(db).create_in_bulk(new) if new else []
            await then(db, outcomes)
            return outcomes

        return await self._in_lane(work, len(new))

    async def create_all(self, new: Sequence[NewItem], then: Then) -> list[Outcome]:
        """Create all of these items or none; none are there when one of the outcomes is an error."""
        outcomes: list[Outcome] = []

        async def work(db: WriteSession) -> list[Outcome]:
            outcomes[:] = await self._items(db).create_in_bulk(new)
            if any(isinstance(outcome, TradepostError) for outcome in outcomes):
                raise _TakenBackError
            await self._items(db).tell_of_bulk(new[0].owner_id, len(new))
            await then(db, outcomes)
            return outcomes

        try:
            return await self._in_lane(work, len(new))
        except _TakenBackError:
            return outcomes

    async def tell(self, owner_id: int, created: int) -> None:
        """Tell the owner of a run that has ended."""
        async with self._database.transaction() as db:
            await self._items(db).tell_of_bulk(owner_id, created)

    async def end(self, owner_id: int, progress: Progress, ending: bytes | None) -> None:
        """Tell the owner of what a run with a key has made, and settle it, or let a retry go on with it."""
        async with self._database.transaction() as db:
            untold = await progress.tell(db)
            if untold is None:
                return
            if untold:
                await self._items(db).tell_of_bulk(owner_id, untold)
            if ending is None:
                await progress.pause(db)
            else:
                await progress.finish(db, ending)

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
    """One client's bulk: how many were created, and whether the database went away on the way.

    With a key, every batch keeps its part of the answer. ``progress`` says how far an earlier request has come.
    """

    def __init__(self, lane: BulkItems, owner_id: int, progress: Progress | None) -> None:
        self.created = 0 if progress is None else progress.made
        self.progress = progress
        self._lane = lane
        self._owner_id = owner_id
        self._away: TradepostError | None = None
        self._ended = progress is not None and progress.ending is not None

    def alive(self) -> AbstractAsyncContextManager[None]:
        """Hold the key, if there is one, while the block works."""
        return nullcontext() if self.progress is None or self._ended else self.progress.alive()

    async def create(self, items: Sequence[ItemCreate], answered: Answered, *, last: int) -> bytes:
        """Create a batch and return its part of the answer; ``last`` is the last line in it.

        Once the database is away, what follows is refused without being tried.
        """
        progress = self.progress

        async def keep(db: WriteSession, outcomes: Sequence[Outcome]) -> None:
            if progress is not None:
                await progress.keep(db, answered(outcomes), last=last, made=_made(outcomes))

        if not items and progress is None:
            return answered([])
        outcomes = await self._outcomes(self._lane.create, items, keep)
        if self._away is None:
            self.created += _made(outcomes)
            if progress is not None:
                progress.advance(last=last, made=_made(outcomes))
        return answered(outcomes)

    async def create_all(self, items: Sequence[ItemCreate], answered: Answered) -> list[Outcome]:
        """Create all or none, in one transaction, which keeps the whole answer."""
        progress = self.progress

        async def settle(db: WriteSession, outcomes: Sequence[Outcome]) -> None:
            if progress is not None:
                await progress.finish(db, answered(outcomes))

        outcomes = await self._outcomes(self._lane.create_all, items, settle) if items else []
        self._ended = bool(items) and not any(isinstance(one, TradepostError) for one in outcomes)
        return outcomes

    async def _outcomes(self, create: Create, items: Sequence[ItemCreate], then: Then) -> list[Outcome]:
        if self._away is None:
            try:
                return await create([NewItem(item, self._owner_id) for item in items], then)
            except (TradepostError, SQLAlchemyError) as error:
                meaning = error if isinstance(error, TradepostError) else translate(error)
                if meaning is None:
                    raise
                self._away = meaning
        return [self._away for _ in items]

    async def complete(self, ending: bytes) -> None:
        """Settle the key of a run that came to its end, if it has one, and tell the owner."""
        if self.progress is not None and self._away is None and not self._ended:
            await finished(self._lane.end(self._owner_id, self.progress, ending))
            self._ended = True

    async def end(self) -> None:
        """Tell the owner, whether the run came to its end or its client left."""
        if self._ended:
            return
        self._ended = True
        if self.progress is not None:
            await finished(self._lane.end(self._owner_id, self.progress, None))
        elif self.created:
            await finished(self._lane.tell(self._owner_id, self.created))


def _made(outcomes: Sequence[Outcome]) -> int:
    return sum(isinstance(one, int) for one in outcomes)
