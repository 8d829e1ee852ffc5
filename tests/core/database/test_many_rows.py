"""Many rows by one statement: the values that come back are those that went in, on both engines."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

import pytest
from sqlalchemy import Table, event, func, select
from sqlalchemy.exc import IntegrityError

from tests.conftest import Person, World
from tradepost.core.database.many_rows import (
    Children,
    Insertion,
    insert_family,
    insert_many,
    insert_together,
)
from tradepost.core.idempotency.models import IdempotencyKey
from tradepost.core.search.vocabulary import SearchWord
from tradepost.items.models import Item, ItemCount, ItemTag
from tradepost.items.schemas import ItemStatus
from tradepost.tags.models import Tag

ITEMS: Final = cast("Table", Item.__table__)
LINKS: Final = cast("Table", ItemTag.__table__)
COUNTS: Final = cast("Table", ItemCount.__table__)
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


@pytest.mark.parametrize("number", [1, 2, 301])
async def test_what_refers_to_new_rows_goes_with_them(world: World, alice: Person, number: int) -> None:
    tags = ["a", "b"]
    rows = [item(at, alice) for at in range(number)]
    # Of the first there are none.
    links = [
        {"created_at": row["created_at"], "tag": tag, "position": at}
        for row in rows[1:]
        for at, tag in enumerate(tags)
    ]
    async with world.database.transaction() as db:
        db.add_all(Tag(name=tag, created_at=MOMENT, updated_at=MOMENT) for tag in tags)
        await db.flush()
        children = Children(LINKS, links, key="item_id", by="created_at")
        ids = await insert_family(db, ITEMS, rows, children)
    assert len(set(ids.values())) == number
    async with world.database.read() as read:
        found = dict((await read.execute(select(ITEMS.c.id, ITEMS.c.created_at))).all())
        linked = (await read.execute(select(LINKS.c.item_id, LINKS.c.tag, LINKS.c.position))).all()
    assert {item_id: moment for moment, item_id in ids.items()} == found
    assert sorted(linked) == sorted((ids[one["created_at"]], one["tag"], one["position"]) for one in links)


@pytest.mark.parametrize("number", [0, 1, 200])
async def test_rows_of_several_tables_go_together(world: World, number: int) -> None:
    words = [{"piece": "", "word": f"many{at}"} for at in range(number)]
    counts = [{"dimension": "tag", "key": "a", "status": "active", "n": 1}]
    async with world.database.transaction() as db:
        await insert_together(db)
        await insert_together(db, Insertion(WORDS, []))
        for _ in range(2):
            await insert_together(
                db,
                Insertion(WORDS, words, "ON CONFLICT DO NOTHING"),
                Insertion(COUNTS, counts, "ON CONFLICT DO NOTHING"),
                Insertion(WORDS, []),
            )
        assert await db.scalar(select(func.count()).where(WORDS.c.word.like("many%"))) == number
        assert await db.scalar(select(func.sum(COUNTS.c.n))) == 1
        with pytest.raises(IntegrityError):
            await insert_together(db, Insertion(COUNTS, counts), Insertion(WORDS, words))
        await db.rollback()


async def test_a_session_for_reading_takes_no_rows(world: World) -> None:
    async with world.database.read() as db:
        with pytest.raises(TypeError, match="in a transaction"):
            await insert_many(db, WORDS, [{"piece": "", "word": "w"}])
