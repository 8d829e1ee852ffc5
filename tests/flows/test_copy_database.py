"""The whole of a database, from one engine to the other and back: every row, every id, and what triggers make of them."""

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from tests.conftest import settings_for
from tests.flows.command_line import called
from tests.flows.live import API, environment, join, serving, tradepost
from tests.migrations.rows import ROWS
from tests.servers import PostgresServer
from tradepost.bootstrap import METADATA, opened, prepare_database
from tradepost.core.database import copying
from tradepost.core.database.copying import CopyRefused, DatabaseCopy
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.settings.database_url import async_url
from tradepost.seeding.loader import seed

DERIVED = ("item_counts", "item_count_changes")


def database(url: str) -> Database:
    return Database(DatabaseOptions(async_url(url)))


async def filled(url: str, directory: Path) -> None:
    """Make a marketplace with a row in every table, and ids that were given out and are gone."""
    async with opened(settings_for(url, directory)) as resources:
        await prepare_database(resources)
        await seed(
            resources.database, seed=7, users=30, items=300, events=5, append=True,
            environment=resources.settings.ENVIRONMENT, clock=resources.clock,
        )  # fmt: skip
        async with resources.database.transaction() as db:
            for table in METADATA.sorted_tables:
                if table.name in DERIVED or await db.scalar(
                    sa.select(sa.literal(1)).select_from(table).limit(1)
                ):
                    continue
                await db.execute(table.insert().values(ROWS[table.name]))
            # A child before its parent, by number; and a user who is gone, whose number nobody gets again.
            categories = METADATA.tables["categories"]
            first, *_, last = sorted(await db.scalars(sa.select(categories.c.id)))
            await db.execute(categories.update().where(categories.c.id == first).values(parent_id=None))
            parent = {"name": "Late", "slug": "late", "id": last + 1}
            row = dict(
                (await db.execute(sa.select(categories).where(categories.c.id == first))).one()._mapping
            )
            await db.execute(categories.insert().values(row | parent))
            await db.execute(categories.update().where(categories.c.id == first).values(parent_id=last + 1))
            users = METADATA.tables["users"]
            person = dict(ROWS["users"]) | {"id": 5000, "email": "gone@example.com"}
            await db.execute(users.insert().values(person))
            if resources.database.is_sqlite is False:
                await db.execute(sa.text("SELECT setval(pg_get_serial_sequence('users', 'id'), 5000)"))
            await db.execute(users.delete().where(users.c.id == 5000))


async def number_without_headers(url: str) -> int:
    keys = METADATA.tables["idempotency_keys"]
    there = database(url)
    async with there.read() as db:
        number = await db.scalar(sa.select(sa.func.count()).where(keys.c.headers.is_(None)))
    await there.close()
    return number or 0


async def test_from_sqlite_to_postgresql_and_back(tmp_path: Path, postgres: PostgresServer) -> None:
    first, second = (f"sqlite:///{tmp_path}/{name}.db" for name in ("first", "second"))
    between = await postgres.create_database("copied")
    await filled(first, tmp_path)
    for source, target in ((first, between), (between, second)):
        copied = await called("copy-database", source, target, env=environment(tmp_path))
        assert copied.status == 0, copied.output
        assert "items: 300 rows, the same in both" in copied.output
        # What triggers and search keep is right as well, and the next ids are new ones.
        env = environment(tmp_path, target)
        counted = await called("counts", env=env)
        assert counted.status == 0, counted.output
        again = await called("copy-database", source, target, env=environment(tmp_path))
        assert again.status == 1
        assert "The target is not empty" in again.output
        # Nothing is SQL's NULL in the copy too, not JSON's.
        assert await number_without_headers(target) == 1
    with serving(environment(tmp_path, second)) as server:
        await server.ready()
        async with server.client() as client:
            titles = (await client.get("/items/", params={"limit": 1})).json()["items"]
            found = await client.get("/items/search/", params={"q": titles[0]["title"].split()[0]})
            assert found.json()
            newcomer = await join(client, "new@example.com")
            assert newcomer.id > 5000
            assert (await client.get(f"{server.url}{API}/items/")).json()["total"] > 0


@pytest.mark.parametrize("breaks", ["items", "item_tags", "notifications"])
async def test_a_copy_that_breaks_off_goes_on(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    target = await postgres.create_database(f"broken_copy_{breaks}")
    await filled(source, tmp_path)
    monkeypatch.setattr(copying, "CHUNK", 50)
    here, there = database(source), database(target)
    told: dict[str, int] = {}
    copy = DatabaseCopy(here, there, tables=METADATA.sorted_tables, derived=DERIVED, tell=told.__setitem__)
    try:
        chunks = copying._chunks

        async def broken(connection: AsyncConnection, query: Any) -> AsyncGenerator[Sequence[Any]]:
            number = 0
            async with aclosing(chunks(connection, query)) as whole:
                async for rows in whole:
                    if query.get_final_froms()[0].name == breaks and number == (
                        1 if breaks == "items" else 0
                    ):
                        raise ConnectionResetError("the machine is gone")
                    number += 1
                    yield rows

        with monkeypatch.context() as patch:
            patch.setattr(copying, "_chunks", broken)
            with pytest.raises(ConnectionResetError):
                await copy.run()
        assert told == {}
        other = database(f"sqlite:///{tmp_path}/other.db")
        await filled(f"sqlite:///{tmp_path}/other.db", tmp_path / "x")
        wrong = DatabaseCopy(
            other, there, tables=METADATA.sorted_tables, derived=DERIVED, tell=told.__setitem__
        )
        with pytest.raises(CopyRefused, match="another database"):
            await wrong.run()
        await other.close()
        await copy.run()
        assert told["items"] == 300
        assert told.keys() == {table.name for table in METADATA.sorted_tables} - set(DERIVED)
    finally:
        await here.close()
        await there.close()


async def test_what_is_not_the_same_is_found(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("source", "target")]
    await filled(urls[0], tmp_path)
    here, there = map(database, urls)

    async def spoil() -> None:
        # Behind its back, after it was copied.
        async with there.transaction() as db:
            await db.execute(
                sa.text("UPDATE items SET description = 'other' WHERE id = (SELECT max(id) FROM items)")
            )

    class Spoilt(DatabaseCopy):
        @override
        async def _compare(self, source: AsyncConnection, table: sa.Table) -> None:
            if table.name == "items":
                await spoil()
            await super()._compare(source, table)

    try:
        with pytest.raises(CopyRefused, match="items is not the same: 300 rows"):
            await Spoilt(
                here, there, tables=METADATA.sorted_tables, derived=DERIVED, tell=lambda *_: None
            ).run()
    finally:
        await here.close()
        await there.close()


async def test_addresses_that_make_no_sense(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    env = environment(tmp_path)
    same = await tradepost("copy-database", url, url, env=env)
    assert (same.status, same.output) == (1, "Error: FROM and TO are the same database\n")
    for wrong in ("mysql://h/d", "sqlite://"):
        refused = await called("copy-database", url, wrong, env=env)
        assert refused.status == 2
    for _ in range(2):  # a file that the first had made would be found by the second
        missing = await called("copy-database", url, f"sqlite:///{tmp_path}/y.db", env=env)
        assert (missing.status, "There is no database in FROM" in missing.output) == (1, True)
    with closing(sqlite3.connect(tmp_path / "x.db")) as made:
        made.execute("PRAGMA user_version = 1")
    empty = await called("copy-database", url, f"sqlite:///{tmp_path}/y.db", env=env)
    assert empty.status == 1
    assert "The source's schema is at None" in empty.output
