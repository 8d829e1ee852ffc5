"""Brings the messages of the outbox to their subscribers."""

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from tradepost.core.clock import Clock
from tradepost.core.database import Database, WriteSession
from tradepost.core.messages import Envelope, Subscription, Subscriptions, Undeliverable, message_from
from tradepost.core.outbox import MessageState, StoredMessage
from tradepost.core.signals import Signals

TOPIC = "messages"


class Dispatcher:
    """Claims what is due, has it handled, and settles it."""

    def __init__(
        self, database: Database, subscriptions: Subscriptions, signals: Signals, clock: Clock
    ) -> None:
        self._database = database
        self._subscriptions = subscriptions
        self._clock = clock
        self._woken = asyncio.Event()
        signals.listen(TOPIC, lambda _channels: self._woken.set())

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._woken.clear()
            if not await self.drain():
                try:
                    async with asyncio.timeout(1):
                        await self._woken.wait()
                except TimeoutError:
                    pass

    async def drain(self) -> int:
        """Handle everything that is due by now, and what comes of it; return how many messages that was."""
        handled = 0
        while rows := await self._due():
            for row in rows:
                await self._handle(row)
            handled += len(rows)
        return handled

    async def _due(self) -> list[StoredMessage]:
        async with self._database.read() as session:
            due = (
                select(StoredMessage)
                .where(StoredMessage.state == MessageState.PENDING, StoredMessage.due_at <= self._clock.now())
                .order_by(StoredMessage.id)
                .limit(100)
            )
            return list(await session.scalars(due))

    async def _handle(self, row: StoredMessage) -> None:
        subscription = self._subscriptions.by_name[row.subscription]
        envelope = Envelope(
            row.id, message_from(subscription.message, row.payload), row.created_at, row.attempts + 1
        )
        if subscription.react is not None:
            async with self._database.transaction() as session:
                await subscription.react(session, [envelope])
                await self._settle(session, row, MessageState.DONE)
            return
        state, error = await self._delivered(subscription, envelope)
        async with self._database.transaction() as session:
            await self._settle(session, row, state, error)

    async def _delivered(
        self, subscription: Subscription, envelope: Envelope[Any]
    ) -> tuple[MessageState, str | None]:
        if subscription.deliver is None:
            raise TypeError(f"{subscription.name} delivers nothing")
        try:
            async with asyncio.timeout(subscription.channel.timeout):
                await subscription.deliver(envelope)
        except Undeliverable as error:
            return MessageState.DEAD, str(error)
        except Exception as error:  # noqa: BLE001 - whatever a delivery raises is this message's own trouble
            return MessageState.PENDING, str(error)
        return MessageState.DONE, None

    async def _settle(
        self, session: WriteSession, row: StoredMessage, state: MessageState, error: str | None = None
    ) -> None:
        now = self._clock.now()
        await session.execute(
            update(StoredMessage)
            .where(StoredMessage.id == row.id)
            .values(
                state=state,
                error=error,
                attempts=row.attempts + 1,
                settled_at=None if state is MessageState.PENDING else now,
                due_at=now + timedelta(seconds=5) if state is MessageState.PENDING else now,
            )
        )
