"""The in-memory twin of the storage, for trying things out and for tests."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tradepost.core.storage.store import Listed, NoSuchKey, StorageFull, StorageUnavailable, Stored, checked

CHUNK = 256 * 1024


class MemoryStorage:
    """Keeps bytes for as long as the process lives, ``capacity`` of them at most; ``gone`` makes it fail."""

    def __init__(self, *, capacity: int = 2**30) -> None:
        self.kept: dict[str, bytes] = {}
        self.capacity = capacity
        self.gone = False

    async def put(self, key: str, content: AsyncIterator[bytes]) -> Stored:
        checked(key)
        await self.check()
        sha256 = hashlib.sha256()
        whole = bytearray()
        async for chunk in content:
            await asyncio.to_thread(sha256.update, chunk)
            whole += chunk
            if len(whole) + sum(map(len, self.kept.values())) > self.capacity:
                raise StorageFull
        await self.check()
        if key in self.kept:
            raise StorageUnavailable
        self.kept[key] = bytes(whole)
        return Stored(len(whole), sha256.hexdigest())

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        await self.check()
        if checked(key) not in self.kept:
            raise NoSuchKey(key)
        wanted = memoryview(self.kept[key])[start:end]

        async def chunks() -> AsyncIterator[bytes]:
            for at in range(0, len(wanted), CHUNK):
                yield bytes(wanted[at : at + CHUNK])

        yield chunks()

    async def delete(self, key: str) -> None:
        await self.check()
        self.kept.pop(checked(key), None)

    async def size(self, key: str) -> int | None:
        await self.check()
        kept = self.kept.get(checked(key))
        return None if kept is None else len(kept)

    async def list(self, *, after: str, limit: int) -> Sequence[Listed]:
        await self.check()
        # Nothing outlives the process, so nothing can be left behind: everything counts as written just now.
        return [Listed(key, datetime.max.replace(tzinfo=UTC)) for key in sorted(self.kept) if key > after][
            :limit
        ]

    async def check(self) -> None:
        if self.gone:
            raise StorageUnavailable

    async def close(self) -> None:
        self.kept.clear()
