"""Exports of items as NDJSON or CSV, in constant memory: one read transaction, at most two at once in a process."""

import csv
import io
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from enum import StrEnum
from typing import Final

from pydantic_core import to_json

from tradepost.core.database.engines import Database
from tradepost.core.database.replica import Replica
from tradepost.core.errors import Unavailable
from tradepost.core.observability.tallies import REPLICA_READS
from tradepost.core.principal import Principal
from tradepost.items.filters import ItemFilter
from tradepost.items.reader import sees_all
from tradepost.items.repository.export import ItemExportRepository
from tradepost.items.schemas import ItemRow, item_json, total_price

AT_ONCE: Final = 2
"""Exports of a process: each holds a connection for as long as its client takes."""
GROUP: Final = 250
"""Items of a chunk: other requests have their turn between two."""
_RUNS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in either width, or may strip to find one."""
CSV_COLUMNS: Final = (
    *("id", "title", "description", "price", "discount_price", "tax", "total_price", "status", "tags"),
    *("category_id", "images", "views", "owner_id", "owner", "version", "created_at", "updated_at"),
)


class ExportFormat(StrEnum):
    """How items are written."""

    NDJSON = "ndjson"
    CSV = "csv"


class ExportsBusy(Unavailable):
    """As many exports as may are running."""

    code = "EXPORTS_BUSY"
    detail = "Two exports are running already"

    def __init__(self) -> None:
        super().__init__(retry_after=10)


class ItemExport:
    """Gives out what an export consists of. Lives as long as the process, and counts items for ``/metrics``."""

    def __init__(self, database: Database, *, replica: Replica | None = None) -> None:
        """``replica`` is read for whoever is not logged in."""
        self.running = 0
        self.items = 0
        self._database = database
        self._replica = replica

    def chunks(
        self, wanted: ItemFilter, visitor: Principal | None, form: ExportFormat
    ) -> AsyncGenerator[bytes]:
        """Return the bytes of an export of what ``visitor`` may see."""
        if visitor is not None:
            wanted = replace(wanted, visitor_id=visitor.user_id, sees_all=sees_all(visitor))
        encode = _ndjson if form is ExportFormat.NDJSON else _csv
        return self._chunks(wanted, encode, form, may_be_old=visitor is None)

    async def _source(self, *, may_be_old: bool) -> Database:
        """Return which database to read; a standby is looked at once more: what has begun goes on nowhere else."""
        replica = self._replica
        if replica is not None and may_be_old and replica.is_good:
            await replica.look()
            if replica.is_good:
                REPLICA_READS.add("answered")
                return replica.database
        return self._database

    async def _chunks(
        self,
        wanted: ItemFilter,
        encode: Callable[[Sequence[ItemRow]], bytes],
        form: ExportFormat,
        *,
        may_be_old: bool,
    ) -> AsyncGenerator[bytes]:
        if self.running >= AT_ONCE:
            raise ExportsBusy
        self.running += 1
        try:
            if form is ExportFormat.CSV:
                yield _csv_lines([CSV_COLUMNS])
            source = await self._source(may_be_old=may_be_old)
            async with source.snapshot() as connection:
                found = ItemExportRepository(connection).groups(wanted, size=GROUP)
                async with aclosing(found) as groups:
                    async for rows in groups:
                        self.items += len(rows)
                        yield encode(rows)
        finally:
            self.running -= 1


def _ndjson(rows: Sequence[ItemRow]) -> bytes:
    return b"".join([item_json(row) + b"\n" for row in rows])


def _csv(rows: Sequence[ItemRow]) -> bytes:
    return _csv_lines(
        (
            *(row.id, harmless(row.title), harmless(row.description or ""), row.price),
            *(row.discount_price, row.tax, total_price(row.price, row.discount_price, row.tax), row.status),
            *(_json(row.tags), row.category_id, _json(row.images), row.views, row.owner_id),
            *(harmless(f"{row.owner_first_name} {row.owner_last_name}"), row.version),
            *(row.created_at.isoformat(), row.updated_at.isoformat()),
        )
        for row in rows
    )


def _csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


def _json(values: Sequence[str]) -> str:
    return to_json(values).decode()


def harmless(text: str) -> str:
    """Return a cell that no spreadsheet runs: an apostrophe before what could begin a formula makes it text."""
    return f"'{text}" if text.startswith(_RUNS) else text
