"""The texts that search looks into follow the items, whoever changed them."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select, update

from tests.conftest import Person, World
from tests.items.market import ITEMS, SEARCH, change, new_category, sell, set_columns, titles
from tradepost.core.wire import folding
from tradepost.items import indexing
from tradepost.items.indexing import ItemIndexer
from tradepost.items.models import Item, ItemText, TextRule
from tradepost.items.repository import texts as statements
from tradepost.items.texts import Facts


async def texts_of(world: World, item: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return title, tags and description as search has them."""
    async with world.database.read() as db:
        row = (
            await db.execute(
                select(ItemText.title, ItemText.tags, ItemText.description).where(
                    ItemText.item_id == item["id"]
                )
            )
        ).first()
        return None if row is None else (row[0], row[1], row[2])


async def state_of(world: World, item: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the sort key of the title, and whether search is up to date with the item."""
    async with world.database.read() as db:
        key, indexed, version = (
            await db.execute(
                select(Item.title_key, Item.indexed_version, Item.version).where(Item.id == item["id"])
            )
        ).one()
        return key, indexed == version


async def refresh(world: World) -> int:
    return await world.resources[ItemIndexer].refresh()


async def test_a_new_item_is_indexed_with_it(world: World, alice: Person) -> None:
    item = await sell(alice, "Café Lamp", description="Old, but works", tags=["brass", "desk lamp"])
    assert await texts_of(world, item) == ("cafe lamp", "brass \n desk lamp", "old but works \n ¤2c")
    assert await state_of(world, item) == ("cafe lamp", True)
    assert await refresh(world) == 0


async def test_a_change_is_indexed_with_it(world: World, alice: Person) -> None:
    item = await sell(alice, "Lamp", description="Old", tags=["brass"])
    await change(alice, item, title="Émail")
    assert await texts_of(world, item) == ("email", "brass", "old")
    assert await state_of(world, item) == ("email", True)
    await change(alice, item, tags=["red"])
    await change(alice, item, description=None)
    await change(alice, item, price=12)
    assert await texts_of(world, item) == ("email", "red", "")
    assert await state_of(world, item) == ("email", True)
    assert await refresh(world) == 0


async def test_what_was_written_without_texts_is_indexed_later(world: World, alice: Person) -> None:
    unseen, changed = await sell(alice, "Lamp"), await sell(alice, "Chair", tags=["oak"])
    async with world.database.transaction() as db:
        await db.execute(delete(ItemText).where(ItemText.item_id == unseen["id"]))
        await db.execute(
            update(Item).where(Item.id == unseen["id"]).values(title_key="", indexed_version=None)
        )
    await set_columns(world, changed, title="Table", version=2)
    # A change of something else does not pretend that the texts are those of this version.
    await change(alice, changed, price=3)
    assert await state_of(world, changed) == ("chair", False)
    assert await refresh(world) == 2
    assert await texts_of(world, unseen) == ("lamp", "", "")
    assert await texts_of(world, changed) == ("table", "oak", "")
    assert await state_of(world, unseen) == ("lamp", True)
    assert await state_of(world, changed) == ("table", True)
    assert await refresh(world) == 0


async def test_a_renamed_tag_is_followed(world: World, alice: Person, moderator: Person) -> None:
    item = await sell(alice, "Lamp", tags=["brass", "old"])
    tags = (await moderator.api.get("/api/v1/tags/")).json()["tags"]
    tag_id = next(tag["id"] for tag in tags if tag["name"] == "brass")
    answer = await moderator.api.patch(f"/api/v1/tags/{tag_id}", json={"name": "copper"})
    assert answer.status_code == 200, answer.text
    assert await refresh(world) == 1
    assert await texts_of(world, item) == ("lamp", "copper \n old", "")


async def test_a_moved_category_changes_no_text(world: World, alice: Person, admin: Person) -> None:
    source, target = await new_category(admin, "Source"), await new_category(admin, "Target")
    await sell(alice, "Lamp", category_id=source["id"])
    answer = await admin.api.delete(f"/api/v1/categories/{source['id']}?move_to={target['id']}")
    assert answer.status_code == 200, answer.text
    assert await refresh(world) == 0


async def test_a_new_rule_has_everything_made_anew(
    world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 2)
    items = [await sell(alice, f"Lamp {number}") for number in range(5)]
    assert await refresh(world) == 0
    for module in (folding, indexing, statements):
        monkeypatch.setattr(module, "RULE", folding.RULE + 1)
    monkeypatch.setattr(
        statements,
        "text_row",
        lambda item_id, **_texts: {"item_id": item_id, "title": "new", "tags": "", "description": ""},
    )
    async with world.database.transaction() as db:
        await db.execute(update(TextRule).values(rule=TextRule.rule, through=items[1]["id"]))
    assert await refresh(world) == 3, "it goes on where an earlier run ended"
    assert await texts_of(world, items[1]) == ("lamp 1", "", "")
    assert await texts_of(world, items[4]) == ("new", "", "")
    assert await refresh(world) == 0
    assert await world.resources[ItemIndexer].rebuild() == 5
    assert await texts_of(world, items[0]) == ("new", "", "")


async def facts_of(world: World, item: dict[str, Any]) -> tuple[str | None, str]:
    """Return the facts that search has of an item, and those that it should have."""
    async with world.database.read() as db:
        columns = (Item.status, Item.owner_id, Item.category_id, Item.price)
        row = (await db.execute(select(*columns).where(Item.id == item["id"]))).one()
        kept = select(ItemText.facts).where(ItemText.item_id == item["id"])
        return await db.scalar(kept), Facts(*row).words()


async def test_facts_follow_every_writer(world: World, alice: Person, bob: Person, admin: Person) -> None:
    category = await new_category(admin, "Light")
    item = await sell(alice, price=12)
    assert await facts_of(world, item) == (f"\u00a7sactive \u00a7o{alice.id} \u00a7p4",) * 2
    await change(alice, item, status="draft", category_id=category["id"], title="Lamp 2")
    kept, wanted = await facts_of(world, item)
    assert kept == wanted == f"\u00a7sdraft \u00a7o{alice.id} \u00a7c{category['id']} \u00a7p4"
    # The previous release knows nothing of facts.
    changes: tuple[dict[str, Any], ...] = (
        {"status": "active"},
        {"category_id": None},
        {"owner_id": bob.id},
        *({"price": Decimal(price)} for price in ("0.01", "2.49", "2.5", "999.99", "1000", "99999999.99")),
    )
    for columns in changes:
        await set_columns(world, item, **columns, version=Item.version + 1)
        kept, wanted = await facts_of(world, item)
        assert kept == wanted, columns
    async with world.database.transaction() as db:
        await db.execute(delete(ItemText).where(ItemText.item_id == item["id"]))
    await refresh(world)
    kept, wanted = await facts_of(world, item)
    assert kept == wanted


async def test_search_hides_at_once_what_the_previous_release_hides(
    world: World, client: httpx.AsyncClient, alice: Person
) -> None:
    item = await sell(alice, "Hidden lamp")
    assert await titles(client, SEARCH, q="lamp") == ["Hidden lamp"]
    await set_columns(world, item, status="draft", version=Item.version + 1)
    for path in (SEARCH, ITEMS):
        assert await titles(client, path, q="lamp") == []
        assert await titles(alice.api, path, q="lamp") == ["Hidden lamp"]
