"""Files on their way in: from the body of a request into the storage, with no transaction open.

Two short transactions stand around the stream. The first reserves a place and says under which name bytes are about to be
stored (``pending``); the second says that they are all there, in the transaction of whatever the file is for. What fails in
between is removed at once; what a crash leaves behind is still ``pending``, and ``FileKeeper.sweep`` removes it.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import structlog

from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError, Unauthenticated, Unavailable
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
    sha256: str = ""


def raw_key(name: str) -> str:
    """Return the key under which a picture lies as it came, until it is cleaned."""
    return f"{name}.raw"


class CannotKeepAll(Exception):
    """Not all of several batches can be kept."""


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
        observe: Observe | None = None,
    ) -> None:
        self.storage = storage
        self.clean = clean
        self._database = database
        self._quota = quota
        self._clock = clock
        self._files_url = files_url
        self._places: GroupWriter[_Place, NewFile] = GroupWriter(self._reserve, observe=observe)

    @asynccontextmanager
    async def batch(
        self,
        category: Category,
        *,
        owner_id: int,
        subject_id: int | None = None,
        ownerless: Callable[[], TradepostError] = Unauthenticated,
    ) -> AsyncIterator["FileBatch"]:
        """Take files that are kept together or not at all; ``ownerless`` is raised when the owner was deleted meanwhile.

        Those that are not kept (``FileBatch.keep``) by the end of the block are removed, with their bytes.
        """
        batch = FileBatch(self, category, owner_id=owner_id, subject_id=subject_id, ownerless=ownerless)
        try:
            yield batch
        finally:
            if batch.files and not batch.is_kept:
                await finished(self._remove(batch))

    async def reserve(self, batch: "FileBatch", original_name: str, kind: Kind) -> NewFile:
        """Give a file a row, before its first byte; ``QuotaExceeded`` if there is no room for it.

        To its end even for who is cancelled meanwhile, so that the batch knows of all that there is to remove.
        """
        name = f"{self._clock.token(18)}.{kind.extension}"
        place = _Place(batch, NewFile(0, name, batch.category, original_name, kind.content_type))
        return await finished(self._places.submit(place))

    async def _reserve(self, places: "Sequence[_Place]") -> "list[NewFile | QuotaExceeded]":
        now = self._clock.now()
        wanted = Counter(place.batch.owner_id for place in places)
        async with self._database.transaction() as db:
            taken = await self._take_room(
                db, places[0].batch, {owner: (files, 0) for owner, files in wanted.items()}
            )
            if any(wanted[owner] > 1 for owner in wanted.keys() - taken):
                # There may be room for one of them.
                raise QuotaExceeded
            given = [place for place in places if place.batch.owner_id in taken]
            if given:
                ids = await FileRepository(db).add([place.row(now) for place in given])
                for place in given:
                    place.file.id = ids[place.file.name]
                    db.after_commit(place.note_given)
        return [place.file if place.batch.owner_id in taken else QuotaExceeded() for place in places]

    async def keep(self, db: WriteSession, batches: "Sequence[FileBatch]") -> list[list[UploadedFile]]:
        """Have the files of these batches be there, once the caller's transaction is committed.

        ``QuotaExceeded`` if they are too much. Of several batches all are kept, or ``CannotKeepAll`` is raised.
        """
        total: Counter[int] = Counter()
        for batch in batches:
            total[batch.owner_id] += sum(file.size for file in batch.files)
        taken = await self._take_room(db, batches[0], {owner: (0, size) for owner, size in total.items()})
        if total.keys() - taken:
            raise CannotKeepAll if len(batches) > 1 else QuotaExceeded
        stored = {file.id: (file.size, file.sha256) for batch in batches for file in batch.files}
        if not await FileRepository(db).note_stored(stored, now=self._clock.now()):
            # One took so long that it was swept.
            raise CannotKeepAll if len(batches) > 1 else Unavailable
        for batch in batches:
            db.after_commit(batch.note_kept)
        return [
            [
                UploadedFile(
                    filename=file.name,
                    original_name=file.original_name,
                    content_type=file.content_type,
                    size=file.size,
                    url=f"{self._files_url}/{file.category}/{file.name}",
                )
                for file in batch.files
            ]
            for batch in batches
        ]

    async def _take_room(
        self, db: WriteSession, first: "FileBatch", wanted: Mapping[int, tuple[int, int]]
    ) -> Collection[int]:
        quota = self._quota
        # Somebody was deleted at this very moment if a key finds nobody. Of several batches any may be theirs, and each is
        # tried again alone before anybody is told.
        with violations(foreign_key=first.ownerless):
            return await UsageRepository(db).take_room(wanted, most_files=quota.files, most_bytes=quota.bytes)

    async def _remove(self, batch: "FileBatch") -> None:
        now = self._clock.now()
        try:
            async with self._database.transaction() as db:
                # Doomed first, and only if still pending: should a commit have happened whose answer was lost, the files
                # are somebody's.
                files = FileRepository(db)
                await UsageRepository(db).release(
                    freed(await files.doom_pending([file.id for file in batch.files], now=now))
                )
                # Bytes of all others go, of those that were swept too: they may have come after they were removed.
                stored = {row.name for row in await files.find_stored([file.name for file in batch.files])}
            names = [file.name for file in batch.files if file.name not in stored]
            for name in names:
                await self.storage.delete(raw_key(name))
                await self.storage.delete(name)
            async with self._database.transaction() as db:
                await FileRepository(db).remove_doomed(names)
        except Exception:  # noqa: BLE001 - the refusal that is under way is what the client should hear of
            _log.exception("files of a failed upload are left to the sweep", files=len(batch.files))


class FileBatch:
    """Files of one call."""

    def __init__(
        self,
        intake: FileIntake,
        category: Category,
        *,
        owner_id: int,
        subject_id: int | None,
        ownerless: Callable[[], TradepostError],
    ) -> None:
        self.files: list[NewFile] = []
        self.is_kept = False
        self.category = category
        self.owner_id = owner_id
        self.subject_id = subject_id
        self.ownerless = ownerless
        self._intake = intake

    async def take(self, upload: Upload, kind_of: Callable[[bytes], Kind]) -> None:
        """Store a file as it comes; ``UnsupportedFile`` if it is none of the kinds that ``kind_of`` knows."""
        kind, blocks = await _recognised(upload, kind_of)
        file = await self._intake.reserve(self, upload.file_name or "", kind)
        watch = kind.watch()
        stored = await self._intake.storage.put(file.name, _watched(blocks, watch))
        await watch.end()
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
        kind, blocks = await _recognised(upload, kind_of)
        file = await self._intake.reserve(self, upload.file_name or "", becomes or kind)
        await self._intake.storage.put(raw_key(file.name), _watched(blocks, kind.watch()))
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

    async def keep(self, db: WriteSession) -> list[UploadedFile]:
        """Have the files be there, once the caller's transaction is committed; ``QuotaExceeded`` if they are too much."""
        (kept,) = await self._intake.keep(db, [self])
        return kept

    def note_kept(self) -> None:
        """Know that nothing is to be removed."""
        self.is_kept = True

    async def _put(self, name: str, data: bytes) -> Stored:
        async def whole() -> AsyncIterator[bytes]:
            yield data

        return await self._intake.storage.put(name, whole())


@dataclass(eq=False, slots=True)
class _Place:
    """A file of a batch that is to get a row."""

    batch: FileBatch
    file: NewFile

    def note_given(self) -> None:
        self.batch.files.append(self.file)

    def row(self, now: datetime) -> dict[str, Any]:
        return {
            "name": self.file.name,
            "category": self.file.category,
            "original_name": self.file.original_name,
            "content_type": self.file.content_type,
            "size": 0,
            "state": FileState.PENDING,
            "owner_id": self.batch.owner_id,
            "subject_id": self.batch.subject_id,
            "created_at": now,
            "changed_at": now,
        }


async def _recognised(upload: Upload, kind_of: Callable[[bytes], Kind]) -> tuple[Kind, AsyncIterator[bytes]]:
    """Return what the first block of a file says that it is, and all of its blocks."""
    blocks = aiter(upload)
    # Nobody keeps the first one for longer than the others: it is as large as they are.
    first = [await anext(blocks, b"")]

    async def whole() -> AsyncIterator[bytes]:
        yield first.pop()
        async for block in blocks:
            yield block

    return kind_of(first[0]), whole()


async def _watched(blocks: AsyncIterator[bytes], watch: Watch) -> AsyncIterator[bytes]:
    """Yield what comes after it was looked at."""
    async for block in blocks:
        watch.see(block)
        yield block
