"""A worker of the tests' own, in a process that can be killed, or kills itself, at any step of a message's way.

``python -m tests.faults.ringing URL FILE [STEP NUMBER]`` delivers ``Rang`` by adding its number to FILE, reacts to it by a
tag, and kills itself at the NUMBERth time that it comes to STEP. SIGTERM ends it in good order.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.core.messaging.post import Rang
from tradepost.core.clock import Clock, SystemClock
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.dispatcher import TOPIC, Dispatcher
from tradepost.core.messaging.messages import Channel, Envelope, Subscriptions
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.messaging.repository import MessageRepository
from tradepost.core.observability import logging
from tradepost.core.settings.database_url import async_url
from tradepost.core.signals.postgres import postgres_signals
from tradepost.core.signals.signals import Signals
from tradepost.core.signals.sqlite import SqliteSignals
from tradepost.tags.models import Tag

PLACES: Final = 20
BELL: Final = Channel("bell", concurrency=PLACES, timeout=1.0, first_pause=0.2, longest_pause=1.0, grace=1.0)
STEPS: Final = (
    "claiming",
    "claimed",
    "delivering",
    "delivered",
    "settling",
    "settled",
    "reacting",
    "reacted",
)


class Doom:
    """Kills the process at the chosen time that it comes to the chosen step."""

    def __init__(self, step: str = "", number: int = 0) -> None:
        self._step = step
        self._left = number

    def come_to(self, step: str) -> None:
        """Note that this step is reached."""
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def subscribe(subscriptions: Subscriptions, file: Path, clock: Clock, doom: Doom) -> None:
    """Have every ``Rang`` noted in a file and in the database."""
    written = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def deliver(envelope: Envelope[Rang]) -> None:
        doom.come_to("claimed")
        await asyncio.sleep(clock.chance() / 200)
        doom.come_to("delivering")
        os.write(written, f"{envelope.message.number}\n".encode())
        doom.come_to("delivered")

    async def react(db: WriteSession, envelopes: Sequence[Envelope[Rang]]) -> None:
        now = clock.now()
        db.add_all(
            Tag(name=f"rang {envelope.message.number}", created_at=now, updated_at=now)
            for envelope in envelopes
        )
        await db.flush()
        doom.come_to("reacting")

    subscriptions.deliver("tests.ring", Rang, BELL, deliver)
    subscriptions.react("tests.note", Rang, react)


def doomed(method: str, step: str, doom: Doom) -> None:
    """Have a statement of the repository, once it is sent and before its transaction is committed, be a step."""
    original: Callable[..., Awaitable[Any]] = getattr(MessageRepository, method)

    async def then_doomed(self: MessageRepository, *args: Any, **options: Any) -> Any:
        result = await original(self, *args, **options)
        if result or step == "reacted":
            doom.come_to(step)
        return result

    setattr(MessageRepository, method, then_doomed)


def open_post(
    url: str, file: Path, doom: Doom, *, pool_timeout: float = 20.0
) -> tuple[Database, Outbox, Signals, Dispatcher]:
    """Return what a process needs to send and to deliver."""
    clock = SystemClock()
    # Without this, a traceback is drawn with the values of all variables, for seconds, on the loop.
    logging.configure("WARNING", readable=False, clock=clock)
    database = Database(DatabaseOptions(async_url(url), pool_timeout=pool_timeout))
    signals: Signals = (
        SqliteSignals(database) if database.is_sqlite else postgres_signals(database.options.url, clock)
    )
    subscriptions = Subscriptions()
    subscribe(subscriptions, file, clock, doom)
    outbox = Outbox(subscriptions, clock, lambda channels: signals.send(TOPIC, " ".join(channels)))
    dispatcher = Dispatcher(
        database,
        subscriptions,
        signals,
        clock,
        observe=lambda channel, _outcome, _seconds: doom.come_to("settled") if channel == BELL.name else None,
    )
    return database, outbox, signals, dispatcher


async def main() -> None:
    """Deliver until told to end."""
    url, file, *rest = sys.argv[1:]
    doom = Doom(rest[0], int(rest[1])) if rest else Doom()
    for method, step in (("claim", "claiming"), ("settle", "settling"), ("reacted", "reacted")):
        doomed(method, step, doom)
    database, _, signals, dispatcher = open_post(url, Path(file), doom)
    tasks = [asyncio.create_task(dispatcher.run()), asyncio.create_task(signals.run())]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tasks[0].cancel)
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
