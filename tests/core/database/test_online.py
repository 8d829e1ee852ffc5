"""Online steps of migrations, on a small history of their own: what is killed goes on, and writers go on beside it."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent, indent

import pytest
import pytest_asyncio
import sqlalchemy as sa

from tests.checkout import ROOT
from tests.conftest import Template, settings_for
from tradepost.bootstrap import database_options
from tradepost.core.database import migration_lock, migrations, revisions
from tradepost.core.database.engines import Database
from tradepost.core.errors import DatabaseUnavailable

PARCELS = """
op.create_table("parcels", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("n", sa.Integer()))
op.bulk_insert(sa.table("parcels", sa.column("id"), sa.column("n")), [{"id": at, "n": at} for at in range(1, 6001)])
"""
INDEX = """online.create_index_online("ix_parcels_n", "parcels", ["n"], unique=True)"""
FILL = """
def fill(connection, first, last):
    if first > float(os.environ.get("DIES_AFTER", "inf")):
        os._exit(9)
    connection.execute(sa.text("UPDATE parcels SET n = n + 10000 WHERE id BETWEEN :first AND :last"), {"first": first, "last": last})

online.back_fill("raise n", "parcels", fill)
"""
COLUMN = """op.add_column("parcels", sa.Column("colour", sa.String(9)))"""
HEADER = """
import os
import sqlalchemy as sa
from alembic import op
from tradepost.core.database import online
revision = {revision!r}
down_revision = {below!r}
def upgrade():
"""
PROGRAM = """
import asyncio, sys
from pathlib import Path
from sqlalchemy import make_url
from tradepost.core.database import migrations, revisions
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
revisions.script_location = lambda: Path(sys.argv[1])
async def main():
    await migrations.upgrade(Database(DatabaseOptions(make_url(sys.argv[2]))))
asyncio.run(main())
"""

History = Callable[..., Path]


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Write a history of these revisions, and have it be the one that is run."""

    def write(*bodies: str) -> Path:
        directory = tmp_path / f"history{len(bodies)}"
        (directory / "versions").mkdir(parents=True)
        shutil.copy(ROOT / "migrations" / "env.py", directory)
        for at, body in enumerate(bodies, start=1):
            header = HEADER.format(revision=f"r{at}", below=f"r{at - 1}" if at > 1 else None)
            text = header + indent(dedent(body), "    ")
            (directory / "versions" / f"r{at}.py").write_text(text, encoding="utf-8")
        monkeypatch.setattr(revisions, "script_location", lambda: directory)
        revisions.known.cache_clear()
        return directory

    return write


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    revisions.known.cache_clear()


@pytest_asyncio.fixture
async def url(template: Template) -> str:
    return await template.empty()


@asynccontextmanager
async def opened_database(url: str, directory: Path) -> AsyncIterator[Database]:
    database = Database(database_options(settings_for(url, directory)))
    try:
        yield database
    finally:
        await database.close()


@pytest_asyncio.fixture
async def empty(url: str, tmp_path: Path) -> AsyncIterator[Database]:
    async with opened_database(url, tmp_path) as database:
        yield database


async def scalar(database: Database, statement: str) -> object:
    async with database.read() as db:
        return await db.scalar(sa.text(statement))


async def tables(database: Database) -> list[str]:
    async with database.engine.connect() as connection:
        return await connection.run_sync(lambda bound: sa.inspect(bound).get_table_names())


async def write(database: Database, statement: str) -> None:
    async with database.transaction() as db:
        await db.execute(sa.text(statement))


async def index_is_valid(database: Database) -> bool:
    if database.is_sqlite:
        return await scalar(database, "SELECT count(*) FROM sqlite_master WHERE name = 'ix_parcels_n'") == 1
    return bool(
        await scalar(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_parcels_n'::regclass")
    )


async def test_an_index_that_was_left_half_made_is_made_again(empty: Database, history: History) -> None:
    history(PARCELS)
    await migrations.upgrade(empty)
    await write(empty, "UPDATE parcels SET n = 1 WHERE id = 2")
    history(PARCELS, INDEX)
    with pytest.raises(sa.exc.IntegrityError):
        await migrations.upgrade(empty)
    assert await revisions.current(empty) == "r1"
    await write(empty, "UPDATE parcels SET n = 2 WHERE id = 2")
    assert empty.is_sqlite or not await index_is_valid(empty)
    await migrations.upgrade(empty)
    assert await index_is_valid(empty)
    assert await revisions.current(empty) == "r2"


async def test_an_index_that_was_made_before_its_revision_was_noted_is_kept(
    empty: Database, history: History
) -> None:
    history(PARCELS, INDEX)
    await migrations.upgrade(empty)
    await write(empty, "UPDATE alembic_version SET version_num = 'r1'")
    await migrations.upgrade(empty)
    assert await index_is_valid(empty)
    assert await revisions.current(empty) == "r2"


async def test_an_index_is_dropped_online(empty: Database, history: History) -> None:
    drop = 'online.drop_index_online("ix_parcels_n", "parcels")'
    history(PARCELS, INDEX, drop, drop)
    await migrations.upgrade(empty)
    async with empty.engine.connect() as connection:
        assert await connection.run_sync(lambda bound: sa.inspect(bound).get_indexes("parcels")) == []


async def test_a_killed_back_fill_goes_on_where_it_was(
    url: str, empty: Database, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = history(PARCELS, FILL)
    monkeypatch.setenv("DIES_AFTER", "1000")
    target = empty.options.url.render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, str(directory), target)
    assert await process.wait() == 9
    assert await revisions.current(empty) == "r1"
    assert await scalar(empty, "SELECT done_to FROM migration_progress") == 1000
    monkeypatch.delenv("DIES_AFTER")
    await migrations.upgrade(empty)
    assert await scalar(empty, "SELECT count(*) FROM parcels WHERE n = id + 10000") == 6000
    assert await revisions.current(empty) == "r2"
    assert "migration_progress" not in await tables(empty)


async def test_two_migrators_and_a_writer_beside_an_index_that_waits(
    url: str, empty: Database, history: History, tmp_path: Path
) -> None:
    """On PostgreSQL building it CONCURRENTLY waits for every older transaction: a migrator that waits is in none."""
    history(PARCELS)
    await migrations.upgrade(empty)
    history(PARCELS, FILL, INDEX)
    async with (
        opened_database(url, tmp_path) as first,
        opened_database(url, tmp_path) as second,
        opened_database(url, tmp_path) as reader,
        asyncio.timeout(60),
        reader.engine.execution_options(isolation_level="SERIALIZABLE").connect() as older,
    ):
        if not empty.is_sqlite:
            await older.execute(sa.text("SELECT count(*) FROM parcels"))
        migrating = [asyncio.create_task(migrations.upgrade(one)) for one in (first, second)]
        written = 0
        while not all(task.done() for task in migrating):
            written += 1
            await write(empty, "INSERT INTO parcels SELECT max(id) + 20000, max(id) + 20000 FROM parcels")
            if not empty.is_sqlite and await scalar(
                empty,
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE UNIQUE INDEX CONCURRENTLY%' "
                "AND datname = current_database() AND wait_event_type = 'Lock'",
            ):
                assert await revisions.current(empty) == "r2"
                await write(empty, "UPDATE parcels SET n = n + 1 WHERE id = 26000")
                await write(empty, "UPDATE parcels SET n = n - 1 WHERE id = 26000")
                await older.rollback()
        await asyncio.gather(*migrating)
    assert written
    assert await index_is_valid(empty)
    assert await revisions.current(empty) == "r3"
    assert await scalar(empty, "SELECT count(*) FROM parcels WHERE id <= 6000 AND n = id + 10000") == 6000


async def test_a_change_of_a_table_steps_back_for_those_who_queue_behind_it(
    url: str, empty: Database, history: History, tmp_path: Path
) -> None:
    history(PARCELS)
    await migrations.upgrade(empty)
    history(PARCELS, COLUMN)
    if empty.is_sqlite:
        return
    async with opened_database(url, tmp_path) as other, asyncio.timeout(60):
        async with other.engine.begin() as holder:
            await holder.execute(sa.text("UPDATE parcels SET n = 0 WHERE id = 1"))
            migrating = asyncio.create_task(migrations.upgrade(other))
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%' AND wait_event_type = 'Lock' "
                "AND datname = current_database()"
            )
            while not await scalar(empty, waits):
                await write(empty, "UPDATE parcels SET n = -1 WHERE id = 3")
            # It queues up behind the change of the table, which gives up: the first transaction is still open.
            await write(empty, "UPDATE parcels SET n = -1 WHERE id = 2")
            assert not migrating.done()
        await migrating
    assert await scalar(empty, "SELECT count(colour) FROM parcels") == 0


async def test_what_refers_to_nothing_is_taken_back(empty: Database, history: History) -> None:
    """On SQLite foreign keys are off while a revision runs: rebuilding a table would delete what hangs on it."""
    child = (
        'op.create_table("children", sa.Column("id", sa.Integer(), sa.ForeignKey("parcels.id"), primary_key=True))\n'
        'op.execute("INSERT INTO children VALUES (1)")'
    )
    history(PARCELS, child, 'op.execute("DELETE FROM parcels WHERE id = 1")')
    with pytest.raises((RuntimeError, sa.exc.IntegrityError), match=r"refer to nothing|foreign key"):
        await migrations.upgrade(empty)
    assert await revisions.current(empty) == "r2"
    assert await scalar(empty, "SELECT count(*) FROM parcels") == 6000


async def test_a_migrator_waits_for_another_and_gives_up_in_the_end(
    url: str, empty: Database, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history(PARCELS)
    monkeypatch.setattr(migration_lock, "PATIENCE", 0.1)
    async with opened_database(url, tmp_path) as other, migration_lock.only_migrator(other):
        with pytest.raises(DatabaseUnavailable, match="Another process has been migrating"):
            await migrations.upgrade(empty)
    monkeypatch.undo()
    history(PARCELS, COLUMN)
    await migrations.upgrade(empty)
    assert await revisions.current(empty) == "r2"
