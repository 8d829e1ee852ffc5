"""Signals between the processes that share a SQLite file: each sees that another has written, not what."""

import asyncio
from typing import Any, Final

import structlog

from tradepost.core.database.engines import Database
from tradepost.core.signals.signals import REPLACED, LocalSignals

PERIOD: Final = 0.25
"""Seconds between two looks."""

log = structlog.stdlib.get_logger(__name__)


class SqliteSignals(LocalSignals):
    """Signals within the process, and ``""`` to all listeners when another process has changed the file."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._seen: tuple[Any, int] | None = None
        self._schema: int | None = None

    async def run(self) -> None:
        """Look at the file's version until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                has_changed = await self._has_changed()
                if has_changed:
                    for topic in [topic for topic in self._listeners if topic != REPLACED]:
                        self._tell(topic, "")
                if has_changed or self._schema is None:
                    await self._look_for_another()
            except Exception as error:  # noqa: BLE001 - the writer is busy, or the disk is away: the next look tells
                log.debug("could not look whether another process has written", reason=repr(error))

    async def _look_for_another(self) -> None:
        """Tell who listens to ``REPLACED`` when the whole content is another: that counts the schema's version up."""
        async with self._database.write_gate.place(), self._database.engine.connect() as pooled:
            connection: Any = (await pooled.get_raw_connection()).driver_connection
            cursor = await connection.execute("PRAGMA schema_version")
            (version,) = await cursor.fetchone()
            await cursor.close()
        before, self._schema = self._schema, version
        if before is not None and before != version:
            self._tell(REPLACED, "")

    async def _has_changed(self) -> bool:
        """Tell whether another process has committed since the last look.

        The version is read on the connection that writes: only there it stays the same when this process commits.
        """
        database = self._database
        async with database.write_gate.place(), database.engine.connect() as pooled:
            connection: Any = (await pooled.get_raw_connection()).driver_connection
            # By the driver: through SQLAlchemy it would begin a transaction, and wait for others' writes.
            cursor = await connection.execute("PRAGMA data_version")
            (version,) = await cursor.fetchone()
            await cursor.close()
        seen, self._seen = self._seen, (connection, version)
        return seen is not None and seen != self._seen
