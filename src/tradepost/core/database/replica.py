"""A standby that answers what may be a few seconds old, for as long as it is known to be no older.

How far it has come is told by positions in the primary's log, not by clocks: once a second the primary says where its log
ends, and the standby how far it has replayed it. What the primary does not confirm is not taken for fresh.
"""

import asyncio
from collections import deque
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import translate
from tradepost.core.errors import DatabaseUnavailable, TradepostError

MOST_LAG: Final = 5.0
"""Seconds by which a standby may be behind and still answer."""
BEHIND: Final = f"it is more than {MOST_LAG:.0f} seconds behind"
PERIOD: Final = 1.0
"""Seconds between two looks."""
LOOK_PATIENCE: Final = 2.0
"""Seconds that a look may take."""
_END = text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
_REPLAYED = text("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn WHERE pg_is_in_recovery()")

log = structlog.stdlib.get_logger(__name__)


class Replica:
    """A standby beside the primary. Lives as long as the process; ``run`` keeps knowing how far it is behind."""

    def __init__(self, database: Database, *, primary: Database, clock: Clock) -> None:
        self.database = database
        self.lag: float | None = None
        """Seconds by which it was behind at the last look; None while that is not known."""
        self.trouble: str | None = "it was not looked at yet"
        """Why it does not answer; None while it does."""
        self._primary = primary
        self._monotonic = clock.monotonic
        # When the primary's log ended where, the last of them last. Any three in a row are a period or more from end to end.
        self._ends: deque[tuple[float, int]] = deque(maxlen=2 * (int(MOST_LAG / PERIOD) + 2))
        self._looked_at = float("-inf")

    @property
    def is_good(self) -> bool:
        """Whether it answers what may be ``MOST_LAG`` old."""
        if self.trouble is not None or self.lag is None:
            return False
        return self.lag + self._monotonic() - self._looked_at <= MOST_LAG

    def failed(self, error: Exception) -> bool:
        """Take an error of a read for the end of its good time; tell whether the primary may be asked instead."""
        meaning = translate(error) if isinstance(error, SQLAlchemyError) else error
        if not isinstance(meaning, DatabaseUnavailable):
            return False
        self._tell("a read failed on it")
        return True

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PERIOD)

    async def look(self) -> None:
        """Find out how far it is behind."""
        began = self._monotonic()
        try:
            async with asyncio.timeout(LOOK_PATIENCE):
                # The primary first: what is replayed later may be no older than it seems.
                async with self._primary.read() as db:
                    end = int(await db.scalar(_END) or 0)
                async with self.database.read() as db:
                    replayed = await db.scalar(_REPLAYED)
        except (TradepostError, SQLAlchemyError, TimeoutError):
            self.lag = None
            self._tell("it, or the primary, does not answer")
            return
        if len(self._ends) > 1 and began - self._ends[-2][0] < PERIOD:
            # Exports look, too: without this, many of them would leave nothing remembered but a moment.
            self._ends.pop()
        self._ends.append((began, end))
        self._looked_at = began
        if replayed is None:
            self.lag = None
            self._tell("it is no standby")
            return
        self.lag = self._behind(int(replayed))
        self._tell(None if self.lag <= MOST_LAG else BEHIND)

    def _behind(self, replayed: int) -> float:
        """Return for how long the first thing has been there that it has not replayed, as far as ``_ends`` tell."""
        now = self._ends[-1][0]
        reached = [moment for moment, end in self._ends if end <= replayed]
        if reached:
            return now - max(reached)
        # Behind all that is remembered: at the first look that says nothing of seconds, and is taken for too much.
        return float("inf")

    def _tell(self, trouble: str | None) -> None:
        if (trouble is None) != (self.trouble is None):
            if trouble is None:
                log.info("the standby answers what may be a few seconds old")
            else:
                log.warning("the standby is not asked; the primary answers everything", reason=trouble)
        self.trouble = trouble
