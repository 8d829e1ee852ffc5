"""Sort keys follow the texts that they are of, and those that an earlier release left behind are mended."""

from typing import Any, cast

import httpx
import pytest
from sqlalchemy import Table, insert, select, update

from tests.conftest import Person, World
from tradepost.accounts.models import User
from tradepost.categories.models import Category
from tradepost.core.database import sort_keys
from tradepost.core.database.sort_keys import SortKeys, key_columns
from tradepost.core.wire.folding import sort_key
from tradepost.items.models import Item
from tradepost.tags.models import Tag

V1 = "/api/v1"


async def keys_of(world: World, model: Any) -> set[tuple[str, str]]:
    """Return every text of a table that has a key, with its key."""
    columns = key_columns(cast("Table", model.__table__))
    async with world.database.read() as db:
        rows = (await db.execute(select(model.__table__))).mappings().all()
    return {(row[source], row[key]) for row in rows for key, source in columns.items()}


async def test_every_writer_makes_them(
    world: World, alice: Person, moderator: Person, admin: Person, client: httpx.AsyncClient
) -> None:
    new = {"email": "Zoë@example.com", "password": "Tradepost1", "first_name": "ZOË", "last_name": "O'Brien"}
    assert (await client.post(f"{V1}/auth/register", json=new)).status_code == 200
    await alice.api.put(f"{V1}/users/me", json={"last_name": "Ångström"})
    await alice.api.post(f"{V1}/items/", json={"title": "ÉCLAIR", "price": 1, "tags": ["Déjà", "Vu"]})
    tag = (await moderator.api.post(f"{V1}/tags/", json={"name": "Ärger"})).json()
    await moderator.api.patch(f"{V1}/tags/{tag['id']}", json={"name": "Übel"})
    category = (await admin.api.post(f"{V1}/categories/", json={"name": "Ñandú"})).json()
    await admin.api.patch(f"{V1}/categories/{category['id']}", json={"name": "Ærø"})
    for model, some in (
        (User, {("Ångström", "angstrom"), ("O'Brien", "o'brien")}),
        (Tag, {("déjà", "deja"), ("vu", "vu"), ("übel", "ubel")}),
        (Category, {("Ærø", "aero")}),
        (Item, {("ÉCLAIR", "eclair")}),
    ):
        found = await keys_of(world, model)
        assert some <= found
        assert all(key == sort_key(text) for text, key in found)


@pytest.mark.parametrize("batch", [1, 2, 1000])
async def test_what_an_earlier_release_wrote_is_mended(
    world: World, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(sort_keys, "BATCH", batch)
    now = world.clock.now()
    table = cast("Table", Tag.__table__)
    names = ["Zebra", "äpfel", "birne"]
    async with world.database.transaction() as db:
        await db.execute(
            insert(table), [{"name": name, "created_at": now, "updated_at": now} for name in names]
        )
        # Inserted without the column, and renamed without it.
        await db.execute(update(table).where(table.c.name == "Zebra").values(name_key=""))
        await db.execute(update(table).where(table.c.name == "birne").values(name="Olive"))
    keys = SortKeys(world.database, table)
    assert await keys.mend() == 2
    assert await keys_of(world, Tag) == {("Zebra", "zebra"), ("äpfel", "apfel"), ("Olive", "olive")}
    assert await keys.mend() == 0
