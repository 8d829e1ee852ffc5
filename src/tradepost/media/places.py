"""Places of files: the row that names a file's bytes, the room it takes up of its owner's quota, and both given back.

A file has a row before its first byte is stored and until its last byte is gone, so no byte is ever without one: what a crash
leaves behind is still ``pending``, and ``FileCleanup.sweep`` finds and removes it. Two short transactions stand around the
bytes: ``reserve`` before the first, ``keep`` after the last. None is open while they come.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog

from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError, Unauthenticated, Unavailable
from tradepost.core.finishing import finished
from tradepost.core.storage.store import Storage
from tradepost.media.errors import QuotaExceeded
from tradepost.media.file_types import FileType
from tradepost.media.repository import DoomedRow, FileRepository, UsageRepository
from tradepost.media.schemas import Category, FileState, UploadedFile
from tradepost.media.usage import freed

_log = structlog.stdlib.get_logger("tradepost.media")


_RAW: Final = ".raw"


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that the files of one person may take up."""

    files: int
    bytes: int


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


@dataclass(eq=False, slots=True)
class FileSet:
    """The files of one call, which are kept together or not at all.

    ``ownerless`` makes the error that is raised when the owner was deleted meanwhile.
    """

    category: Category
    owner_id: int
    subject_id: int | None = None
    ownerless: Callable[[], TradepostError] = Unauthenticated
    files: list[NewFile] = field(default_factory=list)
    """Those that have a row."""
    is_kept: bool = False

    def note_kept(self) -> None:
        """Note that the files are stored for good: nothing is to be removed any more."""
        self.is_kept = True


def raw_key(name: str) -> str:
    """Return the key under which a picture lies as it came, until it is cleaned."""
    return f"{name}{_RAW}"


def file_name(key: str) -> str:
    """Return the name of the file whose bytes lie under ``key``, cleaned or as they came."""
    return key.removesuffix(_RAW)


class CannotKeepAll(Exception):
    """Of several sets of files, not all can be kept; each may succeed alone."""


class FilePlaces:
    """Gives files their rows and their room, and takes both back. Lives as long as the process.

    Files that are begun at the same time are given their rows in one transaction (group commit).
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        *,
        quota: Quota,
        files_url: str,
        clock: Clock,
        observe: Observe | None = None,
        pause: Callable[[], float] | None = None,
    ) -> None:
        """``pause`` is that of a ``GroupWriter``."""
        self._database = database
        self._storage = storage
        self._quota = quota
        self._clock = clock
        self._files_url = files_url
        self._wanted: GroupWriter[_Place, NewFile] = GroupWriter(self._reserve, observe=observe, pause=pause)

    async def reserve(self, files: FileSet, original_name: str, file_type: FileType) -> NewFile:
        """Give a file a row, before its first byte; ``QuotaExceeded`` if there is no room for it.

        Runs to its end even if the caller is cancelled, so that the set always names every row that is to be removed.
        """
        name = f"{self._clock.token(18)}.{file_type.extension}"
        place = _Place(files, NewFile(0, name, files.category, original_name, file_type.content_type))
        return await finished(self._wanted.submit(place))

    async def keep(
        self, db: WriteSession, sets: Sequence[FileSet], *, instead_of: Sequence[DoomedRow] = ()
    ) -> list[list[UploadedFile]]:
        """Make the files of these sets ``stored``, from the commit of the caller's transaction on.

        ``QuotaExceeded`` if they are too much. Of several sets all are kept, or ``CannotKeepAll`` is raised. What the files
        ``instead_of`` them took up, which are doomed in the same transaction, is given back.
        """
        # Files before usage, as by those who doom files: in the other order, each could wait for what the other has.
        stored = {file.id: (file.size, file.sha256) for files in sets for file in files.files}
        if not await FileRepository(db).note_stored(stored, now=self._clock.now()):
            # One took so long that it was swept, or was doomed with its item or its owner.
            raise CannotKeepAll if len(sets) > 1 else Unavailable
        await UsageRepository(db).release(freed(instead_of))
        total: Counter[int] = Counter()
        for files in sets:
            total[files.owner_id] += sum(file.size for file in files.files)
        taken = await self._take_room(db, sets[0], {owner: (0, size) for owner, size in total.items()})
        if total.keys() - taken:
            raise CannotKeepAll if len(sets) > 1 else QuotaExceeded
        for files in sets:
            db.after_commit(files.note_kept)
        return [[self._described(file) for file in files.files] for files in sets]

    async def remove(self, files: FileSet) -> None:
        """Remove the rows and bytes of files that were not kept; what fails of it is left to the sweep."""
        now = self._clock.now()
        try:
            async with self._database.transaction() as db:
                # Doomed first, and only if still pending: should a commit have happened whose answer was lost, the files
                # are somebody's.
                repository = FileRepository(db)
                doomed = await repository.doom_pending([file.id for file in files.files], now=now)
                await UsageRepository(db).release(freed(doomed))
                # Bytes of all others go, of those that were swept too: they may have come after they were removed.
                stored = {
                    row.name for row in await repository.find_stored([file.name for file in files.files])
                }
            names = [file.name for file in files.files if file.name not in stored]
            for name in names:
                await self._storage.delete(raw_key(name))
                await self._storage.delete(name)
            async with self._database.transaction() as db:
                await FileRepository(db).remove_doomed(names)
        except Exception:  # noqa: BLE001 - the refusal that is under way is what the client should hear of
            _log.exception("files of a failed upload are left to the sweep", files=len(files.files))

    async def _reserve(self, places: "Sequence[_Place]") -> "list[NewFile | QuotaExceeded]":
        now = self._clock.now()
        wanted = Counter(place.files.owner_id for place in places)
        async with self._database.transaction() as db:
            taken = await self._take_room(
                db, places[0].files, {owner: (files, 0) for owner, files in wanted.items()}
            )
            if any(wanted[owner] > 1 for owner in wanted.keys() - taken):
                # There may be room for one of them.
                raise QuotaExceeded
            given = [place for place in places if place.files.owner_id in taken]
            if given:
                ids = await FileRepository(db).add([place.row(now) for place in given])
                for place in given:
                    place.file.id = ids[place.file.name]
                    db.after_commit(place.note_given)
        return [place.file if place.files.owner_id in taken else QuotaExceeded() for place in places]

    async def _take_room(
        self, db: WriteSession, first: FileSet, wanted: Mapping[int, tuple[int, int]]
    ) -> Collection[int]:
        quota = self._quota
        # A foreign key that finds nobody means that an owner was deleted at this very moment. Of several sets any may be
        # theirs, and each is tried again alone before its caller is told.
        with violations(foreign_key=first.ownerless):
            return await UsageRepository(db).take_room(wanted, most_files=quota.files, most_bytes=quota.bytes)

    def _described(self, file: NewFile) -> UploadedFile:
        return UploadedFile(
            filename=file.name,
            original_name=file.original_name,
            content_type=file.content_type,
            size=file.size,
            url=f"{self._files_url}/{file.category}/{file.name}",
        )


@dataclass(eq=False, slots=True)
class _Place:
    """A file of a set that is about to get a row."""

    files: FileSet
    file: NewFile

    def note_given(self) -> None:
        self.files.files.append(self.file)

    def row(self, now: datetime) -> dict[str, Any]:
        return {
            "name": self.file.name,
            "category": self.file.category,
            "original_name": self.file.original_name,
            "content_type": self.file.content_type,
            "size": 0,
            "state": FileState.PENDING,
            "owner_id": self.files.owner_id,
            "subject_id": self.files.subject_id,
            "created_at": now,
            "changed_at": now,
        }
