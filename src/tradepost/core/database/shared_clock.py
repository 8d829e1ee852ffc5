"""One clock for all machines: the database's, by which each corrects its own.

A message made on a machine whose clock is half a minute ahead would be told half a minute late by the others, and a token
that it gave would not count there yet.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from tradepost.core.clock import AlignedClock, Clock, SkewedClock
from tradepost.core.database.engines import Database
from tradepost.core.errors import TradepostError

EVERY: Final = 60.0
"""Seconds between two looks at the database's clock."""
TOLERATED: Final = timedelta(seconds=0.5)
"""By how much clocks may differ before one is corrected: what a look itself may take."""

log = structlog.stdlib.get_logger(__name__)


def clock_work(database: Database, clock: Clock) -> dict[str, Coroutine[Any, Any, None]]:
    """Return the task that keeps the process's clock with the database's, by its name; none for one machine alone."""
    while isinstance(clock, SkewedClock) and not isinstance(clock, AlignedClock):
        clock = clock.right
    if database.is_sqlite or not isinstance(clock, AlignedClock):
        return {}
    return {"clock": _follow(database, clock)}


async def _follow(database: Database, clock: AlignedClock) -> None:
    while True:
        # A database that is away is told of elsewhere.
        with suppress(TradepostError, SQLAlchemyError, OSError):
            await align(database, clock)
        await asyncio.sleep(EVERY)


async def align(database: Database, clock: AlignedClock) -> None:
    """Set a clock by the database's, if it is further from it than is tolerated."""
    async with database.read() as db:
        # The first statement may wait for a connection.
        await db.scalar(select(1))
        before = clock.right.now()
        theirs = await db.scalar(select(func.clock_timestamp()))
        after = clock.right.now()
    if theirs is None or after - before > TOLERATED:
        return
    ahead = theirs - before - (after - before) / 2
    if abs(ahead - clock.ahead) > TOLERATED:
        clock.ahead = ahead if abs(ahead) > TOLERATED else timedelta()
        log.warning(
            "this machine's clock is not the database's; the database's counts",
            behind_seconds=round(ahead.total_seconds(), 3),
        )
