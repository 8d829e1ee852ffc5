"""Bulk inserts in the caller's transaction: COPY on PostgreSQL, one prepared INSERT on SQLite.

Through the ORM a million rows would take many times as long.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tradepost.core.database.engines import Database
from tradepost.core.database.locks import lock_tables
from tradepost.core.database.sessions import WriteSession

SQLITE_CACHE: Final = 64 * 1024
"""KiB for SQLite's pages while it is filled: its indexes are written at random places."""


class Writer(ABC):
    """Writes rows in bulk into ``tables``, which no other transaction can write to until this one ends."""

    def __init__(self, db: WriteSession, tables: Sequence[Table]) -> None:
        self._db = db
        self._tables = tables
        self._last_ids: dict[Table, int] = {}

    @abstractmethod
    async def prepare(self) -> None:
        """Lock the tables against other writers, and tune the connection for many rows."""

    @abstractmethod
    async def last_id(self, table: Table) -> int:
        """Return the highest id that was ever assigned, 0 if none; its row may have been deleted."""

    @abstractmethod
    async def finish(self) -> None:
        """Advance the database's own id sequences past the ids that were written."""

    async def write(self, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert ``rows`` of values as the models have them; each is stored just as the ORM would store it.

        Where a table has ids they come first, ascending.
        """
        if not rows:
            return
        connection = await self._db.connection()
        dialect = connection.dialect
        values: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for place, column in enumerate(columns):
            encode = table.c[column].type.dialect_impl(dialect).bind_processor(dialect)
            if encode is not None:
                values[place] = map(encode, values[place])
        await self._insert(connection, table, columns, list(zip(*values, strict=True)))
        if columns[0] == "id":
            self._last_ids[table] = rows[-1][0]

    @abstractmethod
    async def _insert(
        self, connection: AsyncConnection, table: Table, columns: Sequence[str], rows: list[tuple[Any, ...]]
    ) -> None: ...


class PostgresWriter(Writer):
    """COPY in the binary format, through the driver: SQLAlchemy has no COPY."""

    async def prepare(self) -> None:
        # Readers go on, but no other transaction gets an id between ours.
        await lock_tables(self._db, "seeded tables", *self._tables)
        await self._db.execute(text("SET LOCAL statement_timeout = 0"))

    async def last_id(self, table: Table) -> int:
        sequence = func.pg_get_serial_sequence(table.name, "id")
        last = select(func.greatest(func.max(table.c.id), func.pg_sequence_last_value(sequence)))
        return int(await self._db.scalar(last) or 0)

    async def finish(self) -> None:
        for table, last_id in self._last_ids.items():
            sequence = func.pg_get_serial_sequence(table.name, "id")
            await self._db.execute(select(func.setval(sequence, last_id)))

    async def _insert(
        self, connection: AsyncConnection, table: Table, columns: Sequence[str], rows: list[tuple[Any, ...]]
    ) -> None:
        # SQLAlchemy sent BEGIN with its own first statement, in ``prepare``: the driver is within the transaction.
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.copy_records_to_table(table.name, records=rows, columns=columns)


class SqliteWriter(Writer):
    """One prepared INSERT, which the driver's thread runs for all rows of a batch in one call."""

    async def prepare(self) -> None:
        # Other writers are kept out by BEGIN IMMEDIATE already.
        self._cache_size = await self._db.scalar(text("PRAGMA cache_size"))
        await self._db.execute(text(f"PRAGMA cache_size = -{SQLITE_CACHE}"))

    async def last_id(self, table: Table) -> int:
        # AUTOINCREMENT keeps account, of ids that were written explicitly too.
        last = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
        return int(await self._db.scalar(last, {"table": table.name}) or 0)

    async def finish(self) -> None:
        await self._db.execute(text("ANALYZE"))
        await self._db.execute(text(f"PRAGMA cache_size = {self._cache_size}"))

    async def _insert(
        self, connection: AsyncConnection, table: Table, columns: Sequence[str], rows: list[tuple[Any, ...]]
    ) -> None:
        places = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - our own names
        await connection.exec_driver_sql(statement, rows)


async def vacuum(database: Database, tables: Sequence[Table]) -> None:
    """VACUUM the new tables of PostgreSQL, which sets their visibility map: without it a count of all rows takes 15 times as long.

    It cannot be done within a transaction. Its ANALYZE is what SQLite does in ``finish``.
    """
    if database.is_sqlite:
        return
    async with database.read() as db:
        await db.execute(text("SET statement_timeout = 0"))
        try:
            await db.execute(text(f"VACUUM (ANALYZE) {', '.join(table.name for table in tables)}"))
        finally:
            await db.execute(text("RESET statement_timeout"))
