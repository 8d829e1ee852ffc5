"""The local storage: files in a directory of this machine."""

import asyncio
import errno
import hashlib
import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tradepost.core.durability import make_directory, sync_directory
from tradepost.core.errors import TradepostError
from tradepost.core.finishing import finished
from tradepost.core.storage.store import (
    Listed,
    NoSuchKey,
    StorageFull,
    StorageUnavailable,
    Stored,
    checked,
    is_key,
)

THREADS: Final = 8
"""A pool of its own: a disk that hangs must not take the threads that hash passwords or resolve names."""
READ_CHUNK: Final = 256 * 1024
WRITE_CHUNK: Final = 384 * 1024
"""Bytes from which on they are written: each time is a trip to a thread."""
_PART: Final = ".part"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")


class _NewFile:
    """A file on its way in; every method is for a thread. ``abandon`` undoes whatever was done so far.

    Each call of the system gives up the interpreter and has to wait for it again: no more of them are made than are needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = _part_of(path)
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.is_created = False
        self._file: int | None = None
        self._is_published = False

    def create(self) -> None:
        self._file = os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self.is_created = True

    def write(self, block: bytes) -> None:
        self.sha256.update(block)
        self.size += len(block)
        left = memoryview(block)
        while left:
            # The system may take less than it is given, and says so only here.
            left = left[os.write(self._open(), left) :]

    def publish(self) -> None:
        """Give the file its name, unless that is taken, so that it keeps it through a power cut."""
        os.fsync(self._open())
        self._close()
        os.link(self.part, self.path)
        self._is_published = True
        self.part.unlink()
        sync_directory(self.path.parent)

    def abandon(self) -> None:
        if not self.is_created:
            return
        if self._file is not None:
            self._close()
        self.part.unlink(missing_ok=True)
        if self._is_published:
            self.path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._file is None:
            raise ValueError("the file was not created")
        return self._file

    def _close(self) -> None:
        # Whatever closing says, the number is another file's from then on.
        file, self._file = self._open(), None
        os.close(file)


class LocalStorage:
    """Keeps bytes in files below ``directory``, in 4,096 directories by the first two letters of their keys.

    A file bears its key's name once it is whole and on the disk, and that name with ``.part`` before.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = ThreadPoolExecutor(THREADS, "storage")
        self._prepared = False
        self._synced: set[str] = set()
        """Names of the directories in ours that are known to be on the disk."""

    async def put(self, key: str, content: AsyncIterator[bytes]) -> Stored:
        new = _NewFile(self._path(key))
        # Blocks wait for the next: the last ones are written and the file published in one trip to a thread, as the file
        # is created and the first ones written. Trips are what storing costs most.
        held: list[bytes] = []
        size = 0
        try:
            async for block in content:
                if size >= WRITE_CHUNK:
                    await self._run(partial(self._write, new, held))
                    held, size = [], 0
                held.append(block)
                size += len(block)
            await self._run(partial(self._write_last, new, held))
        except BaseException:
            # A second error would hide the first: what cannot be removed now is removed with the key.
            with suppress(TradepostError):
                await self._run(new.abandon)
            raise
        return Stored(new.size, new.sha256.hexdigest())

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        path = self._path(key)
        opened: list[io.FileIO] = []

        async def chunks() -> AsyncIterator[bytes]:
            left = sys.maxsize if end is None else end - start
            while left > 0 and (chunk := await self._run(partial(opened[0].read, min(left, READ_CHUNK)))):
                left -= len(chunk)
                yield chunk

        try:
            # Kept by the thread: a caller that is cancelled meanwhile would not get it, and it would stay open.
            await self._run(lambda: opened.append(self._opened(path, start)))
            yield chunks()
        finally:
            for file in opened:
                await self._run(file.close)

    async def delete(self, key: str) -> None:
        path = self._path(key)

        def remove() -> None:
            # A store that is away has not lost its files: the row must not go before them.
            self._prepare()
            for name in (path, _part_of(path)):
                name.unlink(missing_ok=True)
            # Or a power cut brings the bytes back after their row is gone, and nothing knows of them any more.
            with suppress(FileNotFoundError):
                sync_directory(path.parent)

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

    async def list(self, *, after: str, limit: int) -> Sequence[Listed]:
        def walk() -> list[Listed]:
            self._prepare()
            found: list[Listed] = []
            for name in sorted(entry.name for entry in self._directory.iterdir() if entry.name >= after[:2]):
                found += [listed for listed in _listed(self._directory / name) if listed.key > after]
                if len(found) >= limit:
                    break
            return found[:limit]

        return await self._run(walk)

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
            make_directory(self._directory)
            # Those that are there now are on the disk once this is: another process may have made one a moment ago.
            there = [entry.name for entry in self._directory.iterdir()]
            sync_directory(self._directory)
            self._synced.update(there)
            self._prepared = True
        elif not self._directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "the directory of uploads is gone")

    def _write(self, new: _NewFile, blocks: Sequence[bytes]) -> None:
        if not new.is_created:
            self._create(new)
        for block in blocks:
            new.write(block)

    def _write_last(self, new: _NewFile, blocks: Sequence[bytes]) -> None:
        self._write(new, blocks)
        new.publish()

    def _create(self, new: _NewFile) -> None:
        parent = new.path.parent
        if parent.name in self._synced:
            with suppress(FileNotFoundError):
                new.create()
                return
            # Somebody has removed the directory meanwhile, or all of them are away.
            self._synced.discard(parent.name)
        self._prepare()
        self._make_durable(parent)
        new.create()

    def _make_durable(self, parent: Path) -> None:
        if parent.name not in self._synced:
            # Noted after the sync alone: another upload that finds the directory there must not be told that its file
            # is safe before the directory itself is.
            parent.mkdir(exist_ok=True)
            sync_directory(self._directory)
            self._synced.add(parent.name)

    def _opened(self, path: Path, start: int) -> io.FileIO:
        try:
            raw = io.FileIO(path, "rb")
        except FileNotFoundError:
            self._prepare()
            raise NoSuchKey(path.name) from None
        raw.seek(start)
        return raw


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + _PART)


def _listed(directory: Path) -> list[Listed]:
    """Return the keys of a directory, sorted; a part that a crash left counts as its key."""
    found: dict[str, float] = {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            key = entry.name.removesuffix(_PART)
            if is_key(key) and key[:2] == directory.name:
                with suppress(FileNotFoundError):
                    found[key] = max(entry.stat().st_mtime, found.get(key, 0.0))
    return [Listed(key, datetime.fromtimestamp(found[key], UTC)) for key in sorted(found)]


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the system says as what it means to a client."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull from error
        raise StorageUnavailable from error
