"""Pictures made to measure: one is sent, another comes back."""

from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

from tradepost.core.database.engines import Database
from tradepost.core.errors import Unprocessable
from tradepost.core.principal import Principal
from tradepost.media.content import JPEG, picture_kind
from tradepost.media.errors import PictureRefused
from tradepost.media.intake import FileIntake, NewFile, Upload
from tradepost.media.schemas import Category, ProcessedPicture
from tradepost.media.studio import PictureStudio

FILE: Final = "file"
BEST_QUALITY: Final = 95
QUALITY: Final = 85
LONGEST_SIDE: Final = 4096
FIELDS: Final[Mapping[str, int]] = {
    "resize_width": LONGEST_SIDE,
    "resize_height": LONGEST_SIDE,
    "quality": BEST_QUALITY,
}
"""Fields of the form besides the file, and the largest value of each; the smallest is 1."""


class Part(Upload, Protocol):
    """A part of a form: a file, or a field without a file's name."""

    async def text(self) -> str:
        """Return the content of a field."""
        ...


class PictureProcessing:
    """Makes pictures to measure. Lives as long as the process."""

    def __init__(self, database: Database, intake: FileIntake, studio: PictureStudio) -> None:
        self._database = database
        self._intake = intake
        self._studio = studio

    async def process(self, principal: Principal, parts: AsyncIterator[Part]) -> ProcessedPicture:
        """Store the JPEG that the fields of a form, in whatever order they come, make of its picture."""
        async with self._intake.batch(Category.PROCESSED, owner_id=principal.user_id) as batch:
            asked: dict[str, int | None] = {}
            file: NewFile | None = None
            async for part in parts:
                if part.name == FILE:
                    if part.file_name is None:
                        raise Unprocessable(
                            ("body", FILE), "Input should be a file with a name", kind="file_type"
                        )
                    if file is not None:
                        raise Unprocessable(("body", FILE), "Only one file is taken", kind="too_long")
                    file = await batch.take_raw(part, picture_kind, becomes=JPEG)
                else:
                    await _note(asked, part)
            if file is None:
                raise Unprocessable(("body", FILE), "Field required", kind="missing")
            quality = asked.get("quality") or QUALITY
            try:
                resized = await self._studio.resize(
                    batch.raw(file),
                    width=asked.get("resize_width"),
                    height=asked.get("resize_height"),
                    quality=quality,
                )
            except PictureRefused as refused:
                raise refused.of(FILE) from refused
            await batch.finish(file, resized.picture.data)
            async with self._database.transaction() as db:
                (kept,) = await batch.keep(db)
        return ProcessedPicture(
            filename=kept.filename,
            url=kept.url,
            original_size="{}x{}".format(*resized.original),
            new_size=f"{resized.picture.width}x{resized.picture.height}",
            quality=quality,
        )


async def _note(asked: dict[str, int | None], part: Part) -> None:
    """Read a field into ``asked``; None for one that was left empty."""
    place = ("body", part.name)
    most = FIELDS.get(part.name)
    if most is None:
        raise Unprocessable(place, "Extra inputs are not permitted", kind="extra_forbidden")
    if part.name in asked:
        raise Unprocessable(place, "Only one value is taken", kind="too_long")
    if part.file_name is not None:
        raise Unprocessable(place, "Input should be a valid integer", kind="int_type")
    text = (await part.text()).strip()
    if not text:
        asked[part.name] = None
        return
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()):
        raise Unprocessable(place, "Input should be a valid integer", kind="int_parsing")
    # By its length first: a number of 4,000 digits is slow to read.
    if len(digits) > len(str(most)) or not 1 <= int(digits) <= most:
        raise Unprocessable(place, f"Input should be from 1 to {most}", kind="range")
    asked[part.name] = int(digits)
