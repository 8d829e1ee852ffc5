"""Signals between processes: soon, together, and after a gap as "look at everything"."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from tests.core.messaging.post import until
from tests.servers import PostgresServer
from tradepost.core.clock import SystemClock
from tradepost.core.database.engines import Database
from tradepost.core.settings.database_url import async_url
from tradepost.core.signals.postgres import APPLICATION_NAME, postgres_signals
from tradepost.core.signals.signals import (
    MAX_BYTES,
    MAX_WAITING,
    LocalSignals,
    SharedSignals,
    Signals,
    Transport,
)
from tradepost.core.signals.sqlite import SqliteSignals
from tradepost.tags.models import Tag


class Air:
    """A transport within the test's own process, which breaks when it is told to."""

    def __init__(self) -> None:
        self.ends: dict[Callable[[str], None], Callable[[], None]] = {}
        self.sent: list[str] = []
        self.cut = False

    @asynccontextmanager
    async def connect(
        self, received: Callable[[str], None], broken: Callable[[], None]
    ) -> AsyncIterator[Transport]:
        if self.cut:
            raise ConnectionRefusedError
        self.ends[received] = broken
        try:
            yield self
        finally:
            del self.ends[received]

    async def send(self, payload: str) -> None:
        if self.cut:
            raise ConnectionResetError
        self.sent.append(payload)
        for received in tuple(self.ends):
            received(payload)

    async def check(self) -> None:
        if self.cut:
            raise ConnectionResetError

    def break_off(self) -> None:
        self.cut = True
        for broken in tuple(self.ends.values()):
            broken()


@asynccontextmanager
async def kept_in_touch(*signals: Signals) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in signals]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def heard_by(signals: Signals, topic: str = "doors") -> list[str]:
    texts: list[str] = []
    signals.listen(topic, texts.append)
    return texts


def test_listeners_are_told_at_once_and_only_of_their_topic() -> None:
    signals = LocalSignals()
    told: list[str] = []
    stop = signals.listen("doors", told.append)
    other = heard_by(signals, "windows")
    signals.send("doors", "1")
    stop()
    stop()
    signals.send("doors", "2")
    assert (told, other) == (["1"], [])


def test_a_listener_that_fails_harms_nobody() -> None:
    signals = LocalSignals()

    def fail(_text: str) -> None:
        raise ValueError

    signals.listen("doors", fail)
    told = heard_by(signals)
    signals.send("doors", "1")
    assert told == ["1"]


async def test_many_signals_go_in_few_payloads_none_of_them_too_long() -> None:
    air = Air()
    one, other = (SharedSignals(air.connect, SystemClock()) for _ in range(2))
    here, there = heard_by(one), heard_by(other)
    async with kept_in_touch(one, other):
        await until(lambda: there == [""])
        numbers = [f"{number}é" for number in range(MAX_WAITING)]
        for number in numbers * 3:
            one.send("doors", number)
        assert here[1:] == numbers * 3
        await until(lambda: len(there) > MAX_WAITING)
        assert there[1:] == numbers
        assert len(air.sent) < 20
        assert all(len(payload.encode()) < MAX_BYTES for payload in air.sent)
        # Past what may wait, others look at everything, as they do for what is too long.
        for text in (*(f"{number}" for number in range(MAX_WAITING + 1)), "x" * 8000, "y"):
            one.send("doors", text)
        del there[:]
        await until(lambda: there == [""])
        assert here[-1] == "y", "here, nothing is left out"


async def test_after_a_gap_everybody_looks_at_everything() -> None:
    air = Air()
    one, other = (SharedSignals(air.connect, SystemClock()) for _ in range(2))
    there = heard_by(other)
    async with kept_in_touch(one, other):
        await until(lambda: there == [""])
        air.break_off()
        one.send("doors", "1")
        await asyncio.sleep(0.1)
        assert there == [""]
        air.cut = False
        await until(lambda: there.count("") >= 2)
        one.send("doors", "2")
        await until(lambda: "2" in there)


async def test_payloads_of_others_are_passed_over() -> None:
    air = Air()
    one = SharedSignals(air.connect, SystemClock())
    told = heard_by(one)
    async with kept_in_touch(one):
        await until(lambda: told == [""])
        for payload in (
            "",
            "not json",
            "[]",
            "[1, 2]",
            '["x", [[1]]]',
            '{"a": 1}',
            '["x", [["doors", "1"]]]',
        ):
            await air.send(payload)
        assert told == ["", "1"]


async def test_postgresql_carries_signals_and_its_end_is_a_gap(postgres: PostgresServer) -> None:
    url = await postgres.create_database("signals")
    one, other = (postgres_signals(async_url(url), SystemClock()) for _ in range(2))
    here, there = heard_by(one), heard_by(other)
    async with kept_in_touch(one, other):
        await until(lambda: here == [""] and there == [""])
        one.send("doors", "1")
        other.send("doors", "2")
        await until(lambda: here == ["", "1", "2"] and sorted(there) == ["", "1", "2"])
        admin = await asyncpg.connect(url)
        ended = await admin.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = $1 AND datname = current_database()",
            APPLICATION_NAME,
        )
        assert ended == 2
        await until(lambda: here.count("") == 2 and there.count("") == 2)
        one.send("doors", "3")
        await until(lambda: "3" in there)
        await admin.close()


async def test_a_database_that_is_away_at_first_is_waited_for(postgres: PostgresServer) -> None:
    url = postgres.url("signals_late")
    one = postgres_signals(async_url(url), SystemClock())
    told = heard_by(one)
    async with kept_in_touch(one):
        one.send("doors", "1")
        await asyncio.sleep(0.2)
        assert told == ["1"]
        await postgres.create_database("signals_late")
        await until(lambda: told == ["1", ""])


async def test_on_sqlite_only_what_another_process_writes_is_a_signal(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("SQLite's own way")
    elsewhere = Database(database.options)
    signals = SqliteSignals(database)
    told = heard_by(signals)
    now = SystemClock().now()

    async def write(at: Database, name: str) -> None:
        async with at.transaction() as db:
            db.add(Tag(name=name, created_at=now, updated_at=now))

    async with kept_in_touch(signals):
        await write(database, "ours")
        await asyncio.sleep(0.6)
        assert told == []
        await write(elsewhere, "theirs")
        await until(lambda: told == [""])
        await asyncio.sleep(0.6)
        assert told == [""]
    await elsewhere.close()


class Deaf(Air):
    """A transport that swallows a cancellation while it opens or sends, as libraries do that send by ``wait_for``."""

    def __init__(self, *, opening: bool) -> None:
        super().__init__()
        self.waits = asyncio.Event()
        self._opening = opening

    async def _lose(self) -> None:
        self.waits.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    @asynccontextmanager
    async def connect(
        self, received: Callable[[str], None], broken: Callable[[], None]
    ) -> AsyncIterator[Transport]:
        if self._opening:
            await self._lose()
        async with super().connect(received, broken) as transport:
            yield transport

    async def send(self, payload: str) -> None:
        await self._lose()
        await super().send(payload)


@pytest.mark.parametrize("opening", [True, False])
@pytest.mark.parametrize("cut", [True, False])
async def test_they_end_though_their_transport_swallows_the_cancellation(*, opening: bool, cut: bool) -> None:
    air = Deaf(opening=opening)
    signals = SharedSignals(air.connect, SystemClock())
    signals.send("doors", "1")
    running = asyncio.create_task(signals.run())
    await air.waits.wait()
    air.cut = cut
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=10)
    assert done
    assert running.cancelled()
