"""The coalescer in simulated schedules: callers come, leave and look at the clock while reads succeed, fail and hang."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from tests.simulation.hosts import Host, Server, SimulatedDatabase, here, introduce
from tests.simulation.loop import SimulatedLoop, play_all
from tradepost.core.batching.coalescer import MAX_WAITING, Coalescer
from tradepost.core.batching.read_coalescer import MAX_SERIES, ReadCoalescer
from tradepost.core.database.sessions import ReadSession
from tradepost.core.deadlines import Deadline, DeadlineExceeded, Stage, deadline, taken_back
from tradepost.core.errors import Overloaded, Unavailable
from tradepost.core.observability.server_timing import Timing, timing
from tradepost.core.overload.waits import PATIENCE

Answer = tuple[int, int]
"""A key, and the number of the read that found it."""


class Broken(Exception):
    """What a read raises; ``number`` is the read's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class Waiting:
    """Who waits for a key."""

    since: float
    callers: int = 0


class Scene:
    """A coalescer, the reads that it makes, and the keys that are waited for as they should be."""

    def __init__(self, loop: SimulatedLoop, database: SimulatedDatabase | None = None) -> None:
        chance = self.chance = loop.chance
        self.loop = loop
        self.lanes = chance.choice([1, 1, 2, 3])
        self.max_batch = chance.choice([1, 3, 100])
        self.room = MAX_WAITING if database else chance.choice([4, 1000])
        limits: Any = {"lanes": self.lanes, "max_batch": self.max_batch, "observe": self.taken}
        self.reads: Coalescer[int, Answer] | ReadCoalescer[int, Answer] = (
            ReadCoalescer(database, self.load_by, **limits)
            if database
            else Coalescer(self.load, max_waiting=self.room, **limits)
        )
        self.reads._waits.impatient = self.impatient = database is not None and chance.random() < 0.3
        self.slowest = chance.choice([0.0, 1.0])
        self.fails = chance.choice([0.0, 0.3])
        self.waiting: dict[int, Waiting] = {}
        self.refused: list[int] = []
        self.asking = 0
        self.under_way = 0
        self.batches: list[list[int]] = []
        self.sessions: Counter[ReadSession] = Counter()

    def taken(self, size: int) -> None:
        """Note a batch as it begins: first come, first served; as many as fit, and none that nobody wants."""
        for key, waiting in list(self.waiting.items()) if self.impatient else ():
            if waiting.since > self.loop.time() - PATIENCE or len(self.waiting) == 1:
                break
            if waiting.callers == 1:
                self.refused.append(key)
                del self.waiting[key]
        keys = list(self.waiting)[: self.max_batch]
        assert len(keys) == size
        for key in keys:
            del self.waiting[key]
        self.batches.append(keys)

    async def load_by(self, db: ReadSession, keys: Sequence[int]) -> Mapping[int, Answer]:
        self.sessions[db] += 1
        assert self.sessions[db] <= MAX_SERIES
        await db.execute(text("SELECT 1"))
        try:
            return await self.load(keys)
        except Broken:
            # It is not used again.
            self.sessions[db] = MAX_SERIES
            raise

    async def load(self, keys: Sequence[int]) -> Mapping[int, Answer]:
        number = max(at for at, batch in enumerate(self.batches) if batch == keys)
        self.under_way += 1
        assert self.under_way <= self.lanes
        # It belongs to many: not to whoever's task began it.
        assert timing.get() is None
        try:
            await asyncio.sleep(self.chance.uniform(0, self.slowest))
            if self.chance.random() < self.fails:
                raise Broken(number)
            return {key: (key, number) for key in keys if key % 5}
        except asyncio.CancelledError:
            if self.chance.random() < 0.5 and taken_back():
                raise DeadlineExceeded from None
            raise
        finally:
            self.under_way -= 1

    async def ask(self, key: int) -> bool:
        """Ask for a key as a caller does, and look at what it is told; tell whether that was an answer."""
        came, refused = len(self.batches), len(self.refused)
        full = self.asking == self.room
        if not full:
            self.waiting.setdefault(key, Waiting(self.loop.time())).callers += 1
            self.asking += 1
        failure: Exception | None = None
        found: Answer | None = None
        try:
            found = await self.reads.find(key)
        except asyncio.CancelledError:
            if not self.has_begun(key, came) and key not in self.refused[refused:]:
                self.waiting[key].callers -= 1
                if not self.waiting[key].callers:
                    del self.waiting[key]
            self.asking -= 1
            raise
        except Exception as error:  # noqa: BLE001 - what it may be is said below
            failure = error
        # Overloaded is Unavailable, too.
        assert isinstance(failure, Unavailable) or not full
        if full:
            return False
        self.asking -= 1
        self.judge(key, failure or found, came=came, refused=self.refused[refused:])
        return failure is None

    def judge(self, key: int, told: Answer | Exception | None, *, came: int, refused: list[int]) -> None:
        """Look at what somebody was told who came after so many batches, and what was refused since."""
        match told:
            case Overloaded():
                assert key in refused
            case Broken():
                assert told.number >= came
                assert key in self.batches[told.number]
            case (found, number):
                assert found == key
                assert key % 5
                # It was read after it was asked for.
                assert number >= came
            case None:
                assert key % 5 == 0
                assert self.has_begun(key, came)
            case _:
                raise told

    def has_begun(self, key: int, came: int) -> bool:
        """Tell whether a batch with a key has begun after so many."""
        return any(key in batch for batch in self.batches[came:])

    async def timed(self, key: int) -> None:
        """Ask for a key as a caller does who wants to know where the time goes, and how far it came."""
        spent, limit, came, began = Timing(self.loop.time), Deadline(), len(self.batches), self.loop.time()
        timing.set(spent)
        deadline.set(limit)
        failed = False
        try:
            failed = not await self.ask(key)
        finally:
            begun = self.has_begun(key, came)
            assert failed or key in self.refused or limit.stage is (Stage.READING if begun else Stage.NOTHING)
            parts = spent.phases(0)
            assert parts["wait"] + parts["db"] == pytest.approx(self.loop.time() - began)
            assert begun or parts["db"] == 0

    async def caller(self) -> None:
        """Ask now and then; leave in the middle sometimes."""
        chance = self.chance
        for _ in range(chance.randrange(1, 4)):
            await asyncio.sleep(chance.choice([0, 0, chance.random()]))
            ask = self.timed if chance.random() < 0.2 else self.ask
            asking = asyncio.create_task(ask(chance.randrange(12)))
            leaves = chance.random() < 0.3
            if leaves:
                await asyncio.sleep(chance.choice([0, 0, chance.random()]))
                asking.cancel()
            try:
                await asking
            except asyncio.CancelledError:
                assert leaves

    async def play(self) -> None:
        await asyncio.gather(*(self.caller() for _ in range(self.chance.choice([3, 12, 30]))))
        # A lane may be at a batch that all have left.
        while self.under_way:  # noqa: ASYNC110 - its end is no event
            await asyncio.sleep(1)
        for key in range(12):
            await self.ask(key)
        assert self.asking == 0
        assert not self.waiting


def test_everybody_is_told_what_a_later_read_found() -> None:
    play_all(200, lambda loop: Scene(loop).play())


def test_so_is_everybody_where_batches_share_sessions() -> None:
    async def scene(loop: SimulatedLoop) -> None:
        here.set(Host("server"))
        await Scene(loop, SimulatedDatabase(Server(loop, places=loop.chance.choice([1, 3])))).play()

    introduce()
    play_all(60, scene)
