"""The statements about items themselves."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import Row, Select, Table, Update, bindparam, case, delete, select, update
from sqlalchemy.orm.attributes import set_committed_value

from tradepost.core.database.elements import AmongIds
from tradepost.core.database.locks import lock_for_update
from tradepost.core.database.many_rows import Children, insert_family
from tradepost.core.database.repository import ByKeys, Repository
from tradepost.core.errors import PreconditionFailed
from tradepost.core.wire.pagination import Page, Total, Window
from tradepost.items.filters import IS_ACTIVE, ItemFilter
from tradepost.items.models import Item, ItemTag
from tradepost.items.plans import ByViews, Plan, unfiltered
from tradepost.items.projections import WHOLE, Projection
from tradepost.items.repository.sizes import ItemSizeRepository, is_kept
from tradepost.items.repository.statements import (
    ROWS_OF,
    VIEWS_CLASS,
    ByWords,
    PageStatement,
    lock_no_key_update_in_order,
    page_statement,
    rows_of,
)
from tradepost.items.schemas import ItemRow, ItemStatus
from tradepost.items.texts import views_class

_ITEMS = cast("Table", Item.__table__)
_LINKS = cast("Table", ItemTag.__table__)
_LOCKED: Final = lock_for_update(select(Item).where(AmongIds(Item.id)).order_by(Item.id), Item)
_LOCKED_RIGHTS: Final = ByKeys(
    lock_for_update(select(Item.id, Item.owner_id, Item.status).order_by(Item.id), Item), Item.id
)
_GONE: Final = delete(_ITEMS).where(AmongIds(_ITEMS.c.id))


@lru_cache(maxsize=64)
def _setting(names: Sequence[str]) -> Update:
    """Return the statement that sets these columns of an item of a version."""
    of_version = (_ITEMS.c.id == bindparam("of_item"), _ITEMS.c.version == bindparam("of_version"))
    return update(_ITEMS).where(*of_version).values({name: bindparam(f"new_{name}") for name in names})


class ItemRepository(Repository):
    """The rows of ``items``."""

    async def find_rows(self, item_ids: Sequence[int]) -> Sequence[ItemRow]:
        """Return the items of these ids with their owners' public views and their tags, in no order."""
        return await self._item_rows(*ROWS_OF.asked(item_ids))

    async def get_row(self, item_id: int) -> ItemRow | None:
        """Return the item of this id likewise, or None."""
        rows = await self.find_rows([item_id])
        return rows[0] if rows else None

    async def get(self, item_id: int) -> Item | None:
        """Return the item of this id."""
        return await self.db.get(Item, item_id)

    async def lock_for_update(self, item_id: int) -> Item | None:
        """Return the item of this id, with the row locked until the transaction ends."""
        return await self.db.scalar(lock_for_update(select(Item).where(Item.id == item_id), Item))

    async def lock_several_for_update(self, item_ids: Collection[int]) -> Sequence[Item]:
        """Return the items of these ids, with the rows locked until the transaction ends."""
        return (await self.db.scalars(_LOCKED, {"ids": sorted(item_ids)})).all()

    async def lock_rights_for_update(self, item_ids: Collection[int]) -> Sequence[Row[int, int, ItemStatus]]:
        """Return id, owner and status of the items of these ids, with the rows locked until the transaction ends."""
        return await self.rows(*_LOCKED_RIGHTS.asked(sorted(item_ids)))

    async def find_projected(
        self, item_ids: Sequence[int], projection: Projection
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the columns of a projection, with id, status and owner, of the items of these ids, in no order."""
        return await self.rows(*rows_of(projection).asked(item_ids))

    async def find_texts(self, item_ids: Sequence[int]) -> Sequence[Row[int, str, str | None]]:
        """Return id, title and description of the items of these ids, in no order."""
        texts = select(Item.id, Item.title, Item.description).where(AmongIds(Item.id))
        return (await self.db.execute(texts, {"ids": list(item_ids)})).all()

    async def page(
        self,
        wanted: ItemFilter,
        window: Window,
        projection: Projection = WHOLE,
        *,
        by_words: ByWords | None = None,
    ) -> Page[Any]:
        """Return a part of the wanted items; the total is counted as the window says.

        A row is an ``ItemRow``, or has the columns of another ``projection``. ``by_words`` is how
        what ``q`` finds is found.
        """
        counts = ItemSizeRepository(self.db)
        # The list of all needs no plan, and a search by words has one of its own.
        is_planned = wanted.q is None and not wanted.is_public_list
        # What kept counts have is exact where an estimate would do.
        is_counted = wanted.q is None and (
            window.total is Total.EXACT or (window.total is Total.ESTIMATED and is_kept(wanted))
        )
        plan, sizes = _unfiltered(window) if by_words is None else by_words.plan, None
        if is_planned or is_counted:
            sizes = await counts.find(wanted)
            wanted = sizes.wanted
            if sizes.is_empty:
                return Page([], None if window.total is Total.NONE else 0, window)
            if is_planned:
                plan = await counts.plan(sizes, sort=window.sort, needed=window.skip + window.limit + 1)
        values, begun = wanted.parameters(), _begun(window, plan)
        asked = page_statement(wanted, begun, projection, by_words, plan=plan)
        found = await self.rows(asked.rows, values | _place_values(asked, begun, plan))
        while plan.second is not None and len(found) <= window.limit:
            plan = plan.second
            asked = page_statement(wanted, begun, projection, by_words, plan=plan)
            found = await self.rows(asked.rows, values | _place_values(asked, begun, plan))
        shown: Sequence[Any] = found[: window.limit]
        end = asked.place(shown[-1]) if len(found) > len(shown) else None
        if projection is WHOLE:
            shown = [ItemRow._make(row[: asked.width]) for row in shown]
        if sizes is not None and is_counted:
            total: int | None = await counts.total(sizes)
        elif by_words is not None and window.total is Total.EXACT:
            total = by_words.number
            if by_words.counted is not None:
                total = int(await self.db.scalar(by_words.counted, values) or 0)
        else:
            total = await self.count(asked.matching, window.total, values)
        return Page(shown, total, window, end)

    async def _item_rows(
        self, statement: Select[*tuple[Any, ...]], values: Mapping[str, Any]
    ) -> Sequence[ItemRow]:
        return list(map(ItemRow._make, await self.rows(statement, values)))

    async def find_active(self, item_ids: Collection[int]) -> Sequence[int]:
        """Return the ids of those items among these that everybody may see."""
        return (await self.db.scalars(select(Item.id).where(Item.id.in_(item_ids), IS_ACTIVE))).all()

    async def add_many(
        self, rows: Sequence[Mapping[str, Any]], tags: Mapping[datetime, Sequence[str]]
    ) -> Mapping[datetime, int]:
        """Insert items, no two with the same ``created_at``, with links to tags that exist; return their ids by it."""
        links = [
            {"created_at": created_at, "tag": name, "position": at}
            for created_at, names in tags.items()
            for at, name in enumerate(names)
        ]
        # In one statement: the trigger of kept counts is called for it once, not for each row.
        return await insert_family(
            self.db, _ITEMS, rows, Children(_LINKS, links, key="item_id", by="created_at")
        )

    async def change(self, item: Item, values: Mapping[str, Any]) -> None:
        """Set columns of a locked item, in the database and on the object, which may be changed once more.

        ``PreconditionFailed`` should its version be another one than was read: the lock keeps that from happening, and the
        statement does not rely on it.
        """
        changed = await self.db.scalar(
            update(Item)
            .where(Item.id == item.id, Item.version == item.version)
            .values(**values)
            .returning(Item.id)
            .execution_options(synchronize_session=False)
        )
        if changed is None:
            raise PreconditionFailed
        for name, value in values.items():
            set_committed_value(item, name, value)

    async def change_many(self, changed: Iterable[tuple[Item, Mapping[str, Any]]]) -> None:
        """Set columns of locked items of their versions likewise; those with the same columns share a statement.

        Which of them had another version, the caller sees by the version that they have afterwards.
        """
        by_names: defaultdict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for item, values in changed:
            row = {f"new_{name}": value for name, value in values.items()}
            by_names[tuple(sorted(values))].append(row | {"of_item": item.id, "of_version": item.version})
            for name, value in values.items():
                set_committed_value(item, name, value)
        connection = await self.db.connection()
        for names, rows in sorted(by_names.items()):
            await connection.execute(_setting(names), rows)

    async def delete_many(self, items: Collection[Item]) -> None:
        """Delete locked items, and by the database their links to tags."""
        await (await self.db.connection()).execute(_GONE, {"ids": sorted(item.id for item in items)})

    async def move_category(self, *, source_id: int, target_id: int, now: datetime) -> None:
        """Put the items of one category into another."""
        held = Item.category_id == source_id
        await lock_no_key_update_in_order(self.db, held)
        await self.db.execute(
            update(Item)
            .where(held)
            .values(
                category_id=target_id,
                version=Item.version + 1,
                updated_at=now,
                # Search knows nothing of categories: what it had of the last version, it has of this one.
                indexed_version=case(
                    (Item.indexed_version == Item.version, Item.version + 1), else_=Item.indexed_version
                ),
            )
            .execution_options(synchronize_session=False)
        )


def _unfiltered(window: Window) -> Plan:
    return unfiltered(window.sort, None if window.after is None else cast("int", window.after[0]))


def _begun(window: Window, plan: Plan) -> Window:
    """Return the window after a place, which the walk along items with as many views needs: at first one before all items."""
    is_first = plan.by_views is ByViews.ALIKE and window.after is None
    return replace(window, after=(0, 0)) if is_first else window


def _place_values(asked: PageStatement, window: Window, plan: Plan) -> dict[str, Any]:
    """Return the values that say where in the list a page is."""
    values: dict[str, Any] = {"skip": window.skip} if window.skip else {}
    if window.after is not None:
        values |= asked.order.parameters(window.after)
        if plan.by_views in {ByViews.FROM_MOST, ByViews.TO_MOST}:
            values[VIEWS_CLASS] = views_class(cast("int", window.after[0]))
    return values
