"""One history for both engines: up, the same as the models, down, and up again with rows."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection

from tests.conftest import COUNTS, Template, settings_for
from tests.migrations.rows import NOW, ROWS
from tradepost.bootstrap import METADATA, database_options, opened, prepare_database
from tradepost.core.database import migrations, revisions
from tradepost.core.database.autogenerate import check_differences, is_declared
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.database.sort_keys import key_columns
from tradepost.items.counting import ItemCounting


@pytest_asyncio.fixture
async def empty(template: Template, tmp_path: Path) -> AsyncIterator[Database]:
    """A database without a table."""
    database = Database(database_options(settings_for(await template.empty(), tmp_path)))
    yield database
    await database.close()


def differences(connection: Connection) -> list[object]:
    """Return what Alembic would change to make the database like the models."""
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": is_declared,
    }
    compared = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    # Alembic looks at no CHECK, such as that of an enum which got a value.
    return [*compared, *check_differences(connection, METADATA)]


async def fill(database: Database) -> None:
    """Put a row into every table."""
    assert set(ROWS) == set(METADATA.tables)
    async with database.transaction() as db:
        for table in METADATA.sorted_tables:
            await db.execute(table.insert(), ROWS[table.name])


async def add_tag(database: Database, name: str) -> int:
    """Insert a tag and return the id that the database gave it."""
    tags = METADATA.tables["tags"]
    async with database.transaction() as db:
        given = await db.scalar(
            tags.insert().values(name=name, created_at=NOW, updated_at=NOW).returning(tags.c.id)
        )
    assert isinstance(given, int)
    return given


async def counts(database: Database) -> dict[str, int]:
    """Count the rows of every table but those that triggers write."""
    async with database.read() as db:
        return {
            name: await db.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for name, table in METADATA.tables.items()
            if name not in COUNTS
        }


async def test_the_history_leads_to_the_models(empty: Database) -> None:
    assert await revisions.current(empty) is None
    assert await migrations.upgrade(empty)
    assert await revisions.current(empty) == revisions.head()
    assert not await migrations.upgrade(empty), "at the head there is nothing to do"
    async with empty.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_difference_would_be_seen(empty: Database) -> None:
    await migrations.upgrade(empty)
    await migrations.exclusively(
        empty, lambda connection: connection.execute(sa.text("DROP TABLE item_tags"))
    )
    async with empty.engine.connect() as connection:
        assert await connection.run_sync(differences) != []


async def test_down_and_up_again_with_rows(empty: Database) -> None:
    await migrations.upgrade(empty)
    await fill(empty)
    assert set((await counts(empty)).values()) == {1}
    await migrations.downgrade(empty, "base")
    assert await revisions.current(empty) is None
    assert await migrations.upgrade(empty)
    assert set((await counts(empty)).values()) == {0}


async def test_domains_of_addresses_become_a_labels(empty: Database) -> None:
    """Of two accounts for one mailbox, which there could be before, the one in the old form stays as it is."""
    await migrations.upgrade(empty)
    await fill(empty)
    await migrations.downgrade(empty, "0007")
    known, tokens = METADATA.tables["users"].columns, METADATA.tables["account_tokens"]
    later = {*key_columns(METADATA.tables["users"]), "version"}
    columns = (column for column in known if column.name not in later)
    users = sa.table("users", *(sa.column(column.name, column.type) for column in columns))
    old = ["a@bücher.example", "b@bücher.example", "b@xn--bcher-kva.example", "ü@example.com"]
    async with empty.transaction() as db:
        row = dict((await db.execute(sa.select(users))).mappings().one())
        await db.execute(
            users.insert(), [row | {"id": 10 + at, "email": email} for at, email in enumerate(old)]
        )
        await db.execute(tokens.update().values(user_id=10, email=old[0]))
    await migrations.upgrade(empty)

    async def addresses() -> list[str]:
        async with empty.read() as db:
            return list(await db.scalars(sa.select(users.c.email).where(users.c.id > 9).order_by(users.c.id)))

    assert await addresses() == ["a@xn--bcher-kva.example", *old[1:]]
    async with empty.read() as reading:
        assert await reading.scalar(sa.select(tokens.c.email)) == "a@xn--bcher-kva.example"
    await migrations.downgrade(empty, "0007")
    assert await addresses() == old


async def test_what_was_there_gets_its_sort_keys(empty: Database) -> None:
    await migrations.upgrade(empty)
    await fill(empty)
    await migrations.downgrade(empty, "0013")
    await migrations.upgrade(empty)
    async with empty.read() as db:
        for name, wanted in (
            ("users", {"email_key": "a@example.com", "first_name_key": "a", "last_name_key": "b"}),
            ("tags", {"name_key": "t"}),
            ("categories", {"name_key": "c"}),
        ):
            row = (await db.execute(sa.select(METADATA.tables[name]))).mappings().one()
            assert {key: row[key] for key in wanted} == wanted


async def test_every_step_is_taken_with_rows(empty: Database) -> None:
    """Whatever a step does, it does to tables that are in use: down and up again, from the newest to the oldest."""
    await migrations.upgrade(empty)
    await fill(empty)
    at = revisions.head()
    while at is not None:
        await migrations.downgrade(empty, "-1")
        below = await revisions.current(empty)
        await migrations.upgrade(empty, at)
        await migrations.downgrade(empty, "-1")
        at = below


async def test_items_that_were_there_are_counted_once(empty: Database) -> None:
    """Those from before the triggers, and those that were written between the triggers and the first count."""
    await migrations.upgrade(empty)
    await fill(empty)
    await migrations.downgrade(empty, "0010")
    await migrations.upgrade(empty, "0011")
    links = METADATA.tables["item_tags"]
    async with empty.transaction() as db:
        row = dict((await db.execute(sa.text("SELECT * FROM items"))).mappings().one())
        names = ", ".join(row)
        values = ", ".join("2" if name == "id" else "'draft'" if name == "status" else name for name in row)
        await db.execute(sa.text(f"INSERT INTO items ({names}) SELECT {values} FROM items"))  # noqa: S608 - our own
        await db.execute(links.insert(), ROWS["item_tags"] | {"item_id": 2})
    await migrations.upgrade(empty)
    counting = ItemCounting(empty)
    assert await counting.differences() == []
    await counting.fold()
    kept = METADATA.tables["item_counts"]
    async with empty.transaction() as db:
        found = await db.execute(sa.select(kept.c.dimension, kept.c.key, kept.c.status, kept.c.n))
        assert sorted(map(tuple, found)) == [
            (dimension, key, status, 1)
            for dimension, key in (("all", ""), ("category", "1"), ("owner", "1"), ("tag", "t"))
            for status in ("active", "draft")
        ]


async def test_any_number_may_migrate_at_once(template: Template, tmp_path: Path) -> None:
    settings = settings_for(await template.empty(), tmp_path)

    async def prepare() -> bool:
        async with opened(settings) as resources:
            return await prepare_database(resources)

    changed = await asyncio.gather(*(prepare() for _ in range(6)))
    assert changed.count(True) == 1
    async with opened(settings) as resources:
        assert (await counts(resources.database))["users"] == 1


async def test_a_migration_of_sqlite_waits_longer_than_a_request(tmp_path: Path) -> None:
    """Behind other processes that migrate, on a busy machine; a transaction of the API gives up much earlier."""
    path = tmp_path / "busy.db"
    url = sa.make_url(f"sqlite+aiosqlite:///{path}")
    database = Database(DatabaseOptions(url=url, pool_timeout=0.1))
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            async with database.transaction() as db:
                await db.execute(sa.text("SELECT 1"))
        migrating = asyncio.create_task(migrations.upgrade(database))
        done, _ = await asyncio.wait([migrating], timeout=0.6)
        assert not done
        other.execute("ROLLBACK")
        assert await migrating
        assert await revisions.current(database) == revisions.head()
    finally:
        other.close()
        await database.close()


async def test_a_failed_migration_leaves_nothing_behind(empty: Database) -> None:
    def half(connection: Connection) -> None:
        connection.execute(sa.text("CREATE TABLE half (id INTEGER)"))
        raise ValueError("stop here")

    with pytest.raises(ValueError, match="stop here"):
        await migrations.exclusively(empty, half)
    async with empty.read() as db:
        connection = await db.connection()
        assert not await connection.run_sync(lambda bound: sa.inspect(bound).has_table("half"))


async def test_rebuilding_a_parent_keeps_its_children_and_its_next_id(empty: Database) -> None:
    """What Alembic's batch mode does on SQLite: without care the children cascade away and an old id comes back."""
    await migrations.upgrade(empty)
    await fill(empty)
    tables = METADATA.tables
    newest = await add_tag(empty, "newest")
    async with empty.transaction() as db:
        await db.execute(tables["tags"].delete().where(tables["tags"].c.id == newest))

    def rebuild(connection: Connection) -> None:
        operations = Operations(MigrationContext.configure(connection, opts={"target_metadata": METADATA}))
        recreate: Literal["always", "never"] = "always" if connection.dialect.name == "sqlite" else "never"
        for name in ("users", "tags", "items"):
            with operations.batch_alter_table(
                name, recreate=recreate, table_kwargs={"sqlite_autoincrement": True}
            ) as batch:
                batch.add_column(sa.Column("extra", sa.Integer()))

    before = await triggers(empty)
    await migrations.exclusively(empty, rebuild)
    assert set((await counts(empty)).values()) == {1}
    assert await add_tag(empty, "after") > newest
    # What SQLite drops with the old table is there again, and works: the last item of its owner counts no more.
    assert await triggers(empty) == before
    async with empty.transaction() as db:
        await db.execute(tables["users"].delete())
    async with empty.read() as reading:
        assert set(await reading.scalars(sa.select(sa.func.sum(tables["item_counts"].c.n)))) <= {0, 3}


@pytest.mark.parametrize("spelt", ["DROP TRIGGER {}", 'drop trigger if exists "{}"'])
async def test_a_trigger_that_a_rebuilding_migration_drops_stays_away(empty: Database, spelt: str) -> None:
    if not empty.is_sqlite:
        pytest.skip("PostgreSQL rebuilds no table")
    await migrations.upgrade(empty)

    def rebuild(connection: Connection) -> None:
        connection.execute(sa.text(spelt.format("item_counts_added")))
        operations = Operations(MigrationContext.configure(connection, opts={"target_metadata": METADATA}))
        with operations.batch_alter_table(
            "items", recreate="always", table_kwargs={"sqlite_autoincrement": True}
        ) as batch:
            batch.add_column(sa.Column("extra", sa.Integer()))

    before = await triggers(empty)
    await migrations.exclusively(empty, rebuild)
    assert await triggers(empty) == [name for name in before if name != "item_counts_added"]


async def triggers(database: Database) -> list[Any]:
    """Return the names of the triggers of all tables."""
    names = "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    if not database.is_sqlite:
        names = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname, tgrelid"
    async with database.read() as db:
        return list(await db.scalars(sa.text(names)))
