"""Clean-up of files: the bytes of removed ones are deleted, and what a crash left behind is found and removed.

A file is removed in two steps. A transaction dooms its row, and from then on nobody is served the file; a message then has
its bytes deleted, and only after them its row. So a deletion that fails is tried again, and no byte is left without a row.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from tradepost.accounts.messages import UserDeleted
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Channel, Envelope
from tradepost.core.storage.store import Listed, Storage
from tradepost.media.messages import FileDoomed
from tradepost.media.places import file_name, raw_key
from tradepost.media.repository import FileRepository, VariantRepository
from tradepost.media.service import FileService

STORAGE: Final = Channel("storage", concurrency=4)
STALE: Final = timedelta(hours=1)
"""After this, an upload that is still under way has died: the patience with slow bodies ends much earlier."""
FORGOTTEN: Final = timedelta(days=4)
"""After this, the message of a doomed file has been given up."""
SWEEP_SECONDS: Final = 600.0
KEYS_AT_ONCE: Final = 5_000
"""Keys of the storage that one look for bytes without a row takes in, beginning anywhere: all are seen in time."""
STRANGE_SHARE: Final = 0.5
"""With more of the keys than this unknown to the database, the storage is taken for another database's."""
_FEW: Final = 20
_GROUP: Final = 500
"""Files that one transaction of the sweep looks at."""


log = structlog.stdlib.get_logger(__name__)


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

    async def sweep_bytes(self) -> None:
        """Delete bytes that no row names: a power cut brought them back, or came between them and their row.

        Originals with the place they were taken at can be among them. Bounded: some of the keys each time.
        """
        start = self._clock.token(2)[:2]
        listed = list(await self._storage.list(after=start, limit=KEYS_AT_ONCE))
        if len(listed) < KEYS_AT_ONCE:
            # On from the first key, up to where this began.
            rest = await self._storage.list(after="", limit=KEYS_AT_ONCE - len(listed))
            listed += [one for one in rest if one.key <= start]
        lost: list[str] = []
        for at in range(0, len(listed), _GROUP):
            lost += await self._unknown(listed[at : at + _GROUP])
        if len(lost) > max(_FEW, STRANGE_SHARE * len(listed)):
            log.error(
                "most files of the storage are unknown to the database; is it another one's? none is deleted",
                unknown=len(lost),
                looked_at=len(listed),
            )
            return
        for key in lost:
            await self._storage.delete(key)
        if lost:
            log.warning("deleted bytes that no file had", count=len(lost))

    async def _unknown(self, listed: Sequence[Listed]) -> list[str]:
        """Return the keys that are old enough to have a row, and have none."""
        before = self._clock.now() - STALE
        old = [one.key for one in listed if one.written_at < before]
        if not old:
            return []
        async with self._database.read() as db:
            names = await FileRepository(db).find_names({file_name(key) for key in old})
            variants = await VariantRepository(db).find_keys(old)
        return [key for key in old if file_name(key) not in names and key not in variants]
