"""A write-behind log of the faults that were made: the ground truth of a drill, of all processes together."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import structlog

from tradepost.core.batching.write_behind import write_behind
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.observability.incidents import Incidents
from tradepost.injection.grammar import METHOD_LENGTH, PATH_LENGTH
from tradepost.injection.repository import FaultRepository

INTERVAL: Final = 0.25
"""Seconds between two batches: so long a line may take until the other processes show it."""
BATCH: Final = 500
"""Lines in one transaction."""
CAPACITY: Final = 100_000
"""Lines that may wait to be written; what comes on top is told as missing."""
KEPT: Final = 100_000
"""Lines that are kept; older ones are deleted."""
PRUNED_EVERY: Final = 10_000
"""Lines that a process writes between two deletions."""

log = structlog.stdlib.get_logger(__name__)


class Journal:
    """Notes what was done without waiting, and writes it down soon: a request that is struck is not slowed by the log."""

    def __init__(self, database: Database, clock: Clock, *, replica: str) -> None:
        self.replica = replica
        self._database = database
        self._now: Callable[[], datetime] = clock.now
        self._waiting: deque[dict[str, Any]] = deque()
        self._flushing = asyncio.Lock()
        self._since_pruned = 0
        self._missing = 0
        self._incidents = Incidents(clock, log.warning)

    def note(
        self,
        kind: str,
        details: str,
        *,
        name: str | None = None,
        place: int = 0,
        request_id: str | None = None,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        """Note a fault that was made, with as much of what the request says as the table can hold."""
        if len(self._waiting) >= CAPACITY:
            self._missing += 1
            return
        self._waiting.append(
            {
                "at": self._now(),
                "replica": self.replica,
                "kind": kind,
                "name": name,
                "place": place,
                "details": details,
                "request_id": request_id,
                "method": method and method[:METHOD_LENGTH],
                # One line that PostgreSQL does not take would keep all that come after it from being written.
                "path": path and path.replace("\0", "%00")[:PATH_LENGTH],
            }
        )

    async def run(self) -> None:
        """Write batches until cancelled, and what is left then."""
        await write_behind(self.flush, interval=INTERVAL, failed=self._tell)

    async def flush(self) -> None:
        """Write every line that is waiting; what cannot be written goes on waiting, and the error is raised."""
        async with self._flushing:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                try:
                    async with self._database.transaction() as db:
                        await FaultRepository(db).note(batch)
                except BaseException:
                    self._waiting.extendleft(reversed(batch))
                    raise
                self._since_pruned += len(batch)
            if self._missing:
                log.warning("more faults were made than the log could take", missing=self._missing)
                self._missing = 0
            if self._since_pruned >= PRUNED_EVERY:
                await self._prune()
                self._since_pruned = 0

    async def _prune(self) -> None:
        deleted = BATCH
        while deleted == BATCH:
            async with self._database.transaction() as db:
                deleted = await FaultRepository(db).delete_older(kept=KEPT, limit=BATCH)

    def _tell(self, error: Exception) -> None:
        self._incidents.report("faults not written down yet", error, waiting=len(self._waiting))
