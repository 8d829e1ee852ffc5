"""The check of the store behind files: that it is well, and the one that the database speaks of.

Replicas that each keep files on a disk of their own answer for the files of others that there are none, and nothing else tells.
"""

from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from tradepost.core.database.engines import Database
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.storage.store import Storage
from tradepost.media.repository import FileRepository
from tradepost.web.readiness import NotReadyError

ANOTHER: Final = "the newest file of the database is not in this storage: all replicas need the same UPLOAD_DIR, or S3 (USE_S3)"


async def check_store(database: Database, storage: Storage) -> None:
    """Return if the store is well and has the newest file, else raise."""
    await storage.check()
    # A database that is away has a check of its own.
    with suppress(DatabaseUnavailable, SQLAlchemyError):
        name = await _newest(database)
        # One that was deleted meanwhile is not the newest any more.
        if name is not None and await storage.size(name) is None and await _newest(database) == name:
            raise NotReadyError(ANOTHER)


async def _newest(database: Database) -> str | None:
    async with database.read() as db:
        return await FileRepository(db).find_newest()
