"""The bounded thread pool for work on pictures: two threads off the event loop, and a queue of limited length."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tradepost.core.batching.bulkhead import Bulkhead
from tradepost.core.errors import Unavailable
from tradepost.media import pictures
from tradepost.media.pictures import Fit, Format, Picture, Resized, Size

T = TypeVar("T")
Source = bytes | Path | Callable[[], Awaitable[bytes]]
"""The bytes of a file, where they are, or how to get them.

The last two are read when their turn has come, so that what waits takes no memory.
"""

THREADS: Final = 2
"""Pictures in work at once; each takes up to 300 MiB."""
WAITING: Final = 64
"""Pictures that may wait; at a tenth of a second each, three seconds of work."""


class PictureStudio:
    """Works on pictures, a few at a time; past ``WAITING`` it answers ``Unavailable``, so that memory stays bounded.

    A thread cannot be stopped, so what it may cost is limited before it starts (``pictures``). A caller that stops waiting
    while the thread is at work leaves the place taken until the thread is done.
    """

    def __init__(self) -> None:
        pictures.prepare_pillow()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        self.places = Bulkhead(THREADS, waiting=WAITING, refusal=_too_many)

    async def clean(self, source: Source) -> Picture:
        """Return the picture upright, in sRGB, and with nothing in its file but what draws it."""
        return await self._run(source, pictures.clean)

    async def resize(self, source: Source, *, width: int | None, height: int | None, quality: int) -> Resized:
        """Return the picture as a JPEG of this size; one side alone keeps the ratio."""
        return await self._run(source, partial(pictures.resize, width=width, height=height, quality=quality))

    async def vary(self, source: Source, *, box: Size, fit: Fit, kind: Format) -> Picture:
        """Return the picture still, fitted into ``box``, never larger than it is."""
        return await self._run(source, partial(pictures.vary, box=box, fit=fit, kind=kind))

    def close(self) -> None:
        """Let the running work finish and take no more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _run(self, source: Source, work: Callable[[bytes], T]) -> T:
        await self.places.enter()
        try:
            loaded = await source() if callable(source) else source
            job = asyncio.get_running_loop().run_in_executor(self._threads, _work, work, loaded)
        except BaseException:
            self.places.leave()
            raise
        return await self.places.until_done(job)


def _too_many() -> Unavailable:
    return Unavailable("Too many pictures are waiting to be worked on", retry_after=2)


def _work(work: Callable[[bytes], T], source: bytes | Path) -> T:
    return work(source.read_bytes() if isinstance(source, Path) else source)
