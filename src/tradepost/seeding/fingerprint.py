"""One hash over a whole marketplace: equal for equal rows, on either engine and whatever their ids."""

import hashlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.categories.models import Category
from tradepost.events.models import Event, Participant
from tradepost.items.models import Item, ItemTag
from tradepost.media.models import StoredFile
from tradepost.tags.models import Tag

WINDOW: Final = 2000
"""Rows that are in memory at a time."""

# Tables, not mapped classes: plain rows come out of the driver with less ado.
_categories = Category.__table__
_parents = Category.__table__.alias("parents")
_tags = Tag.__table__
_users = User.__table__
_items = Item.__table__
_item_tags = ItemTag.__table__
_events = Event.__table__
_participants = Participant.__table__

CATEGORIES: Final = select(
    _categories.c.id,
    _categories.c.name,
    _categories.c.slug,
    _categories.c.description,
    _categories.c.is_active,
    _parents.c.slug,
    _categories.c.created_at,
    _categories.c.updated_at,
).select_from(_categories.outerjoin(_parents, _parents.c.id == _categories.c.parent_id))
TAGS: Final = select(_tags.c.id, _tags.c.name, _tags.c.description, _tags.c.created_at, _tags.c.updated_at)
USERS: Final = select(
    _users.c.id,
    _users.c.email,
    _users.c.hashed_password,
    _users.c.first_name,
    _users.c.last_name,
    _users.c.role,
    _users.c.is_active,
    _users.c.phone,
    _users.c.website,
    _users.c.avatar_url,
    _users.c.created_at,
    _users.c.updated_at,
).where(_users.c.role != Role.ADMIN)
ITEMS: Final = select(
    _items.c.id,
    _items.c.title,
    _items.c.description,
    _items.c.price,
    _items.c.discount_price,
    _items.c.tax,
    _items.c.status,
    _categories.c.slug,
    _items.c.images,
    _items.c.views,
    _users.c.email,
    _items.c.version,
    _items.c.created_at,
    _items.c.updated_at,
).select_from(
    _items.join(_users, _users.c.id == _items.c.owner_id).outerjoin(
        _categories, _categories.c.id == _items.c.category_id
    )
)
EVENTS: Final = select(
    _events.c.id,
    _events.c.title,
    _events.c.description,
    _events.c.start_date,
    _events.c.end_date,
    _events.c.time_zone,
    _events.c.max_participants,
    _events.c.seats,
    _events.c.participants_count,
    _events.c.waiting_count,
    _events.c.last_number,
    _events.c.status,
    _users.c.email,
    _events.c.version,
    _events.c.created_at,
    _events.c.updated_at,
).select_from(_events.outerjoin(_users, _users.c.id == _events.c.organiser_id))


async def fingerprint(db: AsyncSession) -> str:
    """Return the SHA-256 of all categories, tags, users, items and events, each kind in the order of its ids.

    Left out are the ids themselves, which depend on what was there before, and admins, who are the operator's. Rows
    refer to each other by slug, name and e-mail address instead. What is hashed is a list of JSON. The pictures of items
    come last, by what is in their files: the files' names are random.
    """
    pictured: list[Row[Any]] = []
    digest = hashlib.sha256()
    for table, statement in ((_categories, CATEGORIES), (_tags, TAGS), (_users, USERS)):
        async for rows in _windows(db, statement, table.c.id):
            digest.update(rows_as_json([str(table), *row[1:]] for row in rows))
    async for rows in _windows(db, ITEMS, _items.c.id):
        tags = await _tags_of(db, rows[0][0], rows[-1][0])
        pictured += [row for row in rows if row.images]
        digest.update(rows_as_json(["items", *row[1:8], [], *row[9:], tags[row[0]]] for row in rows))
    async for rows in _windows(db, EVENTS, _events.c.id):
        people = await _participants_of(db, rows[0][0], rows[-1][0])
        digest.update(rows_as_json(["events", *row[1:], people[row[0]]] for row in rows))
    for first in range(0, len(pictured), WINDOW):
        rows = pictured[first : first + WINDOW]
        hashes = await _hashes_of(db, [_name_in(url) for row in rows for url in row.images])
        digest.update(
            rows_as_json(
                ["pictures", row.title, row.created_at, [hashes.get(_name_in(url)) for url in row.images]]
                for row in rows
            )
        )
    return digest.hexdigest()


async def _windows(
    db: AsyncSession, statement: Select[Any], key: ColumnElement[int]
) -> AsyncIterator[Sequence[Row[Any]]]:
    """Read the rows of ``statement``, whose first column is ``key``, in its order and not all at once."""
    last = 0
    while rows := (await db.execute(statement.where(key > last).order_by(key).limit(WINDOW))).all():
        yield rows
        last = rows[-1][0]


async def _tags_of(db: AsyncSession, first: int, last: int) -> dict[int, list[str]]:
    """Return the tags of the items from ``first`` to ``last``, in their owners' order."""
    columns = _item_tags.c
    statement = (
        select(columns.item_id, columns.tag)
        .where(columns.item_id.between(first, last))
        .order_by(columns.item_id, columns.position)
    )
    tags: defaultdict[int, list[str]] = defaultdict(list)
    for item_id, tag in (await db.execute(statement)).all():
        tags[item_id].append(tag)
    return tags


def _name_in(url: str) -> str:
    return url.rpartition("/")[2]


async def _hashes_of(db: AsyncSession, names: list[str]) -> dict[str, str | None]:
    """Return the hashes of the contents of these files."""
    files = select(StoredFile.name, StoredFile.sha256).where(StoredFile.name.in_(names))
    return dict((await db.execute(files)).all())


async def _participants_of(db: AsyncSession, first: int, last: int) -> dict[int, list[list[Any]]]:
    """Return who takes part in the events from ``first`` to ``last``, in the order of joining."""
    columns = _participants.c
    statement = (
        select(
            *(columns.event_id, _users.c.email, columns.number),
            *(columns.status, columns.joined_at, columns.seated_at),
        )
        .select_from(_participants.outerjoin(_users, _users.c.id == columns.user_id))
        .where(columns.event_id.between(first, last))
        .order_by(columns.event_id, columns.number)
    )
    people: defaultdict[int, list[list[Any]]] = defaultdict(list)
    for event_id, *values in (await db.execute(statement)).all():
        people[event_id].append(values)
    return people


def rows_as_json(rows: Iterable[list[Any]]) -> bytes:
    """Return what is hashed of ``rows``: alike however many come at a time."""
    # One call for many rows, since each sets up an encoder. Times and money are alike on both engines: aware and in
    # UTC, with two decimals.
    return json.dumps(list(rows), default=str, separators=(",", ":"))[1:-1].encode() + b","
