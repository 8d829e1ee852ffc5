"""Pictures and documents of items, taken in while they arrive."""

from collections.abc import AsyncIterator, Callable
from typing import Final

from tradepost.accounts.permissions import STAFF
from tradepost.accounts.service import UserService
from tradepost.core.database import Database, WriteSession
from tradepost.core.errors import NotOwner
from tradepost.core.principal import Principal
from tradepost.items.errors import ItemNotFound
from tradepost.items.reader import is_visible
from tradepost.items.repository import ItemRepository
from tradepost.items.service import ItemService
from tradepost.media.content import document_kind, picture_kind
from tradepost.media.errors import TooManyFiles
from tradepost.media.intake import FileBatch, FileIntake, Upload
from tradepost.media.schemas import Category, UploadedFiles

MOST_FILES: Final = 5
"""Files of one call."""


class ItemUploads:
    """Takes files of items, those of one call together or not at all. Lives as long as the process.

    The files are the owner's, whoever brings them.
    """

    def __init__(
        self,
        database: Database,
        intake: FileIntake,
        *,
        people: Callable[[WriteSession], UserService],
        items: Callable[[WriteSession], ItemService],
    ) -> None:
        self._database = database
        self._intake = intake
        self._people = people
        self._items = items

    async def add_images(
        self, item_id: int, principal: Principal, uploads: AsyncIterator[Upload]
    ) -> UploadedFiles:
        """Have an item show further pictures."""
        owner_id = await self._owner(item_id, principal)
        async with self._intake.batch(Category.ITEMS, owner_id=owner_id, subject_id=item_id) as batch:
            async for upload in _a_few(uploads, batch):
                await batch.take_picture(upload, picture_kind)
            return await self._kept(batch, item_id, owner_id, principal)

    async def add_documents(
        self, item_id: int, principal: Principal, uploads: AsyncIterator[Upload]
    ) -> UploadedFiles:
        """Keep documents with an item, for its owner and staff."""
        owner_id = await self._owner(item_id, principal)
        async with self._intake.batch(Category.DOCUMENTS, owner_id=owner_id, subject_id=item_id) as batch:
            async for upload in _a_few(uploads, batch):
                await batch.take(upload, document_kind)
            return await self._kept(batch, item_id, owner_id, principal)

    async def _owner(self, item_id: int, principal: Principal) -> int:
        """Return whose item it is, if ``principal`` may bring files: before the first byte is stored for nothing."""
        async with self._database.read() as session:
            row = await ItemRepository(session).get_row(item_id)
        if row is None or not is_visible(row.status, row.owner_id, principal):
            raise ItemNotFound
        if row.owner_id != principal.user_id and STAFF not in principal.permissions:
            raise NotOwner
        return int(row.owner_id)

    async def _kept(
        self, batch: FileBatch, item_id: int, owner_id: int, principal: Principal
    ) -> UploadedFiles:
        if not batch.files:
            raise TooManyFiles
        async with self._database.transaction() as session:
            # People before items, as everybody locks them: a person who is being deleted takes the item along.
            await self._people(session).hold_public([owner_id])
            items = self._items(session)
            item = await items.hold_for_files(item_id, principal)
            kept = await batch.keep(session)
            if batch.category is Category.ITEMS:
                await items.add_images(item, [file.url for file in kept])
        return UploadedFiles(uploaded_files=kept)


async def _a_few(uploads: AsyncIterator[Upload], batch: FileBatch) -> AsyncIterator[Upload]:
    async for upload in uploads:
        if len(batch.files) == MOST_FILES:
            raise TooManyFiles
        yield upload
