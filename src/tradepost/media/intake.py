"""Files on their way in: from the body of a request into the storage, with no transaction open.

Two short transactions stand around the stream. The first reserves a place and says under which name bytes are about to be
stored (``pending``); the second says that they are all there, in the transaction of whatever the file is for. What fails in
between is removed at once; what a crash leaves behind is still ``pending``, and ``FileKeeper.sweep`` removes it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from tradepost.core.clock import Clock
from tradepost.core.database import Database, WriteSession, violations
from tradepost.core.errors import Unauthenticated, Unavailable
from tradepost.core.finishing import finished
from tradepost.core.storage.store import Storage, Stored
from tradepost.media.content import Kind, Watch
from tradepost.media.errors import PictureRefused, QuotaExceeded, UnsupportedFile
from tradepost.media.repository import FileRepository, UsageRepository
from tradepost.media.schemas import Category, FileState, UploadedFile
from tradepost.media.usage import freed

_log = structlog.stdlib.get_logger("tradepost.media")


class Upload(Protocol):
    """A file that a client sends in a field of this name, read once."""

    name: str

    @property
    def file_name(self) -> str | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Quota:
    """What one person may keep."""

    files: int
    bytes: int


class CleanedPicture(Protocol):
    """A picture as it is served."""

    @property
    def data(self) -> bytes: ...

    @property
    def content_type(self) -> str: ...


Load = Callable[[], Awaitable[bytes]]
CleanPicture = Callable[[Load], Awaitable[CleanedPicture]]
"""Cleans a picture, which it loads when it is this one's turn: what waits takes no memory."""


@dataclass(slots=True)
class NewFile:
    """A file that has a row; ``size`` and ``sha256`` are those of what is stored for good, once it is."""

    id: int
    name: str
    category: Category
    original_name: str
    content_type: str
    size: int = 0
    sha256: str | None = None


def raw_key(name: str) -> str:
    """Return the key under which a picture lies as it came, until it is cleaned."""
    return f"{name}.raw"


class FileIntake:
    """Takes files in. Lives as long as the process."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        *,
        quota: Quota,
        clean: CleanPicture,
        files_url: str,
        clock: Clock,
    ) -> None:
        self.database = database
        self.storage = storage
        self.quota = quota
        self.clean = clean
        self.clock = clock
        self.files_url = files_url

    @asynccontextmanager
    async def batch(
        self, category: Category, *, owner_id: int, subject_id: int | None = None
    ) -> AsyncIterator["FileBatch"]:
        """Take files that are kept together or not at all.

        Those that are not kept (``FileBatch.keep``) by the end of the block are removed, with their bytes.
        """
        batch = FileBatch(self, category, owner_id=owner_id, subject_id=subject_id)
        try:
            yield batch
        finally:
            if batch.files and not batch.is_kept:
                await finished(self._remove(batch))

    async def _remove(self, batch: "FileBatch") -> None:
        now = self.clock.now()
        try:
            async with self.database.transaction() as session:
                # Doomed first, and only if still pending: should a commit have happened whose answer was lost, the files
                # are somebody's.
                doomed = await FileRepository(session).doom_pending(
                    [file.id for file in batch.files], now=now
                )
                await UsageRepository(session).release(freed(doomed))
            names = [row.name for row in doomed]
            for name in names:
                await self.storage.delete(raw_key(name))
                await self.storage.delete(name)
            async with self.database.transaction() as session:
                await FileRepository(session).remove_doomed(names)
        except Exception:  # noqa: BLE001 - the refusal that is under way is what the client should hear of
            _log.exception("files of a failed upload are left to the sweep", files=len(batch.files))


class FileBatch:
    """Files of one call."""

    def __init__(
        self, intake: FileIntake, category: Category, *, owner_id: int, subject_id: int | None
    ) -> None:
        self.files: list[NewFile] = []
        self.is_kept = False
        self._intake = intake
        self.category = category
        self._owner_id = owner_id
        self._subject_id = subject_id

    async def take(self, upload: Upload, kind_of: Callable[[bytes], Kind]) -> None:
        """Store a file as it comes; ``UnsupportedFile`` if it is none of the kinds that ``kind_of`` knows."""
        blocks = aiter(upload)
        head = await anext(blocks, b"")
        kind = kind_of(head)
        file = await self._reserve(upload.file_name or "", kind)
        watch = kind.watch()
        stored = await self._intake.storage.put(file.name, _watched(head, blocks, watch))
        await asyncio.to_thread(watch.end)
        file.size, file.sha256 = stored.size, stored.sha256

    async def take_picture(self, upload: Upload, kind_of: Callable[[bytes], Kind]) -> None:
        """Store a picture as it comes, and then as it may be served: without anything but the picture."""
        file = await self.take_raw(upload, kind_of)
        try:
            cleaned = await self._intake.clean(self.raw(file))
        except PictureRefused as refused:
            raise refused.of(upload.name) from refused
        if cleaned.content_type != file.content_type:
            raise UnsupportedFile
        await self.finish(file, cleaned.data)

    async def take_raw(
        self, upload: Upload, kind_of: Callable[[bytes], Kind], *, becomes: Kind | None = None
    ) -> NewFile:
        """Store a file as it comes, to be made into what is served; ``becomes`` is the kind of that, if another."""
        blocks = aiter(upload)
        head = await anext(blocks, b"")
        kind = kind_of(head)
        file = await self._reserve(upload.file_name or "", becomes or kind)
        await self._intake.storage.put(raw_key(file.name), _watched(head, blocks, kind.watch()))
        return file

    def raw(self, file: NewFile) -> Load:
        """Return what loads a file as it came."""

        async def load() -> bytes:
            async with self._intake.storage.open(raw_key(file.name)) as chunks:
                return b"".join([chunk async for chunk in chunks])

        return load

    async def finish(self, file: NewFile, data: bytes) -> None:
        """Store what was made of a file as it came, which goes."""
        stored = await self._put(file.name, data)
        # With the place it was taken at in it, it must not lie around.
        await self._intake.storage.delete(raw_key(file.name))
        file.size, file.sha256 = stored.size, stored.sha256

    async def keep(self, session: WriteSession) -> list[UploadedFile]:
        """Have the files be there, once the caller's transaction is committed; ``QuotaExceeded`` if they are too much."""
        usage, rows = UsageRepository(session), FileRepository(session)
        now = self._intake.clock.now()
        total = sum(file.size for file in self.files)
        if not await usage.reserve_bytes(self._owner_id, total, most_bytes=self._intake.quota.bytes):
            raise QuotaExceeded
        for file in self.files:
            values = {"size": file.size, "sha256": file.sha256, "changed_at": now}
            if not await rows.note_stored(file.id, values=values):
                # It took so long that it was swept.
                raise Unavailable
        session.after_commit(self._note_kept)
        return [
            UploadedFile(
                filename=file.name,
                original_name=file.original_name,
                content_type=file.content_type,
                size=file.size,
                url=f"{self._intake.files_url}/{file.category}/{file.name}",
            )
            for file in self.files
        ]

    def _note_kept(self) -> None:
        self.is_kept = True

    async def _reserve(self, original_name: str, kind: Kind) -> NewFile:
        intake = self._intake
        now = intake.clock.now()
        name = f"{intake.clock.token(18)}.{kind.extension}"
        values = {
            "name": name,
            "category": self.category,
            "original_name": original_name,
            "content_type": kind.content_type,
            "size": 0,
            "state": FileState.PENDING,
            "owner_id": self._owner_id,
            "subject_id": self._subject_id,
            "created_at": now,
            "changed_at": now,
        }
        async with intake.database.transaction() as session:
            # The person was deleted at this very moment if the key finds nobody.
            with violations(foreign_key=Unauthenticated):
                there_is_room = await UsageRepository(session).reserve_file(
                    self._owner_id, most_files=intake.quota.files, most_bytes=intake.quota.bytes
                )
            if not there_is_room:
                raise QuotaExceeded
            file_id = await FileRepository(session).add(values)
            file = NewFile(file_id, name, self.category, original_name, kind.content_type)
            # With the commit, not after it: a cancellation that comes during it is raised in between.
            session.after_commit(lambda: self.files.append(file))
        return file

    async def _put(self, name: str, data: bytes) -> Stored:
        async def whole() -> AsyncIterator[bytes]:
            yield data

        return await self._intake.storage.put(name, whole())


async def _watched(head: bytes, blocks: AsyncIterator[bytes], watch: Watch) -> AsyncIterator[bytes]:
    """Yield what comes after it was looked at."""
    watch.see(head)
    yield head
    async for block in blocks:
        watch.see(block)
        yield block
