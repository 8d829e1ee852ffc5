"""An outbox and dispatchers with subscribers of a test's own, on its database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy import select

from tests.clock import MovableClock
from tradepost.core.database.engines import Database
from tradepost.core.messaging.dispatcher import TOPIC, Dispatcher
from tradepost.core.messaging.messages import Channel, Message, Subscriptions
from tradepost.core.messaging.outbox import Outbox, StoredMessage
from tradepost.core.messaging.outcomes import Outcome
from tradepost.core.signals.signals import LocalSignals, Signals

FAST = Channel("fast", concurrency=8, timeout=5.0, first_pause=10.0, grace=5.0)


@dataclass(frozen=True)
class Rang(Message):
    """Somebody rang a bell."""

    type: ClassVar[str] = "tests.rang.v1"
    number: int


@dataclass(frozen=True)
class Knocked(Message):
    """Somebody knocked."""

    type: ClassVar[str] = "tests.knocked.v1"
    number: int


@dataclass
class Post:
    """What a test sends with; ``seen`` is what became of attempts."""

    database: Database
    clock: MovableClock = field(default_factory=MovableClock)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    signals: Signals = field(default_factory=LocalSignals)
    seen: list[tuple[str, Outcome]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outbox = Outbox(
            self.subscriptions, self.clock, lambda channels: self.signals.send(TOPIC, " ".join(channels))
        )

    def dispatcher(self, database: Database | None = None) -> Dispatcher:
        """Return another dispatcher, as another process would have one."""
        subscriptions = Subscriptions(self.subscriptions.by_name, self.subscriptions.by_type)
        return Dispatcher(
            database or self.database,
            subscriptions,
            self.signals,
            self.clock,
            observe=lambda channel, outcome, _seconds: self.seen.append((channel, outcome)),
        )

    async def send(self, *messages: Message, **options: Any) -> None:
        """Add messages in one transaction."""
        async with self.database.transaction() as db:
            await self.outbox.add(db, *messages, **options)

    async def stored(self) -> Sequence[StoredMessage]:
        """Return every message there is, the oldest first."""
        async with self.database.read() as db:
            return (await db.scalars(select(StoredMessage).order_by(StoredMessage.id))).all()

    async def only(self) -> StoredMessage:
        """Return the one message there is."""
        (message,) = await self.stored()
        return message


@asynccontextmanager
async def running(*dispatchers: Dispatcher) -> AsyncIterator[None]:
    """Have dispatchers run for the length of the block, and end in good order."""
    tasks = [asyncio.create_task(dispatcher.run()) for dispatcher in dispatchers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes


async def until(condition: Callable[[], bool], patience: float = 30.0) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
