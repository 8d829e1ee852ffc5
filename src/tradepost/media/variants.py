"""Variants of pictures: made at the first request, by single flight within a process and a claim across processes, then kept.

A variant has a row before its first byte is stored, as files have. The row of its picture is locked while the variant is
claimed: so one process alone makes it, never more than ``VARIANTS_LIMIT`` are kept of a picture, and no variant is begun of a
picture that is being removed. Removed variants go the way of removed files (``FileDoomed``).
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
from tradepost.core.observability.tallies import CACHE_READS
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
"""After this, the process that was making a variant is taken to have died."""
PATIENCE: Final = 10.0
"""Seconds to wait for another process that is making it."""
LOOK: Final = 0.1

VariantKey = tuple[int, str]
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
        self._flights: SingleFlight[VariantKey, VariantRow] = SingleFlight()

    async def get(self, picture: FileRow, recipe: Recipe) -> VariantRow:
        """Return a variant of a picture; ``Unprocessable`` for a document, ``NoSuchFile`` if it is being removed."""
        if picture.category is Category.DOCUMENTS:
            raise Unprocessable(("path", "category"), "Only pictures have variants", kind="picture")
        wanted = (picture.id, recipe.name)
        made = await self._made.find(wanted)
        CACHE_READS.add("variants", "miss" if made is None else "hit")
        if made is not None:
            return made
        return await self._flights.join(wanted, lambda: self._make(picture, recipe))

    async def close(self) -> None:
        """End what is being made."""
        await self._flights.close()

    async def _load(self, wanted: Sequence[VariantKey]) -> Mapping[VariantKey, VariantRow]:
        async with self._database.read() as db:
            rows = await VariantRepository(db).find_made(wanted)
        return {(row.file_id, row.recipe): row for row in rows}

    async def _make(self, picture: FileRow, recipe: Recipe) -> VariantRow:
        wanted = (picture.id, recipe.name)
        key = f"{self._clock.token(18)}.{EXTENSIONS[recipe.format]}"
        deadline = self._clock.monotonic() + PATIENCE
        while not await self._claim(wanted, key):
            if (made := await self._made.find(wanted)) is not None:
                return made
            if self._clock.monotonic() > deadline:
                raise Unavailable
            await asyncio.sleep(LOOK)
        try:
            await self._draw(picture.name, recipe, key)
        except BaseException:
            # The next request has it made anew.
            await finished(self._give_up(key))
            raise
        made = await self._made.find(wanted)
        if made is None:
            raise NoSuchFile
        return made

    async def _claim(self, wanted: VariantKey, key: str) -> bool:
        """Claim the making of a variant, under a key; False if it is made already, or another process is making it."""
        now = self._clock.now()
        async with self._database.transaction() as db:
            variants = VariantRepository(db)
            if not await variants.lock_for_update(wanted[0]):
                raise NoSuchFile
            doomed = await variants.forget_stale(wanted, before=now - GIVEN_UP)
            if not await variants.claim(wanted, key=key, now=now):
                return False
            doomed += await variants.forget_oldest(wanted[0], keep=VARIANTS_LIMIT)
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
