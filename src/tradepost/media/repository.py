"""Every statement about files, their variants, and what they take up."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Insert,
    Row,
    String,
    Table,
    bindparam,
    column,
    delete,
    select,
    true,
    tuple_,
    update,
)

from tradepost.core.database.elements import AmongIds, GivenRows, upsert
from tradepost.core.database.keyset import Order
from tradepost.core.database.locks import lock_for_update
from tradepost.core.database.many_rows import insert_many
from tradepost.core.database.repository import Repository
from tradepost.core.wire.pagination import Page, Window
from tradepost.media.models import FileUsage, FileVariant, StoredFile
from tradepost.media.schemas import FileSelection, FileState

FileRow = Row[*tuple[Any, ...]]
"""The columns of a file."""

DoomedRow = Row[str, int, int]
"""Of a file that was doomed: ``name``, ``owner_id``, ``size``."""

_COLUMNS: Final = StoredFile.__table__.columns
VariantRow = Row[*tuple[Any, ...]]
"""The columns of a variant."""

_VARIANT_COLUMNS: Final = FileVariant.__table__.columns
_NEWEST_FIRST: Final = Order("-id", {"id": StoredFile.id}, ties=StoredFile.id)
_LIVING: Final = (FileState.PENDING, FileState.STORED)

# Statements of every upload are built once: building one takes as long as running it.
_FILES: Final = cast("Table", StoredFile.__table__)
_USAGE: Final = cast("Table", FileUsage.__table__)
_WHOLE: Final = GivenRows("ids", "sizes", "digests", texts={"digests"}).table_valued(
    column("ids", BigInteger), column("sizes", BigInteger), column("digests", String), name="whole"
)
_IS_PENDING: Final = _FILES.c.state == FileState.PENDING
_NOTE_STORED: Final = (
    update(_FILES)
    .where(
        _FILES.c.id == _WHOLE.c.ids,
        # In one order, as all rows of a table are locked.
        _FILES.c.id.in_(
            lock_for_update(
                select(StoredFile.id).where(AmongIds(StoredFile.id), _IS_PENDING).order_by(StoredFile.id),
                StoredFile,
            )
        ),
        _IS_PENDING,
    )
    .values(
        state=FileState.STORED,
        size=_WHOLE.c.sizes,
        sha256=_WHOLE.c.digests,
        changed_at=bindparam("now", type_=_FILES.c.changed_at.type),
    )
    .returning(_FILES.c.id)
)
_WANTED: Final = GivenRows("owners", "files", "bytes").table_valued(
    *(column(name, BigInteger) for name in ("owners", "files", "bytes")), name="wanted"
)


@lru_cache
def _take_room(most_files: int, most_bytes: int) -> Insert:
    # In one order for everybody: two that take room for the same people crosswise would wait for each other.
    rows = select(*_WANTED.c).where(true()).order_by(_WANTED.c.owners)
    statement = upsert(_USAGE).from_select(["owner_id", "files", "bytes"], rows)
    files = _USAGE.c.files + statement.excluded.files
    size = _USAGE.c.bytes + statement.excluded.bytes
    taking: Insert = statement.on_conflict_do_update(
        index_elements=["owner_id"],
        set_={"files": files, "bytes": size},
        # An owner without a byte left need not begin.
        where=(files <= most_files) & (size <= most_bytes) & (_USAGE.c.bytes < most_bytes),
    )
    return taking.returning(_USAGE.c.owner_id)


class FileRepository(Repository):
    """Files."""

    async def find_stored(self, names: Collection[str]) -> Sequence[FileRow]:
        """Return the stored files of these names, in no order."""
        wanted = select(*_COLUMNS).where(StoredFile.name.in_(names), StoredFile.state == FileState.STORED)
        return (await self.db.execute(wanted)).all()

    async def page(self, selection: FileSelection, window: Window) -> Page[FileRow]:
        """Return a part of the selected files that are stored, newest first."""
        wanted = select(*_COLUMNS).where(StoredFile.state == FileState.STORED)
        if selection.owner_id is not None:
            wanted = wanted.where(StoredFile.owner_id == selection.owner_id)
        if selection.category is not None:
            wanted = wanted.where(StoredFile.category == selection.category)
        return await self.paged(wanted, window, _NEWEST_FIRST)

    async def find_newest(self) -> str | None:
        """Return the name of the stored file that came last."""
        stored = select(StoredFile.name).where(StoredFile.state == FileState.STORED)
        return await self.db.scalar(stored.order_by(StoredFile.id.desc()).limit(1))

    async def find_names(self, names: Collection[str]) -> Collection[str]:
        """Return which of these names have a row, whatever its state."""
        return set(await self.db.scalars(select(StoredFile.name).where(StoredFile.name.in_(names))))

    async def find_names_of(self, owner_id: int, category: str) -> Sequence[str]:
        """Return the names of a person's stored files of a category."""
        names = select(StoredFile.name).where(
            StoredFile.owner_id == owner_id,
            StoredFile.category == category,
            StoredFile.state == FileState.STORED,
        )
        return (await self.db.scalars(names)).all()

    async def add(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
        """Insert files and return their ids by their names."""
        made = await insert_many(self.db, _FILES, rows, returning=("name", "id"))
        return {row[0]: row[1] for row in made}

    async def note_stored(self, stored: Mapping[int, tuple[int, str]], *, now: datetime) -> bool:
        """Make pending files ``stored``, with these sizes and digests; tell whether all of them were pending."""
        sizes, digests = zip(*stored.values(), strict=True)
        given = {"ids": list(stored), "sizes": sizes, "digests": digests, "now": now}
        return len(await self.rows(_NOTE_STORED, given)) == len(stored)

    async def doom_names(self, names: Collection[str], *, now: datetime) -> Sequence[DoomedRow]:
        """Doom the files of these names, and return those that were not doomed yet."""
        return await self._doom(StoredFile.name.in_(names), now=now)

    async def doom_pending(self, file_ids: Collection[int], *, now: datetime) -> Sequence[DoomedRow]:
        """Doom those of these files that are still pending, and return them."""
        return await self._doom(StoredFile.id.in_(file_ids), StoredFile.state == FileState.PENDING, now=now)

    async def doom_owners(self, owner_ids: Collection[int], *, now: datetime) -> Sequence[DoomedRow]:
        """Doom every file of these people, and return them."""
        return await self._doom(StoredFile.owner_id.in_(owner_ids), now=now)

    async def doom_subjects(self, subject_ids: Collection[int], *, now: datetime) -> Sequence[DoomedRow]:
        """Doom every file that belongs to one of these subjects, and return them."""
        return await self._doom(StoredFile.subject_id.in_(subject_ids), now=now)

    async def doom_stale(self, *, before: datetime, limit: int, now: datetime) -> Sequence[DoomedRow]:
        """Doom files that have been pending since before a moment, and return them."""
        stale = (
            select(StoredFile.id)
            .where(StoredFile.state == FileState.PENDING, StoredFile.changed_at < before)
            .limit(limit)
        )
        # Said again: one that is stored while this waits for its row is stale no more.
        return await self._doom(StoredFile.id.in_(stale), StoredFile.state == FileState.PENDING, now=now)

    async def _doom(self, *conditions: ColumnElement[bool], now: datetime) -> Sequence[DoomedRow]:
        # Locked by their ids first: an UPDATE takes rows as they lie, and could meet ``note_stored`` crosswise.
        living = select(StoredFile.id).where(*conditions, StoredFile.state.in_(_LIVING))
        locked = lock_for_update(living.order_by(StoredFile.id), StoredFile)
        statement = (
            update(StoredFile)
            .where(StoredFile.id.in_(locked))
            .values(state=FileState.DOOMED, changed_at=now)
            .returning(StoredFile.name, StoredFile.owner_id, StoredFile.size)
            .execution_options(synchronize_session=False)
        )
        return (await self.db.execute(statement)).all()

    async def remind_of_doomed(self, *, before: datetime, limit: int, now: datetime) -> Sequence[str]:
        """Return files that have been doomed since before a moment; each is returned once in that time."""
        left = (
            select(StoredFile.id)
            .where(StoredFile.state == FileState.DOOMED, StoredFile.changed_at < before)
            .limit(limit)
        )
        statement = (
            update(StoredFile)
            .where(StoredFile.id.in_(left))
            .values(changed_at=now)
            .returning(StoredFile.name)
            .execution_options(synchronize_session=False)
        )
        return (await self.db.scalars(statement)).all()

    async def remove_doomed(self, names: Collection[str]) -> None:
        """Delete the rows of doomed files."""
        await self.db.execute(
            delete(StoredFile)
            .where(StoredFile.name.in_(names), StoredFile.state == FileState.DOOMED)
            .execution_options(synchronize_session=False)
        )


class UsageRepository(Repository):
    """What each person's files take up."""

    async def get(self, owner_id: int) -> tuple[int, int]:
        """Return how many files a person has and how many bytes they are."""
        found = await self.db.execute(
            select(FileUsage.files, FileUsage.bytes).where(FileUsage.owner_id == owner_id)
        )
        row = found.one_or_none()
        return (0, 0) if row is None else (row.files, row.bytes)

    async def take_room(
        self, wanted: Mapping[int, tuple[int, int]], *, most_files: int, most_bytes: int
    ) -> Collection[int]:
        """Count so many more files and bytes for each of these owners whose quota allows it; return these owners.

        One statement, so that no other upload comes between check and count. An owner without a row is given one.
        """
        rows = [
            (owner, files, size)
            for owner, (files, size) in wanted.items()
            if files <= most_files and size <= most_bytes
        ]
        if not rows:
            return []
        given = dict(zip(("owners", "files", "bytes"), zip(*rows, strict=True), strict=True))
        return [owner for (owner,) in await self.rows(_take_room(most_files, most_bytes), given)]

    async def release(self, freed: Mapping[int, tuple[int, int]]) -> None:
        """Count so many fewer files and bytes for each of these owners; deleted ones have no row any more."""
        if not freed:
            return
        table = FileUsage.__table__
        statement = (
            update(table)  # type: ignore[arg-type]
            .where(table.c.owner_id == bindparam("of_owner"))
            .values(files=table.c.files - bindparam("gone"), bytes=table.c.bytes - bindparam("free"))
        )
        # In one order for everybody: two that released for the same people crosswise would wait for each other.
        rows = [
            {"of_owner": owner, "gone": files, "free": size} for owner, (files, size) in sorted(freed.items())
        ]
        await (await self.db.connection()).execute(statement, rows)


class VariantRepository(Repository):
    """Variants of pictures."""

    async def find_keys(self, keys: Collection[str]) -> Collection[str]:
        """Return which of these keys a variant has."""
        return set(await self.db.scalars(select(FileVariant.key).where(FileVariant.key.in_(keys))))

    async def find_made(self, wanted: Collection[tuple[int, str]]) -> Sequence[VariantRow]:
        """Return those of these variants, by picture and recipe, that are made."""
        found = select(*_VARIANT_COLUMNS).where(
            tuple_(FileVariant.file_id, FileVariant.recipe).in_(wanted), FileVariant.sha256.is_not(None)
        )
        return (await self.db.execute(found)).all()

    async def lock_for_update(self, file_id: int) -> bool:
        """Lock a stored file ``FOR UPDATE`` until the end of the transaction; tell whether there is one."""
        wanted = select(StoredFile.id).where(StoredFile.id == file_id, StoredFile.state == FileState.STORED)
        return await self.db.scalar(lock_for_update(wanted, StoredFile)) is not None

    async def claim(self, wanted: tuple[int, str], *, key: str, now: datetime) -> bool:
        """Insert a variant that is about to be made; False if there is one already."""
        values = {"file_id": wanted[0], "recipe": wanted[1], "key": key, "size": 0, "begun_at": now}
        statement = upsert(FileVariant).values(values)
        statement = statement.on_conflict_do_nothing(index_elements=["file_id", "recipe"])
        return await self.db.scalar(statement.returning(FileVariant.id)) is not None

    async def forget_stale(self, wanted: tuple[int, str], *, before: datetime) -> list[str]:
        """Delete a variant that has been in the making since before a moment; return the key of its bytes."""
        return await self._forget(
            FileVariant.file_id == wanted[0],
            FileVariant.recipe == wanted[1],
            FileVariant.sha256.is_(None),
            FileVariant.begun_at < before,
        )

    async def forget_oldest(self, file_id: int, *, keep: int) -> list[str]:
        """Delete all but the newest variants of a picture, yet none in the making; return the keys of their bytes."""
        newest = (
            select(FileVariant.id)
            .where(FileVariant.file_id == file_id)
            .order_by(FileVariant.id.desc())
            .limit(keep)
        )
        return await self._forget(
            FileVariant.file_id == file_id, FileVariant.sha256.is_not(None), FileVariant.id.not_in(newest)
        )

    async def forget(self, key: str) -> None:
        """Delete a variant that is still in the making."""
        await self._forget(FileVariant.key == key, FileVariant.sha256.is_(None))

    async def note_made(self, key: str, *, size: int, sha256: str) -> bool:
        """Note that a variant is made; tell whether it was still in the making."""
        statement = (
            update(FileVariant)
            .where(FileVariant.key == key, FileVariant.sha256.is_(None))
            .values(size=size, sha256=sha256)
            .returning(FileVariant.id)
            .execution_options(synchronize_session=False)
        )
        return await self.db.scalar(statement) is not None

    async def find_keys_of(self, name: str) -> Sequence[str]:
        """Return the keys of all variants of the file with this name, of those in the making too."""
        keys = (
            select(FileVariant.key)
            .join(StoredFile, StoredFile.id == FileVariant.file_id)
            .where(StoredFile.name == name)
        )
        return (await self.db.scalars(keys)).all()

    async def _forget(self, *conditions: ColumnElement[bool]) -> list[str]:
        statement = (
            delete(FileVariant)
            .where(*conditions)
            .returning(FileVariant.key)
            .execution_options(synchronize_session=False)
        )
        return list((await self.db.scalars(statement)).all())
