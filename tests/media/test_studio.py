"""The pool that pictures are worked on in."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.media import gallery
from tradepost.core.errors import Unavailable
from tradepost.media import pictures
from tradepost.media.containers.dissection import dissect
from tradepost.media.errors import NotAPictureFile
from tradepost.media.studio import THREADS, WAITING, PictureStudio


@pytest.fixture
def studio() -> Iterator[PictureStudio]:
    made = PictureStudio()
    yield made
    made.close()


class SlowSource:
    """Bytes that come when they are told to."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.come = asyncio.Event()
        self.asked = 0

    async def __call__(self) -> bytes:
        self.asked += 1
        await self.come.wait()
        return self._data


@pytest.fixture
def data() -> bytes:
    return gallery.file_of(gallery.drawing(640, 480), "JPEG", exif=gallery.exif(6))


async def test_bytes_a_file_and_what_must_be_fetched_come_to_the_same(
    studio: PictureStudio, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    source = SlowSource(data)
    source.come.set()
    one, *others = [await studio.clean(given) for given in (data, path, source)]
    assert [one, one] == others
    assert (one.width, one.height) == (480, 640)


async def test_no_picture_is_touched_on_the_loops_thread(
    studio: PictureStudio, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = threading.get_ident()
    seen: set[int] = set()

    def watched(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            seen.add(threading.get_ident())
            return function(*arguments, **named)

        return call

    for owner, name in (
        (Image, "open"),
        (Image.Image, "save"),
        (Image.Image, "load"),
        (Image.Image, "resize"),
        (Image.Image, "convert"),
        (pictures, "dissect"),
    ):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))
    called: list[str] = []

    def profile(frame: Any, event: str, _: Any) -> None:
        # Whatever else of Pillow would run here is seen, too.
        if event == "call" and "/PIL/" in frame.f_code.co_filename:
            called.append(frame.f_code.co_qualname)

    sys.setprofile(profile)
    try:
        await studio.clean(data)
        await studio.resize(data, width=100, height=None, quality=85)
        await studio.vary(data, box=(64, 64), fit="cover", kind="avif")
    finally:
        sys.setprofile(None)
    assert seen
    assert here not in seen
    assert not called


async def test_who_comes_when_all_places_are_taken_is_told_to_come_back(
    studio: PictureStudio, data: bytes
) -> None:
    source = SlowSource(data)
    callers = [asyncio.create_task(studio.clean(source)) for _ in range(THREADS + WAITING)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.asked == THREADS, "what waits is not read yet"
    with pytest.raises(Unavailable) as error:
        await studio.clean(data)
    assert error.value.headers["Retry-After"]
    for caller in callers[THREADS : THREADS + 5]:
        caller.cancel()
    await asyncio.sleep(0)
    late = [asyncio.create_task(studio.clean(source)) for _ in range(5)]
    await asyncio.sleep(0)
    source.come.set()
    done = await asyncio.gather(*callers, *late, return_exceptions=True)
    assert sum(isinstance(result, pictures.Picture) for result in done) == THREADS + WAITING
    assert sum(isinstance(result, asyncio.CancelledError) for result in done) == 5


async def test_a_place_is_given_back_by_the_thread_and_not_by_its_caller(
    studio: PictureStudio, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, end = threading.Semaphore(0), threading.Event()

    def slow(given: bytes) -> Any:
        running.release()
        end.wait(30)
        return dissect(given)

    monkeypatch.setattr(pictures, "dissect", slow)
    callers = [asyncio.create_task(studio.clean(data)) for _ in range(THREADS)]
    try:
        for _ in range(THREADS):
            assert await asyncio.to_thread(running.acquire, timeout=10)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        next_one = asyncio.create_task(studio.clean(data))
        await asyncio.sleep(0.05)
        assert not running.acquire(blocking=False), "the threads are as busy as before"
    finally:
        end.set()
    assert (await asyncio.wait_for(next_one, 30)).content_type == "image/jpeg"


async def test_a_failure_leaves_the_place_free(studio: PictureStudio, data: bytes, tmp_path: Path) -> None:
    async def lost() -> bytes:
        raise ConnectionError

    for _ in range(THREADS + 1):
        with pytest.raises(ConnectionError):
            await studio.clean(lost)
        with pytest.raises(NotAPictureFile):
            await studio.clean(b"no picture")
        with pytest.raises(FileNotFoundError):
            await studio.clean(tmp_path / "nothing")
    assert (await studio.clean(data)).width == 480
