"""Nothing about files happens on the thread that everybody's requests share."""

import asyncio
import hashlib
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Person, World
from tests.items.market import sell
from tests.media.documents import compound, word, word_stream
from tests.uploading import pdf, png, send, show
from tradepost.core.messaging.dispatcher import Dispatcher


@dataclass
class Watch:
    """Notes what the interpreter does with files, and which of it on one thread; there is no way to stop it later."""

    directory: str = ""
    thread: int = 0
    seen: set[str] = field(default_factory=set)
    here: set[str] = field(default_factory=set)

    def note(self, what: str) -> None:
        """Note that ``what`` happens on this thread."""
        self.seen.add(what)
        if threading.get_ident() == self.thread:
            self.here.add(what)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.directory and event.startswith(("open", "os.", "shutil.", "pathlib.")):
            path = next((str(one) for one in arguments if self.directory in str(one)), None)
            if path is not None:
                self.note(event)


WATCH = Watch()


@pytest.fixture
async def watch(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    """Watch files below the storage's directory, hashes and pictures."""
    if not getattr(sys, "_tradepost_watched", False):
        sys.addaudithook(WATCH)
        sys._tradepost_watched = True  # type: ignore[attr-defined]

    class Hash:
        def __init__(self) -> None:
            self._inner = genuine()

        def update(self, data: bytes) -> None:
            WATCH.note("hash")
            self._inner.update(data)

        def hexdigest(self) -> str:
            return self._inner.hexdigest()

    genuine, opening = hashlib.sha256, Image.open

    def opened(*arguments: Any, **options: Any) -> Any:
        WATCH.note("picture")
        return opening(*arguments, **options)

    monkeypatch.setattr(hashlib, "sha256", Hash)
    monkeypatch.setattr(Image, "open", opened)
    WATCH.seen.clear()
    WATCH.here.clear()
    WATCH.thread = threading.get_ident()
    WATCH.directory = str(world.resources.settings.UPLOAD_DIR)
    yield WATCH
    WATCH.directory = ""


async def test_nothing_on_the_thread_of_the_loop(world: World, alice: Person, watch: Watch) -> None:
    item = await sell(alice)
    urls = [(await show(alice))["url"]]
    for contents, to in (
        ([png(shade=1), png(40, 30)], "images"),
        ([pdf(300_000), b"text" * 50_000, compound({"WordDocument": word_stream()}), word()], "documents"),
    ):
        answer = await send(alice, item, *contents, to=to)
        urls += [file["url"] for file in answer.json()["uploaded_files"]]
    await send(alice, item, png(), b"none")
    answers = await asyncio.gather(*(alice.api.get(url) for url in urls))
    assert {answer.status_code for answer in answers} == {200}
    await alice.api.get(urls[-4], headers={"Range": "bytes=5-6,100-200"})
    await asyncio.gather(*(alice.api.delete(url) for url in urls))
    await world.resources[Dispatcher].drain()
    assert {"open", "os.link", "os.remove", "os.mkdir", "hash", "picture"} <= watch.seen
    assert watch.here == set()
