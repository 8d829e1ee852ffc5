"""Every statement about categories. Those about the items in them are in ``items``, behind the port ``SortedItems``."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from tradepost.categories.models import Category, FormerSlug
from tradepost.core.database.keyset import Order, Sorts
from tradepost.core.database.locks import lock_for_update, lock_key_share, lock_tables
from tradepost.core.database.repository import Repository
from tradepost.core.errors import PreconditionFailed
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.schemas import MAX_ID

SORTS: Final[Sorts] = {"name": Category.name_key, "created_at": Category.created_at, "id": Category.id}

CategoryRow = Row[int, str, str, str | None, bool, int | None, datetime, datetime, int]
"""id, name, slug, description, is_active, parent_id, created_at, updated_at, version."""


SUBTREE: Final = "subtree_of"
"""The parameter for the category that a subtree begins with."""


def _rows() -> Select[int, str, str, str | None, bool, int | None, datetime, datetime, int]:
    return select(
        Category.id,
        Category.name,
        Category.slug,
        Category.description,
        Category.is_active,
        Category.parent_id,
        Category.created_at,
        Category.updated_at,
        Category.version,
    )


def _named(key: str) -> ColumnElement[bool]:
    """Match the category of this id, when ``key`` is digits, else of this slug: no slug is all digits."""
    if not (key.isascii() and key.isdigit()):
        return Category.slug == key
    return Category.id == int(key) if int(key) <= MAX_ID else false()


_IS_ACTIVE: Final = Category.is_active.is_(True)


def _is_below_inactive(key: str) -> ColumnElement[bool]:
    """Tell whether the category that ``key`` names, or one above it, is inactive."""
    ascent = (
        select(Category.id, Category.parent_id, Category.is_active).where(_named(key)).cte(recursive=True)
    )
    above = select(Category.id, Category.parent_id, Category.is_active)
    ascent = ascent.union_all(above.join(ascent, Category.id == ascent.c.parent_id))
    return exists().where(ascent.c.is_active.is_(False))


def shown_ids() -> Select[int]:
    """Return the statement for the ids of the categories that are active and have none above them that is not."""
    return select(_descent(Category.parent_id.is_(None), _IS_ACTIVE).c.id)


def _shown(*, active_only: bool) -> list[ColumnElement[bool]]:
    """Match the categories that show: all, or those that are active and have none above them that is not."""
    return [Category.id.in_(shown_ids())] if active_only else []


def _descent(top: ColumnElement[bool], *each: ColumnElement[bool]) -> CTE:
    """Return the categories that ``top`` matches with all below them; one that ``each`` does not match ends its branch."""
    descent = select(Category.id).where(top, *each).cte(recursive=True)
    below = select(Category.id).join(descent, Category.parent_id == descent.c.id).where(*each)
    return descent.union_all(below)


def subtree_ids(key: str) -> Select[int]:
    """Return the statement for the ids of a category and all its descendants; none when there is no such category.

    ``key`` is an id in digits, or a slug. The statement is not run: it is for ``IN``. Its one parameter has the value of
    ``subtree_values``, so that it serves every other key of the same kind.
    """
    named: ColumnElement[bool] = false()
    for value in subtree_values(key).values():
        column = Category.id if isinstance(value, int) else Category.slug
        named = column == bindparam(SUBTREE, value, type_=column.type)
    return select(_descent(named).c.id)


def subtree_values(key: str) -> dict[str, int | str]:
    """Return the value of the parameter in ``subtree_ids``; none where no category could have the key."""
    if not (key.isascii() and key.isdigit()):
        return {SUBTREE: key}
    return {SUBTREE: int(key)} if int(key) <= MAX_ID else {}


class CategoryRepository(Repository):
    """The rows of ``categories``."""

    async def lock_tree(self) -> None:
        """Lock the whole tree against other changes until the transaction ends.

        The rules about the whole tree (no circle, at most ten levels, unique slugs) would not survive two changes at
        once of different parts. Readers go on, and so do the foreign key checks of items, which lock single rows.
        """
        await lock_tables(self.db, "tree of categories", Category.__table__)

    async def find(self, key: str) -> Category | None:
        """Return the category of this id or slug, for changing."""
        return await self.db.scalar(select(Category).where(_named(key)))

    async def lock_for_update(self, key: str) -> Category | None:
        """Return the category of this id or slug; nobody can put an item into it until the transaction ends."""
        return await self.db.scalar(lock_for_update(select(Category).where(_named(key)), Category))

    async def lock_key_share(self, category_ids: Collection[int]) -> Sequence[int]:
        """Return which of these ids are those of categories, and keep those from being deleted until the transaction ends."""
        there = select(Category.id).where(Category.id.in_(category_ids)).order_by(Category.id)
        return (await self.db.scalars(lock_key_share(there, Category))).all()

    async def page(
        self, window: Window, *, active_only: bool, is_active: bool | None = None
    ) -> Page[CategoryRow]:
        """Return a part of all categories, whatever their place in the tree."""
        wanted = _wanted(active_only=active_only, is_active=is_active)
        return await self.paged(_rows().where(*wanted), window, _order(window.sort))

    async def find_parents(self) -> dict[int, int | None]:
        """Return the parent of every category, by id."""
        found = await self.db.execute(select(Category.id, Category.parent_id))
        return dict(found.all())

    async def find_all(
        self, sort: str, *, active_only: bool, is_active: bool | None = None
    ) -> Sequence[CategoryRow]:
        """Return all categories in the order of ``sort``, for a tree."""
        wanted = _wanted(active_only=active_only, is_active=is_active)
        return (await self.db.execute(_rows().where(*wanted).order_by(*_order(sort).by()))).all()

    async def find_subtree(self, key: str, *, active_only: bool) -> Sequence[CategoryRow]:
        """Return a category and all its descendants by name, as far as they show."""
        shown = [_IS_ACTIVE] if active_only else []
        descent = _descent(_named(key), *shown)
        rows = _rows().join(descent, Category.id == descent.c.id).order_by(*_order("name").by())
        if active_only:
            rows = rows.where(~_is_below_inactive(key))
        return (await self.db.execute(rows)).all()

    async def find_path(self, category_id: int) -> Sequence[int]:
        """Return the ids of a category and its ancestors, up to the root; none when there is no such category."""
        start = select(Category.id, Category.parent_id, literal_column("1", Integer).label("step"))
        ascent = start.where(Category.id == category_id).cte(recursive=True)
        above = select(Category.id, Category.parent_id, ascent.c.step + 1)
        ascent = ascent.union_all(above.join(ascent, Category.id == ascent.c.parent_id))
        return (await self.db.scalars(select(ascent.c.id).order_by(ascent.c.step))).all()

    async def count_levels(self, category_id: int) -> int:
        """Return the number of levels of the subtree below and with this category: 1 for one without children."""
        start = select(Category.id, literal_column("1", Integer).label("level"))
        descent = start.where(Category.id == category_id).cte(recursive=True)
        below = select(Category.id, descent.c.level + 1)
        descent = descent.union_all(below.join(descent, Category.parent_id == descent.c.id))
        return int(await self.db.scalar(select(func.max(descent.c.level))) or 0)

    async def find_slugs(self, stem: str) -> set[str]:
        """Return those slugs that are ``stem``, or it with something after a hyphen."""
        like_it = or_(Category.slug == stem, Category.slug.like(f"{stem}-%"))
        return set(await self.db.scalars(select(Category.slug).where(like_it)))

    async def find_slug_after(self, former: str, *, active_only: bool) -> str | None:
        """Return the present slug of the category that had this one before, if it shows."""
        there = select(Category.slug).join(FormerSlug, FormerSlug.category_id == Category.id)
        slug: str | None = await self.db.scalar(
            there.where(FormerSlug.slug == former, *_shown(active_only=active_only))
        )
        return slug

    async def give_slug(self, slug: str) -> None:
        """Have a slug stand for the category that is about to get it, and for none that had it before."""
        await self.db.execute(delete(FormerSlug).where(FormerSlug.slug == slug))

    async def keep_slug(self, slug: str, category_id: int) -> None:
        """Have a slug that a category gives up lead to it, whatever it led to before."""
        await self.give_slug(slug)
        await self.db.execute(insert(FormerSlug).values(slug=slug, category_id=category_id))

    async def add(self, category: Category) -> Category:
        """Insert ``category`` and give it its id."""
        self.db.add(category)
        await self.db.flush()
        return category

    async def save(self) -> None:
        """Write the changes that were made to categories of this session."""
        await self.db.flush()

    async def move_children(self, *, source_id: int, target_id: int, now: datetime) -> None:
        """Put the children of one category under another."""
        await self.db.execute(
            update(Category)
            .where(Category.parent_id == source_id)
            .values(parent_id=target_id, updated_at=now, version=Category.version + 1)
            .execution_options(synchronize_session=False)
        )

    async def delete(self, category: Category) -> None:
        """Delete a locked category; the database refuses while it has children or items.

        ``PreconditionFailed`` should its version be another one than was read: the lock keeps that from happening.
        """
        gone = delete(Category).where(Category.id == category.id, Category.version == category.version)
        gone = gone.execution_options(synchronize_session=False)
        if await self.db.scalar(gone.returning(Category.id)) is None:
            raise PreconditionFailed


def _order(sort: str) -> Order:
    return Order(sort, SORTS, ties=Category.id)


def _wanted(*, active_only: bool, is_active: bool | None) -> list[ColumnElement[bool]]:
    # Asked for active ones, staff see what everybody sees; asked for others, those that are switched off themselves.
    off = [Category.is_active.is_(False)] if is_active is False else []
    return _shown(active_only=active_only or is_active is True) + off
