"""The SELECTs that several repositories of items share, put together once for each shape and then cached.

Composing a statement in Python takes longer than the database takes to run it, so the busy reads keep theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from pydantic_core import from_json
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SmallInteger,
    String,
    and_,
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
from tradepost.categories.models import Category
from tradepost.categories.service import CategoryService
from tradepost.core.database.keyset import Nulls, Order, Sorts, nulls_of
from tradepost.core.database.locks import has_one_writer, lock_no_key_update
from tradepost.core.database.models import ConvertedOnSqlite
from tradepost.core.database.repository import ByKeys
from tradepost.core.wire.pagination import Place, Window
from tradepost.core.wire.schemas import MAX_ID
from tradepost.items.filters import IS_ACTIVE, IS_ACTIVE_UNINDEXED, IS_MUCH_VIEWED, ItemFilter
from tradepost.items.models import Item
from tradepost.items.plans import BY_ENGINE, FAR, PRICE, ByViews, Plan
from tradepost.items.projections import CATEGORY, WHOLE, Expansion, Projection
from tradepost.items.schemas import ItemRow

SORTS: Final[Sorts] = {
    "created_at": Item.created_at,
    "price": Item.price,
    "title": Item.title_key,
    "views": Item.views,
}


VIEWS_CLASS: Final = "views_class"
"""The parameter for the class of views at which a page begins."""


class _TagNames(ConvertedOnSqlite[list[str]]):
    """A column type for a list of names: an array from PostgreSQL, JSON text from SQLite."""

    def process_result_value(self, value: Any, _dialect: Any) -> list[str]:
        return from_json(value)  # type: ignore[no-any-return]


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

_OF_OWNER: Final = frozenset({"owner_first_name", "owner_last_name", "owner_avatar_url"})


def _selected(columns: Sequence[str], category: Expansion) -> Select[*tuple[Any, ...]]:
    """Return the statement for these columns of items, since ORM entities would cost several times as much.

    The owner is joined only for what is read of it, and the category only where it is expanded.
    """
    rows = select(*(_READ[name].label(name) for name in columns)).select_from(Item)
    if not _OF_OWNER.isdisjoint(columns):
        rows = rows.join(User, User.id == Item.owner_id)
    if category is Expansion.NONE:
        return rows
    expanded = [getattr(Category, name).label(f"category_{name}") for name in CATEGORY]
    of_item: ColumnElement[bool] = Category.id == Item.category_id
    if category is Expansion.SHOWN:
        of_item = and_(of_item, Category.id.in_(CategoryService.shown()))
    return rows.outerjoin(Category, of_item).add_columns(Category.id.label("shown_category_id"), *expanded)


@lru_cache(maxsize=128)
def rows_of(projection: Projection) -> ByKeys:
    """Return the read of the items of some ids.

    Besides what is shown it reads what tells who may see them, and what the entity tag is made of.
    """
    columns = dict.fromkeys((*projection.columns, "id", "status", "owner_id", "version", "updated_at"))
    return ByKeys(_selected(tuple(columns), projection.category), Item.id)


ROWS_OF: Final = rows_of(WHOLE)
"""The read of whole items, with their owners' public view and their tags."""


EVERY_ITEM: Final = _selected(ItemRow._fields, Expansion.NONE)
"""The statement for all items, each as an ``ItemRow``."""


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
    return None if window.skip == 0 else min(1 << (window.skip + window.limit).bit_length(), MAX_ID)


class _Shape(NamedTuple):
    """What the statement for a page depends on, besides its filter and the values of its parameters."""

    sort: str
    limit: int
    reach: int | None
    """The page is within the first so many items; None at the beginning, and after a place."""
    after: Nulls | None
    """The page follows a place, of whose values these are null."""
    projection: Projection
    plan: Plan


class ByWords(NamedTuple):
    """How a list finds what its filter's words want."""

    condition: ColumnElement[bool]
    number: int | None = None
    """How many items the whole filter finds, if these are few: they are gathered then, and sorted."""
    counted: Select[int] | None = None
    """The statement for the number of items that the whole filter finds, if it is not known."""

    @property
    def plan(self) -> Plan:
        """The plan of the list: of many items, the first ones in an order are found along the order's index."""
        return Plan(gathers=self.number is not None)


class PageStatement(NamedTuple):
    """The statement for the rows of a page and one more, and the one for all items that it is a page of."""

    rows: Select[*tuple[Any, ...]]
    matching: Select[int]
    order: Order
    width: int
    """How many columns of a row, the first ones, are shown."""
    place: Callable[[Sequence[Any]], Place]
    """Returns the place of a row of ``rows``."""


def _page(
    wanted: ItemFilter,
    by_words: ColumnElement[bool] | None,
    shape: _Shape,
) -> PageStatement:
    order = Order(shape.sort, SORTS, ties=Item.id)
    matching = select(Item.id).where(*wanted.conditions(by_words))
    conditions = wanted.conditions(by_words, plan=shape.plan)
    if order.keys[0].field != "created_at":
        conditions = [IS_ACTIVE_UNINDEXED if one is IS_ACTIVE else one for one in conditions]
    found = select(Item.id).where(*conditions)
    along = select(Item.id).where(*(wanted.price_range() if shape.plan.shows(PRICE) else ()))
    # Which items they are comes first, from an index alone where one will do: owners and tags are read only for what
    # is shown, however many are skipped or sorted. One more than is shown tells whether the list goes on.
    if shape.after is not None:
        found, along = (rows.where(order.after(shape.after)) for rows in (found, along))
    if shape.plan.by_views is not None:
        found = found.where(*_by_views(shape.plan.by_views, order, shape))
    if shape.plan.steps is not None:
        found = found.where(order.among_first(along.limit(_spelt_out(shape.plan.steps))))
    found = found.add_columns(*order.columns())
    ids = _sorted(found, wanted, order, shape.plan)
    ids = ids.limit(_spelt_out(shape.reach or shape.limit + 1))
    if shape.reach is not None:
        near = ids.subquery("near")
        ids = select(near.c.id).order_by(*order.by(near))
        ids = ids.limit(_spelt_out(shape.limit + 1)).offset(bindparam("skip", type_=BigInteger()))
    page = ids.subquery("page")
    rows = _selected(shape.projection.columns, shape.projection.category)
    rows = rows.join(page, page.c.id == Item.id).order_by(*order.by())
    names = [column.name for column in rows.selected_columns]
    width = len(names)
    # A place is made of what is read anyway, and of more only where an order needs it.
    for key in order.keys:
        if key.field not in names:
            names.append(key.field)
            rows = rows.add_columns(key.column.label(key.field))
    place = itemgetter(*(names.index(key.field) for key in order.keys))
    return PageStatement(rows, matching, order, width, place)


def _by_views(way: ByViews, order: Order, shape: _Shape) -> Sequence[ColumnElement[bool]]:
    """Return the conditions for the part of an order by views that a plan looks at."""
    by_views, by_id = order.keys
    if way is ByViews.ALIKE:
        follows = by_id.beyond(null=False)
        far = _spelt_out(FAR)
        if by_id.descending:
            near = Item.id >= select(func.max(Item.id)).where(follows).scalar_subquery() - far
        else:
            near = Item.id <= select(func.min(Item.id)).where(follows).scalar_subquery() + far
        return [by_views.same(null=False), follows, near]
    if shape.after is None:
        return [IS_MUCH_VIEWED]
    place = bindparam(VIEWS_CLASS, type_=SmallInteger())
    within = Item.views_class <= place if by_views.descending else Item.views_class >= place
    return [IS_MUCH_VIEWED, within]


def _sorted(
    found: Select[*tuple[Any, ...]], wanted: ItemFilter, order: Order, plan: Plan
) -> Select[*tuple[Any, ...]]:
    """Return what a plan found in its order."""
    if plan.gathers:
        # Behind OFFSET, both engines find it without regard to the order, and sort then.
        if plan.joins_tags:
            found = wanted.joined(found)
        gathered = found.offset(_spelt_out(0)).subquery("found")
        return select(*gathered.c).order_by(*order.by(gathered))
    # The index sorts by the class of views; within one class both engines sort by the views themselves.
    by_class = {
        ByViews.FROM_MOST: [Item.views_class.desc()],
        ByViews.TO_MOST: [Item.views_class.asc()],
    }
    first = [] if plan.by_views is None else by_class.get(plan.by_views, [])
    return found.order_by(*first, *order.by())


@lru_cache(maxsize=512)
def _page_like(wanted: ItemFilter, shape: _Shape) -> PageStatement:
    """Return the statements of ``_page`` for every filter of this shape, from a cache."""
    return _page(wanted, None, shape)


def page_statement(
    wanted: ItemFilter,
    window: Window,
    projection: Projection,
    by_words: ByWords | None = None,
    *,
    plan: Plan = BY_ENGINE,
) -> PageStatement:
    """Return the statement for a page, and the one for all items that it is a page of.

    A filter by words is composed anew: its texts stand in the statement.
    """
    after = None if window.after is None else nulls_of(window.after)
    shape = _Shape(window.sort, window.limit, _reach(window), after, projection, plan)
    if by_words is None:
        return _page_like(wanted.shape, shape)
    return _page(wanted, by_words.condition, shape)


async def lock_no_key_update_in_order(db: AsyncSession, condition: ColumnElement[bool]) -> None:
    """Lock many items by ascending id, as ``ItemRepository.lock_several_for_update`` does, before they are written.

    An UPDATE locks rows in the order in which they lie on disk: two such writes could wait for each other in a circle.
    """
    if not has_one_writer(db):
        locked = lock_no_key_update(select(Item.id).where(condition).order_by(Item.id), Item)
        await db.execute(select(func.count()).select_from(locked.subquery()))
