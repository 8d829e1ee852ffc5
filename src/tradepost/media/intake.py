"""Bytes on their way in: from the parts of a form into the storage, with no transaction open.

A file is recognised by its first block and inspected while it streams; a picture is stored as it came, cleaned, and stored
again. Rows and quota are the business of ``places``, which a file passes before its first byte and after its last. What fails
in between is removed at once.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Final, Protocol

from tradepost.accounts.errors import UserNotFound
from tradepost.accounts.reader import UserReader
from tradepost.core.batching.bulkhead import Bulkhead
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError, Unauthenticated
from tradepost.core.finishing import finished
from tradepost.core.observability.tallies import UPLOADED_BYTES
from tradepost.core.storage.store import Storage, StorageBusy, Stored
from tradepost.core.wire.file_names import file_in_words
from tradepost.media.documents.inspections import Inspection
from tradepost.media.documents.stored_bytes import StoredBytes
from tradepost.media.errors import PictureRefused, UnsupportedFile
from tradepost.media.file_types import Accepted, FileType
from tradepost.media.places import FilePlaces, FileSet, NewFile, raw_key
from tradepost.media.repository import DoomedRow
from tradepost.media.schemas import Category, UploadedFile


class FilePart(Protocol):
    """A part of a form that carries a file; its content can be read once.

    ``name`` is that of the form's field, ``file_name`` what the client calls the file.
    """

    name: str

    @property
    def file_name(self) -> str | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class CleanedPicture(Protocol):
    """A picture as it is served."""

    @property
    def data(self) -> bytes: ...

    @property
    def content_type(self) -> str: ...


UPLOADS: Final = 64
"""Calls with files at once."""
UPLOADS_WAITING: Final = 64
PAUSE: Final = 0.0005
"""Seconds that a transaction of some calls is waited for, for each other call: each takes some six times as long of the processor."""
LONGEST_PAUSE: Final = 0.01
SERVER_FAULTS: Final = 500
"""Statuses from here on say that the fault is ours."""
Load = Callable[[], Awaitable[bytes]]
CleanPicture = Callable[[Load], Awaitable[CleanedPicture]]
"""Cleans a picture. It is loaded only when its turn has come, so that pictures that wait take no memory."""


class Calls(Bulkhead):
    """The calls with files that are under way, and those that wait for it."""

    def __init__(self) -> None:
        super().__init__(UPLOADS, waiting=UPLOADS_WAITING, refusal=StorageBusy)

    def pause(self) -> float:
        """Return for how many seconds a transaction is waited for that others may come to share; one alone waits for nobody."""
        return min((self.held - 1) * PAUSE, LONGEST_PAUSE)


class FileIntake:
    """Takes files in. Lives as long as the process."""

    def __init__(
        self, places: FilePlaces, storage: Storage, calls: Calls, *, users: UserReader, clean: CleanPicture
    ) -> None:
        self._places = places
        self._storage = storage
        self._users = users
        self._clean = clean
        self.calls = calls

    @asynccontextmanager
    async def open(
        self,
        category: Category,
        *,
        owner_id: int,
        subject_id: int | None = None,
        ownerless: Callable[[], TradepostError] = Unauthenticated,
        still_wanted: Callable[[], Awaitable[object]] | None = None,
    ) -> AsyncIterator["IncomingFiles"]:
        """Take files that are kept together or not at all; ``ownerless`` is raised when the owner was deleted meanwhile.

        Those that are not kept (``IncomingFiles.keep``) by the end of the block are removed, with their bytes.
        ``still_wanted`` is called when the block fails otherwise than by a refusal: it raises if what the files are for was
        deleted meanwhile. Without it, they are for their owner.
        """
        async with self.calls.place():
            files = FileSet(category, owner_id, subject_id, ownerless)
            async with self._cleared(files, still_wanted):
                yield IncomingFiles(files, self._places, self._storage, self._clean)

    @asynccontextmanager
    async def _cleared(
        self, files: FileSet, still_wanted: Callable[[], Awaitable[object]] | None
    ) -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:
            # With the item or the owner the files are doomed, and their bytes deleted below a reader or a writer.
            if not isinstance(error, TradepostError) or error.status >= SERVER_FAULTS:
                await (still_wanted() if still_wanted is not None else self._find_owner(files))
            raise
        finally:
            if files.files and not files.is_kept:
                await finished(self._places.remove(files))

    async def _find_owner(self, files: FileSet) -> None:
        try:
            await self._users.get(files.owner_id)
        except UserNotFound:
            raise files.ownerless() from None

    async def keep(self, db: WriteSession, several: "Sequence[IncomingFiles]") -> list[list[UploadedFile]]:
        """Keep the files of several calls in the caller's transaction: all, or ``CannotKeepAll`` is raised."""
        return await self._places.keep(db, [incoming.set for incoming in several])


class IncomingFiles:
    """The files of one call, stored while they arrive."""

    def __init__(self, files: FileSet, places: FilePlaces, storage: Storage, clean: CleanPicture) -> None:
        self.set = files
        self._places = places
        self._storage = storage
        self._clean = clean

    @property
    def files(self) -> Sequence[NewFile]:
        """Those that have a row."""
        return self.set.files

    async def take(self, part: FilePart, accepted: Accepted) -> None:
        """Store a file as it comes; ``UnsupportedFile`` if it is of no type that is accepted."""
        with self._refusals_named(part, accepted):
            file_type, blocks = await _recognised(part, accepted)
            file = await self._places.reserve(self.set, part.file_name or "", file_type)
            inspection = file_type.inspection()
            stored = await self._storage.put(file.name, _inspected(blocks, inspection))
            await inspection.finish(StoredBytes(partial(self._read, file.name), stored.size))
        file.size, file.sha256 = stored.size, stored.sha256

    async def take_picture(self, part: FilePart, accepted: Accepted) -> None:
        """Store a picture as it comes, and then as it may be served: without anything but the picture."""
        with self._refusals_named(part, accepted):
            file = await self._take_raw(part, accepted)
            cleaned = await self._clean(self.raw(file))
            if cleaned.content_type != file.content_type:
                raise UnsupportedFile
        await self.finish(file, cleaned.data)

    async def take_raw(self, part: FilePart, accepted: Accepted, *, becomes: FileType) -> NewFile:
        """Store a file as it comes, to be made into one of the type ``becomes``, which is served."""
        with self._refusals_named(part, accepted):
            return await self._take_raw(part, accepted, becomes=becomes)

    def raw(self, file: NewFile) -> Load:
        """Return what loads a file as it came."""

        async def load() -> bytes:
            async with self._storage.open(raw_key(file.name)) as chunks:
                return b"".join([chunk async for chunk in chunks])

        return load

    async def finish(self, file: NewFile, data: bytes) -> None:
        """Store what was made of a file as it came, and delete the file as it came."""
        stored = await self._put(file.name, data)
        # With the place it was taken at in it, it must not lie around.
        await self._storage.delete(raw_key(file.name))
        file.size, file.sha256 = stored.size, stored.sha256

    async def keep(self, db: WriteSession, *, instead_of: Sequence[DoomedRow] = ()) -> list[UploadedFile]:
        """Make the files ``stored``, from the commit of the caller's transaction on; ``QuotaExceeded`` if they are too much.

        What the doomed files ``instead_of`` them took up is given back.
        """
        (kept,) = await self._places.keep(db, [self.set], instead_of=instead_of)
        return kept

    async def _take_raw(
        self, part: FilePart, accepted: Accepted, *, becomes: FileType | None = None
    ) -> NewFile:
        file_type, blocks = await _recognised(part, accepted)
        file = await self._places.reserve(self.set, part.file_name or "", becomes or file_type)
        await self._storage.put(raw_key(file.name), _inspected(blocks, file_type.inspection()))
        return file

    @contextmanager
    def _refusals_named(self, part: FilePart, accepted: Accepted) -> Iterator[None]:
        """Have refusals of the next file tell which one it is: of five, a person cannot guess it."""
        named = file_in_words(len(self.files) + 1, part.file_name)
        try:
            yield
        except UnsupportedFile as refused:
            raise refused.of(named, allowed=accepted.allowed) from refused
        except PictureRefused as refused:
            raise refused.of(part.name, named) from refused

    async def _read(self, key: str, start: int, end: int) -> bytes:
        async with self._storage.open(key, start=start, end=end) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def _put(self, name: str, data: bytes) -> Stored:
        async def whole() -> AsyncIterator[bytes]:
            yield data

        return await self._storage.put(name, whole())


async def _recognised(part: FilePart, accepted: Accepted) -> tuple[FileType, AsyncIterator[bytes]]:
    """Return the type that the first block of a file shows, and all of its blocks."""
    blocks = aiter(part)
    # Popped when it is passed on: it is as large as the others, and no block is to be kept longer than the others.
    first = [await anext(blocks, b"")]

    async def whole() -> AsyncIterator[bytes]:
        UPLOADED_BYTES.add(amount=len(first[0]))
        yield first.pop()
        async for block in blocks:
            UPLOADED_BYTES.add(amount=len(block))
            yield block

    return accepted.recognise(first[0]), whole()


async def _inspected(blocks: AsyncIterator[bytes], inspection: Inspection) -> AsyncIterator[bytes]:
    """Yield each block after it was inspected."""
    async for block in blocks:
        inspection.see(block)
        yield block
