"""Copying a whole database to another, of either engine: every row with its id, and proof that nothing is missing.

The source is read as it is at one moment, beside its writers. The target is filled in transactions of their own, so that
a copy that breaks off goes on where it was; a table in the target says whose copy it is, and is gone at the end.
"""

import base64
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from tradepost.core.database import migrations, revisions
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Conflict

CHUNK: Final = 2_000
"""Rows that are in memory, and in one transaction."""

_PROGRESS: Final = Table(
    "database_copy",
    MetaData(),
    Column("table_name", String(64), primary_key=True),
    Column("source", String(64), nullable=False),
)
"""The tables that are copied whole already, and whose copy it is (an empty name)."""


class CopyRefused(Conflict):
    """A database cannot be copied from, or to."""


@dataclass(frozen=True, slots=True)
class Sum:
    """How many rows a table has, and what they add up to: equal for equal rows in whatever order, on either engine."""

    rows: int = 0
    digest: int = 0

    def with_rows(self, rows: Sequence[Sequence[Any]]) -> "Sum":
        """Return the sum with these rows added."""
        total = sum(int.from_bytes(hashlib.sha256(_written(row)).digest()) for row in rows)
        return Sum(self.rows + len(rows), (self.digest + total) % 2**256)


class DatabaseCopy:
    """One copy of ``tables``, in an order in which none refers to a later one; ``derived`` are kept by triggers of the target.

    ``tell`` is told each table that was compared, and how many rows it has.
    """

    def __init__(
        self,
        source: Database,
        target: Database,
        *,
        tables: Sequence[Table],
        derived: Collection[str],
        tell: Callable[[str, int], None],
    ) -> None:
        self._source = source
        self._target = target
        self._tables = [table for table in tables if table.name not in derived]
        self._tell = tell
        self._name = hashlib.sha256(str(source.options.url).encode()).hexdigest()

    async def run(self) -> None:
        """Copy what is missing, compare everything, and let the sequences go on after every id that ever was.

        ``CopyRefused`` says why it cannot be done, or which table is not the same in the end.
        """
        found = await revisions.current(self._source)
        if found != revisions.head():
            raise CopyRefused(f"The source's schema is at {found}, and this version's at {revisions.head()}")
        await migrations.upgrade(self._target)
        async with self._source.snapshot() as source:
            done = await self._begin()
            for table in self._tables:
                if table.name not in done:
                    await self._copy(source, table)
            for table in self._tables:
                await self._compare(source, table)
            last_ids = [(table, await _last_id(source, table)) for table in self._tables if _counts_up(table)]
        async with self._target.transaction() as db:
            for table, last in last_ids:
                await _go_on_after(db, table, last, is_sqlite=self._target.is_sqlite)
            await db.run_sync(lambda bound: _PROGRESS.drop(bound.connection()))

    async def _begin(self) -> set[str]:
        """Return the names of the tables that are copied already; ``CopyRefused`` if something else is in the target."""
        async with self._target.transaction() as db:
            names = await db.run_sync(lambda bound: inspect(bound.connection()).get_table_names())
            if _PROGRESS.name not in names:
                for table in self._tables:
                    if await db.scalar(select(literal(1)).select_from(table).limit(1)):
                        raise CopyRefused(f"The target is not empty: {table.name} has rows")
                await db.run_sync(lambda bound: _PROGRESS.create(bound.connection()))
                await db.execute(insert(_PROGRESS).values(table_name="", source=self._name))
                return set()
            found = await db.execute(select(_PROGRESS))
            marks = {row.table_name: row.source for row in found}
            if marks.pop("", None) != self._name:
                raise CopyRefused("The target has a half-made copy of another database")
            return set(marks)

    async def _copy(self, source: AsyncConnection, table: Table) -> None:
        key = _counting_key(table)
        query = select(table)
        if key is not None and not _refers_to_itself(table):
            async with self._target.read() as db:
                last = await db.scalar(select(func.max(key)))
            query = query.order_by(key) if last is None else query.where(key > last).order_by(key)
            async with aclosing(_chunks(source, query)) as chunks:
                async for rows in chunks:
                    async with self._target.transaction() as db:
                        await db.execute(insert(table), [row._asdict() for row in rows])
            async with self._target.transaction() as db:
                await self._mark(db, table)
            return
        # Without a number to go on from, or a row that may refer to a later one: all of it, or nothing.
        async with self._target.transaction() as db:
            await db.execute(delete(table))
            rest: list[Any] = []
            async with aclosing(_chunks(source, query)) as chunks:
                async for rows in chunks:
                    if _refers_to_itself(table):
                        rest += rows
                    else:
                        await db.execute(insert(table), [row._asdict() for row in rows])
            if rest:
                await db.execute(insert(table), [row._asdict() for row in _parents_first(table, rest)])
            await self._mark(db, table)

    async def _mark(self, db: WriteSession, table: Table) -> None:
        await db.execute(insert(_PROGRESS).values(table_name=table.name, source=self._name))

    async def _compare(self, source: AsyncConnection, table: Table) -> None:
        wanted = await _sum(source, table)
        async with self._target.snapshot() as target:
            made = await _sum(target, table)
        if made != wanted:
            raise CopyRefused(
                f"{table.name} is not the same: {wanted.rows} rows in the source, {made.rows} in the target. What changed "
                "in the source after a copy began is not in it: empty the target, and copy once more"
            )
        self._tell(table.name, made.rows)


async def _chunks(connection: AsyncConnection, query: Any) -> AsyncGenerator[Sequence[Any]]:
    found = await connection.stream(query.execution_options(yield_per=CHUNK))
    try:
        async for rows in found.partitions(CHUNK):
            yield rows
    finally:
        await found.close()


async def _sum(connection: AsyncConnection, table: Table) -> Sum:
    total = Sum()
    async with aclosing(_chunks(connection, select(table))) as chunks:
        async for rows in chunks:
            total = total.with_rows(rows)
    return total


def _written(row: Sequence[Any]) -> bytes:
    return json.dumps([_plain(value) for value in row], sort_keys=True, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Decimal():
            return f"{value:f}"
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return value


def _counting_key(table: Table) -> Column[Any] | None:
    """Return the primary key of a table if that is one number."""
    keys = list(table.primary_key.columns)
    return keys[0] if len(keys) == 1 and isinstance(keys[0].type, Integer) else None


def _counts_up(table: Table) -> bool:
    return _counting_key(table) is not None and not next(iter(table.primary_key)).foreign_keys


def _refers_to_itself(table: Table) -> bool:
    return any(key.column.table is table for key in table.foreign_keys)


def _parents_first(table: Table, rows: Sequence[Any]) -> list[Any]:
    (parent,) = [key.parent.name for key in table.foreign_keys if key.column.table is table]
    (own,) = [column.name for column in table.primary_key.columns]
    by_parent: dict[Any, list[Any]] = {}
    for row in rows:
        by_parent.setdefault(getattr(row, parent), []).append(row)
    ordered = by_parent.get(None, [])
    for row in ordered:  # grows as it goes
        ordered += by_parent.get(getattr(row, own), [])
    return ordered


async def _last_id(connection: AsyncConnection, table: Table) -> int:
    """Return the highest id that the source has ever given out, as far as it knows."""
    highest = await connection.scalar(select(func.max(_counting_key(table))))
    if connection.dialect.name == "sqlite":
        query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    else:
        query = text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id'))")
    given = await connection.scalar(query, {"name": table.name})
    return max(int(highest or 0), int(given or 0))


async def _go_on_after(db: WriteSession, table: Table, last: int, *, is_sqlite: bool) -> None:
    if last == 0:
        return
    if not is_sqlite:
        await db.execute(
            text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"),
            {"name": table.name, "last": last},
        )
    elif table.dialect_options["sqlite"]["autoincrement"]:
        values = {"name": table.name, "last": last}
        await db.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
        await db.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), values)
