"""Clean-up of files: the bytes of removed ones are deleted, and what a crash left behind is found and removed.

A file is removed in two steps. A transaction dooms its row, and from then on nobody is served the file; a message then has
its bytes deleted, and only after them its row. So a deletion that fails is tried again, and no byte is left without a row.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from tradepost.accounts.messages import UserDeleted
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Channel, Envelope
from tradepost.core.storage.store import Storage
from tradepost.media.messages import FileDoomed
from tradepost.media.places import raw_key
from tradepost.media.repository import FileRepository, VariantRepository
from tradepost.media.service import FileService

STORAGE: Final = Channel("storage", concurrency=4)
STALE: Final = timedelta(hours=1)
"""After this, an upload that is still under way has died: the patience with slow bodies ends much earlier."""
FORGOTTEN: Final = timedelta(days=4)
"""After this, the message of a doomed file has been given up."""
SWEEP_SECONDS: Final = 600.0
_GROUP: Final = 500
"""Files that one transaction of the sweep looks at."""


class FileCleanup:
    """Removes files when people, items or uploads are gone. Lives as long as the process."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        *,
        files: Callable[[WriteSession], FileService],
        clock: Clock,
    ) -> None:
        self._database = database
        self._storage = storage
        self._files = files
        self._clock = clock

    async def delete_bytes(self, envelope: Envelope[FileDoomed]) -> None:
        """Delete the bytes of a doomed file and of its variants, and then its row. Idempotent."""
        name = envelope.message.name
        async with self._database.read() as db:
            variants = await VariantRepository(db).find_keys_of(name)
        for key in variants:
            await self._storage.delete(key)
        await self._storage.delete(raw_key(name))
        await self._storage.delete(name)
        async with self._database.transaction() as db:
            await FileRepository(db).remove_doomed([name])

    async def doom_files_of_users(self, db: WriteSession, envelopes: Sequence[Envelope[UserDeleted]]) -> None:
        """Doom every file of deleted people."""
        await self._files(db).doom_owners({envelope.message.user_id for envelope in envelopes})

    async def sweep(self) -> None:
        """Doom files that were pending for too long, and announce again the doomed ones whose message was given up."""
        now = self._clock.now()
        found = _GROUP
        while found >= _GROUP:
            async with self._database.transaction() as db:
                found = await self._files(db).sweep(
                    pending_since=now - STALE, doomed_since=now - FORGOTTEN, limit=_GROUP
                )
