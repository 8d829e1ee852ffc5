"""People's pictures of themselves."""

from collections.abc import AsyncIterator, Callable

from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Unprocessable
from tradepost.core.principal import Principal
from tradepost.media.content import picture_kind
from tradepost.media.intake import FileIntake, Upload
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

    async def replace(self, principal: Principal, uploads: AsyncIterator[Upload]) -> UploadedAvatar:
        """Store a picture and have the person show it; the one before is removed."""
        async with self._intake.batch(Category.AVATARS, owner_id=principal.user_id) as batch:
            async for upload in uploads:
                if batch.files:
                    raise Unprocessable(("body", "file"), "Only one file is taken", kind="too_long")
                await batch.take_picture(upload, picture_kind)
            if not batch.files:
                raise Unprocessable(("body", "file"), "Field required", kind="missing")
            async with self._database.transaction() as db:
                kept = await self._files(db).set_avatar(batch, principal.user_id)
        return UploadedAvatar.model_validate(kept)
