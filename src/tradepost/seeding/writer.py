"""Bulk inserts in the caller's transaction: COPY on PostgreSQL, one prepared INSERT on SQLite.

Through the ORM a million rows would take many times as long.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any, Final

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tradepost.core.database.engines import Database
from tradepost.core.database.locks import lock_tables
from tradepost.core.database.sessions import WriteSession
from tradepost.seeding.production import decoded

SQLITE_CACHE: Final = 64 * 1024
"""KiB for SQLite's pages while it is filled: its indexes are written at random places."""


POSTGRES_SORT: Final = "256MB"
"""Memory for sorting what an index is made of."""
MANY: Final = ("items", "item_tags", "item_texts")
"""The tables that get many rows."""


class Writer(ABC):
    """Writes rows in bulk into ``tables``, which no other transaction can write to until this one ends."""

    def __init__(self, db: WriteSession, tables: Sequence[Table]) -> None:
        self._db = db
        self._tables = tables
        self._last_ids: dict[Table, int] = {}
        self._aside: list[str] = []

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
            self.wrote_through(table, rows[-1][0])

    def wrote_through(self, table: Table, last_id: int) -> None:
        """Note the highest id that was written."""
        self._last_ids[table] = last_id

    @abstractmethod
    async def set_indexes_aside(self) -> None:
        """Drop the indexes and foreign keys of items; ``finish`` makes them again, from all rows at once.

        One row after the other they cost most of the time, for they are written at random places. Only for tables without
        rows: others would wait for the rest of this transaction, and read without an index.
        """

    @abstractmethod
    async def write_encoded(self, table: Table, columns: Sequence[str], payload: bytes) -> None:
        """Insert what the producer encoded for this engine."""

    async def _put_back(self) -> None:
        """Make what was set aside again."""
        for definition in self._aside:
            # To the driver: a condition in it may have a colon.
            await (await self._db.connection()).exec_driver_sql(definition)
        self._aside.clear()

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

    async def set_indexes_aside(self) -> None:
        await self._db.execute(text(f"SET LOCAL maintenance_work_mem = '{POSTGRES_SORT}'"))
        keys = await self._db.execute(
            text(
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE contype = 'f' AND conrelid::regclass::text = ANY(:tables) ORDER BY conname"
            ),
            {"tables": list(MANY)},
        )
        for table, name, definition in keys.all():
            await self._db.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
            self._aside.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        indexes = await self._db.execute(
            text(
                "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE "
                "indrelid::regclass::text = ANY(:tables) AND NOT indisprimary AND NOT indisunique ORDER BY 1"
            ),
            {"tables": list(MANY)},
        )
        for name, definition in indexes.all():
            await self._db.execute(text(f"DROP INDEX {name}"))
            # First, for the foreign keys' sake.
            self._aside.insert(0, definition)

    async def write_encoded(self, table: Table, columns: Sequence[str], payload: bytes) -> None:
        connection = await self._db.connection()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.copy_to_table(table.name, source=BytesIO(payload), columns=columns)

    async def finish(self) -> None:
        await self._put_back()
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

    async def set_indexes_aside(self) -> None:
        indexes = await self._db.execute(
            text(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN "
                "(SELECT value FROM json_each(:tables)) ORDER BY name"
            ),
            {"tables": json.dumps(MANY)},
        )
        for name, definition in indexes.all():
            await self._db.execute(text(f"DROP INDEX {name}"))
            self._aside.append(definition)

    async def write_encoded(self, table: Table, columns: Sequence[str], payload: bytes) -> None:
        await self._insert(await self._db.connection(), table, columns, decoded(payload))

    async def finish(self) -> None:
        await self._put_back()
        await self._db.execute(text("ANALYZE"))
        await self._db.execute(text(f"PRAGMA cache_size = {self._cache_size}"))

    async def _insert(
        self, connection: AsyncConnection, table: Table, columns: Sequence[str], rows: list[tuple[Any, ...]]
    ) -> None:
        places = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - our own names
        driver: Any = (await connection.get_raw_connection()).driver_connection
        cursor = await driver.executemany(statement, rows)
        await cursor.close()


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
