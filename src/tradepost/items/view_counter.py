"""A write-behind counter of views: counted in memory and written in batches, so that reading an item never waits for a write."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Final

import structlog

from tradepost.core.batching.write_behind import write_behind
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.observability.incidents import Incidents
from tradepost.items.repository.views import ItemViewRepository

INTERVAL: Final = 1.0
"""Seconds between two batches."""
BATCH: Final = 1_000
"""Items in one transaction: short enough not to hold up other writers."""
CAPACITY: Final = 100_000
"""Different items that may wait to be written, while the database is away; a view of one more is not counted."""

log = structlog.get_logger(__name__)


class ViewCounter:
    """Loses the views of one interval when the process is killed, and none when it stops."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._waiting: Counter[int] = Counter()
        self._flushing = asyncio.Lock()
        self._incidents = Incidents(clock, log.warning)

    def count(self, item_id: int) -> None:
        """Note a view."""
        seen = self._waiting.get(item_id)
        if seen is not None or len(self._waiting) < CAPACITY:
            self._waiting[item_id] = (seen or 0) + 1

    async def run(self) -> None:
        """Write batches until cancelled, and what is left then."""
        await write_behind(self.flush, interval=INTERVAL, failed=self._tell)

    async def flush(self) -> None:
        """Write every view that is waiting; what cannot be written goes on waiting, and the error is raised.

        When it returns, every view that was counted before it was called is written.
        """
        async with self._flushing:
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, Counter()
        try:
            while waiting:
                batch = dict(islice(waiting.items(), BATCH))
                locked = await self._write(batch)
                for item_id in batch.keys() - locked:
                    del waiting[item_id]
                for item_id in locked:
                    await self._write_one(item_id, waiting[item_id])
                    del waiting[item_id]
        finally:
            self._waiting.update(waiting)

    async def _write(self, counts: Mapping[int, int]) -> set[int]:
        """Write the views of many items, and return the ids of those that another transaction has locked.

        Deleting a user locks all their items, in an order of the database's own. Waiting for one of those while holding
        others could end as a deadlock, and the database might cancel the deletion.
        """
        async with self._database.transaction() as db:
            items = ItemViewRepository(db)
            free = set(await items.lock_free_no_key_update(counts))
            if free:
                await items.add_views({item_id: counts[item_id] for item_id in free})
            rest = counts.keys() - free
            return set(await items.find_existing(rest)) if rest else set()

    async def _write_one(self, item_id: int, seen: int) -> None:
        async with self._database.transaction() as db:
            await ItemViewRepository(db).add_views({item_id: seen})

    def _tell(self, error: Exception) -> None:
        self._incidents.report("views not written yet", error, waiting=len(self._waiting))
