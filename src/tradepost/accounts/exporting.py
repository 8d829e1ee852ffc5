"""Taking one's data along: a ZIP of everything that is kept about a person, written while it is read.

The tables are those that ``PersonalTables`` names: accounts know no higher domain. Rows are of one moment and come bit by bit
within one read transaction; files follow when it has ended, as they lie in the storage. Nothing is ever whole in memory.
"""

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import IO, Any, Final

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Table
from typing_extensions import override

from tradepost.accounts.errors import DataExportsBusy
from tradepost.accounts.repository.personal_rows import PersonalRowRepository
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.storage.store import NoSuchKey, Storage

AT_ONCE: Final = 2
"""Exports of a process: each holds a connection for as long as its client takes."""
GROUP: Final = 200
"""Rows of a chunk: other requests have their turn between two."""
FILES: Final = "files/"
"""Where the ZIP has the files."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PersonalTable:
    """Rows that are about a person: their file in the ZIP, which rows of which table, and what is left out of each.

    ``shown`` makes of a row what the person may see of it. ``stored`` returns the key under which a row's bytes lie, and their
    name in the ZIP.
    """

    name: str
    about: str
    table: Table
    of: Callable[[int], ColumnElement[bool]]
    hidden: frozenset[str] = frozenset()
    shown: Callable[[dict[str, Any], int], dict[str, Any]] = lambda row, _user_id: row
    stored: Callable[[Row], tuple[str, str] | None] = lambda _row: None


@dataclass(frozen=True, slots=True)
class PersonalTables:
    """Every table that is exported, in the order in which the ZIP has them."""

    all: tuple[PersonalTable, ...] = field(default=())


class _Sink(io.RawIOBase):
    """Takes what ``zipfile`` writes, and gives it on; nothing can be sought in it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, part: Any, /) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _Archive:
    """A ZIP that is written piece by piece, and the files that are to go into it, each by its key and its name."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.stored: list[tuple[str, str]] = []
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w")

    def entry(self, name: str, *, compression: int = zipfile.ZIP_DEFLATED) -> IO[bytes]:
        """Begin a file; nothing else is written until it is closed."""
        about = zipfile.ZipInfo(name, self.now.timetuple()[:6])
        about.compress_type = compression
        return self._zip.open(about, "w", force_zip64=True)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        return self._sink.taken()

    def close(self) -> None:
        """Write the directory."""
        self._zip.close()


class DataExport:
    """Gives out what an export consists of. Lives as long as the process."""

    def __init__(
        self, database: Database, *, tables: PersonalTables, storage: Storage, clock: Clock, project: str
    ) -> None:
        self.running = 0
        self._database = database
        self._tables = tables
        self._storage = storage
        self._clock = clock
        self._project = project

    async def chunks(self, user_id: int) -> AsyncGenerator[bytes]:
        """Yield the bytes of the ZIP of a person's data; ``DataExportsBusy`` while as many as may are under way."""
        if self.running >= AT_ONCE:
            raise DataExportsBusy
        self.running += 1
        try:
            archive = _Archive(self._clock.now())
            try:
                async with aclosing(self._filled(archive, user_id)) as moments:
                    async for _ in moments:
                        if part := archive.taken():
                            yield part
            finally:
                archive.close()
            yield archive.taken()
        finally:
            self.running -= 1

    async def _filled(self, archive: _Archive, user_id: int) -> AsyncGenerator[None]:
        """Write everything but the directory; at each step something can be taken."""
        with archive.entry("README.txt") as readme:
            readme.write(self._readme(archive.now).encode())
        async with self._database.snapshot() as connection:
            rows = PersonalRowRepository(connection)
            for table in self._tables.all:
                async with aclosing(_written(archive, rows, table, user_id)) as steps:
                    async for _ in steps:
                        yield
        for key, name in archive.stored:
            async with aclosing(self._file(archive, key, name)) as steps:
                async for _ in steps:
                    yield

    async def _file(self, archive: _Archive, key: str, name: str) -> AsyncGenerator[None]:
        """Write a file as it is; pictures and documents are compressed already."""
        try:
            async with self._storage.open(key) as content:
                with archive.entry(name, compression=zipfile.ZIP_STORED) as entry:
                    async for chunk in content:
                        entry.write(chunk)
                        yield
        except NoSuchKey:
            # It was deleted since its row was read.
            return

    def _readme(self, now: datetime) -> str:
        lines = [f"{table.name}.json: {table.about}" for table in self._tables.all]
        return (
            f"What {self._project} keeps about you, as of {now:%Y-%m-%d %H:%M} UTC.\n\n"
            "Each .json file is a list, in UTF-8; times are in UTC (ISO 8601), ids are the service's own numbers.\n"
            "Passwords, keys and other secrets are kept as hashes or sealed, and are not in here.\n\n"
            + "\n".join(lines)
            + f"\n{FILES}: the files that files.json names, as they are served\n"
        )


async def _written(
    archive: _Archive, rows: PersonalRowRepository, table: PersonalTable, user_id: int
) -> AsyncGenerator[None]:
    """Write the rows of a table as a JSON array, and note the files that they name."""
    with archive.entry(f"{table.name}.json") as entry:
        before = b"[\n"
        async with aclosing(rows.groups(table.table, table.of(user_id), size=GROUP)) as groups:
            async for group in groups:
                archive.stored += [file for row in group if (file := table.stored(row)) is not None]
                written = [_json(table, row, user_id) for row in group]
                # Off the loop: compressing takes its time.
                await asyncio.to_thread(entry.write, before + b",\n".join(written))
                before = b",\n"
                yield
        entry.write(b"\n]\n" if before == b",\n" else b"[]\n")


def _json(table: PersonalTable, row: Row, user_id: int) -> bytes:
    shown = table.shown(dict(row), user_id)
    values: dict[str, Any] = {
        # A JSON number, as the API has it.
        name: float(value) if isinstance(value, Decimal) else value
        for name, value in shown.items()
        if name not in table.hidden
    }
    return to_json(values)
