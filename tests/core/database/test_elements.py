"""Elements that each engine spells in its own way: both texts, and one answer."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio
from sqlalchemy import bindparam, delete, func, insert, literal_column, select, update
from sqlalchemy.orm import aliased

from tests.conftest import World
from tests.spelling import spelt
from tradepost.core.database.elements import (
    AmongIds,
    AmongSelected,
    ByCodePoint,
    DatabaseNow,
    EstimatedCount,
    GatheredIds,
    SoughtInRange,
    TextsJoined,
    Unindexed,
    UnindexedOnSqlite,
    counted,
    estimate_of,
    upsert,
)
from tradepost.core.database.engines import Database
from tradepost.core.database.repository import Repository
from tradepost.core.wire.pagination import Total
from tradepost.tags.models import Tag

NAMES = ("Zebra", "apple", "zoo", "Ärmel")


@pytest_asyncio.fixture
async def ids(world: World) -> dict[str, int]:
    """The ids of a tag of each of ``NAMES``."""
    now = world.resources.clock.now()
    async with world.database.transaction() as db:
        rows = [{"name": name, "created_at": now, "updated_at": now} for name in NAMES]
        await db.execute(insert(Tag), rows)
        return {tag.name: tag.id for tag in await db.scalars(select(Tag))}


async def names(database: Database, statement: Any, **values: Any) -> list[str]:
    async with database.read() as db:
        return list(await db.scalars(statement, values))


def test_among_ids_is_one_text_for_any_number_of_them() -> None:
    assert spelt(select(Tag.name).where(AmongIds(Tag.id), Tag.name != "")) == (
        "SELECT tags.name FROM tags WHERE tags.id = ANY ($1::BIGINT[]) AND tags.name != $2::VARCHAR",
        "SELECT tags.name FROM tags WHERE tags.id IN (SELECT value FROM json_each(?)) AND tags.name != ?",
    )


async def test_among_ids_finds_the_rows_of_these_ids(database: Database, ids: dict[str, int]) -> None:
    found = select(Tag.name).where(AmongIds(Tag.id)).order_by(Tag.id)
    assert await names(database, found, ids=[ids["zoo"], ids["Zebra"], 10**12]) == ["Zebra", "zoo"]
    assert await names(database, found, ids=[ids["apple"]]) == ["apple"]
    assert await names(database, found, ids=[]) == []
    others = select(Tag.name).where(~AmongIds(Tag.id)).order_by(Tag.id)
    assert await names(database, others, ids=[ids["Zebra"], ids["zoo"], ids["Ärmel"]]) == ["apple"]


async def test_among_ids_serves_what_writes_too(database: Database, ids: dict[str, int]) -> None:
    async with database.transaction() as db:
        values = {"ids": [ids["apple"], ids["zoo"]]}
        options = {"synchronize_session": False}
        await db.execute(
            update(Tag).where(AmongIds(Tag.id)).values(description="x"), values, execution_options=options
        )
        assert set(await db.scalars(select(Tag.name).where(Tag.description == "x"))) == {"apple", "zoo"}
        await db.execute(delete(Tag).where(AmongIds(Tag.id)), values, execution_options=options)
        assert set(await db.scalars(select(Tag.name))) == {"Zebra", "Ärmel"}


def test_among_selected_is_an_array_to_postgresql_alone() -> None:
    selected = select(Tag.id).where(Tag.name == bindparam("name"))
    assert spelt(select(Tag.name).where(AmongSelected(Tag.id, selected.correlate(None)))) == (
        "SELECT tags.name FROM tags WHERE tags.id = ANY (ARRAY(SELECT tags.id FROM tags WHERE tags.name = $1::VARCHAR))",
        "SELECT tags.name FROM tags WHERE tags.id IN (SELECT tags.id FROM tags WHERE tags.name = ?)",
    )


async def test_among_selected_finds_what_was_selected(database: Database, ids: dict[str, int]) -> None:
    assert ids
    first = select(Tag.id).where(Tag.name.in_(bindparam("names", expanding=True))).cte("first")
    found = select(Tag.name).where(AmongSelected(Tag.id, select(first.c.id))).order_by(Tag.id)
    assert await names(database, found, names=["zoo", "apple", "none"]) == ["apple", "zoo"]
    assert await names(database, found, names=["none"]) == []


def test_equality_is_a_range_of_one_to_sqlite_alone() -> None:
    other = aliased(Tag, name="other")
    assert spelt(select(Tag.name).join(other, SoughtInRange(other.id, Tag.id))) == (
        "SELECT tags.name FROM tags JOIN tags AS other ON other.id = tags.id",
        "SELECT tags.name FROM tags JOIN tags AS other ON other.id BETWEEN +tags.id AND +tags.id",
    )


async def test_a_range_of_one_finds_what_is_equal(database: Database, ids: dict[str, int]) -> None:
    assert ids
    other = aliased(Tag)
    joined = select(Tag.name).join(other, SoughtInRange(other.id, Tag.id)).where(other.name == "zoo")
    assert await names(database, joined) == ["zoo"]


def test_text_is_collated_by_code_points_on_postgresql_as_it_is_on_sqlite() -> None:
    assert spelt(select(Tag.name).order_by(ByCodePoint(Tag.name).desc())) == (
        'SELECT tags.name FROM tags ORDER BY tags.name COLLATE "C" DESC',
        "SELECT tags.name FROM tags ORDER BY tags.name DESC",
    )


async def test_text_is_in_the_order_of_its_code_points(database: Database, ids: dict[str, int]) -> None:
    assert ids
    assert await names(database, select(Tag.name).order_by(ByCodePoint(Tag.name))) == sorted(NAMES)


def test_both_engines_are_kept_from_an_index() -> None:
    assert spelt(select(Tag.id).where(Unindexed(Tag.name) == literal_column("'x'"))) == (
        "SELECT tags.id FROM tags WHERE (tags.name || '') = 'x'",
        "SELECT tags.id FROM tags WHERE +tags.name = 'x'",
    )
    assert spelt(select(Tag.name).where(Unindexed(Tag.id) == literal_column("1"))) == (
        "SELECT tags.name FROM tags WHERE (tags.id + 0) = 1",
        "SELECT tags.name FROM tags WHERE +tags.id = 1",
    )


def test_sqlite_alone_is_kept_from_an_index() -> None:
    assert spelt(select(Tag.id).where(UnindexedOnSqlite(Tag.name) == literal_column("'x'"))) == (
        "SELECT tags.id FROM tags WHERE tags.name = 'x'",
        "SELECT tags.id FROM tags WHERE +tags.name = 'x'",
    )


def test_joined_texts_have_their_separator_in_the_statement() -> None:
    joined = TextsJoined(Tag.name.expression, literal_column("', '"))
    assert spelt(select(joined.label("names"))) == (
        "SELECT string_agg(tags.name, ', ') AS names FROM tags",
        "SELECT group_concat(tags.name, ', ') AS names FROM tags",
    )


async def test_joined_texts_are_those_of_all_rows(database: Database, ids: dict[str, int]) -> None:
    joined = select(TextsJoined(Tag.name.expression, literal_column("', '")))
    async with database.read() as db:
        assert set((await db.scalar(joined) or "").split(", ")) == set(ids)
        assert await db.scalar(joined.where(Tag.name == "")) is None


def test_ids_are_gathered_in_an_array_or_in_json() -> None:
    assert spelt(select(GatheredIds(Tag.id.expression).label("ids"))) == (
        "SELECT array_agg(tags.id) AS ids FROM tags",
        "SELECT json_group_array(tags.id) AS ids FROM tags",
    )


async def test_gathered_ids_are_those_of_all_rows(database: Database, ids: dict[str, int]) -> None:
    gathered = select(GatheredIds(Tag.id.expression))
    async with database.read() as db:
        for _ in range(2):
            ((found,),) = await Repository(db).rows(gathered)
            assert sorted(found) == sorted(ids.values())
        assert not await db.scalar(gathered.where(Tag.name == ""))


def test_postgresql_explains_what_sqlite_counts() -> None:
    assert spelt(EstimatedCount(select(Tag.id).where(Tag.name != "a"))) == (
        "EXPLAIN (FORMAT JSON) SELECT tags.id FROM tags WHERE tags.name != $1::VARCHAR",
        "SELECT count(*) AS count_1 FROM tags WHERE tags.name != ?",
    )
    assert spelt(counted(select(Tag.id)))[0] == spelt(counted(select(Tag.id)))[1]


async def test_an_estimate_is_a_number_and_exact_on_sqlite(world: World, ids: dict[str, int]) -> None:
    for name in ("apple", "none"):
        rows = select(Tag.id).where(Tag.name == name, AmongIds(Tag.id))
        async with world.database.read() as db:
            answer = await db.scalar(EstimatedCount(rows), {"ids": list(ids.values())})
            estimate = estimate_of(answer)
            assert estimate == await Repository(db).count(rows, Total.ESTIMATED, {"ids": list(ids.values())})
        if world.engine == "sqlite":
            # With the second value too: the text is remembered, the value in it is not.
            assert estimate == (name == "apple")


def test_both_engines_spell_an_upsert_alike() -> None:
    inserted = upsert(Tag).values(name="a", name_key="a")
    nothing = inserted.on_conflict_do_nothing(index_elements=["name"])
    assert spelt(nothing.returning(Tag.id)) == (
        'INSERT INTO tags (name, name_key, version) VALUES ($1::VARCHAR, $2::VARCHAR COLLATE "C", $3::INTEGER) ON CONFLICT (name) DO NOTHING RETURNING tags.id',
        "INSERT INTO tags (name, name_key, version) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING RETURNING id",
    )
    raised = inserted.on_conflict_do_update(
        index_elements=["name"],
        set_={"description": inserted.excluded.name},
        where=func.length(inserted.excluded.name) > 1,
    ).returning(Tag.id)
    assert spelt(raised) == (
        (
            'INSERT INTO tags (name, name_key, version) VALUES ($1::VARCHAR, $2::VARCHAR COLLATE "C", $3::INTEGER) ON CONFLICT (name) DO UPDATE '
            "SET description = excluded.name WHERE length(excluded.name) > $4::INTEGER RETURNING tags.id"
        ),
        (
            "INSERT INTO tags (name, name_key, version) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET description = excluded.name WHERE length(excluded.name) > ? RETURNING id"
        ),
    )


async def test_an_upsert_does_nothing_or_updates(world: World, ids: dict[str, int]) -> None:
    now = world.resources.clock.now()
    times = {"created_at": now, "updated_at": now}
    rows = [{"name": name, "name_key": name, **times} for name in ("apple", "pear")]
    async with world.database.transaction() as db:
        inserted = upsert(Tag).values(rows)
        fresh = await db.scalars(inserted.on_conflict_do_nothing(index_elements=["name"]).returning(Tag.name))
        assert list(fresh) == ["pear"]
        raised = inserted.on_conflict_do_update(
            index_elements=["name"], set_={"description": inserted.excluded.name}
        )
        changed = await db.execute(raised.returning(Tag.name, Tag.description))
        assert sorted(row.name for row in changed if row.name == row.description) == ["apple", "pear"]
        assert len(ids) + 1 == await db.scalar(select(func.count()).select_from(Tag))


async def test_the_clock_of_the_database_is_the_machines(database: Database) -> None:
    before = datetime.now(UTC)
    async with database.read() as db:
        found = await db.scalar(select(DatabaseNow()))
    assert found is not None
    # SQLite's has milliseconds.
    assert before - timedelta(milliseconds=1) <= found <= datetime.now(UTC)
