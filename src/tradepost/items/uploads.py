"""Uploads of items' pictures and documents, stored while they arrive."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tradepost.accounts.permissions import STAFF
from tradepost.accounts.service import UserService
from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import NotOwner
from tradepost.core.finishing import finished
from tradepost.core.idempotency.claim import CLAIM, Claim, settle
from tradepost.core.principal import Principal
from tradepost.items.errors import ItemNotFound
from tradepost.items.reader import ItemReader
from tradepost.items.service import ItemService
from tradepost.media.errors import TooManyFiles
from tradepost.media.file_types import DOCUMENTS, PICTURES
from tradepost.media.intake import FileIntake, FilePart, IncomingFiles
from tradepost.media.schemas import Category, UploadedFiles

MOST_FILES: Final = 5
"""Files of one call."""


@dataclass(frozen=True, eq=False, slots=True)
class _StoredUpload:
    """The files of one call whose bytes are all stored, the item they are for, and the principal that sent them."""

    incoming: IncomingFiles
    item_id: int
    principal: Principal
    claim: Claim | None = None
    """Of the request, if it has an idempotency key."""


class ItemUploads:
    """Takes files of items, those of one call together or not at all. Lives as long as the process.

    The files belong to the item's owner, even if staff sent them. Uploads that end at the same time are kept in one
    transaction (group commit); if that fails, each is kept alone, so that one cannot spoil the others.
    """

    def __init__(
        self,
        database: Database,
        intake: FileIntake,
        *,
        reader: ItemReader,
        people: Callable[[WriteSession], UserService],
        items: Callable[[WriteSession], ItemService],
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._intake = intake
        self._reader = reader
        self._people = people
        self._items = items
        self._ended: GroupWriter[_StoredUpload, UploadedFiles] = GroupWriter(
            self._keep, observe=observe, pause=intake.calls.pause
        )

    async def add_images(
        self, item_id: int, principal: Principal, parts: AsyncIterator[FilePart]
    ) -> UploadedFiles:
        """Have an item show further pictures."""
        async with self._open(Category.ITEMS, item_id, principal) as incoming:
            async for part in _a_few(parts, incoming):
                await incoming.take_picture(part, PICTURES)
            return await self._kept(_StoredUpload(incoming, item_id, principal, CLAIM.get()))

    async def add_documents(
        self, item_id: int, principal: Principal, parts: AsyncIterator[FilePart]
    ) -> UploadedFiles:
        """Keep documents with an item, for its owner and staff."""
        async with self._open(Category.DOCUMENTS, item_id, principal) as incoming:
            async for part in _a_few(parts, incoming):
                await incoming.take(part, DOCUMENTS)
            return await self._kept(_StoredUpload(incoming, item_id, principal, CLAIM.get()))

    @asynccontextmanager
    async def _open(
        self, category: Category, item_id: int, principal: Principal
    ) -> AsyncIterator[IncomingFiles]:
        # Checked here too, before the first byte is stored for nothing.
        owner_id = await self._reader.owner_of(item_id, principal)
        if not principal.may_act_for(owner_id, overriding=STAFF):
            raise NotOwner
        async with self._intake.open(
            category,
            owner_id=owner_id,
            subject_id=item_id,
            # The item goes with its owner; the sender may be staff, and still logged in.
            ownerless=ItemNotFound,
            still_wanted=lambda: self._reader.owner_of(item_id, principal),
        ) as incoming:
            yield incoming

    async def _kept(self, upload: _StoredUpload) -> UploadedFiles:
        if not upload.incoming.files:
            raise TooManyFiles
        # Runs to its end even if the request is cancelled: whether the files are kept decides the fate of their bytes.
        return await finished(self._ended.submit(upload))

    async def _keep(self, uploads: Sequence[_StoredUpload]) -> list[UploadedFiles]:
        async with self._database.transaction() as db:
            # People before items, the order of every lock: deleting a person deletes their items too.
            await self._people(db).lock_key_share({upload.incoming.set.owner_id for upload in uploads})
            service = self._items(db)
            await service.lock_for_update([(upload.item_id, upload.principal) for upload in uploads])
            kept = await self._intake.keep(db, [upload.incoming for upload in uploads])
            for upload, files in zip(uploads, kept, strict=True):
                if upload.incoming.set.category is Category.ITEMS:
                    await service.add_images(upload.item_id, [file.url for file in files])
            answers = [UploadedFiles(uploaded_files=files) for files in kept]
            for upload, answer in zip(uploads, answers, strict=True):
                await settle(db, upload.claim, answer.model_dump_json().encode)
        return answers


async def _a_few(parts: AsyncIterator[FilePart], incoming: IncomingFiles) -> AsyncIterator[FilePart]:
    async for part in parts:
        if len(incoming.files) == MOST_FILES:
            raise TooManyFiles
        yield part
