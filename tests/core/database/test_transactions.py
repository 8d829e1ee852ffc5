"""The ends of transactions, of sessions and of the database, and what those hear who are cancelled in them."""

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.conftest import World
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.tags.models import Tag


@pytest.mark.parametrize("fails", [False, True])
async def test_who_is_cancelled_in_a_commit_hears_of_it_whatever_becomes_of_the_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly(db: WriteSession) -> None:
        began.set()
        await goes_on.wait()
        if fails:
            raise ConnectionResetError("the database is gone")
        await WriteSession.commit(db)

    called: list[str] = []

    async def write() -> None:
        async with database.transaction() as db:
            # Of this session alone: somebody else may commit meanwhile.
            monkeypatch.setattr(db, "commit", partial(slowly, db))
            db.after_commit(lambda: called.append("committed"))

    writing = asyncio.create_task(write())
    await began.wait()
    writing.cancel()
    await asyncio.sleep(0)
    assert not writing.done(), "whether the commit happened must not be left open"
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert called == ([] if fails else ["committed"])


async def test_who_is_cancelled_when_the_connection_is_given_back_has_told_of_the_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly(db: WriteSession) -> None:
        closing.set()
        await goes_on.wait()
        await WriteSession.close(db)

    called: list[str] = []

    async def write() -> None:
        async with database.transaction() as db:
            monkeypatch.setattr(db, "close", partial(slowly, db))
            db.after_commit(lambda: called.append("committed"))

    writing = asyncio.create_task(write())
    await closing.wait()
    writing.cancel()
    await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert called == ["committed"]


async def test_what_a_savepoint_takes_back_is_told_to_nobody(database: Database) -> None:
    called: list[str] = []
    async with database.transaction() as db:

        def tell(name: str) -> None:
            db.after_commit(lambda: called.append(name))

        async def fail() -> None:
            async with db.begin_nested():
                tell("failed")
                await db.execute(text("SELECT * FROM what_is_not_there"))

        async def fail_to_flush() -> None:
            async with db.begin_nested():
                tell("not flushed")
                db.add(Tag(name="without its moments"))
                await db.flush()

        tell("before")
        async with db.begin_nested():
            tell("kept")
            async with db.begin_nested() as point:
                tell("rolled back")
                async with db.begin_nested():
                    tell("released in what is rolled back")
                await db.execute(text("SELECT 1"))
                await point.rollback()
            tell("kept after it")
        for failing in (fail, fail_to_flush):
            with pytest.raises(DBAPIError):
                await failing()
        tell("after")
    assert called == ["before", "kept", "kept after it", "after"]


async def test_who_rolls_a_transaction_back_is_told_of_nothing_in_it(database: Database) -> None:
    called: list[str] = []
    async with database.transaction() as db:
        async with db.begin_nested():
            db.after_commit(lambda: called.append("released"))
        db.after_commit(lambda: called.append("outside"))
        await db.rollback()
    assert called == []


async def test_a_database_is_closed_when_those_are_done_who_use_it(world: World) -> None:
    database = Database(world.database.options)
    reading, goes_on = asyncio.Event(), asyncio.Event()
    given_back: list[Any] = []

    async def read() -> None:
        async with database.read() as db:
            pooled = await (await db.connection()).get_raw_connection()
            reading.set()
            await goes_on.wait()
            await db.execute(text("SELECT 1"))
            given_back.append(pooled.driver_connection)

    task = asyncio.create_task(read())
    await reading.wait()
    closing = asyncio.create_task(database.close())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not closing.done()
    goes_on.set()
    await closing
    await task
    (connection,) = given_back
    if database.is_sqlite:
        with pytest.raises(ValueError, match="no active connection"):
            await connection.execute("SELECT 1")
    else:
        assert connection.is_closed()
