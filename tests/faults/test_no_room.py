"""A database without room for writes: refused as passing, told by ``/readyz``, and well again by itself."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.conftest import Person, World, world_on
from tradepost.core.database.faults import translate
from tradepost.core.errors import DatabaseUnavailable

FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$
"""


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The module's application: its SQLite file has no free pages that earlier tests left."""
    async with world_on(database_url, tmp_path_factory.mktemp("data")) as world:
        yield world


async def run(world: World, *statements: str) -> None:
    async with world.database.transaction() as db:
        for statement in statements:
            await db.execute(text(statement))


async def checks(client: httpx.AsyncClient) -> dict[str, str]:
    answer = await client.get("/readyz")
    assert answer.status_code == 200, "what only reads is answered as ever"
    return {name: check["status"] for name, check in answer.json()["checks"].items()}


async def test_a_full_disk_is_told_while_every_write_fails(
    world: World, client: httpx.AsyncClient, alice: Person
) -> None:
    item = {"title": "Lamp", "price": 5, "description": "x" * 1000}
    assert (await checks(client))["writes"] == "ok"
    if world.engine == "sqlite":
        async with world.database.transaction() as db:
            pages = await db.scalar(text("PRAGMA page_count"))
        await run(world, f"PRAGMA max_page_count = {pages}")
    else:
        await run(world, FULL, "CREATE TRIGGER no_room BEFORE INSERT ON items EXECUTE FUNCTION full_disk()")
    try:
        refused = await alice.api.post("/api/v1/items/", json=item)
        for _ in range(200):
            if refused.status_code != 201:
                break
            refused = await alice.api.post("/api/v1/items/", json=item)
        assert (refused.status_code, refused.json()["error_code"]) == (503, "DATABASE_ERROR")
        assert refused.headers["retry-after"]
        assert (await checks(client))["writes"] == "failed"
    finally:
        if world.engine == "sqlite":
            await run(world, "PRAGMA max_page_count = 1073741823")
        else:
            await run(world, "DROP TRIGGER no_room ON items", "DROP FUNCTION full_disk")
    assert (await alice.api.post("/api/v1/items/", json=item)).status_code == 201
    assert (await checks(client))["writes"] == "ok"


@pytest.mark.parametrize("statement", ["SELECT 1 FROM no_such_table", "SELECT no_such_column FROM users"])
async def test_a_schema_that_is_yet_to_come_is_passing_on_both_engines(world: World, statement: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        await run(world, statement)
    assert isinstance(translate(caught.value), DatabaseUnavailable)
