"""Many rows by one statement: the values that come back are those that went in, on both engines."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

import pytest
from sqlalchemy import Table, event, func, select
from sqlalchemy.exc import IntegrityError

from tests.conftest import Person, World
from tradepost.core.database.many_rows import insert_many
from tradepost.core.idempotency.models import IdempotencyKey
from tradepost.core.search.vocabulary import SearchWord
from tradepost.items.models import Item
from tradepost.items.schemas import ItemStatus

ITEMS: Final = cast("Table", Item.__table__)
WORDS: Final = cast("Table", SearchWord.__table__)
MOMENT: Final = datetime(2026, 2, 28, 23, 59, 59, 999_999, UTC)


def item(number: int, owner: Person) -> dict[str, Any]:
    return {
        "title": f"Ünïcode \U0001f600 'quoted' {number}",
        "description": None if number % 2 else "a\nb\\c{1,2}",
        "price": Decimal("9999999999.99") - number,
        "discount_price": None if number % 3 else Decimal("0.01"),
        "tax": Decimal("7.25"),
        "status": ItemStatus.DRAFT,
        "category_id": None,
        "images": ["/one.png", 'of "two"'],
        "views": number,
        "owner_id": owner.id,
        "version": 1,
        "title_key": "k",
        "created_at": MOMENT + timedelta(microseconds=number),
        "updated_at": MOMENT,
    }


@pytest.mark.parametrize("number", [1, 2, 501])
async def test_every_kind_of_value_comes_back(world: World, alice: Person, number: int) -> None:
    rows = [item(at, alice) for at in range(number)]
    async with world.database.transaction() as db:
        made = await insert_many(db, ITEMS, rows, returning=("id", "created_at"))
    by_moment = {moment: item_id for item_id, moment in made}
    assert len(set(by_moment.values())) == number
    async with world.database.read() as db:
        found = {row["id"]: row for row in (await db.execute(select(ITEMS))).mappings()}
    for row in rows:
        stored = found[by_moment[row["created_at"]]]
        assert {name: stored[name] for name in row} == row
        # What no row names is null, or what the database has for it.
        assert stored["indexed_version"] is None


async def test_no_rows_are_no_statement(world: World) -> None:
    async with world.database.transaction() as db:
        assert await insert_many(db, ITEMS, [], returning=("id",)) == []


async def test_what_conflicts_is_passed_over_if_one_says_so(world: World) -> None:
    words = [{"piece": "", "word": f"many{number}"} for number in range(3)]
    async with world.database.transaction() as db:
        await insert_many(db, WORDS, words[:2])
    with pytest.raises(IntegrityError):
        async with world.database.transaction() as db:
            await insert_many(db, WORDS, words)
    async with world.database.transaction() as db:
        await insert_many(db, WORDS, words, conflicts="ON CONFLICT DO NOTHING")
        assert await db.scalar(select(func.count()).where(WORDS.c.word.like("many%"))) == 3


async def test_a_time_without_a_zone_is_refused(world: World, alice: Person) -> None:
    row = item(0, alice) | {"updated_at": MOMENT.replace(tzinfo=None)}
    with pytest.raises(ValueError, match="without a zone"):
        async with world.database.transaction() as db:
            await insert_many(db, ITEMS, [row])


async def test_bytes_are_refused_where_rows_are_json(world: World) -> None:
    keys = cast("Table", IdempotencyKey.__table__)
    refused = IntegrityError if world.database.is_sqlite else TypeError
    with pytest.raises(refused):
        async with world.database.transaction() as db:
            await insert_many(db, keys, [{"digest": b"d"}])


async def test_the_text_is_one_for_any_number_of_rows_on_postgresql(world: World) -> None:
    texts: list[str] = []
    engine = world.database.engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT"):
            texts.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        async with world.database.transaction() as db:
            # Past the number whose values are written out on SQLite, the text is that for one row.
            for number in (1, 5, 40, 129):
                words = [{"piece": f"{number}", "word": f"w{at}"} for at in range(number)]
                await insert_many(db, WORDS, words)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(texts) == 4
    assert len(set(texts)) == (3 if world.database.is_sqlite else 1)
