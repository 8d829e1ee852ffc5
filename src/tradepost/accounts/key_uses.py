"""A write-behind record of the last use of API keys: at most once a minute for each, and in no request's time."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import structlog

from tradepost.accounts.repository.api_keys import ApiKeyRepository
from tradepost.core.batching.write_behind import write_behind
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.observability.incidents import Incidents

INTERVAL: Final = 1.0
"""Seconds between two batches."""
RESOLUTION: Final = timedelta(minutes=1)
"""A use that follows the noted one sooner is not noted."""
BATCH: Final = 1_000
"""Keys in one transaction: short enough not to hold up other writers."""
CAPACITY: Final = 100_000
"""Keys that may wait to be written, while the database is away; the next is noted when it is used again."""

log = structlog.get_logger(__name__)


class KeyUses:
    """Loses what one interval noted when the process is killed: the next use of those keys is noted again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: dict[int, datetime] = {}
        self._flushing = asyncio.Lock()
        self._incidents = Incidents(clock, log.warning)

    def note(self, key_id: int, *, noted: datetime | None) -> None:
        """Note a use of a key, of which ``noted`` is in the database."""
        now = self._clock.now()
        if noted is not None and now - noted < RESOLUTION:
            return
        if key_id not in self._waiting and len(self._waiting) < CAPACITY:
            self._waiting[key_id] = now

    async def run(self) -> None:
        """Write batches until cancelled, and what is left then."""
        await write_behind(self.flush, interval=INTERVAL, failed=self._tell)

    async def flush(self) -> None:
        """Write every use that is waiting; what cannot be written goes on waiting, and the error is raised."""
        async with self._flushing:
            waiting, self._waiting = self._waiting, {}
            try:
                while waiting:
                    batch = dict(islice(waiting.items(), BATCH))
                    await self._write(batch)
                    for key_id in batch:
                        del waiting[key_id]
            finally:
                self._waiting = waiting | self._waiting

    async def _write(self, uses: Mapping[int, datetime]) -> None:
        """Write the uses of many keys, but of those that another transaction has locked: they are being revoked.

        Deleting a person locks all their keys, in an order of the database's own. Waiting for one of those while holding
        others could end as a deadlock.
        """
        async with self._database.transaction() as db:
            keys = ApiKeyRepository(db)
            free = await keys.lock_free_no_key_update(uses)
            if free:
                await keys.record_uses({key_id: uses[key_id] for key_id in sorted(free)})

    def _tell(self, error: Exception) -> None:
        self._incidents.report("uses of API keys not written yet", error, waiting=len(self._waiting))
