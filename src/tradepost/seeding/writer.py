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
SQLITE_SORTERS: Final = 2
"""Threads that sort what an index is made of."""
POSTGRES_SORT: Final = "256MB"
"""Memory for sorting what an index is made of."""
MANY: Final = ("items", "item_tags", "item_texts")
"""The tables that get many rows, and that nothing but each other refers to."""


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
    async def set_aside(self) -> None:
        """Drop what costs at each row of ``MANY`` tables: indexes, foreign keys, triggers. Only for tables without rows.

        One row after the other they cost most of the time, for they are written at random places. ``put_back`` makes them
        again, from all rows at once. All of it is in the one transaction of the seeding, on both engines: a seeding that
        is killed leaves everything as it was.
        """

    @abstractmethod
    async def put_back(self) -> None:
        """Make what was set aside again, the index of search too. The counts that triggers keep are the caller's to fill."""

    @abstractmethod
    async def write_encoded(self, table: Table, columns: Sequence[str], payload: bytes) -> None:
        """Insert what the producer encoded for this engine."""

    async def _run(self, statements: Iterable[str]) -> None:
        for statement in statements:
            # To the driver: a condition in it may have a colon.
            await (await self._db.connection()).exec_driver_sql(statement)

    @abstractmethod
    async def _insert(
        self, connection: AsyncConnection, table: Table, columns: Sequence[str], rows: list[tuple[Any, ...]]
    ) -> None: ...


class PostgresWriter(Writer):
    """COPY through the driver: SQLAlchemy has no COPY."""

    _is_aside = False

    async def prepare(self) -> None:
        # Readers go on, but no other transaction gets an id between ours.
        await lock_tables(self._db, "seeded tables", *self._tables)
        await self._db.execute(text("SET LOCAL statement_timeout = 0"))

    async def last_id(self, table: Table) -> int:
        sequence = func.pg_get_serial_sequence(table.name, "id")
        last = select(func.greatest(func.max(table.c.id), func.pg_sequence_last_value(sequence)))
        return int(await self._db.scalar(last) or 0)

    async def set_aside(self) -> None:
        await self._db.execute(text(f"SET LOCAL maintenance_work_mem = '{POSTGRES_SORT}'"))
        await self._db.execute(text(f"SET LOCAL work_mem = '{POSTGRES_SORT}'"))
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
        for table in MANY:
            await self._db.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            self._aside.append(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        # They are empty. In a table that is emptied in the same transaction, COPY writes rows that are frozen, and nobody
        # has to look again at whether they are committed.
        await self._db.execute(text(f"TRUNCATE {', '.join(MANY)}"))
        self._is_aside = True

    async def put_back(self) -> None:
        await self._run(self._aside)

    async def write_encoded(self, table: Table, columns: Sequence[str], payload: bytes) -> None:
        connection = await self._db.connection()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.copy_to_table(
            table.name, source=BytesIO(payload), columns=columns, freeze=self._is_aside or None
        )

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

    async def set_aside(self) -> None:
        found = await self._db.execute(
            text(
                "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL "
                "AND tbl_name IN (SELECT value FROM json_each(:tables)) ORDER BY type, name"
            ),
            {"tables": json.dumps(MANY)},
        )
        for kind, name, definition in found.all():
            await self._db.execute(text(f"DROP {kind} {name}"))
            self._aside.append(definition)

    async def put_back(self) -> None:
        tables = await self._db.execute(
            text("SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE %fts5%'")
        )
        searches = [name for name, definition in tables if any(f"'{table}" in definition for table in MANY)]
        # Their triggers have not told the indexes of search about any row.
        rebuilt = [f"INSERT INTO {name} ({name}) VALUES ('rebuild')" for name in searches]  # noqa: S608 - our own names
        await self._run((f"PRAGMA threads = {SQLITE_SORTERS}", *rebuilt, *self._aside, "PRAGMA threads = 0"))

    async def write_encoded(self, table: Table, columns: Sequence[str], payload: bytes) -> None:
        await self._insert(await self._db.connection(), table, columns, decoded(payload))

    async def finish(self) -> None:
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
    if database.is_sqlite or not database.has_direct_connections:
        return
    async with database.direct_connection() as opened:
        connection = await opened.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SET statement_timeout = 0"))
        try:
            await connection.execute(text(f"VACUUM (ANALYZE) {', '.join(table.name for table in tables)}"))
        finally:
            await connection.execute(text("RESET statement_timeout"))
