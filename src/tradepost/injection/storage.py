"""A store of bytes that fails on purpose, around the real one."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tradepost.core.storage.store import Listed, Storage, Stored


class UnreliableStorage:
    """Asks ``fail`` before each operation, which raises while there is trouble."""

    def __init__(self, storage: Storage, fail: Callable[[str], None]) -> None:
        self._storage = storage
        self._fail = fail

    async def put(self, key: str, content: AsyncIterator[bytes]) -> Stored:
        self._fail("put")
        return await self._storage.put(key, content)

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        self._fail("open")
        async with self._storage.open(key, start=start, end=end) as chunks:
            yield chunks

    async def delete(self, key: str) -> None:
        self._fail("delete")
        await self._storage.delete(key)

    async def size(self, key: str) -> int | None:
        self._fail("size")
        return await self._storage.size(key)

    async def list(self, *, after: str, limit: int) -> Sequence[Listed]:
        self._fail("list")
        return await self._storage.list(after=after, limit=limit)

    async def check(self) -> None:
        self._fail("check")
        await self._storage.check()

    async def close(self) -> None:
        await self._storage.close()
