"""The whole way to the newest schema beside the previous release, whose writes go on: nothing of them is lost or miscounted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from tests.conftest import Template, settings_for
from tests.flows.live import eventually
from tests.migrations.rows import ROWS
from tradepost.bootstrap import METADATA, database_options
from tradepost.core.database import migrations, revisions
from tradepost.core.database.engines import Database
from tradepost.core.search.vocabulary import Vocabulary
from tradepost.core.wire.folding import sort_key
from tradepost.items.counting import ItemCounting
from tradepost.items.indexing import ItemIndexer
from tradepost.items.texts import Facts, text_row

BEFORE = "0008"
"""The revision that the previous release knows."""
ITEMS = 1500
KNOWN = {
    "items": tuple(ROWS["items"].keys() - {"title_key", "indexed_version"}),
    "users": tuple(ROWS["users"].keys() - {"email_key", "first_name_key", "last_name_key"}),
    "tags": ("name", "created_at", "updated_at"),
    "categories": ("id", "name", "slug", "is_active", "created_at", "updated_at"),
}
TITLES = ("Lámpe", "ZEBRA", "ｗｉｄｅ", "椅子", "plain")


@pytest_asyncio.fixture
async def old(template: Template, tmp_path: Path) -> AsyncIterator[Database]:
    """A database as the previous release left it, with items."""
    database = Database(database_options(settings_for(await template.empty(), tmp_path)))
    await migrations.upgrade(database, BEFORE)
    async with database.transaction() as db:
        await db.execute(known("users"), row("users"))
        await db.execute(known("categories"), row("categories"))
        await db.execute(known("tags"), [row("tags", name=name) for name in ("t", "u")])
        await db.execute(known("items"), [item(at) for at in range(1, ITEMS + 1)])
        await db.execute(
            LINK, [{"item_id": at, "tag": "tu"[at % 2], "position": 0} for at in range(1, ITEMS + 1)]
        )
    yield database
    await database.close()


def known(table: str) -> sa.Insert:
    """Return an INSERT of the columns that the previous release knows."""
    types = METADATA.tables[table].c
    # Not the table itself, whose newer columns have defaults.
    return sa.insert(sa.table(table, *(sa.column(name, types[name].type) for name in KNOWN[table])))


def row(table: str, **values: Any) -> dict[str, Any]:
    return {name: (ROWS[table] | values)[name] for name in KNOWN[table]}


def item(at: int) -> dict[str, Any]:
    return row("items", id=at, title=f"{TITLES[at % 5]} {at}", status=("active", "draft")[at % 7 == 0])


LINK = sa.insert(METADATA.tables["item_tags"])


async def write_as_before(database: Database, at: int) -> None:
    """Do what the previous release does with items: put one up, change one, delete one."""
    async with database.transaction() as db:
        await db.execute(known("items"), item(at))
        await db.execute(LINK, {"item_id": at, "tag": "t", "position": 0})
        for statement in (
            "UPDATE items SET title = 'Changed', version = version + 1 WHERE id = :other",
            "UPDATE items SET status = 'inactive', version = version + 1 WHERE id = :other + 1",
            "UPDATE items SET views = views + 1 WHERE id = :other + 2",
            "DELETE FROM item_tags WHERE item_id = :other + 3",
            "DELETE FROM items WHERE id = :other + 4",
        ):
            await db.execute(sa.text(statement), {"other": at % ITEMS})


async def test_the_previous_release_writes_on_while_its_database_is_migrated(old: Database) -> None:
    other = Database(old.options)
    migrating = asyncio.create_task(migrations.upgrade(other))
    at = ITEMS
    while not migrating.done():
        at += 1
        await write_as_before(old, at)
        await asyncio.sleep(0.01)
    await migrating
    await other.close()
    assert await revisions.current(old) == revisions.head()
    for _ in range(5):
        at += 1
        await write_as_before(old, at)

    await ItemIndexer(old, Vocabulary()).refresh()
    await ItemCounting(old).fold()
    assert await ItemCounting(old).differences() == []
    tables = METADATA.tables
    items, links, texts = tables["items"], tables["item_tags"], tables["item_texts"]
    async with old.read() as db:
        found = (await db.execute(sa.select(items).order_by(items.c.id))).mappings().all()
        tags = {link.item_id: [link.tag] for link in await db.execute(sa.select(links))}
        kept = {text["item_id"]: dict(text) for text in (await db.execute(sa.select(texts))).mappings()}
    assert len(found) > ITEMS / 2
    assert {one["id"] for one in found} >= {at, at - 1}
    for one in found:
        assert one["title_key"] == sort_key(one["title"])
        assert one["indexed_version"] == one["version"]
        wanted = text_row(
            one["id"],
            title=one["title"],
            description=one["description"],
            tags=tags.get(one["id"], []),
            facts=Facts(one["status"], one["owner_id"], one["category_id"], one["price"]),
        )
        # Columns that later revisions added to the texts are made of these.
        assert {name: kept[one["id"]][name] for name in wanted} == wanted
    assert set(kept) == {one["id"] for one in found}


async def test_a_writer_of_links_gets_at_the_texts_while_a_migration_waits_for_it(old: Database) -> None:
    """Else each would wait for the other, the migration would give way, and beside many writers never come to its end."""
    if old.is_sqlite:
        pytest.skip("it has one writer")
    await migrations.upgrade(old, "0035")
    other = Database(old.options)
    waits = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'item_tags'::regclass")
    async with old.transaction() as db:
        await db.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
        await db.execute(LINK, {"item_id": 1, "tag": "t", "position": 1})

        async def waits_for_it() -> bool:
            return bool(await db.scalar(waits))

        migrating = asyncio.create_task(migrations.upgrade(other, "0036"))
        await eventually(waits_for_it)
        await db.execute(sa.text("UPDATE item_texts SET title = 'changed' WHERE item_id = 1"))
    await migrating
    await other.close()
