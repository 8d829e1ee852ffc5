"""A newer version has migrated the database already: this one's replicas serve until they are replaced."""

from pathlib import Path

import alembic.command
import pytest
import pytest_asyncio
from alembic.util import CommandError
from sqlalchemy import text

from tests.conftest import Template, settings_for, world_on
from tests.flows.command_line import called
from tests.flows.live import environment
from tradepost.bootstrap import database_options
from tradepost.core.database import revisions
from tradepost.core.database.engines import Database

NEWER = "fffffffffff1"


async def stamp(url: str, directory: Path, revision: str) -> None:
    """Have the database say that it is at ``revision``."""
    database = Database(database_options(settings_for(url, directory)))
    try:
        async with database.transaction() as db:
            await db.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    finally:
        await database.close()


@pytest_asyncio.fixture
async def url(template: Template, tmp_path: Path) -> str:
    """A database at a revision that this code does not know."""
    url = await template.copy()
    await stamp(url, tmp_path, NEWER)
    return url


async def test_an_old_replica_stays_ready_and_a_restarted_one_becomes_it(url: str, tmp_path: Path) -> None:
    async with world_on(url, tmp_path) as world, world.caller() as client:
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/api/v1/items/")).status_code == 200


async def test_an_older_schema_is_not_ready(template: Template, tmp_path: Path) -> None:
    url = await template.empty()
    values = {"ENVIRONMENT": "staging", "FIRST_SUPERUSER_PASSWORD": "Uncommon1"}
    async with world_on(url, tmp_path, **values) as world, world.caller() as client:
        assert (await client.get("/readyz")).status_code == 503


async def test_the_commands_leave_it_as_it_is(url: str, tmp_path: Path) -> None:
    env = environment(tmp_path, url)
    migrated = await called("migrate", env=env)
    assert migrated.status == 0
    # A line of the log may come before it.
    assert migrated.output.endswith(f"At {NEWER} already, by a newer version than this one\n")
    made = await called("create-admin", "boss@example.com", "--password", "Secret123", env=env)
    assert made.status == 0, made.output


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
async def test_what_alembic_has_against_a_migration_is_one_sentence(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CommandError("Multiple head revisions are present")

    monkeypatch.setattr(alembic.command, "upgrade", refuse)
    refused = await called("migrate", env=environment(tmp_path, await template.empty()))
    assert refused.status == 1
    assert refused.output == "Error: The database cannot be migrated: Multiple head revisions are present\n"


def test_what_is_newer() -> None:
    assert revisions.is_newer(NEWER)
    assert not revisions.is_newer(revisions.head())
    assert not revisions.suits(None)
