"""Messages through faults: how many are delivered a second before, during and after each, and what it leaves behind.

``.venv/bin/python -m tests.load.message_faults`` prints a table. One process sends at an even rate, each message in a transaction of its
own, and delivers, on a PostgreSQL of its own; every message that was sent for certain has to come.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import override

from tests.faults.stoppable import StoppablePostgres, stoppable_postgres
from tests.load.messages import Post, Sent
from tradepost.core.database import migrations
from tradepost.core.errors import TradepostError
from tradepost.core.messaging.messages import Envelope

DEAD: Final = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'messages'"
BURST: Final = 20
"""Times as many as else."""


@dataclass
class Figures:
    """What a fault did: deliveries a second and rows that vacuum has to remove, before, during and after it."""

    name: str
    rates: list[float] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    sent: int = 0
    lost: int = 0
    repeated: int = 0
    caught_up: float = 0.0
    """Seconds from the fault's end until nothing waited."""

    def row(self) -> str:
        """Return its row of the table."""
        figures = [f"{rate:,.0f}" for rate in self.rates] + [f"{dead:,}" for dead in self.dead]
        return (
            f"| {self.name} | {' | '.join(figures)} | {self.caught_up:.1f} | {self.lost} | {self.repeated} |"
        )


HEAD: Final = (
    "| fault | before/s | during/s | after/s | dead tuples before | during | after | caught up after s | lost | repeated |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)


class Watched(Post):
    """Sends and delivers, and knows what came."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.came: Counter[float] = Counter()
        self.sent: set[float] = set()
        self.times = 1
        """How many are sent at once."""

    @override
    async def _deliver(self, envelope: Envelope[Sent]) -> None:
        self.came[envelope.message.at] += 1

    async def send_at(self, rate: float) -> None:
        """Send so many a second until cancelled; what is refused is not sent."""
        async with asyncio.TaskGroup() as group:
            began = monotonic()
            number = 0
            while True:
                number += 1
                await asyncio.sleep(max(0.0, began + number / rate - monotonic()))
                for _ in range(self.times):
                    group.create_task(self._try())

    async def _try(self) -> None:
        at = monotonic()
        # A commit that broke off may have happened: it may come, and need not.
        with suppress(TradepostError, OSError, SQLAlchemyError):
            await self.send(Sent(at))
            self.sent.add(at)


Fault = Callable[[StoppablePostgres, str, Watched], AsyncIterator[None]]


async def _idle_in_tx(server: StoppablePostgres, database: str, _post: Watched) -> AsyncIterator[None]:
    """Leave a transaction open that has locked what is pending."""
    connection = await asyncpg.connect(server.url(database))
    await connection.execute("BEGIN; SELECT 1 FROM messages WHERE state = 'pending' LIMIT 500 FOR UPDATE")
    yield
    await connection.close()


async def _snapshot(server: StoppablePostgres, database: str, _post: Watched) -> AsyncIterator[None]:
    """Hold a snapshot, so that no dead row may be removed."""
    connection = await asyncpg.connect(server.url(database))
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM messages")
    yield
    await connection.close()


async def _pg_backend_kill(server: StoppablePostgres, database: str, _post: Watched) -> AsyncIterator[None]:
    """End every connection, twice a second."""
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1"
    connection = await asyncpg.connect(server.url())

    async def go_on() -> None:
        while True:
            await connection.execute(kill, database)
            await asyncio.sleep(0.5)

    async with _meanwhile(go_on()):
        yield
    await connection.close()


async def _postgres_restart(server: StoppablePostgres, _database: str, _post: Watched) -> AsyncIterator[None]:
    """Have the server crash, and start again a second later."""

    async def restart() -> None:
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(1)
        await asyncio.to_thread(server.start)

    restarting = asyncio.ensure_future(restart())
    yield
    await restarting


async def _pool_exhaustion(_server: StoppablePostgres, _database: str, post: Watched) -> AsyncIterator[None]:
    """Have every connection of the pool taken again and again, for half a second each time."""

    async def hold() -> None:
        while True:
            with suppress(TradepostError):
                async with post.database.read():
                    await asyncio.sleep(0.5)

    async with AsyncExitStack() as stack:
        for _ in range(3 * post.database.read_gate.size):
            await stack.enter_async_context(_meanwhile(hold()))
        yield


async def _burst(_server: StoppablePostgres, _database: str, post: Watched) -> AsyncIterator[None]:
    """Have many times as many come."""
    post.times = BURST
    yield
    post.times = 1


FAULTS: Final[dict[str, Fault]] = {
    "idle_in_tx": _idle_in_tx,
    "long snapshot": _snapshot,
    "pg_backend_kill": _pg_backend_kill,
    "postgres_restart": _postgres_restart,
    "pool_exhaustion": _pool_exhaustion,
    f"burst of {BURST} times": _burst,
}


@asynccontextmanager
async def _meanwhile(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def measure(
    server: StoppablePostgres, name: str, *, rate: float, seconds: float, number: int = 0
) -> Figures:
    """Send at ``rate`` for ``seconds`` before, during and after a fault, and wait until nothing waits."""
    database = f"faults_{number}"
    post = Watched(await server.create_database(database))
    await migrations.upgrade(post.database)
    figures = Figures(name)

    async def phase() -> None:
        began, before = monotonic(), post.came.total()
        await asyncio.sleep(seconds)
        figures.rates.append((post.came.total() - before) / (monotonic() - began))
        figures.dead.append(await _dead(server, database))

    async with post.at_work(dispatches=True):
        async with _meanwhile(post.send_at(rate)):
            await phase()
            async with asynccontextmanager(FAULTS[name])(server, database, post):
                await phase()
            ended = monotonic()
            while await _waits(post, rate):  # noqa: ASYNC110 - the dispatcher empties the table
                await asyncio.sleep(0.05)
            figures.caught_up = monotonic() - ended
            await phase()
        while await _waits(post, 1):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.05)
    await post.database.close()
    figures.sent = len(post.sent)
    figures.lost = len(post.sent - post.came.keys())
    figures.repeated = sum(times > 1 for times in post.came.values())
    return figures


async def _dead(server: StoppablePostgres, database: str) -> int:
    while True:
        # The fault ends this connection as it does others.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return int(await server.ask(DEAD, database=database))
        await asyncio.sleep(0.1)


async def _waits(post: Watched, bearable: float) -> bool:
    try:
        return await post.waiting() >= bearable
    except (TradepostError, SQLAlchemyError):
        return True


async def main() -> None:
    """Measure beside the faults that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.message_faults", description=__doc__)
    parser.add_argument("--fault", choices=list(FAULTS), action="append")
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the three parts")
    options = parser.parse_args()
    sys.stdout.write(HEAD)
    with stoppable_postgres() as server:
        await asyncio.to_thread(server.start)
        for number, name in enumerate(options.fault or FAULTS):
            found = await measure(server, name, rate=options.rate, seconds=options.seconds, number=number)
            sys.stdout.write(found.row() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
