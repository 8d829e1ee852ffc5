"""Reads of the database that share a session: how long they do, and what they do not share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, text

from tradepost.accounts.models import User
from tradepost.core.batching import coalescer, read_coalescer
from tradepost.core.batching.read_coalescer import MAX_SERIES, ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.gate import Gate
from tradepost.core.database.sessions import ReadSession
from tradepost.core.deadlines import Deadline, Stage, deadline
from tradepost.core.errors import DatabaseUnavailable, Overloaded
from tradepost.core.observability.server_timing import Timing, timing
from tradepost.core.overload.waits import PATIENCE, monotonic


@pytest_asyncio.fixture
async def own(database: Database) -> AsyncIterator[Database]:
    """Connections of the test's own: the application's may be wanted by what it does in the background."""
    own = Database(database.options)
    yield own
    await own.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lanes rest, and keep a session, for longer than a busy machine may hold up a test."""
    monkeypatch.setattr(read_coalescer, "MOST_REST", 60.0)
    monkeypatch.setattr(read_coalescer, "MOST_HELD", 60.0)


class Source:
    """Answers each key with the number of the session that read it, once the test lets it."""

    def __init__(self, database: Database) -> None:
        self.reads = ReadCoalescer(database, self.load, max_batch=1)
        self.sessions: list[ReadSession] = []
        self.goes_on = asyncio.Event()
        self.error: Exception | None = None

    async def load(self, db: ReadSession, keys: Sequence[int]) -> Mapping[int, int]:
        if db not in self.sessions:
            self.sessions.append(db)
        await self.goes_on.wait()
        error, self.error = self.error, None
        if error is not None:
            raise error
        await db.execute(text("SELECT 1"))
        return dict.fromkeys(keys, self.sessions.index(db))

    async def at_rest(self) -> None:
        """Have a lane that has answered, and rests with its session."""
        self.goes_on.set()
        await self.reads.get(0)
        await until(lambda: bool(self.reads._resting))
        self.goes_on.clear()

    async def asked(self, number: int) -> list[int | BaseException | None]:
        """Ask so many questions at once, each of them a batch of its own."""
        asked = [asyncio.create_task(self.reads.get(key)) for key in range(number)]
        await asyncio.sleep(0)
        self.goes_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a gate tells nobody
            await asyncio.sleep(0)


async def test_batches_that_follow_each_other_share_a_session(own: Database) -> None:
    source = Source(own)
    assert await source.asked(3) == [0, 0, 0]
    await until(lambda: bool(source.reads._resting))
    assert own.read_gate.held == 0
    assert await source.asked(3) == [0, 0, 0]


async def test_a_session_is_given_back_after_many_batches(own: Database) -> None:
    source = Source(own)
    assert await source.asked(MAX_SERIES + 1) == [0] * MAX_SERIES + [1]


async def test_and_when_nobody_asks_for_a_while(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_coalescer, "MOST_REST", 0.01)
    source = Source(own)
    assert await source.asked(1) == [0]
    await until(lambda: not own.read_gate._holders)
    assert await source.asked(2) == [1, 1]
    await until(lambda: not own.read_gate._holders)
    assert own.read_gate.held == 0
    assert await source.asked(1) == [2]


async def test_a_lane_that_rests_is_set_to_work_and_no_other_begins(own: Database) -> None:
    source = Source(own)
    source.reads = ReadCoalescer(own, source.load, max_batch=1, lanes=2)
    await source.at_rest()

    async def timed() -> int:
        # Who wants to know where the time goes does not read alone.
        timing.set(Timing(monotonic))
        return await source.reads.get(1)

    asked = asyncio.create_task(timed())
    await asyncio.sleep(0)
    assert source.reads._free_lanes == len(source.reads._lanes) == 1
    source.goes_on.set()
    assert await asked == 0


class TestAlone:
    """Who asks while a lane rests reads for itself."""

    async def test_in_its_own_task(self, own: Database) -> None:
        source = Source(own)
        await source.at_rest()
        tasks: list[asyncio.Task[Any] | None] = []

        async def load(db: ReadSession, keys: Sequence[int]) -> Mapping[int, int]:
            tasks.append(asyncio.current_task())
            return {}

        source.reads._load = load
        for _ in range(2):
            assert await source.reads.find(5) is None
        assert tasks == [asyncio.current_task()] * 2

    async def test_again_and_again_but_not_for_ever(self, own: Database) -> None:
        source = Source(own)
        source.goes_on.set()
        sessions = [await source.reads.get(key) for key in range(2 * MAX_SERIES)]
        assert sessions == sorted(sessions)
        assert set(sessions) == {0, 1}

    async def test_and_not_for_long(self, own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(read_coalescer, "MOST_HELD", 0.0)
        source = Source(own)
        source.goes_on.set()
        assert [await source.reads.get(key) for key in range(5)] == [0, 0, 1, 1, 2]

    async def test_while_others_wait_for_the_lane(self, own: Database) -> None:
        source = Source(own)
        await source.at_rest()
        assert await source.asked(3) == [0, 0, 0]

    async def test_an_error_is_its_own_and_ends_the_session(self, own: Database) -> None:
        source = Source(own)
        await source.at_rest()
        source.error = ValueError("broken")
        alone, *others = await source.asked(3)
        assert isinstance(alone, ValueError)
        assert others == [1, 1]

    async def test_so_is_a_cancellation(self, own: Database) -> None:
        source = Source(own)
        await source.at_rest()
        alone, other = (asyncio.create_task(source.reads.get(key)) for key in range(2))
        await asyncio.sleep(0)
        alone.cancel()
        source.goes_on.set()
        assert await other == 1
        with pytest.raises(asyncio.CancelledError):
            await alone

    async def test_ends_like_any_other_where_the_lane_has_ended_before_it(self, own: Database) -> None:
        """As at the end of the loop, when all tasks are cancelled one after the other."""
        source = Source(own)
        await source.at_rest()
        (lane,) = source.reads._lanes
        assert lane.task is not None
        alone = asyncio.create_task(source.reads.get(1))
        await asyncio.sleep(0)
        lane.task.cancel()
        await asyncio.wait([lane.task])
        alone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await alone

    async def test_is_not_ended_by_who_leaves_with_an_answer(self, own: Database) -> None:
        """The last batch's caller is cancelled when its answer is there, and has not heard of it yet."""
        alone: list[asyncio.Task[int]] = []
        goes_on = asyncio.Event()

        async def load(_db: ReadSession, keys: Sequence[int]) -> Mapping[int, int]:
            if keys == [0]:
                # Both come to pass after the lane has gone to rest, and before the caller goes on.
                alone.append(asyncio.create_task(reads.get(1)))
                asyncio.get_running_loop().call_soon(first.cancel)
            else:
                await goes_on.wait()
            return {key: key for key in keys}

        reads = ReadCoalescer(own, load)
        first = asyncio.create_task(reads.get(0))
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.sleep(0.01)
        assert own.read_gate.held == 1
        goes_on.set()
        assert await alone[0] == 1

    async def test_has_begun_when_its_time_is_up(self, own: Database) -> None:
        source = Source(own)
        await source.at_rest()

        async def ask() -> int:
            deadline.set(end)
            return await source.reads.get(1)

        end = Deadline()
        asked = end.task = asyncio.create_task(ask())
        await asyncio.sleep(0)
        end.end()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert end.stage is Stage.READING

    async def test_gives_the_place_to_who_waits_for_it(self, own: Database) -> None:
        source, gate = Source(own), own.read_gate
        await source.at_rest()
        alone = asyncio.create_task(source.reads.get(1))
        await asyncio.sleep(0)
        held = asyncio.Event()
        holders = [asyncio.create_task(one_place(gate, held)) for _ in range(gate.size)]
        await asyncio.sleep(0)
        assert gate.waiting == 1
        source.goes_on.set()
        assert await alone == 0
        await until(lambda: not gate.waiting)
        held.set()
        await asyncio.gather(*holders)


async def one_place(gate: Gate, until: asyncio.Event) -> None:
    async with gate.place():
        await until.wait()


async def test_who_wants_a_place_gets_that_of_a_lane_that_rests(own: Database) -> None:
    source, gate = Source(own), own.read_gate
    await source.at_rest()
    source.goes_on.set()
    held = asyncio.Event()
    holders = [asyncio.create_task(one_place(gate, held)) for _ in range(gate.size)]
    await until(lambda: gate.held == gate.size and not gate.waiting)
    asked = asyncio.create_task(source.reads.get(1))
    await asyncio.sleep(0)
    held.set()
    assert await asked == 1
    await asyncio.gather(*holders)


async def test_no_lane_rests_behind_pgbouncer(database: Database) -> None:
    """A session is a transaction there, with its locks and one of the few connections at the server."""
    own = Database(replace(database.options, via_pgbouncer=True))
    source = Source(own)
    assert await source.asked(3) == [0, 0, 0]
    await until(lambda: not own.read_gate._holders)
    await own.close()


async def test_a_lane_that_rests_does_not_hold_up_the_end(database: Database) -> None:
    own = Database(database.options)
    source = Source(own)
    await source.at_rest()
    async with asyncio.timeout(30):
        await own.close()


async def test_an_error_reaches_its_own_batch_only_and_ends_the_session(own: Database) -> None:
    source = Source(own)
    source.error = ValueError("broken")
    first, *others = await source.asked(3)
    assert isinstance(first, ValueError)
    assert others == [1, 1]


async def test_a_session_is_given_back_when_somebody_waits_for_a_connection(own: Database) -> None:
    source, gate = Source(own), own.read_gate
    seen: list[int] = []
    done = asyncio.Event()

    async def hold() -> None:
        async with gate.place():
            await done.wait()

    async def look() -> None:
        async with gate.place():
            seen.append(sum(answer.done() for answer in asked))

    # The reads take the last place, and somebody comes who wants it.
    holders = [asyncio.create_task(hold()) for _ in range(gate.size - 1)]
    await asyncio.sleep(0)
    asked = [asyncio.create_task(source.reads.get(key)) for key in range(3)]
    await until(lambda: bool(source.sessions))
    looking = asyncio.create_task(look())
    await asyncio.sleep(0)
    assert gate.waiting == 1
    source.goes_on.set()
    assert await asyncio.gather(*asked) == [0, 1, 1]
    await looking
    assert seen == [1]
    done.set()
    await asyncio.gather(*holders)


async def test_a_row_is_read_anew_although_the_session_had_read_it(own: Database) -> None:
    names: list[str] = []
    rename = asyncio.Event()

    async def load(db: ReadSession, keys: Sequence[int]) -> Mapping[int, User]:
        user = (await db.scalars(select(User))).one()
        names.append(user.first_name)
        if len(names) == 1:
            rename.set()
            await changed.wait()
        return dict.fromkeys(keys, user)

    changed = asyncio.Event()
    reads = ReadCoalescer(own, load, max_batch=1)
    asked = [asyncio.create_task(reads.get(key)) for key in range(2)]
    await rename.wait()
    async with own.transaction() as db:
        (await db.scalars(select(User))).one().first_name = "Renamed"
    changed.set()
    # Both answers are held on to: the first would still be in the session's memory.
    assert len(await asyncio.gather(*asked)) == 2
    assert names[0] != names[1] == "Renamed"


async def test_so_it_is_by_who_reads_alone(own: Database) -> None:
    async def load(db: ReadSession, keys: Sequence[int]) -> Mapping[int, User]:
        return dict.fromkeys(keys, (await db.scalars(select(User))).one())

    reads = ReadCoalescer(own, load)
    before = await reads.get(0)
    # It is held on to, and would still be in the session's memory.
    name = before.first_name
    await until(lambda: bool(reads._resting))
    async with own.transaction() as db:
        (await db.scalars(select(User))).one().first_name = "Renamed alone"
    assert reads._resting
    assert (await reads.get(0)).first_name == "Renamed alone" != name


async def test_without_a_connection_everybody_is_told(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(own)
    with monkeypatch.context() as patch:

        def away() -> None:
            raise DatabaseUnavailable

        patch.setattr(own, "read", away)
        assert [type(answer) for answer in await source.asked(2)] == [DatabaseUnavailable] * 2
    assert await source.asked(1) == [0]


async def test_who_waits_for_too_long_in_overload_is_refused_for_who_came_later(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    for module in (coalescer, read_coalescer):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    source = Source(own)
    source.reads._waits.impatient = True
    first = [asyncio.create_task(source.reads.get(key)) for key in (1, 2, 3)]
    shared = [asyncio.create_task(source.reads.get(4)) for _ in range(2)]
    await until(lambda: bool(source.sessions))
    now = PATIENCE + 0.1
    last = asyncio.create_task(source.reads.get(5))
    await asyncio.sleep(0)
    source.goes_on.set()
    answers = await asyncio.gather(*first, *shared, last, return_exceptions=True)
    # The first is being read already, and what two want is read once for both.
    assert [isinstance(answer, Overloaded) for answer in answers] == [False, True, True, False, False, False]


@pytest.mark.parametrize("late", [False, True])
async def test_too_long_is_from_the_very_moment_at_which_patience_ends(
    own: Database, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    now = 0.0
    for module in (coalescer, read_coalescer):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(read_coalescer, "PATIENCE", 0.5)
    source = Source(own)
    source.reads._waits.impatient = True
    first = asyncio.create_task(source.reads.get(1))
    # A lane has begun with it, and waits for the test.
    await until(lambda: bool(source.sessions))
    early = asyncio.create_task(source.reads.get(2))
    await asyncio.sleep(0)
    now = 0.5 if late else 0.5 - 2**-20
    last = asyncio.create_task(source.reads.get(3))
    await asyncio.sleep(0)
    source.goes_on.set()
    answers = await asyncio.gather(first, early, last, return_exceptions=True)
    assert [isinstance(answer, Overloaded) for answer in answers] == [False, late, False]
    assert not source.reads._came


async def test_nobody_is_refused_however_long_the_wait_without_overload(own: Database) -> None:
    source = Source(own)
    first = [asyncio.create_task(source.reads.get(key)) for key in (1, 2, 3)]
    await asyncio.sleep(PATIENCE + 0.05)
    source.goes_on.set()
    assert await asyncio.gather(*first) == [0, 0, 0]
