"""What every store of bytes does, and what each does when its place is full or gone."""

import asyncio
import hashlib
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import settings_for
from tests.servers import S3Server
from tradepost.core.storage.local import LocalStorage
from tradepost.core.storage.memory import MemoryStorage
from tradepost.core.storage.s3 import S3Storage
from tradepost.core.storage.store import (
    NoSuchKey,
    Storage,
    StorageBusy,
    StorageFull,
    StorageUnavailable,
    Stored,
)

KEY = "a-key-of-the-storage.png"
MEBIBYTE = 2**20
UNUSED = "sqlite:///unused.db"


async def pieces(size: int, *, piece: int = 100_000, fails: bool = False) -> AsyncIterator[bytes]:
    """Yield so many bytes, and fail at the end if told to."""
    left = size
    while left > 0:
        yield bytes(range(256))[: min(left, 256)] * (min(left, piece) // min(left, 256))
        left -= min(left, piece) // min(left, 256) * min(left, 256)
        await asyncio.sleep(0)
    if fails:
        raise ValueError("the client is gone")


async def whole(size: int) -> bytes:
    return b"".join([piece async for piece in pieces(size)])


async def content(storage: Storage, key: str = KEY, start: int = 0, end: int | None = None) -> bytes:
    async with storage.open(key, start=start, end=end) as chunks:
        found = [chunk async for chunk in chunks]
    assert all(0 < len(chunk) <= MEBIBYTE for chunk in found)
    return b"".join(found)


Names = Callable[[], list[str]]


def names_below(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


@pytest.fixture(params=["local", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Storage, Names]]:
    """Each kind of store, and what says which names are in it."""
    if request.param == "memory":
        memory = MemoryStorage()
        yield memory, lambda: sorted(memory.kept)
    elif request.param == "local":
        directory = tmp_path / "up" / "loads"
        yield LocalStorage(directory), lambda: names_below(directory)
    else:
        server: S3Server = request.getfixturevalue("s3")
        given = server.create_bucket("storage")
        yield S3Storage(settings_for(UNUSED, tmp_path, **given)), lambda: server.names("storage")
        server.empty("storage")


@pytest.mark.parametrize("size", [1, 1000, 5 * MEBIBYTE, 12 * MEBIBYTE + 1])
async def test_what_is_put_can_be_read(store: tuple[Storage, Names], size: int) -> None:
    storage, names = store
    expected = await whole(size)
    stored = await storage.put(KEY, pieces(size))
    assert stored == Stored(size, hashlib.sha256(expected).hexdigest())
    assert names() == [KEY]
    assert await storage.size(KEY) == size
    assert await content(storage) == expected
    for start, end in ((0, 1), (size - 1, size), (size // 3, size // 2 + 1), (0, size)):
        assert await content(storage, start=start, end=end) == expected[start:end], (start, end)
    await storage.delete(KEY)
    await storage.delete(KEY)
    assert names() == []
    assert await storage.size(KEY) is None
    with pytest.raises(NoSuchKey):
        await content(storage)
    await storage.check()


@pytest.mark.parametrize("size", [0, 1000, 8 * MEBIBYTE])
async def test_what_fails_leaves_nothing(store: tuple[Storage, Names], size: int) -> None:
    storage, names = store
    with pytest.raises(ValueError, match="the client is gone"):
        await storage.put(KEY, pieces(size, fails=True))
    assert names() == []
    assert (await storage.put(KEY, pieces(10))).size == 10, "the key is free again"


@pytest.mark.parametrize("size", [0, 1000, 8 * MEBIBYTE])
async def test_what_is_cancelled_leaves_nothing(store: tuple[Storage, Names], size: int) -> None:
    storage, names = store
    stuck = asyncio.Event()

    async def never_ending() -> AsyncIterator[bytes]:
        async for piece in pieces(size):
            yield piece
        stuck.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(storage.put(KEY, never_ending()))
    await stuck.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert names() == []


@pytest.mark.parametrize("size", [1000, 6 * MEBIBYTE])
async def test_cancelled_at_any_moment(store: tuple[Storage, Names], size: int) -> None:
    storage, names = store
    for steps in range(0, 60, 3):
        key = f"cancelled-after-{steps:03}-steps"
        putting = asyncio.create_task(storage.put(key, pieces(size, piece=500_000)))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        putting.cancel()
        try:
            await putting
        except asyncio.CancelledError:
            assert await storage.size(key) is None
        else:
            await storage.delete(key)
    assert names() == []


async def test_what_was_sent_to_s3_is_taken_back_however_late_it_arrives(
    s3: S3Server, tmp_path: Path
) -> None:
    given = s3.create_bucket("late")
    sent, arrives, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    ways: list[tuple[asyncio.Task[Any] | None, asyncio.StreamWriter]] = []

    async def pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                passed.set()
                writer.write(data)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ways.append((asyncio.current_task(), writer))
        begin = await reader.readuntil(b"\r\n\r\n")
        sent.set()
        await arrives.wait()
        there = urlsplit(s3.url)
        from_store, to_store = await asyncio.open_connection(there.hostname, there.port)
        to_store.write(begin)
        # Who has hung up may still have sent all of it.
        onwards = asyncio.create_task(pass_on(reader, to_store, sent))
        await pass_on(from_store, writer, answered)
        await onwards
        to_store.close()

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as carrier:
        given["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{carrier.sockets[0].getsockname()[1]}"
        storage = S3Storage(settings_for(UNUSED, tmp_path, **given))
        putting = asyncio.create_task(storage.put(KEY, pieces(1000)))
        await sent.wait()
        putting.cancel()
        await asyncio.wait([putting], timeout=0.1)
        arrives.set()
        with pytest.raises(asyncio.CancelledError):
            await putting
        await answered.wait()
        for task, writer in ways:
            writer.close()
            if task is not None:
                await task
    assert s3.names("late") == []


@pytest.mark.parametrize(
    "key", ["", "../../etc/passwd", "short", "a/" * 20, "x" * 20 + "/..", "x" * 20 + "\x00", "é" * 20]
)
async def test_a_key_is_ours(store: tuple[Storage, Names], key: str) -> None:
    storage, names = store
    with pytest.raises(ValueError, match="not a key"):
        await storage.put(key, pieces(1))
    with pytest.raises(ValueError, match="not a key"):
        await storage.delete(key)
    with pytest.raises(ValueError, match="not a key"):
        await content(storage, key)
    assert names() == []


async def test_no_work_on_the_thread_of_the_loop(
    store: tuple[Storage, Names], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = threading.get_ident()
    hashed: list[int] = []

    class Watched:
        def __init__(self) -> None:
            self._inner = genuine()

        def update(self, data: bytes) -> None:
            hashed.append(threading.get_ident())
            self._inner.update(data)

        def hexdigest(self) -> str:
            return self._inner.hexdigest()

    genuine = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", Watched)
    storage, _ = store
    await storage.put(KEY, pieces(7 * MEBIBYTE))
    assert hashed
    assert here not in hashed


# --- one's own troubles -----------------------------------------------------------------------------------------------


async def test_a_key_is_used_once(tmp_path: Path) -> None:
    for storage in (LocalStorage(tmp_path), MemoryStorage()):
        await storage.put(KEY, pieces(3))
        with pytest.raises(StorageUnavailable):
            await storage.put(KEY, pieces(4))
        assert await storage.size(KEY) == 3


async def test_a_directory_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """A disk that is not mounted: files would end up below its mount point, and those on it seem to be lost."""
    directory = tmp_path / "disk"
    storage = LocalStorage(directory)
    await storage.put(KEY, pieces(3))
    await asyncio.to_thread(shutil.rmtree, directory)
    with pytest.raises(StorageUnavailable):
        await storage.check()
    with pytest.raises(StorageUnavailable):
        await storage.put("another-key-of-the-storage", pieces(3))
    with pytest.raises(StorageUnavailable):
        await content(storage)
    with pytest.raises(StorageUnavailable):
        await storage.delete(KEY)
    assert not directory.exists()


async def test_an_empty_directory_that_somebody_tidied_up_is_made_again(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for _ in range(2):
        await storage.put(KEY, pieces(10))
        await storage.delete(KEY)
        empty = tmp_path / KEY[:2]
        empty.rmdir()
    await storage.close()


async def test_what_a_crash_left_of_a_file_goes_with_its_key(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put(KEY, pieces(3))
    path = tmp_path / KEY[:2] / KEY
    await asyncio.to_thread(path.rename, path.with_name(f"{KEY}.part"))
    assert await storage.size(KEY) is None
    await storage.delete(KEY)
    assert names_below(tmp_path) == []


async def test_memory_has_an_end() -> None:
    storage = MemoryStorage(capacity=1000)
    await storage.put(KEY, pieces(900))
    with pytest.raises(StorageFull):
        await storage.put("another-key-of-the-storage", pieces(200))
    storage.gone = True
    with pytest.raises(StorageUnavailable):
        await storage.check()


async def test_so_many_at_once_and_no_more(s3: S3Server, tmp_path: Path) -> None:
    storage = S3Storage(settings_for(UNUSED, tmp_path, **s3.create_bucket("busy")), uploads=2)
    may_end = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await may_end.wait()

    running = [asyncio.create_task(storage.put(f"{KEY}.v{number}", slow())) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StorageBusy):
        await storage.put(KEY, pieces(1))
    may_end.set()
    await asyncio.gather(*running)
    assert (await storage.put(KEY, pieces(1))).size == 1


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    given = S3Server("http://127.0.0.1:9")
    settings = settings_for(
        UNUSED,
        tmp_path,
        USE_S3=True,
        AWS_ENDPOINT_URL=given.url,
        AWS_S3_BUCKET_NAME="none",
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_REGION="us-east-1",
    )
    storage = S3Storage(settings)
    for size in (10, 6 * MEBIBYTE):
        with pytest.raises(StorageUnavailable):
            await storage.put(KEY, pieces(size))
    with pytest.raises(StorageUnavailable):
        await content(storage)
    with pytest.raises(StorageUnavailable):
        await storage.check()


async def test_keys_are_listed_in_their_order(store: tuple[Storage, Names]) -> None:
    storage, _ = store
    keys = [
        f"{letters}-key-of-the-storage.png{end}"
        for letters in ("-a", "Aa", "_z", "aB", "ab")
        for end in ("", ".raw")
    ]
    for key in reversed(keys):
        await storage.put(key, pieces(1))
    ordered = sorted(keys)
    assert [one.key for one in await storage.list(after="", limit=100)] == ordered
    assert [one.key for one in await storage.list(after=ordered[2], limit=3)] == ordered[3:6]
    assert [one.key for one in await storage.list(after="ab", limit=100)] == [
        key for key in ordered if key > "ab"
    ]
    assert await storage.list(after=ordered[-1], limit=100) == []
    for key in keys:
        await storage.delete(key)
    assert await storage.list(after="", limit=100) == []


async def test_a_part_that_a_crash_left_is_listed_as_its_key(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put(KEY, pieces(1))
    for name in ("a-key-of-the-storage.png.part", "a-part-of-the-storage.png.part", "no key"):
        (tmp_path / KEY[:2] / name).write_bytes(b"x")
    (tmp_path / "not ours").write_bytes(b"x")
    listed = [one.key for one in await storage.list(after="", limit=100)]
    assert listed == [KEY, "a-part-of-the-storage.png"]
    await storage.delete(listed[1])
    assert [one.key for one in await storage.list(after="", limit=100)] == [KEY]
