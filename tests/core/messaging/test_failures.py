import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.messaging.failures import describe, is_away


async def test_a_database_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    database = Database(DatabaseOptions(url=make_url(f"sqlite+aiosqlite:///{path}"), pool_timeout=0.1))
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError) as caught:
            async with database.transaction() as db:
                await db.execute(text("SELECT 1"))
        other.execute("ROLLBACK")
        with pytest.raises(OperationalError) as refused:
            async with database.transaction() as db:
                await db.execute(text("no statement"))
    finally:
        other.close()
        await database.close()
    assert is_away(caught.value)
    assert describe(caught.value) == "OperationalError: database is locked"
    assert not is_away(refused.value)
