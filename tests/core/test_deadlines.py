"""Deadlines: what a task waits for ends, its connection stays good, and neither a commit nor what others share is ended."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from tests.conftest import World
from tradepost.core.batching.coalescer import Coalescer
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.deadlines import Deadline, DeadlineExceeded, Stage, deadline, taken_back

LONG = {
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4e9) SELECT max(i) FROM n",
}
PATIENCE = 20.0


async def ended(work: Callable[[], Awaitable[Any]], *, after: float = 0.3) -> Any:
    """Run ``work`` in a task with a deadline, end that, and return what came of it: a result or an error."""

    async def limited() -> Any:
        deadline.set(limit)
        return await work()

    limit = Deadline()
    limit.task = asyncio.create_task(limited())
    await asyncio.sleep(after)
    limit.end()
    (outcome,) = await asyncio.wait_for(asyncio.gather(limit.task, return_exceptions=True), PATIENCE)
    return outcome


async def connection_of(db: Any) -> Any:
    return (await (await db.connection()).get_raw_connection()).driver_connection


async def test_a_statement_ends_and_its_connection_stays(world: World) -> None:
    used: list[Any] = []

    async def read() -> None:
        async with world.database.read() as db:
            used.append(await connection_of(db))
            await db.execute(text(LONG[world.engine]))

    async def write() -> None:
        async with world.database.transaction() as db:
            used.append(await connection_of(db))
            await db.execute(text("UPDATE users SET first_name = 'Nobody'"))
            await db.execute(text(LONG[world.engine]))

    for work in (read, write):
        assert isinstance(await ended(work), DeadlineExceeded)
        # Each connection of the pool has its turn.
        for _ in range(world.database.options.pool_size):
            async with world.database.transaction() as db:
                names = (await db.scalars(text("SELECT first_name FROM users"))).all()
                assert names
                assert "Nobody" not in names
    assert len(used) == 2
    for connection in used:
        is_open = connection._running if world.engine == "sqlite" else not connection.is_closed()
        assert is_open


async def test_a_statement_that_waits_for_its_first_preparation_ends(world: World) -> None:
    if world.engine == "sqlite":
        pytest.skip("readers of SQLite wait for nobody")

    async def read() -> None:
        async with world.database.read() as db:
            # Parsed for the first time, it waits for the table already.
            await db.execute(text("SELECT max(id) AS never_sent_before FROM tags"))

    async with world.database.transaction() as db:
        await db.execute(text("LOCK TABLE tags IN ACCESS EXCLUSIVE MODE"))
        assert isinstance(await ended(read), DeadlineExceeded)
    async with world.database.read() as reading:
        assert await reading.scalar(text("SELECT max(id) AS never_sent_before FROM tags")) is None


SLOW_COMMIT = """
CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON tags DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION slow_commit();
"""
NEW_TAG = "INSERT INTO tags (name, created_at, updated_at, version) VALUES ('kept', now(), now(), 1)"


async def test_a_commit_goes_on(world: World) -> None:
    if world.engine == "sqlite":
        pytest.skip("a commit of SQLite cannot be made slow")
    told: list[str] = []

    async def write() -> None:
        async with world.database.transaction() as db:
            db.after_commit(lambda: told.append("committed"))
            await db.execute(text(NEW_TAG))

    async with world.database.transaction() as db:
        for statement in SLOW_COMMIT.strip().split(";\nCREATE CONSTRAINT"):
            whole = statement if statement.startswith("CREATE") else f"CREATE CONSTRAINT{statement}"
            await (await db.connection()).exec_driver_sql(whole)
    try:
        outcome = await ended(write)
        assert isinstance(outcome, asyncio.CancelledError)
        assert told == ["committed"]
        async with world.database.read() as reading:
            assert (await reading.scalars(text("SELECT name FROM tags"))).all() == ["kept"]
    finally:
        async with world.database.transaction() as db:
            await db.execute(text("DROP FUNCTION slow_commit CASCADE"))


# --- what several share -----------------------------------------------------------------------------------------------


async def test_a_shared_read_ends_with_the_last_who_waits_for_it(world: World) -> None:
    ends: list[str] = []

    async def load(db: ReadSession, keys: Sequence[int]) -> Mapping[int, int]:
        if 0 in keys:
            return {key: key for key in keys}
        try:
            await db.execute(text(LONG[world.engine]))
        except DeadlineExceeded:
            ends.append("ended")
            raise
        return {}

    reads: ReadCoalescer[int, int] = ReadCoalescer(world.database, load)
    callers = [asyncio.create_task(reads.get(key)) for key in (1, 2, 2)]
    await asyncio.sleep(0.3)
    for caller in callers[:2]:
        caller.cancel()
    await asyncio.sleep(0.3)
    assert ends == []
    assert not callers[2].done()
    # Came later, and waits for the one lane that there is.
    late = asyncio.create_task(reads.get(0))
    callers[2].cancel()
    assert await asyncio.wait_for(late, PATIENCE) == 0
    assert ends == ["ended"]
    await asyncio.gather(*callers, return_exceptions=True)


async def test_whoever_comes_after_an_abandoned_batch_is_answered() -> None:
    """Wherever the lane is when it is ended: here not in a statement, so that nothing takes the cancellation back."""
    began = asyncio.Event()

    async def load(keys: Sequence[int]) -> Mapping[int, int]:
        if 1 in keys:
            began.set()
            await asyncio.sleep(3600)
        return {key: key for key in keys}

    reads: Coalescer[int, int] = Coalescer(load)
    first = asyncio.create_task(reads.get(1))
    await began.wait()
    second = asyncio.create_task(reads.get(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.wait_for(second, PATIENCE) == 2
    assert await asyncio.wait_for(reads.get(3), PATIENCE) == 3


async def test_a_group_that_nobody_waits_for_is_not_written_one_by_one() -> None:
    tried: list[list[int]] = []

    async def write(jobs: Sequence[int]) -> list[int]:
        tried.append(list(jobs))
        try:
            await asyncio.sleep(3600 if 0 in jobs else 0)
        except asyncio.CancelledError:
            assert taken_back()
            raise DeadlineExceeded from None
        return list(jobs)

    writer: GroupWriter[int, int] = GroupWriter(write)
    first = asyncio.create_task(writer.submit(0))
    await asyncio.sleep(0)
    others = [asyncio.create_task(writer.submit(0)) for _ in range(3)]
    await asyncio.sleep(0)
    for gone in (first, *others[:1]):
        gone.cancel()
    await asyncio.sleep(0.1)
    for gone in others:
        gone.cancel()
    assert await asyncio.wait_for(writer.submit(7), PATIENCE) == 7
    assert tried == [[0], [0, 0], [7]]


# --- the cancellation itself ------------------------------------------------------------------------------------------


async def test_another_cancellation_is_not_taken_back() -> None:
    async def work() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if taken_back():
                return "ended"
            raise
        return "slept"

    assert await ended(work, after=0) == "ended"

    async def cancelled_twice() -> Any:
        limit = deadline.get()
        assert limit is not None
        assert limit.task is not None
        limit.task.cancel()
        return await work()

    assert isinstance(await ended(cancelled_twice, after=0), asyncio.CancelledError)


async def test_what_a_task_starts_is_not_ended_with_it() -> None:
    async def inner() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "taken back" if taken_back() else "cancelled"
        return "slept"

    async def work() -> str:
        task = asyncio.create_task(inner())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            assert taken_back()
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        return await task

    assert await ended(work, after=0.01) == "cancelled"


async def test_how_far_a_task_has_come(database: Database) -> None:
    async def load(keys: Sequence[int]) -> Mapping[int, int]:
        await asyncio.sleep(0)
        return {key: key for key in keys}

    async def stage_of(work: Callable[[], Awaitable[object]]) -> Stage:
        limit = Deadline()
        token = deadline.set(limit)
        await work()
        deadline.reset(token)
        return limit.stage

    async def read() -> None:
        async with database.read():
            pass

    async def write() -> None:
        async with database.transaction():
            pass
        await read()

    async def write_in_group(jobs: Sequence[int]) -> Sequence[int]:
        return jobs

    assert await stage_of(lambda: Coalescer(load, stage=Stage.NOTHING).get(1)) is Stage.NOTHING
    assert await stage_of(lambda: Coalescer(load).get(1)) is Stage.READING
    assert await stage_of(read) is Stage.READING
    assert await stage_of(write) is Stage.WRITING
    assert await stage_of(lambda: GroupWriter(write_in_group).submit(1)) is Stage.WRITING
