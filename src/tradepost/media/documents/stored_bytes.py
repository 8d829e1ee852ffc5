"""Random access to a stored file, through a small cache of windows.

Some formats keep their directory at the end, or in sectors all over the file, and a file is never held in memory as a whole.
A file that was made to jump about is refused after so many reads, so that nobody keeps the storage busy with one document.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from tradepost.media.errors import UnsupportedFile

WINDOW: Final = 64 * 1024
"""Bytes that are read at once: a directory usually lies in one or two of these."""
KEPT: Final = 20
"""Windows in memory: more than the largest directory that is looked at takes."""
READS: Final = 256
"""Windows that are read of one file; one of 10 MiB has 160."""


class StoredBytes:
    """The bytes of a file of ``size`` bytes, which ``read`` returns from a start up to an end."""

    def __init__(self, read: Callable[[int, int], Awaitable[bytes]], size: int) -> None:
        self.size = size
        self._read = read
        self._windows: dict[int, bytes] = {}
        self._reads = 0

    async def read(self, start: int, length: int) -> bytes:
        """Return the bytes from ``start`` on; fewer than ``length`` where the file ends before."""
        if start < 0 or start >= self.size:
            return b""
        end = min(start + length, self.size)
        pieces = [await self._window(number) for number in range(start // WINDOW, (end - 1) // WINDOW + 1)]
        skipped = start - start % WINDOW
        return b"".join(pieces)[start - skipped : end - skipped]

    async def _window(self, number: int) -> bytes:
        window = self._windows.get(number)
        if window is None:
            self._reads += 1
            if self._reads > READS:
                raise UnsupportedFile("is scattered too much to be read")
            if len(self._windows) >= KEPT:
                del self._windows[next(iter(self._windows))]
            window = await self._read(number * WINDOW, min((number + 1) * WINDOW, self.size))
            self._windows[number] = window
        return window
