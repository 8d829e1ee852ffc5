"""The S3 storage: objects in a bucket of S3, or of a service that speaks like it."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import obstore
from obstore.exceptions import BaseError
from obstore.exceptions import NotFoundError as ObjectNotFoundError
from obstore.store import S3Store

from tradepost.core.finishing import finished
from tradepost.core.settings.settings import Settings
from tradepost.core.storage.store import (
    Listed,
    NoSuchKey,
    StorageBusy,
    StorageUnavailable,
    Stored,
    checked,
    is_key,
)

PART: Final = 5 * 2**20
"""Bytes of a part; S3 takes none that is smaller, but the last one."""
UPLOADS: Final = 64
"""Uploads at once, each of which holds a part in memory."""
NOTHING_THERE: Final = (ObjectNotFoundError, FileNotFoundError)
"""obstore documents the first and raises the second."""
READ_CHUNK: Final = 2**20
"""Bytes of one request for a part of an object. One request for all of it would have to last as long as the client
takes."""
PAGE: Final = 1_000
"""Keys of one listing, which is the most that S3 gives."""
PROBE: Final = "readiness-probe-object"


@dataclass
class _Source:
    """What is to be stored, on its way: counted, hashed in a thread, and remembered if it fails."""

    content: AsyncIterator[bytes]
    size: int = 0
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self._ahead: deque[bytes] = deque()
        self._next: asyncio.Future[bytes] | None = None

    async def fill(self, least: int) -> bool:
        """Read ahead at least so many bytes; tell whether there are that many."""
        ahead = 0
        async for chunk in self.content:
            await self._count(chunk)
            self._ahead.append(chunk)
            ahead += len(chunk)
            if ahead >= least:
                return True
        return False

    def taken(self) -> bytes:
        """Return what was read ahead."""
        whole = b"".join(self._ahead)
        self._ahead.clear()
        return whole

    def cancel(self) -> None:
        """Have the read that is under way fail, or the next one."""
        self.failure = asyncio.CancelledError()
        if self._next is not None:
            self._next.cancel()

    async def rest(self) -> AsyncIterator[bytes]:
        """Yield what was read ahead, and then what follows."""
        try:
            while self._ahead:
                yield self._ahead.popleft()
            while self.failure is None:
                # A task of its own, for a cancellation of the upload to reach: the store does not pass that on.
                self._next = asyncio.ensure_future(anext(self.content, b""))
                chunk = await self._next
                if not chunk:
                    return
                await self._count(chunk)
                yield chunk
        except BaseException as error:  # noqa: BLE001 - kept, and raised where the upload is awaited
            self.failure = error
        if self.failure is not None:
            # A cancellation would end the task of the store, and with it the removal of what was stored so far.
            raise RuntimeError("the upload has failed") from None

    async def _count(self, chunk: bytes) -> None:
        await finished(asyncio.to_thread(self.sha256.update, chunk))
        self.size += len(chunk)


class S3Storage:
    """Keeps bytes as objects named by their keys.

    Keys are unguessable and used once, so an object is never overwritten although the store would allow it.
    """

    def __init__(self, settings: Settings, *, uploads: int = UPLOADS) -> None:
        secret = settings.AWS_SECRET_ACCESS_KEY
        given = {
            "access_key_id": settings.AWS_ACCESS_KEY_ID,
            "secret_access_key": secret and secret.get_secret_value(),
            "endpoint": settings.AWS_ENDPOINT_URL,
            "region": settings.AWS_REGION,
        }
        self._store = S3Store(
            settings.AWS_S3_BUCKET_NAME,
            config={name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
            client_options={
                "allow_http": (settings.AWS_ENDPOINT_URL or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=3),
                "timeout": timedelta(seconds=30),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
        )
        self._free = uploads

    async def put(self, key: str, content: AsyncIterator[bytes]) -> Stored:
        checked(key)
        if self._free <= 0:
            raise StorageBusy
        self._free -= 1
        try:
            source = _Source(content)
            if await source.fill(PART):
                await self._put_parts(key, source)
            else:
                await self._put_whole(key, source.taken())
            return Stored(source.size, source.sha256.hexdigest())
        finally:
            self._free += 1

    async def _put_whole(self, key: str, content: bytes) -> None:
        try:
            with _translated():
                # The store may keep it after the client has hung up, and after it was deleted for that.
                await finished(obstore.put_async(self._store, key, content, use_multipart=False))
        except asyncio.CancelledError:
            with suppress(StorageUnavailable):
                await finished(self.delete(key))
            raise

    async def _put_parts(self, key: str, source: _Source) -> None:
        upload = asyncio.ensure_future(
            obstore.put_async(
                self._store, key, source.rest(), use_multipart=True, chunk_size=PART, max_concurrency=1
            )
        )
        try:
            with _translated():
                await asyncio.shield(upload)
        except asyncio.CancelledError:
            # Left to itself, it would leave its parts in the bucket, which cost money and are not seen.
            source.cancel()
            with suppress(Exception):
                await finished(upload)
            with suppress(StorageUnavailable):
                await finished(self.delete(key))
            raise
        except Exception:
            if source.failure is not None:
                raise source.failure from None
            raise

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        checked(key)
        with _translated():
            if end is None:
                end = int((await obstore.head_async(self._store, key))["size"])
            first = await self._range(key, start, end)

        async def chunks() -> AsyncIterator[bytes]:
            at, chunk = start, first
            while chunk:
                yield chunk
                at += len(chunk)
                with _translated():
                    chunk = await self._range(key, at, end)

        yield chunks()

    async def _range(self, key: str, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        return bytes(
            await obstore.get_range_async(self._store, key, start=start, end=min(end, start + READ_CHUNK))
        )

    async def delete(self, key: str) -> None:
        with _translated(), suppress(*NOTHING_THERE):
            await obstore.delete_async(self._store, checked(key))

    async def size(self, key: str) -> int | None:
        with _translated():
            try:
                return int((await obstore.head_async(self._store, checked(key)))["size"])
            except NOTHING_THERE:
                return None

    async def list(self, *, after: str, limit: int) -> Sequence[Listed]:
        found: list[Listed] = []
        with _translated():
            async for page in obstore.list(self._store, offset=after or None, chunk_size=min(limit, PAGE)):
                found += [
                    Listed(meta["path"], meta["last_modified"]) for meta in page if is_key(meta["path"])
                ]
                if len(found) >= limit:
                    break
        return found[:limit]

    async def check(self) -> None:
        await self.size(PROBE)

    async def close(self) -> None:
        """Nothing to let go of: connections end with the process."""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NOTHING_THERE as error:
        raise NoSuchKey from error
    except (BaseError, OSError) as error:
        raise StorageUnavailable from error
