"""The rules about stored files, within a transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime

from tradepost.accounts.permissions import STAFF
from tradepost.accounts.service import UserService
from tradepost.core.audit.trail import AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import NotOwner, Unauthenticated
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.media.errors import NoSuchFile
from tradepost.media.intake import IncomingFiles
from tradepost.media.messages import FileDoomed
from tradepost.media.repository import DoomedRow, FileRepository, UsageRepository
from tradepost.media.schemas import Category, UploadedFile
from tradepost.media.subjects import FileSubjects
from tradepost.media.usage import freed


class FileService:
    """Keeps and removes files, in the caller's transaction.

    A removed file is gone from the commit on: its row is doomed, and a message has its bytes deleted (``FileCleanup``).
    """

    def __init__(
        self,
        db: WriteSession,
        *,
        people: UserService,
        subjects: FileSubjects,
        outbox: Outbox,
        audit: AuditTrail,
        files_url: str,
        clock: Clock,
    ) -> None:
        self._db = db
        self._files = FileRepository(db)
        self._people = people
        self._subjects = subjects
        self._outbox = outbox
        self._audit = audit
        self._files_url = files_url
        self._clock = clock

    async def set_avatar(self, incoming: IncomingFiles, owner_id: int) -> UploadedFile:
        """Keep the one picture of a call as a person's avatar, and doom the one before."""
        # The person first: two uploads at once take turns at this lock, and the second finds what the first has kept.
        if not await self._people.set_avatar(owner_id, self._url(Category.AVATARS, incoming.files[0].name)):
            raise Unauthenticated
        before = await self._files.doom_names(
            await self._files.find_names_of(owner_id, Category.AVATARS), now=self._clock.now()
        )
        (kept,) = await incoming.keep(self._db, instead_of=before)
        await self._tell(before)
        return kept

    async def delete(self, category: str, filename: str, principal: Principal) -> None:
        """Delete a file, as its owner or as staff. For anybody else a hidden one does not exist (``NoSuchFile``)."""
        found = await self._files.find_stored([filename])
        if not found or found[0].category != category:
            raise NoSuchFile
        file = found[0]
        if not principal.may_act_for(file.owner_id, overriding=STAFF):
            shown = file.subject_id is None or file.subject_id in await self._subjects.shown(
                self._db, [file.subject_id]
            )
            raise NotOwner if shown and file.category is not Category.DOCUMENTS else NoSuchFile
        # The person or item that names the file is locked before it, in the order of those that add files.
        url = self._url(file.category, file.name)
        if file.category is Category.AVATARS:
            await self._people.remove_avatar(file.owner_id, url)
        elif file.subject_id is not None:
            await self._subjects.detach(self._db, subject_id=file.subject_id, url=url)
        doomed = await self._files.doom_names([file.name], now=self._clock.now())
        if not doomed:
            raise NoSuchFile
        await self._announce(doomed)
        if principal.user_id != file.owner_id:
            details = {"category": file.category.value, "filename": file.name}
            on = Target("file", None, file.owner_id)
            await self._audit.add(self._db, "file.deleted", by=principal, on=on, details=details)

    async def doom_owners(self, owner_ids: Collection[int]) -> None:
        """Doom every file of deleted people."""
        await self._announce(await self._files.doom_owners(owner_ids, now=self._clock.now()))

    async def doom_subjects(self, subject_ids: Collection[int]) -> None:
        """Doom every file of deleted subjects."""
        await self._announce(await self._files.doom_subjects(subject_ids, now=self._clock.now()))

    async def sweep(self, *, pending_since: datetime, doomed_since: datetime, limit: int) -> int:
        """Doom files whose upload died, and announce again doomed ones whose message was given up; return how many."""
        now = self._clock.now()
        stale = await self._files.doom_stale(before=pending_since, limit=limit, now=now)
        await self._announce(stale)
        left = await self._files.remind_of_doomed(before=doomed_since, limit=limit, now=now)
        await self._outbox.add(self._db, *map(FileDoomed, left))
        return len(stale) + len(left)

    async def _announce(self, doomed: Sequence[DoomedRow]) -> None:
        await UsageRepository(self._db).release(freed(doomed))
        await self._tell(doomed)

    async def _tell(self, doomed: Sequence[DoomedRow]) -> None:
        await self._outbox.add(self._db, *(FileDoomed(row.name) for row in doomed))

    def _url(self, category: Category, name: str) -> str:
        return f"{self._files_url}/{category}/{name}"
