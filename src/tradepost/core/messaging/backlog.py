"""The backlog of each channel as metrics: pending and dead messages, and the age of the oldest one that is due."""

import asyncio
from typing import Final, Protocol

import structlog

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.messaging.messages import REACTIONS, Subscriptions
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.messaging.repository import MessageRepository

PERIOD: Final = 15.0
"""Seconds between two measurements: counting reads every pending row."""

log = structlog.stdlib.get_logger(__name__)


class ReportBacklog(Protocol):
    """Receives the figures of one channel; ``lag`` is in seconds."""

    def __call__(self, channel: str, *, waiting: int, dead: int, lag: float) -> None: ...


class Backlog:
    """Measures the outbox now and then and reports each channel, so that an operator sees a receiver that is stuck."""

    def __init__(
        self,
        database: Database,
        subscriptions: Subscriptions,
        clock: Clock,
        report: ReportBacklog,
    ) -> None:
        self._database = database
        self._subscriptions = subscriptions
        self._clock = clock
        self._report = report

    async def run(self) -> None:
        """Measure until cancelled; while the database is away, the last figures stay."""
        while True:
            try:
                await self.measure()
            except Exception as error:  # noqa: BLE001 - the database is away, or not migrated yet
                log.debug("the backlog could not be read", reason=repr(error))
            await asyncio.sleep(PERIOD * (0.9 + self._clock.chance() / 5))

    async def measure(self) -> None:
        """Measure once."""
        channels = {REACTIONS.name, *self._subscriptions.channels()}
        async with self._database.read() as db:
            messages = MessageRepository(db)
            counts = await messages.counts()
            due = await messages.next_due(channels)
        now = self._clock.now()
        for channel in channels | {name for name, _ in counts}:
            lag = (now - due[channel]).total_seconds() if channel in due else 0.0
            self._report(
                channel,
                waiting=counts.get((channel, MessageState.PENDING), 0),
                dead=counts.get((channel, MessageState.DEAD), 0),
                lag=max(lag, 0.0),
            )
