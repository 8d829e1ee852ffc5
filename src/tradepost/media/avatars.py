"""Avatars: people's pictures of themselves."""

from collections.abc import AsyncIterator, Callable

from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Unprocessable
from tradepost.core.idempotency.claim import CLAIM, settle
from tradepost.core.principal import Principal
from tradepost.media.file_types import PICTURES
from tradepost.media.intake import FileIntake, FilePart
from tradepost.media.schemas import Category, UploadedAvatar
from tradepost.media.service import FileService


class Avatars:
    """Takes avatars. Lives as long as the process."""

    def __init__(
        self, database: Database, intake: FileIntake, *, files: Callable[[WriteSession], FileService]
    ) -> None:
        self._database = database
        self._intake = intake
        self._files = files

    async def replace(self, principal: Principal, parts: AsyncIterator[FilePart]) -> UploadedAvatar:
        """Store the one picture of a form as a person's avatar; the one before is removed."""
        async with self._intake.open(Category.AVATARS, owner_id=principal.user_id) as incoming:
            async for part in parts:
                if incoming.files:
                    raise Unprocessable(("body", "file"), "Only one file is taken", kind="too_long")
                await incoming.take_picture(part, PICTURES)
            if not incoming.files:
                raise Unprocessable(("body", "file"), "Field required", kind="missing")
            async with self._database.transaction() as db:
                kept = await self._files(db).set_avatar(incoming, principal.user_id)
                avatar = UploadedAvatar.model_validate(kept)
                await settle(db, CLAIM.get(), avatar.model_dump_json().encode)
        return avatar
