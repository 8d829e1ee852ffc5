"""Every statement about tags. Those about the items that bear them are in ``items``, behind the port ``TaggedItems``."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, delete, func, select

from tradepost.core.database.elements import AmongTexts, upsert
from tradepost.core.database.keyset import Order, Sorts
from tradepost.core.database.locks import lock_for_update, lock_key_share
from tradepost.core.database.repository import ByKeys, Repository, escaped
from tradepost.core.errors import PreconditionFailed
from tradepost.core.wire.pagination import Page, Window
from tradepost.tags.models import Tag

SORTS: Final[Sorts] = {"name": Tag.name_key, "created_at": Tag.created_at}
BY_NUMBER: Final = "items_count"
"""The order by the number of items, which no column of a tag holds."""

TagRow = Row[int, str, str | None, datetime, datetime, int]
"""id, name, description, created_at, updated_at, version."""


def _rows() -> Select[int, str, str | None, datetime, datetime, int]:
    return select(Tag.id, Tag.name, Tag.description, Tag.created_at, Tag.updated_at, Tag.version)


_ROWS_OF: Final = ByKeys(_rows(), Tag.id)
_TAKEN: Final = lock_key_share(select(Tag.name).where(AmongTexts(Tag.name)).order_by(Tag.id), Tag)


class TagRepository(Repository):
    """The rows of ``tags``."""

    async def find_rows(self, tag_ids: Sequence[int]) -> Sequence[TagRow]:
        """Return the tags of these ids, in no order."""
        return await self.rows(*_ROWS_OF.asked(tag_ids))

    async def lock_for_update(self, tag_id: int) -> Tag | None:
        """Return the tag of this id, with the row locked until the transaction ends."""
        return await self.db.scalar(lock_for_update(select(Tag).where(Tag.id == tag_id), Tag))

    async def lock_several_for_update(self, tag_ids: Collection[int]) -> dict[int, Tag]:
        """Return those of these tags that exist, by id; the rows are locked in one order for everybody."""
        tags = select(Tag).where(Tag.id.in_(tag_ids)).order_by(Tag.id)
        return {tag.id: tag for tag in await self.db.scalars(lock_for_update(tags, Tag))}

    async def page(self, window: Window, numbers: Select[str, int], *, containing: str = "") -> Page[TagRow]:
        """Return a part of all tags, or of those whose names contain a normalised text.

        ``numbers`` is the statement for how many items each tag has, for the order by that.
        """
        wanted = [Tag.name.like(f"%{escaped(containing)}%", escape="\\")] if containing else []
        rows, sorts = _rows().where(*wanted), SORTS
        if BY_NUMBER in window.sort:
            counts = numbers.subquery()
            rows = rows.outerjoin(counts, counts.c.key == Tag.name)
            sorts = {**SORTS, BY_NUMBER: func.coalesce(counts.c.n, 0).label(BY_NUMBER)}
        return await self.paged(rows, window, Order(window.sort, sorts, ties=Tag.id))

    async def add(self, tag: Tag) -> Tag:
        """Insert ``tag`` and give it its id."""
        self.db.add(tag)
        await self.db.flush()
        return tag

    async def save(self) -> None:
        """Write the changes that were made to tags of this session, so that a broken constraint shows here."""
        await self.db.flush()

    async def lock_key_share(self, names: Collection[str]) -> Sequence[str]:
        """Return which of these names are taken, and keep them so until the transaction ends.

        In the order of ids, as ``lock_several_for_update``: two that lock several tags wait for each other in one direction only.
        """
        return [name for (name,) in await self.rows(_TAKEN, {"texts": sorted(names)})]

    async def add_missing(self, tags: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        """Insert those of these tags whose names are free, in this order, and return the names inserted."""
        statement = upsert(Tag).values(tags).on_conflict_do_nothing(index_elements=["name"])
        return (await self.db.scalars(statement.returning(Tag.name))).all()

    async def delete(self, tag: Tag) -> None:
        """Delete a locked tag, and by the database its links to items.

        ``PreconditionFailed`` should its version be another one than was read: the lock keeps that from happening.
        """
        gone = delete(Tag).where(Tag.id == tag.id, Tag.version == tag.version).returning(Tag.id)
        if await self.db.scalar(gone.execution_options(synchronize_session=False)) is None:
            raise PreconditionFailed
