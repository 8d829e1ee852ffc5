"""The bulk loader of a made-up marketplace: rows in batches, with ids chosen here, all in one transaction.

A failure leaves nothing behind, and the database is never half full.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Table, func, select

from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.categories.models import Category
from tradepost.core.clock import Clock, SystemClock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import RuleBroken
from tradepost.core.search.vocabulary import Vocabulary
from tradepost.core.wire.folding import sort_key
from tradepost.events.models import Event, Participant, Reminder
from tradepost.items.counting import count_anew
from tradepost.items.models import Item, ItemTag, ItemText
from tradepost.seeding import generator
from tradepost.seeding.event_rows import (
    EVENT_COLUMNS,
    PARTICIPANT_COLUMNS,
    REMINDER_COLUMNS,
    EventRecord,
)
from tradepost.seeding.fingerprint import fingerprint, rows_as_json
from tradepost.seeding.gallery import Gallery
from tradepost.seeding.gatherings import gatherings
from tradepost.seeding.generator import Marketplace, UserRow
from tradepost.seeding.production import ITEM_COLUMNS, TAG_COLUMNS, TEXT_COLUMNS, Order, batches
from tradepost.seeding.supply import supplied
from tradepost.seeding.writer import PostgresWriter, SqliteWriter, Writer, vacuum
from tradepost.tags.models import Tag

PASSWORD: Final = "Tradepost1"  # noqa: S105 - published, for people who do not exist
PASSWORD_HASH: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$dHJhZGVwb3N0IHNlZWRzLg$NJJfJ1+YFJQEMBwCgBv6jyfREEI0rXPUV5hSp0cT15E"  # noqa: S105 - of the same
)
"""Its hash, with the parameters of every log-in: else the first would hash the password anew."""
EMAIL: Final = re.compile(r"user([1-9][0-9]{0,8})@example\.com")

USERS, CATEGORIES, TAGS, ITEMS, ITEM_TAGS, ITEM_TEXTS, EVENTS, PARTICIPANTS, REMINDERS = TABLES = tuple(
    cast("Table", model.__table__)
    for model in (User, Category, Tag, Item, ItemTag, ItemText, Event, Participant, Reminder)
)

Progress = Callable[[int, int], None]
"""Called with the number of users, items and events written so far, and with the number of all."""


class SeedRefused(RuleBroken):
    """The database must not be filled this way; ``detail`` is a sentence for the person at the command line."""

    detail = "This database must not be filled with made-up data."


@dataclass(frozen=True)
class SeedReport:
    """The numbers of rows added, the seconds that took, and the fingerprint of the whole marketplace afterwards."""

    users: int
    items: int
    events: int
    tags: int
    categories: int
    seconds: float
    fingerprint: str


async def seed(
    database: Database,
    *,
    seed: int,
    users: int,
    items: int,
    events: int = 0,
    append: bool = False,
    environment: str = "local",
    progress: Progress | None = None,
    clock: Clock | None = None,
    pictures: int = 0,
    gallery: Gallery | None = None,
) -> SeedReport:
    """Fill ``database`` with people and items and events of theirs; the same ``seed`` makes the same rows.

    Everything is written in one transaction, so that a failure leaves nothing behind. ``SeedRefused`` in production,
    and for a database with rows besides the first superuser unless ``append``: then numbering goes on after what is
    there, and tags and categories of the same name are shared. ``gallery`` then gives items ``pictures``.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    if environment == "production":
        raise SeedRefused("Production is never filled with made-up data.")
    if min(users, items, events) < 0:
        raise SeedRefused("There cannot be fewer than no users, items or events.")
    if (items or events) and not users:
        raise SeedRefused("Items and events need somebody to own them: ask for at least one user.")
    async with database.transaction() as db:
        writer = (SqliteWriter if database.is_sqlite else PostgresWriter)(db, TABLES)
        await writer.prepare()
        is_empty = await _is_empty(db)
        if not append and not is_empty:
            raise SeedRefused(
                "There are users, items, tags or categories in this database; --append adds to them."
            )
        marketplace = Marketplace(
            seed=seed,
            users=users,
            items=items,
            first_user=await _first_user(db),
            first_item=1 + (await db.scalar(select(func.count()).select_from(Item)) or 0),
        )
        filling = _Filling(db, writer, marketplace, _Told(progress, users + items + events))
        tags = await filling.add_tags()
        categories = await filling.add_categories()
        await filling.add_users()
        if is_empty:
            await writer.set_aside()
        await filling.add_items("sqlite" if database.is_sqlite else "postgresql")
        if is_empty:
            # Before the indexes: along that of the tags, SQLite would look up every item at a random place.
            await count_anew(db)
            await writer.put_back()
        await filling.add_events(events, now=clock.now())
        await writer.finish()
    await vacuum(database, TABLES)
    if gallery is not None and pictures:
        filling.note(await gallery.hang(pictures, seed=seed))
    mark = filling.fingerprint()
    if not is_empty:
        async with database.read() as reading:
            mark = await fingerprint(reading)
    return SeedReport(users, items, events, tags, categories, clock.monotonic() - started, mark)


async def _is_empty(db: WriteSession) -> bool:
    """Tell whether the database is empty but for the first superuser."""
    for model in (Item, Tag, Category):
        if await db.scalar(select(model.id).limit(1)) is not None:
            return False
    roles = (await db.scalars(select(User.role).limit(2))).all()
    return roles in ([], [Role.ADMIN])


async def _first_user(db: WriteSession) -> int:
    """Return the number after the highest in ``user7@example.com``, 1 if there is none."""
    highest = 0
    emails = select(User.id, User.email).where(User.email.like("user%@example.com"))
    after = 0
    # In pages: a stream would keep its cursor, and no foreign key of its table could be set aside.
    while page := (await db.execute(emails.where(User.id > after).order_by(User.id).limit(10_000))).all():
        after = page[-1][0]
        for match in filter(None, (EMAIL.fullmatch(email) for _, email in page)):
            highest = max(highest, int(match[1]))
    return highest + 1


class _Told:
    """Tells the caller how far the filling has come."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._written = 0

    def __call__(self, written: int) -> None:
        self._written += written
        if self._progress is not None:
            self._progress(self._written, self._total)


class _Filling:
    """Turns the generator's rows, which refer to each other by place, into rows with ids, and writes them in batches."""

    def __init__(
        self,
        db: WriteSession,
        writer: Writer,
        marketplace: Marketplace,
        report: Callable[[int], None],
    ) -> None:
        self._db = db
        self._writer = writer
        self._marketplace = marketplace
        self._report = report
        self._category_ids: list[int] = []
        self._first_user_id = 0
        self._digest = hashlib.sha256()

    def note(self, rows: Iterable[list[Any]]) -> None:
        """Add what was made elsewhere to the fingerprint."""
        self._digest.update(rows_as_json(rows))

    def fingerprint(self) -> str:
        """Return the fingerprint of all that was made."""
        return self._digest.hexdigest()

    async def add_tags(self) -> int:
        """Add the missing tags and return their number."""
        known = set(await self._db.scalars(select(Tag.name)))
        missing = [tag for tag in generator.tags() if tag.name not in known]
        first_id = 1 + await self._writer.last_id(TAGS)
        await self._writer.write(
            TAGS,
            ("id", "name", "name_key", "created_at", "updated_at"),
            [
                (tag_id, tag.name, sort_key(tag.name), *2 * (tag.created_at,))
                for tag_id, tag in enumerate(missing, first_id)
            ],
        )
        return len(missing)

    async def add_categories(self) -> int:
        """Add the missing categories and return their number."""
        known = dict((await self._db.execute(select(Category.slug, Category.id))).all())
        ids = self._category_ids
        next_id = 1 + await self._writer.last_id(CATEGORIES)
        rows: list[tuple[Any, ...]] = []
        for category in generator.categories():
            if category.slug in known:
                ids.append(known[category.slug])
                continue
            ids.append(next_id + len(rows))
            parent_id = None if category.parent is None else ids[category.parent]
            moment = category.created_at
            named = (category.name, sort_key(category.name), category.slug, category.description)
            rows.append((ids[-1], *named, True, parent_id, moment, moment))
        columns = (
            *("id", "name", "name_key", "slug", "description"),
            *("is_active", "parent_id", "created_at", "updated_at"),
        )
        await self._writer.write(CATEGORIES, columns, rows)
        return len(rows)

    async def add_users(self) -> None:
        """Add the users."""
        next_id = self._first_user_id = 1 + await self._writer.last_id(USERS)
        columns = (
            *("id", "email", "hashed_password", "first_name", "last_name", "role", "is_active"),
            *("phone", "website", "created_at", "updated_at", "email_key", "first_name_key", "last_name_key"),
        )
        for batch in batches(self._marketplace.people()):
            rows = [self._user(user_id, user) for user_id, user in enumerate(batch, next_id)]
            await self._writer.write(USERS, columns, rows)
            next_id += len(batch)
            self._report(len(batch))

    async def add_items(self, engine: str) -> None:
        """Add the items and the tags on them."""
        market = self._marketplace
        order = Order(
            engine=engine,
            seed=market.seed,
            users=market.users,
            items=market.items,
            first_user=market.first_user,
            first_item=market.first_item,
            first_user_id=self._first_user_id,
            first_item_id=1 + await self._writer.last_id(ITEMS),
            category_ids=tuple(self._category_ids),
            password_hash=PASSWORD_HASH,
        )
        words = set[str]()
        async with aclosing(supplied(order)) as made:
            async for frame in made:
                self._digest.update(frame.marks)
                words.update(frame.words.decode().split())
                if frame.size:
                    await self._writer.write_encoded(ITEMS, ITEM_COLUMNS, frame.items)
                    await self._writer.write_encoded(ITEM_TAGS, TAG_COLUMNS, frame.tags)
                    await self._writer.write_encoded(ITEM_TEXTS, TEXT_COLUMNS, frame.texts)
                    self._report(frame.size)
        await Vocabulary().learn(self._db, words)
        if market.items:
            self._writer.wrote_through(ITEMS, order.first_item_id + market.items - 1)

    async def add_events(self, events: int, *, now: datetime) -> None:
        """Add the events, who takes part in them, and the reminders that are still to come."""
        number = 1 + (await self._db.scalar(select(func.count()).select_from(Event)) or 0)
        next_id = 1 + await self._writer.last_id(EVENTS)
        next_participant = 1 + await self._writer.last_id(PARTICIPANTS)
        for batch in batches(gatherings(self._marketplace, events=events, first_event=number)):
            made = [EventRecord(event_id, event) for event_id, event in enumerate(batch, next_id)]
            await self._writer.write(EVENTS, EVENT_COLUMNS, [one.row(self._first_user_id) for one in made])
            people = [row for one in made for row in one.participants(self._first_user_id)]
            people = [(participant_id, *row) for participant_id, row in enumerate(people, next_participant)]
            await self._writer.write(PARTICIPANTS, PARTICIPANT_COLUMNS, people)
            await self._writer.write(
                REMINDERS, REMINDER_COLUMNS, [row for one in made for row in one.reminders(now)]
            )
            self._digest.update(rows_as_json(one.mark(self._marketplace.first_user) for one in made))
            next_id += len(made)
            next_participant += len(people)
            self._report(len(made))

    def _user(self, user_id: int, user: UserRow) -> tuple[Any, ...]:
        return (
            *(user_id, user.email, PASSWORD_HASH, user.first_name, user.last_name, user.role, True),
            *(user.phone, user.website, user.created_at, user.created_at),
            *map(sort_key, (user.email, user.first_name, user.last_name)),
        )
