"""Pictures and documents of items, taken in while they arrive."""

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
from tradepost.core.principal import Principal
from tradepost.items.errors import ItemNotFound
from tradepost.items.reader import ItemReader
from tradepost.items.service import ItemService
from tradepost.media.content import document_kind, picture_kind
from tradepost.media.errors import TooManyFiles
from tradepost.media.intake import FileBatch, FileIntake, Upload
from tradepost.media.schemas import Category, UploadedFiles

MOST_FILES: Final = 5
"""Files of one call."""


@dataclass(frozen=True, eq=False, slots=True)
class _Upload:
    """Files of an item whose bytes are all there, and who brings them."""

    batch: FileBatch
    item_id: int
    principal: Principal


class ItemUploads:
    """Takes files of items, those of one call together or not at all. Lives as long as the process.

    The files are the owner's, whoever brings them. Uploads that end while others are being kept are kept together, in one
    transaction; if that cannot be, each alone.
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
        self._ended: GroupWriter[_Upload, UploadedFiles] = GroupWriter(self._keep, observe=observe)

    async def add_images(
        self, item_id: int, principal: Principal, uploads: AsyncIterator[Upload]
    ) -> UploadedFiles:
        """Have an item show further pictures."""
        async with self._batch(Category.ITEMS, item_id, principal) as batch:
            async for upload in _a_few(uploads, batch):
                await batch.take_picture(upload, picture_kind)
            return await self._kept(_Upload(batch, item_id, principal))

    async def add_documents(
        self, item_id: int, principal: Principal, uploads: AsyncIterator[Upload]
    ) -> UploadedFiles:
        """Keep documents with an item, for its owner and staff."""
        async with self._batch(Category.DOCUMENTS, item_id, principal) as batch:
            async for upload in _a_few(uploads, batch):
                await batch.take(upload, document_kind)
            return await self._kept(_Upload(batch, item_id, principal))

    @asynccontextmanager
    async def _batch(
        self, category: Category, item_id: int, principal: Principal
    ) -> AsyncIterator[FileBatch]:
        # Asked before the first byte is stored for nothing.
        owner_id = await self._reader.owner_of(item_id, principal)
        if owner_id != principal.user_id and STAFF not in principal.permissions:
            raise NotOwner
        async with self._intake.batch(
            category,
            owner_id=owner_id,
            subject_id=item_id,
            # The item goes with its owner; whoever brings the files may be somebody else, and still logged in.
            ownerless=ItemNotFound,
        ) as batch:
            yield batch

    async def _kept(self, upload: _Upload) -> UploadedFiles:
        if not upload.batch.files:
            raise TooManyFiles
        # To its end even for who is cancelled meanwhile: whether the files are kept decides what becomes of their bytes.
        return await finished(self._ended.submit(upload))

    async def _keep(self, uploads: Sequence[_Upload]) -> list[UploadedFiles]:
        async with self._database.transaction() as db:
            # People before items, as everybody locks them: a person who is being deleted takes the items along.
            await self._people(db).hold_public({upload.batch.owner_id for upload in uploads})
            service = self._items(db)
            items = await service.hold_for_files([(upload.item_id, upload.principal) for upload in uploads])
            kept = await self._intake.keep(db, [upload.batch for upload in uploads])
            for upload, files in zip(uploads, kept, strict=True):
                if upload.batch.category is Category.ITEMS:
                    await service.add_images(items[upload.item_id], [file.url for file in files])
        return [UploadedFiles(uploaded_files=files) for files in kept]


async def _a_few(uploads: AsyncIterator[Upload], batch: FileBatch) -> AsyncIterator[Upload]:
    async for upload in uploads:
        if len(batch.files) == MOST_FILES:
            raise TooManyFiles
        yield upload
