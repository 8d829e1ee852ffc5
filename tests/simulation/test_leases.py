"""The dispatcher in simulated schedules: hosts come, stop and are killed, and the database is away in between.

What SQLite was made to do is looked at afterwards, change by change: no message was ever held by two, or settled twice.
"""

import asyncio
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable
from structlog.testing import capture_logs

from tests.simulation.hosts import Host, Server, SimulatedDatabase, end, here, introduce
from tests.simulation.loop import BEGINS, SimulatedClock, SimulatedLoop, play, play_all
from tradepost.bootstrap import METADATA
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging import dispatcher as dispatching
from tradepost.core.messaging.dispatcher import TOPIC, Dispatcher
from tradepost.core.messaging.messages import (
    Channel,
    Envelope,
    Message,
    Postponed,
    Subscriptions,
    Undeliverable,
)
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.messaging.outcomes import Outcome
from tradepost.core.signals.signals import LocalSignals

SKEW = 1.0
"""Seconds by which a host's clock is wrong at most: two of them differ by less than the grace of a lease."""
CHANNEL = Channel(
    "simulated", concurrency=3, timeout=4.0, first_pause=1.0, longest_pause=4.0, max_age=60.0, grace=5.0
)


def _statements(table: Table) -> Iterator[str]:
    yield str(CreateTable(table).compile(dialect=dialect.dialect()))
    yield from (str(CreateIndex(index).compile(dialect=dialect.dialect())) for index in table.indexes)


SCHEMA = ";".join([*_statements(METADATA.tables["messages"]), *_statements(METADATA.tables["jobs"])])
WATCH = """
CREATE TABLE effects (id INTEGER, number INTEGER);
CREATE TABLE changes (id INTEGER, before TEXT, lease TEXT, due_at TEXT, was TEXT, state TEXT, attempts INTEGER, more INTEGER, at REAL);
CREATE TRIGGER watched AFTER UPDATE ON messages BEGIN
    INSERT INTO changes VALUES (new.id, old.lease, new.lease, old.due_at, old.state, new.state,
                                old.attempts, new.attempts - old.attempts, seconds());
END
"""


@dataclass(frozen=True)
class Happened(Message):
    """Something happened."""

    type: ClassVar[str] = "tests.happened.v1"
    number: int


class Scene:
    """Messages, and hosts that deliver them."""

    def __init__(self, loop: SimulatedLoop) -> None:
        chance = self.chance = loop.chance
        self.loop = loop
        self.server = Server(loop)
        self.prepare(self.server.raw)
        self.signals = LocalSignals()
        self.heard = chance.choice([0.5, 1.0])
        self.troubled = chance.random() < 0.7
        """Whether hosts are killed and the database goes away."""
        self.failing = chance.choice([0.0, 0.3])
        self.slow = chance.choice([0.2, 1.3]) * CHANNEL.timeout
        self.calm = False
        self.sent: set[int] = set()
        self.done: Counter[int] = Counter()
        self.begun: Counter[int] = Counter()
        self.in_hand: dict[int, Host] = {}
        self.busy: Counter[Host] = Counter()
        self.seen: Counter[Outcome] = Counter()
        self.hosts: list[tuple[Host, asyncio.Task[None]]] = []
        self.web = SimulatedDatabase(self.server)
        self.outbox = Outbox(self.subscriptions(), SimulatedClock(loop), self.wake)

    def prepare(self, raw: sqlite3.Connection) -> None:
        raw.create_function("seconds", 0, self.loop.time)
        raw.executescript(f"{SCHEMA};{WATCH}")

    def let_go(self) -> None:
        """Take the database's function from it, which holds the loop and so the scene, where no garbage collector sees it."""
        self.server.raw.create_function("seconds", 0, None)

    def wake(self, channels: Sequence[str]) -> None:
        if self.chance.random() < self.heard:
            self.signals.send(TOPIC, " ".join(channels))

    def subscriptions(self) -> Subscriptions:
        found = Subscriptions()
        found.deliver("tests.deliver", Happened, CHANNEL, self.deliver)
        found.react("tests.react", Happened, self.react)
        return found

    async def deliver(self, envelope: Envelope[Happened]) -> None:
        host = here.get()
        if host.is_dead:
            await asyncio.sleep(1e6)
        other = self.in_hand.get(envelope.id)
        assert other is None or other.is_dead, f"{other} has it in hand, and so has {host}"
        self.in_hand[envelope.id] = host
        self.busy[host] += 1
        assert self.busy[host] <= CHANNEL.concurrency
        self.begun[envelope.message.number] += 1
        try:
            await asyncio.sleep(0 if self.calm else self.chance.uniform(0, self.slow))
            if not self.calm and self.chance.random() < self.failing:
                raise self.chance.choice([ValueError("broken"), Postponed("later", timedelta(seconds=2))])
            if envelope.message.number % 7 == 0:
                raise Undeliverable("never")
            if not host.is_dead:
                self.done[envelope.message.number] += 1
        finally:
            self.busy[host] -= 1
            if self.in_hand.get(envelope.id) is host:
                del self.in_hand[envelope.id]

    async def react(self, db: WriteSession, envelopes: Sequence[Envelope[Happened]]) -> None:
        raw = await (await db.connection()).get_raw_connection()
        for envelope in envelopes:
            await asyncio.sleep(0)
            assert raw.driver_connection is not None
            await raw.driver_connection.execute(
                "INSERT INTO effects VALUES (?, ?)", (envelope.id, envelope.message.number)
            )
            if not self.calm and self.chance.random() < self.failing / 5:
                raise ValueError("broken in the middle")

    async def send(self) -> None:
        """Send messages now and then; some in transactions that come to nothing."""
        for number in range(self.chance.choice([3, 8])):
            await asyncio.sleep(self.chance.uniform(0, 2))
            with suppress(ZeroDivisionError, OperationalError):
                async with self.web.transaction() as db:
                    await self.outbox.add(db, Happened(number))
                    if self.chance.random() < 0.1:
                        raise ZeroDivisionError
                self.sent.add(number)

    def start(self) -> None:
        """Start another host."""
        host = Host(f"host {len(self.hosts)}")
        token = here.set(host)
        dispatcher = Dispatcher(
            SimulatedDatabase(self.server),
            self.subscriptions(),
            self.signals,
            SimulatedClock(self.loop, self.chance.uniform(-SKEW, SKEW)),
            observe=self.observe,
        )
        self.hosts.append((host, asyncio.create_task(dispatcher.run())))
        here.reset(token)

    def observe(self, channel: str, outcome: Outcome, seconds: float) -> None:
        """Count what became of a delivery, which took no longer than it may."""
        if channel == CHANNEL.name:
            self.seen[outcome] += 1
            assert 0 <= seconds <= CHANNEL.timeout + 0.001

    async def trouble(self) -> None:
        """Stop and kill hosts, start others, and have the database away for a while."""
        chance, ending = self.chance, []
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(chance.uniform(0, 5))
            host, task = chance.choice(self.hosts)
            match chance.choice(["stop", "kill", "away"]):
                case "away":
                    self.server.is_away = True
                    await asyncio.sleep(chance.choice([0.1, 1, 12]))
                    self.server.is_away = False
                case how:
                    host.is_dead = host.is_dead or how == "kill"
                    ending.append(end(task))
                    self.start()
        await asyncio.gather(*ending)

    async def play(self) -> None:
        here.set(Host("web"))
        for _ in range(self.chance.choice([1, 2, 3])):
            self.start()
        sending = asyncio.create_task(self.send())
        if self.troubled:
            await self.trouble()
        await sending
        self.calm = True
        self.start()
        while self.pending() and self.loop.time() < 300:  # noqa: ASYNC110 - it is looked at from without
            await asyncio.sleep(1)
        await asyncio.gather(*(end(task) for _, task in self.hosts))
        self.look_back()

    def pending(self) -> int:
        (found,) = self.server.raw.execute("SELECT count(*) FROM messages WHERE state = 'pending'").fetchone()
        return int(found)

    def look_back(self) -> None:
        ask = self.server.raw.execute
        assert not self.pending()
        stored = {number for (number,) in ask("SELECT json_extract(payload, '$.number') FROM messages")}
        # A commit of which nobody heard may have happened.
        assert stored == self.sent if not self.troubled else stored >= self.sent
        effects = [number for _, number in ask("SELECT id, number FROM effects ORDER BY rowid")]
        assert sorted(effects) == sorted(stored)
        assert self.failing or effects == sorted(effects)
        states = dict(
            ask("SELECT json_extract(payload, '$.number'), state FROM messages WHERE channel = 'simulated'")
        )
        for number in stored:
            assert states[number] == ("dead" if number % 7 == 0 else "done")
            assert self.begun[number] >= 1
            assert self.done[number] >= (number % 7 != 0)
            if not self.troubled and self.slow < CHANNEL.timeout:
                assert self.done[number] == (number % 7 != 0)
        ends = self.seen[Outcome.DONE] + self.seen[Outcome.DEAD]
        assert ends == len(stored) if not self.troubled else ends <= len(stored)
        changes: dict[int, list[Any]] = defaultdict(list)
        for id_, *change in ask("SELECT * FROM changes ORDER BY rowid"):
            changes[id_].append(change)
        for steps in changes.values():
            self.look_at(steps)

    def look_at(self, steps: list[Any]) -> None:
        """Look at what became of one message, change by change."""
        ended = [step for step in steps if step[4] != "pending"]
        assert [step[3] for step in steps] == ["pending"] * len(steps), "it was settled twice"
        assert len(ended) == 1
        for before, lease, due_at, _, _, _, more, at in steps:
            if lease is not None:
                # Claimed: it was due by a clock that is not too wrong, and a lease on it had ended.
                assert lease != before
                assert more == 1
                due = datetime.fromisoformat(due_at).replace(tzinfo=BEGINS.tzinfo)
                assert (due - BEGINS).total_seconds() <= at + SKEW
            elif before is not None:
                assert more in {0, -1}


@pytest.fixture(autouse=True)
def _stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have polls more seldom and stops sooner than they are, so that there is less to simulate and something is returned."""
    monkeypatch.setattr(dispatching, "POLL_SECONDS", 3.0)
    monkeypatch.setattr(dispatching, "STOP_SECONDS", 1.0)

    introduce()
    with capture_logs():
        yield


async def played(loop: SimulatedLoop) -> Scene:
    scene = Scene(loop)
    with capture_logs():
        await scene.play()
    return scene


def test_no_message_is_held_by_two_or_settled_twice() -> None:
    async def scene(loop: SimulatedLoop) -> None:
        (await played(loop)).let_go()

    play_all(25, scene)


def test_a_seed_is_one_order_here_too() -> None:
    async def scene(loop: SimulatedLoop) -> list[Any]:
        scene = await played(loop)
        found = scene.server.raw.execute("SELECT * FROM changes ORDER BY rowid").fetchall()
        scene.let_go()
        assert found
        return [loop.turns, *found]

    for seed in range(3):
        assert play(seed, scene) == play(seed, scene)
