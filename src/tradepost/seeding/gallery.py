"""Pictures of made-up items: drawn here, and taken in as uploads are, cleaned off the loop and kept in the storage."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from io import BytesIO
from typing import Any, Final, NamedTuple

from PIL import Image, ImageDraw
from sqlalchemy import select, update

from tradepost.accounts.dependencies import build_user_service
from tradepost.core.database.locks import lock_for_update
from tradepost.core.resources import Resources
from tradepost.items.models import Item
from tradepost.items.schemas import ItemStatus
from tradepost.media.file_types import PICTURES
from tradepost.media.intake import FileIntake, IncomingFiles
from tradepost.media.schemas import Category
from tradepost.seeding.dice import Dice

SIZE: Final = (480, 360)
SHAPES: Final = 7
"""Ellipses and boxes of a picture."""
GROUP: Final = 20
"""Pictures that are taken in at a time, and kept in one transaction."""


class _Wanted(NamedTuple):
    id: int
    owner_id: int
    title: str
    created_at: datetime


class _Photograph:
    """A picture in the shape of an uploaded file."""

    name = "files"

    def __init__(self, number: int, data: bytes) -> None:
        self._number = number
        self._data = data

    @property
    def file_name(self) -> str:
        """What its maker would have called it."""
        return f"photograph-{self._number}.jpg"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


def draw(seed: int, number: int) -> bytes:
    """Draw picture number so-and-so of a seed: a few coloured shapes on a coloured ground, as a JPEG."""
    dice = Dice(f"picture {number} of {seed}")

    def colour() -> tuple[int, int, int]:
        return dice.below(256), dice.below(256), dice.below(256)

    picture = Image.new("RGB", SIZE, colour())
    drawing = ImageDraw.Draw(picture)
    for _ in range(SHAPES):
        shape = drawing.ellipse if dice.chance(50) else drawing.rectangle
        left, top = dice.below(SIZE[0] - 40), dice.below(SIZE[1] - 40)
        shape((left, top, left + 40 + dice.below(200), top + 40 + dice.below(150)), fill=colour())
    encoded = BytesIO()
    picture.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


class Gallery:
    """Gives made-up items a picture each."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._database = resources.database
        self._intake = resources[FileIntake]

    async def hang(self, pictures: int, *, seed: int) -> list[list[Any]]:
        """Give the newest active items without a picture one each; return what the fingerprint reads of them.

        In short transactions of their own: one that is killed leaves fewer pictures, and none without its file. It is no
        change of an item that counts: it is as if it had been made with the picture.
        """
        newest = select(Item.id, Item.owner_id, Item.title, Item.created_at, Item.images)
        async with self._database.read() as db:
            found = await db.execute(
                newest.where(Item.status == ItemStatus.ACTIVE).order_by(Item.id.desc()).limit(pictures)
            )
            wanted = [_Wanted(*row[:4]) for row in found if not row.images]
        wanted.reverse()
        marks: list[list[Any]] = []
        for first in range(0, len(wanted), GROUP):
            marks += await self._hang(wanted[first : first + GROUP], first, seed)
        return marks

    async def _hang(self, wanted: Sequence[_Wanted], first: int, seed: int) -> list[list[Any]]:
        async with AsyncExitStack() as opened:
            incoming = [
                await opened.enter_async_context(
                    self._intake.open(Category.ITEMS, owner_id=item.owner_id, subject_id=item.id)
                )
                for item in wanted
            ]
            await asyncio.gather(
                *(self._take(one, first + at, seed) for at, one in enumerate(incoming)),
            )
            async with self._database.transaction() as db:
                # In the order of every transaction that keeps files of items.
                await build_user_service(db, self._resources).lock_key_share(
                    {item.owner_id for item in wanted}
                )
                ids = [item.id for item in wanted]
                await db.execute(
                    lock_for_update(select(Item.id).where(Item.id.in_(ids)).order_by(Item.id), Item)
                )
                kept = await self._intake.keep(db, incoming)
                for item, files in zip(wanted, kept, strict=True):
                    await db.execute(
                        update(Item).where(Item.id == item.id).values(images=[file.url for file in files])
                    )
        return [
            ["pictures", item.title, item.created_at, [file.sha256 for file in one.files]]
            for item, one in zip(wanted, incoming, strict=True)
        ]

    @staticmethod
    async def _take(incoming: IncomingFiles, number: int, seed: int) -> None:
        data = await asyncio.to_thread(partial(draw, seed, number))
        await incoming.take_picture(_Photograph(number + 1, data), PICTURES)
