"""Connections to SQLite are threads; none outlives the event loop that it answers."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from tradepost.core.database.short_way import Step
from tradepost.core.database.sqlite_connection import ROWS_AT_ONCE, connect_sqlite


async def open_and_close(path: Path) -> None:
    connection = await connect_sqlite(str(path))
    await connection.close()


async def test_one_that_cannot_be_opened_has_ended_when_that_is_told(tmp_path: Path) -> None:
    # A thread that finds its loop closed raises, which fails a test; without the wait for its end most did.
    for _ in range(20):
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            await asyncio.to_thread(asyncio.run, open_and_close(tmp_path))


async def test_who_is_cancelled_while_it_opens_hears_of_that_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, goes_on = threading.Event(), threading.Event()
    connect: Any = sqlite3.connect

    def slowly(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opening.set()
        assert goes_on.wait(10)
        made.append(connect(*arguments, **options, check_same_thread=False))
        return made[0]

    made: list[sqlite3.Connection] = []
    monkeypatch.setattr(sqlite3, "connect", slowly)
    task = asyncio.create_task(open_and_close(tmp_path / "a.db"))
    await asyncio.to_thread(opening.wait, 10)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        made[0].execute("SELECT 1")


@pytest.mark.parametrize("stops_first", [True, False])
async def test_whoever_closes_it_is_answered_though_it_was_told_to_stop(
    tmp_path: Path, *, stops_first: bool
) -> None:
    connection = await connect_sqlite(str(tmp_path / "a.db"))
    if stops_first:
        connection.stop()
    closing = [asyncio.create_task(connection.close()) for _ in range(2)]
    await asyncio.sleep(0)
    connection.stop()
    await asyncio.wait_for(asyncio.gather(*closing), 10)
    with pytest.raises(ValueError, match="no active connection"):
        await connection.execute("SELECT 1")


async def test_who_is_cancelled_while_closing_it_hears_of_that_when_it_is_closed(tmp_path: Path) -> None:
    connection = await connect_sqlite(str(tmp_path / "a.db"))
    going_on = threading.Event()
    await connection.create_function("wait", 0, lambda: going_on.wait(10))
    waiting = asyncio.create_task(connection.execute_fetchall("SELECT wait()"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(connection.close())
    for _ in range(3):
        await asyncio.sleep(0)
        closing.cancel()
    await asyncio.sleep(0)
    assert not closing.done()
    going_on.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert list(await waiting) == [(1,)]


@pytest.mark.parametrize("rows", [0, 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 2 * ROWS_AT_ONCE + 1])
async def test_a_cursor_hands_out_every_row_once_however_it_is_asked(tmp_path: Path, rows: int) -> None:
    connection = await connect_sqlite(str(tmp_path / "a.db"))
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= ?) SELECT i FROM n LIMIT ?"
    expected = [(number + 1,) for number in range(rows)]
    async with asyncio.timeout(30):
        cursor = connection.cursor()
        for _ in range(2):
            await cursor.execute(numbers, (rows, rows))
            assert await cursor.fetchall() == expected
            assert await cursor.fetchall() == []
        await cursor.execute(numbers, (rows, rows))
        found = [row async for row in cursor]
        assert found == expected
        await cursor.execute(numbers, (rows, rows))
        found = []
        while part := await cursor.fetchmany(700):
            found += part
        assert found == expected
        await cursor.execute(numbers, (rows, rows))
        assert await cursor.fetchone() == (expected[0] if rows else None)
        assert await cursor.fetchall() == expected[1:]
        await cursor.execute(numbers, (rows, rows))
        await cursor.close()
        assert await cursor.fetchall() == []
    await connection.close()


async def test_a_cursor_that_was_not_read_to_its_end_keeps_nobody_from_writing(tmp_path: Path) -> None:
    connection = await connect_sqlite(str(tmp_path / "a.db"), isolation_level=None)
    cursor = connection.cursor()
    await cursor.execute("CREATE TABLE a (b INTEGER)")
    await cursor.executemany("INSERT INTO a VALUES (?)", [(number,) for number in range(ROWS_AT_ONCE + 1)])
    assert cursor.rowcount == ROWS_AT_ONCE + 1
    await cursor.execute("SELECT b FROM a")
    assert len(await cursor.fetchmany(1)) == 1
    await cursor.execute("DELETE FROM a RETURNING b")
    await cursor.close()
    await cursor.execute("DROP TABLE a")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await cursor.execute("SELECT b FROM a")
    await connection.close()


async def test_a_transaction_begins_with_its_first_statement(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    one, other = [await connect_sqlite(path, isolation_level=None, timeout=0) for _ in range(2)]
    await one.take([Step("CREATE TABLE a (b INTEGER)", ())])
    insert = Step("INSERT INTO a VALUES (?)", (1,))
    # Without a statement, nobody has begun.
    for end in (one.commit, one.rollback):
        one.begin()
        await end()
        await one.take([insert])
        assert not one.in_transaction
    one.begin()
    states = [one.in_transaction]
    assert await one.read_all("SELECT count(*) FROM a", ()) == [(2,)]
    states.append(one.in_transaction)
    assert states == [False, True]
    # Who reads holds the lock already; who may not have it has begun nothing.
    other.begin()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await other.take([insert])
    states = [other.in_transaction]
    await one.take([insert, Step("INSERT INTO a VALUES (?)", [(2,), (3,)])])
    await one.rollback()
    # Its next statement does, for none of it is to be left should it be taken back.
    await other.take([insert])
    states.append(other.in_transaction)
    assert states == [False, True]
    await other.rollback()
    other.begin()
    cursor = other.cursor()
    await cursor.execute("INSERT INTO a VALUES (4)")
    await other.commit()
    assert await one.take([Step("SELECT b FROM a ORDER BY b", ())]) == [[(1,), (1,), (4,)]]
    await one.close()
    await other.close()
