"""How many messages wait, and for how long, for whoever watches over them."""

import asyncio
from typing import Final, Protocol

import structlog

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.messaging.messages import REACTIONS, Subscriptions
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.messaging.repository import MessageRepository

PERIOD: Final = 15.0
"""Seconds between two looks: counting reads everything that waits."""

log = structlog.stdlib.get_logger(__name__)


class Show(Protocol):
    """Takes how one channel stands; ``lag`` is in seconds."""

    def __call__(self, channel: str, *, waiting: int, dead: int, lag: float) -> None: ...


class Backlog:
    """Looks at the outbox now and then, and shows how each channel stands."""

    def __init__(
        self,
        database: Database,
        subscriptions: Subscriptions,
        clock: Clock,
        show: Show,
    ) -> None:
        self._database = database
        self._subscriptions = subscriptions
        self._clock = clock
        self._show = show

    async def run(self) -> None:
        """Look again and again until cancelled; while the database is away, what was seen last stays."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the database is away, or not migrated yet
                log.debug("the backlog could not be read", reason=repr(error))
            await asyncio.sleep(PERIOD * (0.9 + self._clock.chance() / 5))

    async def look(self) -> None:
        """Look once."""
        channels = {REACTIONS.name, *self._subscriptions.channels()}
        async with self._database.read() as db:
            messages = MessageRepository(db)
            counts = await messages.counts()
            due = await messages.next_due(channels)
        now = self._clock.now()
        for channel in channels | {name for name, _ in counts}:
            lag = (now - due[channel]).total_seconds() if channel in due else 0.0
            self._show(
                channel,
                waiting=counts.get((channel, MessageState.PENDING), 0),
                dead=counts.get((channel, MessageState.DEAD), 0),
                lag=max(lag, 0.0),
            )
