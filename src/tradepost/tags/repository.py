"""Every statement about tags. Those about the items that bear them are in ``items``, behind the port ``TaggedItems``."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, collate, delete, select

from tradepost.core.database.repository import Repository, among_ids, escaped
from tradepost.core.wire.pagination import Page, Window
from tradepost.tags.models import Tag

SORTS = {"name": Tag.name, "created_at": Tag.created_at}

TagRow = Row[int, str, str | None, datetime, datetime]
"""id, name, description, created_at, updated_at."""


def _rows() -> Select[int, str, str | None, datetime, datetime]:
    return select(Tag.id, Tag.name, Tag.description, Tag.created_at, Tag.updated_at)


@cache
def _rows_of(on_postgres: bool) -> Select[int, str, str | None, datetime, datetime]:  # noqa: FBT001 - the key of a cache
    return _rows().where(among_ids(Tag.id, on_postgres=on_postgres))


class TagRepository(Repository):
    """The rows of ``tags``."""

    async def find_rows(self, tag_ids: Sequence[int]) -> Sequence[TagRow]:
        """Return the tags of these ids, in no order."""
        return (await self.db.execute(_rows_of(self.on_postgres), {"ids": list(tag_ids)})).all()

    async def get_locked(self, tag_id: int) -> Tag | None:
        """Return the tag of this id, with the row locked until the transaction ends."""
        return await self.db.get(Tag, tag_id, with_for_update=True)

    async def find_locked(self, tag_ids: Collection[int]) -> dict[int, Tag]:
        """Return those of these tags that exist, by id; the rows are locked in one order for everybody."""
        tags = select(Tag).where(Tag.id.in_(tag_ids)).order_by(Tag.id).with_for_update()
        return {tag.id: tag for tag in await self.db.scalars(tags)}

    async def page(self, window: Window, *, containing: str = "") -> Page[TagRow]:
        """Return a part of all tags, or of those whose names contain a normalised text."""
        field = window.sort.removeprefix("-")
        # By code points on both engines, whatever the database's own collation is.
        order = collate(Tag.name, "C") if field == "name" and self.on_postgres else SORTS[field]
        ordering = (order.desc(), Tag.id.desc()) if window.sort.startswith("-") else (order, Tag.id)
        wanted = [Tag.name.like(f"%{escaped(containing)}%", escape="\\")] if containing else []
        tags = _rows().where(*wanted).order_by(*ordering).limit(window.limit).offset(window.skip)
        found = (await self.db.execute(tags)).all()
        return Page(found, await self.count(select(Tag.id).where(*wanted), window.total), window)

    async def add(self, tag: Tag) -> Tag:
        """Insert ``tag`` and give it its id."""
        self.db.add(tag)
        await self.db.flush()
        return tag

    async def save(self) -> None:
        """Write the changes that were made to tags of this session, so that a broken constraint shows here."""
        await self.db.flush()

    async def hold(self, names: Collection[str]) -> Sequence[str]:
        """Return which of these names are taken, and keep them so until the transaction ends.

        In the order of ids, as ``find_locked``: two that lock several tags wait for each other in one direction only.
        """
        held = select(Tag.name).where(Tag.name.in_(names)).order_by(Tag.id)
        return (await self.db.scalars(held.with_for_update(read=True, key_share=True))).all()

    async def add_missing(self, tags: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        """Insert those of these tags whose names are free, in this order, and return the names inserted."""
        statement = self.insert(Tag).values(tags).on_conflict_do_nothing(index_elements=["name"])
        return (await self.db.scalars(statement.returning(Tag.name))).all()

    async def delete(self, tag_id: int) -> bool:
        """Delete the tag, and by the database its links to items; tell whether there was one."""
        return await self.db.scalar(delete(Tag).where(Tag.id == tag_id).returning(Tag.id)) is not None
