"""Finding files to serve. Requests at the same time share a read, and none holds a connection while bytes flow."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tradepost.accounts.permissions import STAFF
from tradepost.accounts.reader import UserReader
from tradepost.core.batching.coalescer import Coalescer, Observe
from tradepost.core.database.engines import Database
from tradepost.core.principal import Principal
from tradepost.core.wire.pagination import Page, Window
from tradepost.media.errors import InvalidCategory, NoSuchFile
from tradepost.media.places import Quota
from tradepost.media.repository import FileRepository, FileRow, UsageRepository
from tradepost.media.schemas import Category, FileRead, FileSelection, UsageRead
from tradepost.media.subjects import FileSubjects

_CATEGORIES: Final = frozenset(Category)


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file that may be served: to anybody if ``is_public``, else to its owner and staff."""

    row: FileRow
    is_public: bool


class FileReader:
    """Finds files, and tells which of them a visitor may see. Lives as long as the process."""

    def __init__(
        self,
        database: Database,
        subjects: FileSubjects,
        *,
        profiles: UserReader,
        quota: Quota,
        files_url: str,
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._subjects = subjects
        self._profiles = profiles
        self._quota = quota
        self._files_url = files_url
        self._files = Coalescer(self._load, observe=observe)

    async def get(self, category: str, filename: str, visitor: Principal | None) -> ServedFile:
        """Return a file that ``visitor`` may see; ``NoSuchFile`` otherwise, ``InvalidCategory`` for an unknown category."""
        check_category(category)
        found = await self._files.find(filename)
        if found is None or found.row.category != category:
            raise NoSuchFile
        if not found.is_public and not _may_see(found.row, visitor):
            raise NoSuchFile
        return found

    async def page(self, selection: FileSelection, window: Window) -> Page[FileRead]:
        """List the selected files."""
        async with self._database.read() as db:
            page = await FileRepository(db).page(selection, window)
        return page.mapped(self._read)

    def _read(self, row: FileRow) -> FileRead:
        return FileRead(
            id=row.id,
            filename=row.name,
            category=row.category,
            original_name=row.original_name,
            content_type=row.content_type,
            size=row.size,
            url=f"{self._files_url}/{row.category}/{row.name}",
            owner_id=row.owner_id,
            subject_id=row.subject_id,
            created_at=row.created_at,
        )

    async def usage(self, owner_id: int) -> UsageRead:
        """Return what a person's files take up; ``UserNotFound`` if there is no such person."""
        await self._profiles.get(owner_id)
        async with self._database.read() as db:
            files, size = await UsageRepository(db).get(owner_id)
        return UsageRead(
            user_id=owner_id,
            files=files,
            bytes=size,
            quota_files=self._quota.files,
            quota_bytes=self._quota.bytes,
        )

    async def _load(self, names: Sequence[str]) -> Mapping[str, ServedFile]:
        async with self._database.read() as db:
            rows = await FileRepository(db).find_stored(names)
            subjects = {row.subject_id for row in rows if row.category is Category.ITEMS}
            shown: Collection[int] = await self._subjects.shown(db, subjects) if subjects else ()
        return {row.name: ServedFile(row, _is_public(row, shown)) for row in rows}


def check_category(category: str) -> None:
    """Raise ``InvalidCategory`` for an unknown category."""
    if category not in _CATEGORIES:
        raise InvalidCategory


def _is_public(row: FileRow, shown: Collection[int]) -> bool:
    if row.category is Category.ITEMS:
        return row.subject_id in shown
    return row.category is not Category.DOCUMENTS


def _may_see(row: FileRow, visitor: Principal | None) -> bool:
    return visitor is not None and visitor.may_act_for(row.owner_id, overriding=STAFF)
