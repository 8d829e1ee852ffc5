"""How fast messages are: through the dispatcher in bulk, and from the commit to the delivery at a steady rate.

``make bench-messages`` prints a table. PostgreSQL waits for the disk, as one in use would. On PostgreSQL one process sends
and another delivers, so the signal goes over NOTIFY; on SQLite one process does both, as `local` does.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, Final

from sqlalchemy import func, select

from tests.servers import PostgresServer
from tradepost.core.clock import SystemClock
from tradepost.core.database import migrations
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.dispatcher import TOPIC, Dispatcher
from tradepost.core.messaging.messages import Channel, Envelope, Message, Subscriptions
from tradepost.core.messaging.outbox import MessageState, Outbox, StoredMessage
from tradepost.core.settings.database_url import async_url
from tradepost.core.signals.postgres import postgres_signals
from tradepost.core.signals.signals import Signals
from tradepost.core.signals.sqlite import SqliteSignals

CHANNEL: Final = Channel("bench", concurrency=64)


@dataclass(frozen=True)
class Sent(Message):
    """Somebody sent something at ``at``, by the clock that all processes of the machine share."""

    type: ClassVar[str] = "bench.sent.v1"
    at: float


@dataclass(frozen=True)
class Noted(Message):
    """Somebody noted something, which is reacted to and not delivered."""

    type: ClassVar[str] = "bench.noted.v1"
    at: float


class Post:
    """What one process of the measurement has."""

    def __init__(self, url: str) -> None:
        clock = SystemClock()
        self.waits: list[float] = []
        self.database = Database(DatabaseOptions(async_url(url)))
        self.signals: Signals = (
            SqliteSignals(self.database)
            if self.database.is_sqlite
            else postgres_signals(self.database.options.url, clock)
        )
        subscriptions = Subscriptions()
        subscriptions.deliver("bench.deliver", Sent, CHANNEL, self._deliver)
        subscriptions.react("bench.react", Noted, self._react)
        self.outbox = Outbox(
            subscriptions, clock, lambda channels: self.signals.send(TOPIC, " ".join(channels))
        )
        self.dispatcher = Dispatcher(self.database, subscriptions, self.signals, clock)

    async def _deliver(self, envelope: Envelope[Sent]) -> None:
        self.waits.append(monotonic() - envelope.message.at)

    async def _react(self, _session: WriteSession, _envelopes: Sequence[Envelope[Any]]) -> None:
        pass

    async def send(self, *messages: Message) -> None:
        """Add messages in one transaction."""
        async with self.database.transaction() as db:
            await self.outbox.add(db, *messages)

    @asynccontextmanager
    async def at_work(self, *, dispatches: bool) -> AsyncIterator[None]:
        """Keep in touch, and deliver if asked to, for the length of the block."""
        tasks = [asyncio.create_task(self.signals.run())]
        if dispatches:
            tasks.append(asyncio.create_task(self.dispatcher.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def waiting(self) -> int:
        """Count what is not done."""
        async with self.database.read() as db:
            pending = select(func.count()).where(StoredMessage.state == MessageState.PENDING)
            return await db.scalar(pending) or 0


async def throughput(url: str, kind: type[Sent | Noted], number: int) -> float:
    """Return how many waiting messages are delivered and settled a second."""
    post = Post(url)
    for _ in range(number // 500):
        await post.send(*(kind(monotonic()) for _ in range(500)))
    began = monotonic()
    async with post.at_work(dispatches=True):
        while await post.waiting():  # noqa: ASYNC110 - another task, or process, empties the table
            await asyncio.sleep(0.05)
        rate = number / (monotonic() - began)
    await post.database.close()
    return rate


async def steadily(post: Post, *, rate: float, seconds: float) -> None:
    """Send so many a second at even distances, each in a transaction of its own, however long the last one took."""
    async with asyncio.TaskGroup() as group:
        began = monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - monotonic()))
            group.create_task(_send_one(post))


async def _send_one(post: Post) -> None:
    async with post.database.transaction() as db:
        # The commit comes right after: what is measured has it in it.
        await post.outbox.add(db, Sent(monotonic()))


async def latency(url: str, *, rate: float, seconds: float) -> list[float]:
    """Return how long each message took from its commit to its delivery, sorted, in seconds."""
    post = Post(url)
    try:
        if post.database.is_sqlite:
            async with post.at_work(dispatches=True):
                await steadily(post, rate=rate, seconds=seconds)
                await asyncio.sleep(1)
            return sorted(post.waits)
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.load.messages", "--deliver", url), stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        await worker.stdout.readline()
        async with post.at_work(dispatches=False):
            await steadily(post, rate=rate, seconds=seconds)
            await asyncio.sleep(1)
        worker.terminate()
        output, _ = await worker.communicate()
        return sorted(json.loads(output))
    finally:
        await post.database.close()


async def deliver(url: str) -> None:
    """Deliver until SIGTERM, then print how long each message took."""
    post = Post(url)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with post.at_work(dispatches=True):
        await asyncio.sleep(1)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await told.wait()
    sys.stdout.write(json.dumps(post.waits))
    await post.database.close()


async def measure(name: str, url: str, *, number: int, rate: float, seconds: float) -> str:
    """Measure one engine and return its line of the table."""
    post = Post(url)
    await migrations.upgrade(post.database)
    await post.database.close()
    rates = [await throughput(url, kind, number) for kind in (Sent, Noted)]
    waits = await latency(url, rate=rate, seconds=seconds)
    figures = [f"{1000 * waits[min(len(waits) - 1, int(len(waits) * part))]:.1f}" for part in (0.5, 0.99, 1)]
    return " | ".join([f"| {name}", *(f"{each:,.0f}" for each in rates), f"{len(waits)}", *figures]) + " |"


async def main() -> None:
    """Measure the engines that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.messages", description=__doc__)
    parser.add_argument("--engine", choices=["postgresql", "sqlite"], action="append")
    parser.add_argument("--number", type=int, default=5_000, help="messages that wait at the start")
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second, for the latency")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--deliver", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.deliver:
        await deliver(options.deliver)
        return
    given = {"number": options.number, "rate": options.rate, "seconds": options.seconds}
    sys.stdout.write(
        f"| engine | deliveries/s | reactions/s | sent at {options.rate:g}/s | p50 ms | p99 ms | worst ms |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    with ExitStack() as stack:
        for engine in options.engine or ["postgresql", "sqlite"]:
            if engine == "sqlite":
                directory = stack.enter_context(tempfile.TemporaryDirectory())
                url = f"sqlite:///{Path(directory)}/bench.db"
            else:
                server = stack.enter_context(PostgresServer.running(durable=True))
                url = await server.create_database("bench")
            sys.stdout.write(await measure(engine, url, **given) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
