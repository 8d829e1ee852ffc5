"""Every statement about items and the tags on them."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    String,
    Table,
    any_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from tradepost.accounts.models import User
from tradepost.core.database.models import ConvertedOnSqlite
from tradepost.core.database.repository import Repository, among_ids
from tradepost.core.wire.pagination import Page, Total, Window
from tradepost.core.wire.schemas import MAX_ID
from tradepost.items.filters import IS_ACTIVE, ItemFilter
from tradepost.items.models import Item, ItemTag
from tradepost.items.schemas import ItemRow, ItemStatus

SORTS: Final = {
    "created_at": Item.created_at,
    "price": Item.price,
    "title": Item.title,
    "views": Item.views,
}


class _TagNames(ConvertedOnSqlite[list[str]]):
    """A list of names: an array from PostgreSQL, JSON text from SQLite."""

    def process_result_value(self, value: Any, _dialect: Any) -> list[str]:
        return json.loads(value)  # type: ignore[no-any-return]


class _TagsOfItem(FunctionElement[list[str]]):
    """The tags of the row of ``items`` at hand, in their owner's order: one look into one index, no join."""

    type = _TagNames()
    inherit_cache = True


@compiles(_TagsOfItem, "postgresql")
def _tags_as_array(_element: _TagsOfItem, _compiler: SQLCompiler, **_options: Any) -> str:
    return "ARRAY(SELECT tag FROM item_tags WHERE item_tags.item_id = items.id ORDER BY position)"


@compiles(_TagsOfItem, "sqlite")
def _tags_as_json(_element: _TagsOfItem, _compiler: SQLCompiler, **_options: Any) -> str:
    ordered = "SELECT tag FROM item_tags WHERE item_tags.item_id = items.id ORDER BY position"
    return f"(SELECT json_group_array(tag) FROM ({ordered}))"  # noqa: S608 - nothing comes from outside


_READ: Final[Mapping[str, ColumnElement[Any]]] = {
    **Item.__table__.columns,
    # Text: to be made a member of the enumeration costs a row as much as to be written as JSON.
    "status": type_coerce(Item.status, String),
    "owner_first_name": User.first_name.expression,
    "owner_last_name": User.last_name.expression,
    "owner_avatar_url": User.avatar_url.expression,
    "tags": _TagsOfItem(),
}

WITH_OWNER_AND_TAGS: Final[Select[*tuple[Any, ...]]] = select(
    *(_READ[name].label(name) for name in ItemRow._fields)
).join(User, User.id == Item.owner_id)
"""What one item looks like to its readers, in one statement: columns, for entities would cost several times as much."""


_ITEMS = cast("Table", Item.__table__)
_INSERT_ITEMS = insert(_ITEMS).returning(_ITEMS.c.id, _ITEMS.c.created_at)
_INSERT_LINKS = insert(ItemTag.__table__)  # type: ignore[arg-type]


@cache
def _rows_of(on_postgres: bool) -> Select[*tuple[Any, ...]]:  # noqa: FBT001 - the key of a cache
    return WITH_OWNER_AND_TAGS.where(among_ids(Item.id, on_postgres=on_postgres))


# Values that stand in the text of a statement. PostgreSQL cannot plan ahead for a limit that it does not know, and would
# plan each execution anew, which costs more than a first page does. With SQLAlchemy's own way to spell values out,
# ``literal_execute``, the text would be put together for each execution, which costs as much as executing it.


def _spelt_out(limit: int) -> ColumnElement[int]:
    return literal_column(str(limit), BigInteger())


def _reach(window: Window) -> int | None:
    """Return a power of two that the window lies within; None for a window at the beginning.

    To PostgreSQL, rows to skip that it does not know are a tenth of all there are: a plan made ahead looks so dear to it
    that it plans anew each time, which costs more than the page. Of this many, a tenth is little.
    """
    return None if window.skip == 0 else min(1 << (window.skip + window.limit - 1).bit_length(), MAX_ID)


def _page(
    conditions: Sequence[ColumnElement[bool]], sort: str, limit: int, reach: int | None
) -> tuple[Select[*tuple[Any, ...]], Select[int]]:
    """Return the statement for a page, and the one for all items that it is a page of.

    Without ``reach`` it is the first page; else it is within the first ``reach`` items.
    """
    name = sort.removeprefix("-")

    def ordered(key: ColumnElement[Any], item_id: ColumnElement[int]) -> tuple[ColumnElement[Any], ...]:
        return (key.desc(), item_id.desc()) if sort.startswith("-") else (key, item_id)

    order = ordered(SORTS[name].expression, Item.id.expression)
    matching = select(Item.id).where(*conditions)
    # Which items they are comes first, from an index alone where one will do: owners and tags are read only for what
    # is shown, however many are skipped or sorted.
    ids = matching.order_by(*order).limit(_spelt_out(limit if reach is None else reach))
    if reach is not None:
        near = ids.add_columns(SORTS[name].label("key")).subquery("near")
        ids = select(near.c.id).order_by(*ordered(near.c.key, near.c.id))
        ids = ids.limit(_spelt_out(limit)).offset(bindparam("skip", type_=BigInteger()))
    page = ids.subquery("page")
    return WITH_OWNER_AND_TAGS.join(page, page.c.id == Item.id).order_by(*order), matching


@lru_cache(maxsize=512)
def _page_like(
    shape: ItemFilter, sort: str, limit: int, reach: int | None, *, on_postgres: bool
) -> tuple[Select[*tuple[Any, ...]], Select[int]]:
    """Return the same for a filter of this shape: putting a statement together takes longer than running it."""
    return _page(shape.conditions(None, on_postgres=on_postgres), sort, limit, reach)


def _is_one_of(item_ids: Collection[int]) -> ColumnElement[bool]:
    # One parameter, where IN would take one for each.
    return Item.id == any_(literal(list(item_ids), ARRAY(BigInteger)))


class ItemRepository(Repository):
    """Items."""

    async def find_rows(self, item_ids: Sequence[int]) -> Sequence[ItemRow]:
        """Return the items of these ids with their owners' public views and their tags, in no order."""
        return await self._item_rows(_rows_of(self.on_postgres), {"ids": list(item_ids)})

    async def get_row(self, item_id: int) -> ItemRow | None:
        """Return one item likewise."""
        rows = await self.find_rows([item_id])
        return rows[0] if rows else None

    async def get_locked(self, item_id: int) -> Item | None:
        """Return the item of this id, with the row locked until the transaction ends."""
        return await self.db.get(Item, item_id, with_for_update=True)

    async def find_locked(self, item_ids: Collection[int]) -> Sequence[Item]:
        """Return the items of these ids, with the rows locked until the transaction ends."""
        found = select(Item).where(among_ids(Item.id, on_postgres=self.on_postgres)).order_by(Item.id)
        return (await self.db.scalars(found.with_for_update(), {"ids": sorted(item_ids)})).all()

    async def page(
        self, wanted: ItemFilter, window: Window, *, category_ids: Select[int] | None = None
    ) -> Page[ItemRow]:
        """Return a part of the wanted items with their owners and tags; the total is counted as the window says.

        ``category_ids`` is the statement for the wanted category and its descendants.
        """
        asked = (window.sort, window.limit, _reach(window))
        if wanted.q is None and category_ids is None:
            rows, matching = _page_like(wanted.shape, *asked, on_postgres=self.on_postgres)
        else:
            rows, matching = _page(wanted.conditions(category_ids, on_postgres=self.on_postgres), *asked)
        values = wanted.parameters()
        found = await self._item_rows(rows, {**values, "skip": window.skip} if window.skip else values)
        return Page(found, await self.count(matching, window.total, values), window)

    async def _item_rows(
        self, statement: Select[*tuple[Any, ...]], values: Mapping[str, Any]
    ) -> Sequence[ItemRow]:
        return list(map(ItemRow._make, await self.rows(statement, values)))

    async def count_public(self) -> int:
        """Count what strangers see."""
        return await self.count(select(Item.id).where(IS_ACTIVE), Total.EXACT) or 0

    async def find_most_viewed(self, limit: int) -> Sequence[int]:
        """Return the ids of the active items with the most views, the most first."""
        ranked = select(Item.id).where(IS_ACTIVE)
        return (await self.db.scalars(ranked.order_by(Item.views.desc(), Item.id.desc()).limit(limit))).all()

    async def add_many(self, rows: Sequence[Mapping[str, Any]]) -> dict[datetime, int]:
        """Insert items, no two with the same ``created_at``, and return their ids by it."""
        if not rows:
            return {}
        connection = await self.db.connection()
        made = await connection.execute(_INSERT_ITEMS, rows)
        return {created_at: item_id for item_id, created_at in made}

    async def change_held(self, item: Item, values: Mapping[str, Any]) -> None:
        """Set columns of a locked item, and of the object: whoever holds it may change it once more."""
        await self.change(item.id, values)
        for name, value in values.items():
            set_committed_value(item, name, value)

    async def change(self, item_id: int, values: Mapping[str, Any]) -> None:
        """Set columns of an item."""
        await self.db.execute(
            update(Item)
            .where(Item.id == item_id)
            .values(**values)
            .execution_options(synchronize_session=False)
        )

    async def delete(self, item_id: int) -> None:
        """Delete an item, and by the database its links to tags."""
        await self.db.execute(
            delete(Item).where(Item.id == item_id).execution_options(synchronize_session=False)
        )

    async def tags_of(self, item_id: int) -> Sequence[str]:
        """Return the tags of an item in their order."""
        names = select(ItemTag.tag).where(ItemTag.item_id == item_id).order_by(ItemTag.position)
        return (await self.db.scalars(names)).all()

    async def add_tags(self, names: Mapping[int, Sequence[str]]) -> None:
        """Link tags, which exist, to items that have none: the names by the item's id."""
        links = [
            {"item_id": item_id, "tag": name, "position": at}
            for item_id, tags in names.items()
            for at, name in enumerate(tags)
        ]
        if links:
            await (await self.db.connection()).execute(_INSERT_LINKS, links)

    async def remove_tags(self, item_id: int) -> None:
        """Unlink every tag of an item."""
        await self.db.execute(delete(ItemTag).where(ItemTag.item_id == item_id))

    async def lock_free(self, item_ids: Collection[int]) -> Collection[int]:
        """Lock those of these items that nobody else has locked, and return their ids; waits for nobody.

        On SQLite a transaction that writes is alone, and all ids are returned.
        """
        if not self.on_postgres:
            return item_ids
        free = select(Item.id).where(_is_one_of(item_ids)).order_by(Item.id)
        return (await self.db.scalars(free.with_for_update(key_share=True, skip_locked=True))).all()

    async def find_existing(self, item_ids: Collection[int]) -> Sequence[int]:
        """Return which of these ids are those of items; on PostgreSQL only."""
        return (await self.db.scalars(select(Item.id).where(_is_one_of(item_ids)))).all()

    async def find_active(self, item_ids: Collection[int]) -> Sequence[int]:
        """Return which of these items everybody sees."""
        return (await self.db.scalars(select(Item.id).where(Item.id.in_(item_ids), IS_ACTIVE))).all()

    async def add_views(self, counts: Mapping[int, int]) -> None:
        """Add to the views of items."""
        table = Item.__table__
        statement = (
            update(table)  # type: ignore[arg-type]
            .where(table.c.id == bindparam("of_item"))
            .values(views=table.c.views + bindparam("seen"))
        )
        rows = [{"of_item": item_id, "seen": seen} for item_id, seen in counts.items()]
        await (await self.db.connection()).execute(statement, rows)

    async def note_change_of_tagged(self, tag: str, *, now: datetime) -> None:
        """Count a change on every item that bears a tag."""
        tagged = Item.id.in_(select(ItemTag.item_id).where(ItemTag.tag == tag))
        await self._lock_in_order(tagged)
        await self.db.execute(
            update(Item)
            .where(tagged)
            .values(version=Item.version + 1, updated_at=now)
            .execution_options(synchronize_session=False)
        )

    async def move_category(self, *, source_id: int, target_id: int, now: datetime) -> None:
        """Put the items of one category into another."""
        await self._lock_in_order(Item.category_id == source_id)
        await self.db.execute(
            update(Item)
            .where(Item.category_id == source_id)
            .values(category_id=target_id, version=Item.version + 1, updated_at=now)
            .execution_options(synchronize_session=False)
        )

    async def _lock_in_order(self, condition: ColumnElement[bool]) -> None:
        """Lock many items as ``find_locked`` does: an UPDATE takes them as they lie, and the two could wait in a circle.

        On SQLite a transaction that writes is alone.
        """
        if self.on_postgres:
            locked = select(Item.id).where(condition).order_by(Item.id).with_for_update(key_share=True)
            await self.db.execute(select(func.count()).select_from(locked.subquery()))

    async def count_by_tag(self, names: Sequence[str]) -> dict[str, int]:
        """Count the active items of each tag; a tag without any is left out."""
        counted = (
            select(ItemTag.tag, func.count())
            .join(Item, Item.id == ItemTag.item_id)
            .where(ItemTag.tag.in_(names), Item.status == ItemStatus.ACTIVE)
            .group_by(ItemTag.tag)
        )
        return {row[0]: row[1] for row in await self.db.execute(counted)}

    async def move_tag(self, *, source: str, target: str) -> None:
        """Turn links to one tag into links to another; an item that has both keeps the other's place."""
        linked = select(ItemTag.item_id).where(ItemTag.tag == target)
        await self.db.execute(
            delete(ItemTag)
            .where(ItemTag.tag == source, ItemTag.item_id.in_(linked))
            .execution_options(synchronize_session=False)
        )
        await self.db.execute(
            update(ItemTag)
            .where(ItemTag.tag == source)
            .values(tag=target)
            .execution_options(synchronize_session=False)
        )
