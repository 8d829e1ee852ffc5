"""What happens to files by itself: bytes of removed ones go, and what a crash left behind is found."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from tradepost.accounts.messages import UserDeleted
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Channel, Envelope
from tradepost.core.storage.store import Storage
from tradepost.media.intake import raw_key
from tradepost.media.messages import FileDoomed
from tradepost.media.repository import FileRepository, VariantRepository
from tradepost.media.service import FileService

STORAGE: Final = Channel("storage", concurrency=4)
STALE: Final = timedelta(hours=1)
"""After this an upload that is still under way is none: patience with slow bodies ends much earlier."""
FORGOTTEN: Final = timedelta(days=4)
"""After this the message of a doomed file has been given up."""
SWEEP_SECONDS: Final = 600.0
_GROUP: Final = 500


class FileKeeper:
    """Reacts to what happens to people and files. Lives as long as the process."""

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

    async def bury(self, envelope: Envelope[FileDoomed]) -> None:
        """Delete the bytes of a file that nobody can reach any more, and then its row. May be done twice."""
        name = envelope.message.name
        async with self._database.read() as db:
            variants = await VariantRepository(db).find_keys_of(name)
        for key in variants:
            await self._storage.delete(key)
        await self._storage.delete(raw_key(name))
        await self._storage.delete(name)
        async with self._database.transaction() as db:
            await FileRepository(db).remove_doomed([name])

    async def note_deleted_users(self, db: WriteSession, envelopes: Sequence[Envelope[UserDeleted]]) -> None:
        """Remove the files of people who are gone."""
        await self._files(db).doom_owners({envelope.message.user_id for envelope in envelopes})

    async def sweep(self) -> None:
        """Remove what was pending for too long, and try again to remove what could not be removed."""
        now = self._clock.now()
        found = _GROUP
        while found >= _GROUP:
            async with self._database.transaction() as db:
                found = await self._files(db).sweep(
                    pending_since=now - STALE, doomed_since=now - FORGOTTEN, limit=_GROUP
                )
