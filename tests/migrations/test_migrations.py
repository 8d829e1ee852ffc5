"""One history for both engines: up, the same as the models, down, and up again with rows."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection

from tests.conftest import Template, settings_for
from tradepost.bootstrap import METADATA, database_options, opened, prepare_database
from tradepost.core.database import migrations
from tradepost.core.database.engines import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def empty(template: Template, tmp_path: Path) -> AsyncIterator[Database]:
    """A database without a table."""
    database = Database(database_options(settings_for(await template.empty(), tmp_path)))
    yield database
    await database.close()


def differences(connection: Connection) -> list[object]:
    """Return what Alembic would change to make the database like the models."""
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


async def fill(database: Database) -> None:
    """Put a row into every table, each hanging on another."""
    tables = METADATA.tables
    times = {"created_at": NOW, "updated_at": NOW}
    async with database.transaction() as db:
        await db.execute(
            tables["users"].insert(),
            {
                "id": 1,
                "email": "a@example.com",
                "hashed_password": "x",
                "first_name": "A",
                "last_name": "B",
                "role": "user",
                "is_active": True,
                **times,
            },
        )
        await db.execute(
            tables["sessions"].insert(),
            {"id": 1, "user_id": 1, "counter": 0, "created_at": NOW, "rotated_at": NOW, "expires_at": NOW},
        )
        await db.execute(
            tables["account_tokens"].insert(),
            {
                "user_id": 1,
                "purpose": "verify_email",
                "nonce": "n",
                "token_hash": "h",
                "email": "a@example.com",
                "created_at": NOW,
                "expires_at": NOW,
            },
        )
        await db.execute(
            tables["categories"].insert(), {"id": 1, "name": "C", "slug": "c", "is_active": True, **times}
        )
        await db.execute(tables["tags"].insert(), {"name": "t", **times})
        await db.execute(
            tables["items"].insert(),
            {
                "id": 1,
                "title": "T",
                "price": Decimal("1.50"),
                "status": "active",
                "category_id": 1,
                "images": [],
                "views": 0,
                "owner_id": 1,
                "version": 1,
                **times,
            },
        )
        await db.execute(tables["item_tags"].insert(), {"item_id": 1, "tag": "t", "position": 0})
        await db.execute(tables["inboxes"].insert(), {"user_id": 1, "last_number": 1, "pruned_through": 0})
        await db.execute(
            tables["notifications"].insert(),
            {
                "user_id": 1,
                "number": 1,
                "kind": "k",
                "title": "T",
                "body": "B",
                "data": {},
                "created_at": NOW,
            },
        )
        await db.execute(
            tables["notification_preferences"].insert(),
            {"user_id": 1, "kind": "k", "email": False, "updated_at": NOW},
        )
        await db.execute(
            tables["messages"].insert(),
            {
                "type": "t",
                "subscription": "s",
                "channel": "c",
                "payload": {},
                "state": "pending",
                "attempts": 0,
                "created_at": NOW,
                "due_at": NOW,
                "expires_at": NOW,
            },
        )
        await db.execute(tables["jobs"].insert(), {"name": "j", "due_at": NOW})

        await db.execute(
            tables["webhooks"].insert(),
            {
                "id": 1,
                "user_id": 1,
                "slot": 1,
                "url": "https://example.com",
                "event_types": ["*"],
                "scope": "own",
                "is_active": True,
                "nonce": "n",
                **times,
            },
        )
        await db.execute(
            tables["webhook_deliveries"].insert(),
            {
                "webhook_id": 1,
                "message_id": "msg_1",
                "event_type": "t",
                "body": "{}",
                "state": "pending",
                "attempts": 0,
                "created_at": NOW,
            },
        )
        await db.execute(
            tables["files"].insert(),
            {
                "name": "f.png",
                "category": "items",
                "original_name": "F",
                "content_type": "image/png",
                "size": 1,
                "sha256": "0" * 64,
                "state": "stored",
                "owner_id": 1,
                "subject_id": 1,
                "created_at": NOW,
                "changed_at": NOW,
            },
        )
        await db.execute(tables["file_usage"].insert(), {"owner_id": 1, "files": 1, "bytes": 1})
        await db.execute(
            tables["file_variants"].insert(),
            {"file_id": 1, "recipe": "64x0-contain.webp", "key": "v.webp", "size": 0, "begun_at": NOW},
        )


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
    """Count the rows of every table."""
    async with database.read() as db:
        return {
            name: await db.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for name, table in METADATA.tables.items()
        }


async def test_the_history_leads_to_the_models(empty: Database) -> None:
    assert await migrations.current(empty) is None
    assert await migrations.upgrade(empty)
    assert await migrations.current(empty) == migrations.head()
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
    assert await migrations.current(empty) is None
    assert await migrations.upgrade(empty)
    assert set((await counts(empty)).values()) == {0}


async def test_domains_of_addresses_become_a_labels(empty: Database) -> None:
    """Of two accounts for one mailbox, which there could be before, the one in the old form stays as it is."""
    await migrations.upgrade(empty)
    await fill(empty)
    await migrations.downgrade(empty, "0007")
    users, tokens = METADATA.tables["users"], METADATA.tables["account_tokens"]
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


async def test_any_number_may_migrate_at_once(template: Template, tmp_path: Path) -> None:
    settings = settings_for(await template.empty(), tmp_path)

    async def prepare() -> bool:
        async with opened(settings) as resources:
            return await prepare_database(resources)

    changed = await asyncio.gather(*(prepare() for _ in range(6)))
    assert any(changed)
    async with opened(settings) as resources:
        assert (await counts(resources.database))["users"] == 1


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
        for name in ("users", "tags"):
            with operations.batch_alter_table(
                name, recreate=recreate, table_kwargs={"sqlite_autoincrement": True}
            ) as batch:
                batch.add_column(sa.Column("extra", sa.Integer()))

    await migrations.exclusively(empty, rebuild)
    assert set((await counts(empty)).values()) == {1}
    assert await add_tag(empty, "after") > newest
