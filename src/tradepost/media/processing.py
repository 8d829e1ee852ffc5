"""Pictures made to measure: a form sends a picture and a size, and the answer names the resized JPEG."""

from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

from tradepost.core.database.engines import Database
from tradepost.core.errors import Unprocessable
from tradepost.core.idempotency.claim import CLAIM, settle
from tradepost.core.principal import Principal
from tradepost.core.wire.file_names import file_in_words
from tradepost.media.errors import PictureRefused
from tradepost.media.file_types import JPEG, PICTURES
from tradepost.media.intake import FileIntake, FilePart
from tradepost.media.places import NewFile
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


class Part(FilePart, Protocol):
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
        async with self._intake.open(Category.PROCESSED, owner_id=principal.user_id) as incoming:
            values: dict[str, int | None] = {}
            file: NewFile | None = None
            async for part in parts:
                if part.name == FILE:
                    if part.file_name is None:
                        raise Unprocessable(
                            ("body", FILE), "Input should be a file with a name", kind="file_type"
                        )
                    if file is not None:
                        raise Unprocessable(("body", FILE), "Only one file is taken", kind="too_long")
                    file = await incoming.take_raw(part, PICTURES, becomes=JPEG)
                else:
                    await _read_field(values, part)
            if file is None:
                raise Unprocessable(("body", FILE), "Field required", kind="missing")
            quality = values.get("quality") or QUALITY
            try:
                resized = await self._studio.resize(
                    incoming.raw(file),
                    width=values.get("resize_width"),
                    height=values.get("resize_height"),
                    quality=quality,
                )
            except PictureRefused as refused:
                raise refused.of(FILE, file_in_words(1, file.original_name)) from refused
            await incoming.finish(file, resized.picture.data)
            async with self._database.transaction() as db:
                (kept,) = await incoming.keep(db)
                processed = ProcessedPicture(
                    filename=kept.filename,
                    url=kept.url,
                    original_size="{}x{}".format(*resized.original),
                    new_size=f"{resized.picture.width}x{resized.picture.height}",
                    quality=quality,
                )
                await settle(db, CLAIM.get(), processed.model_dump_json().encode)
        return processed


async def _read_field(values: dict[str, int | None], part: Part) -> None:
    """Read a field of the form into ``values``; None for one that was left empty."""
    place = ("body", part.name)
    most = FIELDS.get(part.name)
    if most is None:
        raise Unprocessable(place, "Extra inputs are not permitted", kind="extra_forbidden")
    if part.name in values:
        raise Unprocessable(place, "Only one value is taken", kind="too_long")
    if part.file_name is not None:
        raise Unprocessable(place, "Input should be a valid integer", kind="int_type")
    text = (await part.text()).strip()
    if not text:
        values[part.name] = None
        return
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()):
        raise Unprocessable(place, "Input should be a valid integer", kind="int_parsing")
    # By its length first: a number of 4,000 digits is slow to read.
    if len(digits) > len(str(most)) or not 1 <= int(digits) <= most:
        raise Unprocessable(place, f"Input should be from 1 to {most}", kind="range")
    values[part.name] = int(digits)
