"""``tradepost worker`` as an operator runs it: it waits for its database, outlives its absence, and ends in good order."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tests import preloaded
from tests.conftest import Template, settings_for
from tests.core.messaging.post import Rang, running, until
from tests.faults.ringing import Doom, open_post
from tests.faults.stoppable import StoppablePostgres, stoppable_postgres
from tests.flows.live import environment, eventually, reserved_port, tradepost
from tradepost.bootstrap import opened
from tradepost.core.messaging.outbox import MessageState, Outbox, StoredMessage
from tradepost.core.resources import Resources
from tradepost.core.signals.signals import Signals
from tradepost.items.messages import ItemCreated


@pytest.fixture(scope="module")
def stoppable() -> Iterator[StoppablePostgres]:
    with stoppable_postgres() as server:
        yield server


class Worker:
    """A ``tradepost worker`` and what it writes."""

    def __init__(self, process: preloaded.Process, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")

    async def says(self, words: str, times: int = 1) -> None:
        """Wait until it has written these words so often."""
        await until(lambda: self.output.count(words) >= times, patience=60)


@contextmanager
def working(env: dict[str, str], directory: Path, *arguments: str) -> Iterator[Worker]:
    log = directory / "worker.log"
    with log.open("wb") as output:
        process = preloaded.start(["worker", *arguments], env=env, output=output.fileno())
    worker = Worker(process, log)
    try:
        yield worker
    except BaseException as error:
        error.add_note(f"The worker wrote:\n{worker.output[-4000:]}")
        raise
    finally:
        process.kill()


async def announce(resources: Resources, title: str) -> None:
    """Say that the first superuser has put something up for sale."""
    async with resources.database.transaction() as db:
        await resources[Outbox].add(db, ItemCreated(item_id=1, owner_id=1, title=title))


async def all_done(resources: Resources) -> bool:
    async with resources.database.read() as db:
        states = set(await db.scalars(select(StoredMessage.state)))
    return states == {MessageState.DONE}


@asynccontextmanager
async def in_touch(url: str, directory: Path) -> AsyncIterator[Resources]:
    """Open what a server has, which delivers nothing itself."""
    async with opened(settings_for(url, directory)) as resources:
        told = asyncio.create_task(resources[Signals].run())
        try:
            yield resources
        finally:
            told.cancel()
            await asyncio.gather(told, return_exceptions=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_waits_for_the_schema_delivers_and_ends_when_told_to(
    template: Template, tmp_path: Path, number: signal.Signals
) -> None:
    url = await template.empty()
    env = environment(tmp_path, url, LOG_LEVEL="INFO")
    with reserved_port() as port:
        await delivers_and_ends(url, env, tmp_path, number, port)


async def delivers_and_ends(
    url: str, env: dict[str, str], tmp_path: Path, number: signal.Signals, port: int
) -> None:
    with working(env, tmp_path, "--metrics-port", str(port)) as worker:
        await worker.says("no database of this version's schema yet")
        migrated = await tradepost("migrate", env=env)
        assert migrated.status == 0, migrated.output
        async with in_touch(url, tmp_path) as parts:
            await announce(parts, "Lamp")
            await eventually(lambda: all_done(parts))
        async with httpx.AsyncClient() as client:
            metrics = await client.get(f"http://127.0.0.1:{port}/metrics")
            assert 'tradepost_messages_total{channel="reactions",outcome="done"}' in metrics.text
        worker.process.send(number)
        async with asyncio.timeout(30):
            assert await worker.process.ended(30) == 0
        assert "Traceback" not in worker.output
        assert worker.output.count("no database of this version's schema yet") == 1


async def test_a_worker_waits_for_whoever_writes_to_an_embedded_database(tmp_path: Path) -> None:
    env = environment(tmp_path, LOG_LEVEL="INFO", DB_POOL_TIMEOUT=0.1)
    migrated = await tradepost("migrate", env=env)
    assert migrated.status == 0, migrated.output
    with working(env, tmp_path) as worker, closing(sqlite3.connect(tmp_path / "tradepost.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        await worker.says("the database is away")
        # For as long as two polls, each of which can read it.
        await asyncio.sleep(2.5)
        assert "the database is back" not in worker.output
        assert worker.output.count("the database is away") == 1
        other.rollback()
        await worker.says("the database is back")
        assert "Traceback" not in worker.output


async def test_a_worker_outlives_the_database(stoppable: StoppablePostgres, tmp_path: Path) -> None:
    await asyncio.to_thread(stoppable.start)
    url = await stoppable.create_database("outlived")
    env = environment(tmp_path, url, LOG_LEVEL="INFO")
    migrated = await tradepost("migrate", env=env)
    assert migrated.status == 0, migrated.output
    with working(env, tmp_path) as worker:
        for absences in (1, 2):
            async with in_touch(url, tmp_path) as parts:
                await announce(parts, f"Lamp {absences}")
                await eventually(lambda parts=parts: all_done(parts))  # type: ignore[misc]
            await asyncio.to_thread(stoppable.stop)
            await worker.says("the database is away", absences)
            await asyncio.sleep(2)
            await asyncio.to_thread(stoppable.start)
            await worker.says("the database is back", absences)
        # Once each time, however many loops there are, and however often they tried.
        assert worker.output.count("the database is away") == 2
        assert "stumbled" not in worker.output
        async with in_touch(url, tmp_path) as parts:
            await announce(parts, "The last lamp")
            await eventually(lambda: all_done(parts))
        await asyncio.to_thread(stoppable.stop)
        worker.process.send(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await worker.process.ended(30) == 0


async def test_no_message_is_lost_or_blamed_while_the_database_comes_and_goes(
    stoppable: StoppablePostgres, tmp_path: Path
) -> None:
    await asyncio.to_thread(stoppable.start)
    url = await stoppable.create_database("comes_and_goes")
    migrated = await tradepost("migrate", env=environment(tmp_path, url))
    assert migrated.status == 0, migrated.output
    file = tmp_path / "rang"
    database, outbox, _, dispatcher = open_post(url, file, Doom(), pool_timeout=5.0)
    total = 400

    async def stored() -> Any:
        async with database.read() as db:
            return (await db.scalars(select(StoredMessage).order_by(StoredMessage.id))).all()

    async with database.transaction() as db:
        await outbox.add(db, *(Rang(number) for number in range(total)))
    absences = 3
    async with running(dispatcher):
        for absence in range(absences):
            await until(lambda absence=absence: file.exists() and file.stat().st_size > 100 * absence)  # type: ignore[misc]
            await asyncio.to_thread(stoppable.stop)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(stoppable.start)

        async def all_settled() -> bool:
            return all(message.state is MessageState.DONE for message in await stored())

        await eventually(all_settled)
    rang = [int(line) for line in file.read_text().split()]
    assert set(rang) == set(range(total))
    assert len(rang) - total <= absences * 20
    # A reaction that found no database has not failed.
    assert {message.attempts for message in await stored() if message.channel == "reactions"} == {1}
    await database.close()
