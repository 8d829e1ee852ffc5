"""Variants of pictures: made when they are first asked for, once however many ask, and kept beside the picture.

A variant has a row before its first byte is stored, as files have. The row of its picture is locked while that is claimed:
so one process of all makes it, never more than ``VARIANTS_LIMIT`` are kept of a picture, and of a picture that is being
removed no variant is begun. What is removed goes the way of removed files (``FileDoomed``).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog

from tradepost.core.batching.coalescer import Coalescer, Observe
from tradepost.core.batching.single_flight import SingleFlight
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.errors import Unavailable, Unprocessable
from tradepost.core.finishing import finished
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.storage.store import NoSuchKey, Storage
from tradepost.media.errors import NoSuchFile, PictureRefused
from tradepost.media.messages import FileDoomed
from tradepost.media.recipes import EXTENSIONS, Recipe
from tradepost.media.repository import FileRow, VariantRepository, VariantRow
from tradepost.media.schemas import Category
from tradepost.media.studio import PictureStudio

VARIANTS_LIMIT: Final = 48
"""Variants kept of one picture; the one made first makes room for a further one."""
GIVEN_UP: Final = timedelta(minutes=2)
"""After this, whoever was making a variant is taken to have died."""
PATIENCE: Final = 10.0
"""Seconds to wait for another process that is making it."""
LOOK: Final = 0.1

Asked = tuple[int, str]
"""A picture's id, and a recipe's name."""

_log = structlog.stdlib.get_logger("tradepost.media")


class Variants:
    """Finds and makes variants. Lives as long as the process."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        studio: PictureStudio,
        *,
        outbox: Outbox,
        clock: Clock,
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._storage = storage
        self._studio = studio
        self._outbox = outbox
        self._clock = clock
        self._made = Coalescer(self._load, observe=observe)
        self._flights: SingleFlight[Asked, VariantRow] = SingleFlight()

    async def get(self, picture: FileRow, recipe: Recipe) -> VariantRow:
        """Return a variant of a picture; 422 for what is no picture, ``NoSuchFile`` if it is being removed."""
        if picture.category is Category.DOCUMENTS:
            raise Unprocessable(("path", "category"), "Only pictures have variants", kind="picture")
        asked = (picture.id, recipe.name)
        made = await self._made.get(asked)
        if made is not None:
            return made
        return await self._flights.join(asked, lambda: self._make(picture, recipe))

    async def close(self) -> None:
        """End what is being made."""
        await self._flights.close()

    async def _load(self, asked: Sequence[Asked]) -> Mapping[Asked, VariantRow]:
        async with self._database.read() as db:
            rows = await VariantRepository(db).find_made(asked)
        return {(row.file_id, row.recipe): row for row in rows}

    async def _make(self, picture: FileRow, recipe: Recipe) -> VariantRow:
        asked = (picture.id, recipe.name)
        key = f"{self._clock.token(18)}.{EXTENSIONS[recipe.format]}"
        deadline = self._clock.monotonic() + PATIENCE
        while not await self._claim(asked, key):
            if (made := await self._made.get(asked)) is not None:
                return made
            if self._clock.monotonic() > deadline:
                raise Unavailable
            await asyncio.sleep(LOOK)
        try:
            await self._draw(picture.name, recipe, key)
        except BaseException:
            # The next who asks has it made anew.
            await finished(self._give_up(key))
            raise
        made = await self._made.get(asked)
        if made is None:
            raise NoSuchFile
        return made

    async def _claim(self, asked: Asked, key: str) -> bool:
        """Say that the variant is being made under a key; tell whether that is so: it is made, or by another, if not."""
        now = self._clock.now()
        async with self._database.transaction() as db:
            variants = VariantRepository(db)
            if not await variants.hold_picture(asked[0]):
                raise NoSuchFile
            doomed = await variants.forget_stale(asked, before=now - GIVEN_UP)
            if not await variants.claim(asked, key=key, now=now):
                return False
            doomed += await variants.forget_oldest(asked[0], keep=VARIANTS_LIMIT)
            await self._outbox.add(db, *map(FileDoomed, doomed))
        return True

    async def _draw(self, name: str, recipe: Recipe, key: str) -> None:
        async def load() -> bytes:
            try:
                async with self._storage.open(name) as chunks:
                    return b"".join([chunk async for chunk in chunks])
            except NoSuchKey:
                raise NoSuchFile from None

        try:
            drawn = await self._studio.vary(load, box=recipe.box, fit=recipe.shape, kind=recipe.format)
        except PictureRefused as refused:
            raise Unprocessable(("path", "filename"), refused.message, kind="picture") from refused

        async def whole() -> AsyncIterator[bytes]:
            yield drawn.data

        stored = await self._storage.put(key, whole())
        async with self._database.transaction() as db:
            if not await VariantRepository(db).note_made(key, size=stored.size, sha256=stored.sha256):
                # The picture was removed meanwhile, or this took so long that another process began.
                raise NoSuchFile

    async def _give_up(self, key: str) -> None:
        try:
            await self._storage.delete(key)
            async with self._database.transaction() as db:
                await VariantRepository(db).forget(key)
        except Exception:  # noqa: BLE001 - what failed before is what the client should hear of
            _log.exception("a variant that could not be made is left to be removed with its picture")
