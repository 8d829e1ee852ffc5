"""Files in a directory of this machine."""

import asyncio
import errno
import hashlib
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from aiofiles.threadpool import wrap
from typing_extensions import Buffer, override

from tradepost.core.errors import TradepostError
from tradepost.core.finishing import finished
from tradepost.core.storage.store import NoSuchKey, StorageFull, StorageUnavailable, Stored, checked

THREADS: Final = 8
"""A pool of its own: a disk that hangs must not take the threads that hash passwords or resolve names."""
READ_CHUNK: Final = 256 * 1024
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")


class _DigestingFile(io.FileIO):
    """A new file that knows the SHA-256 of what was written: both are done in one trip to a thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "xb")
        self.sha256 = hashlib.sha256()

    @override
    def write(self, data: Buffer, /) -> int:
        self.sha256.update(data)
        left = memoryview(data)
        while left:
            # The system may take less than it is given, and says so only here.
            left = left[super().write(left) :]
        return memoryview(data).nbytes


class LocalStorage:
    """Keeps bytes in files below ``directory``, in 4,096 directories by the first two letters of their keys.

    A file bears its key's name once it is whole and on the disk, and that name with ``.part`` before.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = ThreadPoolExecutor(THREADS, "storage")
        self._prepared = False

    async def put(self, key: str, content: AsyncIterator[bytes]) -> Stored:
        path = self._path(key)
        part = _part_of(path)
        raw = await self._run(lambda: self._create(part))
        file = wrap(raw, executor=self._threads)
        size = 0
        try:
            try:
                async for chunk in content:
                    with _translated():
                        await finished(file.write(chunk))
                    size += len(chunk)
                await self._run(lambda: os.fsync(raw.fileno()))
            finally:
                await finished(file.close())
            await self._run(lambda: _publish(part, path))
        except BaseException:
            # Nobody is helped by a second error: what cannot be removed now is removed with the key.
            with suppress(TradepostError):
                await self._run(lambda: part.unlink(missing_ok=True))
            raise
        return Stored(size, raw.sha256.hexdigest())

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        path = self._path(key)
        raw = await self._run(lambda: self._opened(path, start))
        file = wrap(raw, executor=self._threads)

        async def chunks() -> AsyncIterator[bytes]:
            left = float("inf") if end is None else end - start
            while left > 0:
                with _translated():
                    chunk = await finished(file.read(int(min(left, READ_CHUNK))))
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk

        try:
            yield chunks()
        finally:
            await finished(file.close())

    async def delete(self, key: str) -> None:
        path = self._path(key)

        def remove() -> None:
            # A store that is away has not lost its files: the row must not go before them.
            self._prepare()
            for name in (path, _part_of(path)):
                name.unlink(missing_ok=True)

        await self._run(remove)

    async def size(self, key: str) -> int | None:
        path = self._path(key)

        def measure() -> int | None:
            self._prepare()
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return None

        return await self._run(measure)

    async def check(self) -> None:
        def look() -> None:
            self._prepare()
            if not os.access(self._directory, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "may not be written")

        await self._run(look)

    async def close(self) -> None:
        self._threads.shutdown(wait=False)

    def _path(self, key: str) -> Path:
        return self._directory / checked(key)[:2] / key

    async def _run(self, work: Callable[[], T]) -> T:
        with _translated():
            return await finished(asyncio.get_running_loop().run_in_executor(self._threads, work))

    def _prepare(self) -> None:
        """Make the directory the first time; from then on it is there, or the store is away.

        Made anew each time, a disk that is not mounted would be filled up below its mount point.
        """
        if not self._prepared:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._prepared = True
        elif not self._directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "the directory of uploads is gone")

    def _create(self, part: Path) -> _DigestingFile:
        self._prepare()
        try:
            return _DigestingFile(part)
        except FileNotFoundError:
            part.parent.mkdir(exist_ok=True)
            _sync(self._directory)
            return _DigestingFile(part)

    def _opened(self, path: Path, start: int) -> io.FileIO:
        try:
            raw = io.FileIO(path, "rb")
        except FileNotFoundError:
            self._prepare()
            raise NoSuchKey(path.name) from None
        raw.seek(start)
        return raw


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _publish(part: Path, path: Path) -> None:
    """Give a whole file its name, unless that is taken, so that it keeps it through a power cut."""
    os.link(part, path)
    part.unlink()
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the system says as what it means to a client."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull from error
        raise StorageUnavailable from error
