"""The hierarchy of locks: what each helper locks, and that a transaction which takes two in the wrong order fails."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Select, false, select, update

from tests.conftest import World
from tests.lock_order import LockWatch, WrongOrder
from tests.spelling import spelt
from tradepost.accounts.models import User
from tradepost.bootstrap import METADATA
from tradepost.categories.models import Category
from tradepost.core.database.elements import AmongSelected, upsert
from tradepost.core.database.engines import Database
from tradepost.core.database.locks import (
    ADVISORY_KEYS,
    LOCKS,
    Strength,
    lock_for_update,
    lock_key_share,
    lock_no_key_update,
    lock_tables,
    try_lock_advisory,
)
from tradepost.core.messaging.outbox import StoredMessage
from tradepost.items.models import Item
from tradepost.notifications.inbox.models import Inbox
from tradepost.tags.models import Tag

TAGS: Select[int] = select(Tag.id)
USERS: Select[int] = select(User.id)
ITEMS: Select[int] = select(Item.id)
MESSAGES: Select[int] = select(StoredMessage.id)


def test_a_helper_names_the_strength_of_its_lock() -> None:
    tags, items = "SELECT tags.id FROM tags", "SELECT items.id FROM items"
    assert spelt(lock_for_update(TAGS, Tag)) == (f"{tags} FOR UPDATE OF tags", tags)
    assert spelt(lock_no_key_update(ITEMS, Item)) == (f"{items} FOR NO KEY UPDATE OF items", items)
    assert spelt(lock_key_share(TAGS, Tag)) == (f"{tags} FOR KEY SHARE OF tags", tags)
    skipping = lock_no_key_update(ITEMS, Item, skip_locked=True)
    assert spelt(skipping) == (f"{items} FOR NO KEY UPDATE OF items SKIP LOCKED", items)


def test_the_tables_of_a_join_are_locked_in_the_order_in_which_they_are_named() -> None:
    joined = select(Item.id).join(User, User.id == Item.owner_id)
    on_postgres, _ = spelt(lock_no_key_update(joined, User, Item))
    assert on_postgres.endswith("FOR NO KEY UPDATE OF users, items")


def test_a_lock_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(LookupError, match="FOR NO KEY UPDATE on tags has no place in the order of locks"):
        lock_no_key_update(TAGS, Tag)


def test_each_lock_is_in_the_table_once_and_the_shared_one_of_a_table_last() -> None:
    assert len({(lock.on, lock.strength) for lock in LOCKS}) == len(LOCKS)
    for on in {lock.on for lock in LOCKS}:
        places = [place for place, lock in enumerate(LOCKS) if lock.on == on]
        shared = [LOCKS[place].strength is Strength.KEY_SHARE for place in places]
        assert places == list(range(places[0], places[0] + len(places)))
        assert shared == sorted(shared)


def test_what_is_locked_exists() -> None:
    for lock in LOCKS:
        if lock.strength in {Strength.CONNECTION, Strength.ADVISORY}:
            # That of idempotency keys is one for each key, by its digest.
            assert lock.on in {*ADVISORY_KEYS, "idempotency keys"}
        elif lock.strength in {Strength.UPDATE, Strength.NO_KEY_UPDATE, Strength.KEY_SHARE}:
            assert lock.on in METADATA.tables
    assert len(set(ADVISORY_KEYS.values())) == len(ADVISORY_KEYS)


async def test_two_locks_in_the_right_order_are_fine(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute(lock_key_share(USERS, User))
        await db.execute(lock_for_update(TAGS, Tag))
        await db.execute(lock_for_update(TAGS, Tag))
        await db.execute(lock_no_key_update(ITEMS, Item))


@pytest.mark.parametrize(
    ("first", "second", "violation"),
    [
        (
            lock_key_share(TAGS, Tag),
            lock_key_share(USERS, User),
            "FOR KEY SHARE on users is waited for while FOR KEY SHARE on tags is held",
        ),
        (
            lock_key_share(TAGS, Tag),
            lock_for_update(TAGS, Tag),
            "FOR UPDATE on tags is waited for while FOR KEY SHARE on tags is held",
        ),
        (
            lock_for_update(ITEMS, Item, skip_locked=True),
            lock_for_update(TAGS, Tag),
            "FOR UPDATE on tags is waited for while FOR UPDATE on items is held",
        ),
        (
            lock_for_update(ITEMS, Item),
            select(Tag.id).where(AmongSelected(Tag.id, select(lock_for_update(TAGS, Tag).cte().c.id))),
            "FOR UPDATE on tags is waited for while FOR UPDATE on items is held",
        ),
        (
            upsert(Inbox)
            .from_select(
                ["user_id", "last_number", "pruned_through"],
                select(User.id, User.id, User.id).where(false()),
            )
            .on_conflict_do_nothing(),
            lock_for_update(ITEMS, Item),
            "FOR UPDATE on items is waited for while FOR NO KEY UPDATE on inboxes is held",
        ),
        (
            update(Inbox).values(last_number=0),
            lock_for_update(ITEMS, Item),
            "FOR UPDATE on items is waited for while FOR NO KEY UPDATE on inboxes is held",
        ),
    ],
    ids=["tables", "strengths", "skipping before", "in a subquery", "an upsert before", "an update before"],
)
async def test_two_locks_in_the_wrong_order_fail(
    database: Database, lock_watch: LockWatch, first: Any, second: Any, violation: str
) -> None:
    async with database.transaction() as db:
        await db.execute(first)
        with lock_watch.expecting() as violations, pytest.raises(WrongOrder, match=f"^{violation}$"):
            await db.execute(second)
    assert violations == [violation]


async def test_a_lock_is_forgotten_with_its_transaction(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute(lock_for_update(ITEMS, Item))
    async with database.transaction() as db:
        await db.execute(lock_for_update(ITEMS, Item))
        await db.rollback()
        await db.execute(lock_for_update(TAGS, Tag))
    async with database.transaction() as db:
        await db.execute(lock_for_update(TAGS, Tag))


async def test_what_waits_for_nobody_may_come_late(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute(lock_for_update(ITEMS, Item))
        await db.execute(lock_for_update(MESSAGES, StoredMessage, skip_locked=True))
        assert await try_lock_advisory(db, "reactions")


async def test_each_reaction_locks_whom_its_rows_refer_to(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute(lock_for_update(MESSAGES, StoredMessage, skip_locked=True))
        await db.execute(lock_key_share(USERS, User))
        await db.execute(lock_for_update(ITEMS, Item))
        await db.execute(lock_key_share(USERS, User))


async def test_a_lock_outside_of_a_transaction_fails(world: World, lock_watch: LockWatch) -> None:
    if world.engine == "sqlite":
        return
    with lock_watch.expecting() as violations:
        async with world.database.read() as db:
            with pytest.raises(WrongOrder):
                await db.execute(lock_for_update(TAGS, Tag))
        assert violations == ["FOR UPDATE on tags ends with its statement: there is no transaction"]


async def test_on_sqlite_what_only_locks_is_not_sent(world: World, statements: Callable[[], Any]) -> None:
    with statements() as sent:
        async with world.database.transaction() as db:
            assert await try_lock_advisory(db, "reactions")
            await lock_tables(db, "tree of categories", Category.__table__)
    on_postgres = [
        "SELECT pg_try_advisory_xact_lock($1)",
        "LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE",
    ]
    assert [text for text in sent if "LOCK" in text.upper()] == (
        [] if world.engine == "sqlite" else on_postgres
    )


async def test_an_advisory_lock_is_had_by_one_transaction(world: World) -> None:
    if world.engine == "sqlite":
        return
    other = Database(world.database.options)
    async with world.database.transaction() as db:
        assert await try_lock_advisory(db, "reactions")
        async with other.transaction() as second:
            assert not await try_lock_advisory(second, "reactions")
    async with other.transaction() as second:
        assert await try_lock_advisory(second, "reactions")
    await other.close()
