"""The SELECTs that several repositories of items share, put together once for each shape and then cached.

Composing a statement in Python takes longer than the database takes to run it, so the busy reads keep theirs.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    bindparam,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from tradepost.accounts.models import User
from tradepost.core.database.elements import AmongIds
from tradepost.core.database.locks import has_one_writer, lock_no_key_update
from tradepost.core.database.models import ConvertedOnSqlite
from tradepost.core.wire.pagination import Window
from tradepost.core.wire.schemas import MAX_ID
from tradepost.items.filters import ItemFilter
from tradepost.items.models import Item
from tradepost.items.schemas import ItemRow

SORTS: Final = {
    "created_at": Item.created_at,
    "price": Item.price,
    "title": Item.title,
    "views": Item.views,
}


class _TagNames(ConvertedOnSqlite[list[str]]):
    """A column type for a list of names: an array from PostgreSQL, JSON text from SQLite."""

    def process_result_value(self, value: Any, _dialect: Any) -> list[str]:
        return json.loads(value)  # type: ignore[no-any-return]


class TagsOfItem(FunctionElement[list[str]]):
    """A correlated subquery for the tags of one row of ``items``, in their owner's order: one index scan, no join."""

    type = _TagNames()
    inherit_cache = True


@compiles(TagsOfItem, "postgresql")
def _tags_as_array(_element: TagsOfItem, _compiler: SQLCompiler, **_options: Any) -> str:
    return "ARRAY(SELECT tag FROM item_tags WHERE item_tags.item_id = items.id ORDER BY position)"


@compiles(TagsOfItem, "sqlite")
def _tags_as_json(_element: TagsOfItem, _compiler: SQLCompiler, **_options: Any) -> str:
    ordered = "SELECT tag FROM item_tags WHERE item_tags.item_id = items.id ORDER BY position"
    return f"(SELECT json_group_array(tag) FROM ({ordered}))"  # noqa: S608 - nothing comes from outside


_READ: Final[Mapping[str, ColumnElement[Any]]] = {
    **Item.__table__.columns,
    # As text: turning it into a member of the enumeration costs as much a row as writing the row as JSON.
    "status": type_coerce(Item.status, String),
    "owner_first_name": User.first_name.expression,
    "owner_last_name": User.last_name.expression,
    "owner_avatar_url": User.avatar_url.expression,
    "tags": TagsOfItem(),
}

WITH_OWNER_AND_TAGS: Final[Select[*tuple[Any, ...]]] = select(
    *(_READ[name].label(name) for name in ItemRow._fields)
).join(User, User.id == Item.owner_id)
"""Items with their owners' public view and their tags: columns, since ORM entities would cost several times as much."""


ROWS_OF: Final = WITH_OWNER_AND_TAGS.where(AmongIds(Item.id))
"""The statement for the items whose ids are the parameter ``ids``."""


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
    shape: ItemFilter, sort: str, limit: int, reach: int | None
) -> tuple[Select[*tuple[Any, ...]], Select[int]]:
    """Return the statements of ``_page`` for every filter of this shape, from a cache."""
    return _page(shape.conditions(None), sort, limit, reach)


def page_statements(
    wanted: ItemFilter, window: Window, category_ids: Select[int] | None
) -> tuple[Select[*tuple[Any, ...]], Select[int]]:
    """Return the statement for a page, and the one for all items that it is a page of.

    A filter by words or by category is composed anew: its texts, or the category's key, stand in the statement.
    """
    asked = (window.sort, window.limit, _reach(window))
    if wanted.q is None and category_ids is None:
        return _page_like(wanted.shape, *asked)
    return _page(wanted.conditions(category_ids), *asked)


async def lock_no_key_update_in_order(db: AsyncSession, condition: ColumnElement[bool]) -> None:
    """Lock many items by ascending id, as ``ItemRepository.lock_several_for_update`` does, before they are written.

    An UPDATE locks rows in the order in which they lie on disk: two such writes could wait for each other in a circle.
    """
    if not has_one_writer(db):
        locked = lock_no_key_update(select(Item.id).where(condition).order_by(Item.id), Item)
        await db.execute(select(func.count()).select_from(locked.subquery()))
