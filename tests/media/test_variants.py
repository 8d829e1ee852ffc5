"""Variants of pictures, over HTTP."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from tests.conftest import Person, World, world_on
from tests.media import gallery
from tests.uploading import FILES, code, kept, nothing_left, pdf, send, show, usage
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.storage.store import Storage, StorageUnavailable
from tradepost.media.models import FileVariant, StoredFile
from tradepost.media.pictures import Picture
from tradepost.media.reader import FileReader
from tradepost.media.recipes import Step, wanted_format
from tradepost.media.schemas import FileState
from tradepost.media.studio import PictureStudio
from tradepost.media.variants import GIVEN_UP, VARIANTS_LIMIT

BROWSER = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


class Counted:
    """Counts how often variants are drawn, and can hold them up or fail."""

    def __init__(self, studio: PictureStudio) -> None:
        self._vary = studio.vary
        self.times = 0
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None

    async def vary(self, *arguments: Any, **named: Any) -> Picture:
        self.times += 1
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return await self._vary(*arguments, **named)


@pytest.fixture
def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted(world.resources[PictureStudio])
    monkeypatch.setattr(world.resources[PictureStudio], "vary", counted.vary)
    return counted


async def photograph(person: Person, size: tuple[int, int] = (640, 480)) -> str:
    """Upload a picture and return its address."""
    shown = await show(person, gallery.file_of(gallery.drawing(*size), "JPEG"), "holiday.jpg")
    url: str = shown["url"]
    return url


async def variants_of(world: World) -> int:
    async with world.database.read() as db:
        return await db.scalar(select(func.count()).select_from(FileVariant)) or 0


async def until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not found():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_a_variant_is_made_once_and_served_like_a_file(
    world: World, alice: Person, client: httpx.AsyncClient, counted: Counted
) -> None:
    url = await photograph(alice)
    before = await usage(world, alice.id)
    whole = await client.get(url)
    answer = await client.get(url, params={"w": 128, "format": "webp"})
    assert answer.status_code == 200, answer.text
    seen = gallery.opened(answer.content)
    assert (seen.format, seen.size, gallery.corners(seen)) == ("WEBP", (128, 96), "rgbw")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert "Accept" in answer.headers["vary"]
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-disposition"] == 'inline; filename="holiday.webp"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    tag = answer.headers["etag"]
    assert tag.startswith('"')
    assert tag != whole.headers["etag"]
    again = await client.get(url, params={"w": 128, "format": "webp"}, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert "Accept" in again.headers["vary"]
    head = await client.head(url, params={"w": 128, "format": "webp"})
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
    assert head.headers["content-length"] == str(len(answer.content))
    part = await client.get(url, params={"w": 128, "format": "webp"}, headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, answer.content[4:12])
    assert counted.times == 1
    other = await client.get(url, params={"w": 64, "format": "webp"})
    assert other.headers["etag"] != tag
    assert counted.times == 2
    assert await usage(world, alice.id) == before, "variants are ours, not the person's"
    assert (await client.get(url)).content == whole.content


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"w": 256}, (256, 192)),
        ({"h": 64}, (85, 64)),
        ({"w": 256, "h": 64}, (85, 64)),
        ({"w": 256, "h": 64, "fit": "cover"}, (256, 64)),
        ({"w": 64, "fit": "cover"}, (64, 48)),
        ({"w": 2048, "h": 2048}, (640, 480)),
        ({"w": 1024, "h": 1024, "fit": "cover"}, (480, 480)),
        ({"format": "jpeg"}, (640, 480)),
    ],
)
async def test_a_box_is_filled_and_never_more(
    alice: Person, client: httpx.AsyncClient, asked: dict[str, Any], size: tuple[int, int]
) -> None:
    answer = await client.get(await photograph(alice), params=asked)
    assert answer.status_code == 200, answer.text
    seen = gallery.opened(answer.content)
    assert (seen.format, seen.size) == ("JPEG", size)


@pytest.mark.parametrize(
    "asked",
    [
        {"w": 65},
        {"w": 0},
        {"w": -64},
        {"w": "64.5"},
        {"w": "TINY"},
        {"h": 4096},
        {"w": ""},
        {"w": "9" * 5000},
        {"w": 64, "fit": "fill"},
        {"w": 64, "format": "png"},
        {"format": "JPEG "},
        {"w": "\x00"},
    ],
)
async def test_other_sizes_are_refused(
    world: World, alice: Person, client: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    answer = await client.get(await photograph(alice), params=asked)
    assert code(answer) == (422, "VALIDATION_ERROR")
    assert await variants_of(world) == 0


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        (BROWSER, "avif"),
        ("image/webp,*/*", "webp"),
        ("image/avif;q=0, image/webp;q=0.5, image/jpeg;q=0.2", "webp"),
        ("image/webp;q=0.3,image/*;q=0.9", "jpeg"),
        ("*/*", "jpeg"),
        ("", "jpeg"),
        ("text/html", "jpeg"),
        ("IMAGE/WEBP ; Q=0.7", "webp"),
        ("image/avif;q=nan,image/webp;q=x,;;,", "jpeg"),
    ],
)
def test_a_format_is_chosen_by_what_a_client_names(accept: str, format_: str) -> None:
    assert wanted_format(accept) == format_


async def test_the_answer_is_in_the_format_that_was_chosen(alice: Person, client: httpx.AsyncClient) -> None:
    url = await photograph(alice)
    tags = set()
    for accept, kind in ((BROWSER, "avif"), ("image/webp", "webp"), ("*/*", "jpeg")):
        answer = await client.get(url, params={"w": 64}, headers={"Accept": accept})
        assert answer.headers["content-type"] == f"image/{kind}"
        assert gallery.opened(answer.content).format == kind.upper()
        assert "Accept" in answer.headers["vary"]
        tags.add(answer.headers["etag"])
    assert len(tags) == 3
    assert "Accept" not in (await client.get(url)).headers.get("vary", "").split(", ")


async def test_a_thousand_first_requests_have_one_variant_made(
    world: World, alice: Person, client: httpx.AsyncClient, counted: Counted
) -> None:
    url = await photograph(alice)
    counted.go.clear()
    callers = [asyncio.create_task(client.get(url, params={"w": 64, "format": "avif"})) for _ in range(1000)]
    await until(lambda: counted.times == 1)
    # The first one leaves, and some others.
    for caller in callers[:50]:
        caller.cancel()
    counted.go.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    bodies = {answer.content for answer in answers if isinstance(answer, httpx.Response)}
    assert [answer.status_code for answer in answers if isinstance(answer, httpx.Response)] == [200] * 950
    assert len(bodies) == 1
    assert counted.times == 1
    assert await variants_of(world) == 1
    assert len(kept(world)) == 2


async def test_a_failure_is_not_kept(
    world: World, alice: Person, client: httpx.AsyncClient, counted: Counted
) -> None:
    url = await photograph(alice)
    counted.failure = StorageUnavailable()
    assert (await client.get(url, params={"w": 64})).status_code == 503
    assert await variants_of(world) == 0
    counted.failure = None
    assert (await client.get(url, params={"w": 64})).status_code == 200
    assert len(kept(world)) == 2


async def test_variants_go_with_their_picture(world: World, alice: Person, client: httpx.AsyncClient) -> None:
    url = await photograph(alice)
    for width in (64, 128):
        assert (await client.get(url, params={"w": width})).status_code == 200
    assert len(kept(world)) == 3
    assert (await alice.api.delete(url)).status_code == 200
    assert (await client.get(url, params={"w": 64})).status_code == 404
    assert await nothing_left(world)
    assert await variants_of(world) == 0


async def test_a_variant_of_a_picture_that_goes_meanwhile_goes_too(
    world: World, alice: Person, client: httpx.AsyncClient, counted: Counted
) -> None:
    url = await photograph(alice)
    counted.go.clear()
    caller = asyncio.create_task(client.get(url, params={"w": 64}))
    await until(lambda: counted.times == 1)
    assert (await alice.api.delete(url)).status_code == 200
    await world.resources[Dispatcher].drain()
    counted.go.set()
    assert code(await caller) == (404, "FILE_NOT_FOUND")
    assert await nothing_left(world)


async def test_no_variant_is_begun_of_a_picture_that_is_going(
    world: World, alice: Person, client: httpx.AsyncClient, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the picture and the claim, it is removed."""
    url = await photograph(alice)
    async with world.database.transaction() as db:
        found = (await db.execute(select(*StoredFile.__table__.columns))).one()
        await db.execute(update(StoredFile).values(state=FileState.DOOMED))
    from_before = type("Reader", (), {"row": found, "is_public": True})

    async def get(*_: object) -> object:
        return from_before

    reader = world.resources[FileReader]
    monkeypatch.setattr(reader, "get", get)
    assert (await client.get(url, params={"w": 64})).status_code == 404
    assert counted.times == 0
    assert await variants_of(world) == 0


async def test_so_many_are_kept_of_a_picture_and_no_more(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    url = await photograph(alice, (16, 12))
    boxes = [(w, h) for w in Step for h in Step]
    for w, h in boxes:
        answer = await client.get(url, params={"w": w.value, "h": h.value, "format": "webp"})
        assert answer.status_code == 200
    for w, h in boxes[: VARIANTS_LIMIT - len(boxes) + 5]:
        params = {"w": w.value, "h": h.value, "format": "webp", "fit": "cover"}
        assert (await client.get(url, params=params)).status_code == 200
    assert await variants_of(world) == VARIANTS_LIMIT
    await world.resources[Dispatcher].drain()
    assert len(kept(world)) == 1 + VARIANTS_LIMIT
    first = {"w": boxes[0][0].value, "h": boxes[0][1].value, "format": "webp"}
    assert (await client.get(url, params=first)).status_code == 200, "what had to go is made again"


async def test_documents_have_none(alice: Person, client: httpx.AsyncClient) -> None:
    item = (await alice.api.post("/api/v1/items/", json={"title": "Lamp", "price": 5})).json()
    document = (await send(alice, item, pdf(), to="documents")).json()["uploaded_files"][0]
    assert code(await alice.api.get(document["url"], params={"w": 64})) == (422, "VALIDATION_ERROR")
    assert code(await client.get(document["url"], params={"w": 64})) == (404, "FILE_NOT_FOUND")
    assert (await alice.api.get(document["url"])).status_code == 200


async def test_pictures_of_drafts_have_hidden_variants(alice: Person, client: httpx.AsyncClient) -> None:
    draft = {"title": "Lamp", "price": 5, "status": "draft"}
    item = (await alice.api.post("/api/v1/items/", json=draft)).json()
    picture = gallery.file_of(gallery.drawing(), "PNG")
    shown = (await send(alice, item, picture)).json()["uploaded_files"][0]
    assert code(await client.get(shown["url"], params={"w": 64})) == (404, "FILE_NOT_FOUND")
    answer = await alice.api.get(shown["url"], params={"w": 64})
    assert answer.status_code == 200
    assert answer.headers["cache-control"].startswith("private")
    assert (await client.get(f"{FILES}/items/nothing.png", params={"w": 64})).status_code == 404


async def test_of_an_animation_the_first_frame_is_shown(alice: Person, client: httpx.AsyncClient) -> None:
    shown = await show(alice, gallery.animation("GIF"))
    assert getattr(gallery.opened((await client.get(shown["url"])).content), "n_frames", 1) == 3
    answer = await client.get(shown["url"], params={"w": 64, "format": "webp"})
    assert getattr(gallery.opened(answer.content), "n_frames", 1) == 1


class TestTwoProcesses:
    """Two applications on one database and one directory."""

    async def test_one_makes_it_and_the_other_waits(
        self,
        world: World,
        alice: Person,
        counted: Counted,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        url = await photograph(alice)
        async with other_process(world) as other:
            also_counted = Counted(other.resources[PictureStudio])
            monkeypatch.setattr(other.resources[PictureStudio], "vary", also_counted.vary)
            counted.go.clear()
            here = asyncio.create_task(alice.api.get(url, params={"w": 64}))
            await until(lambda: counted.times == 1)
            async with other.caller() as there:
                waiting = asyncio.create_task(there.get(url, params={"w": 64}))
                await asyncio.sleep(0.2)
                assert not waiting.done()
                counted.go.set()
                one, two = await asyncio.gather(here, waiting)
        assert one.status_code == two.status_code == 200
        assert one.content == two.content
        assert one.headers["etag"] == two.headers["etag"]
        assert also_counted.times == 0
        assert await variants_of(world) == 1

    async def test_what_a_dead_process_was_making_is_made_by_the_next(
        self, world: World, alice: Person, client: httpx.AsyncClient, counted: Counted
    ) -> None:
        url = await photograph(alice)
        storage = world.resources[Storage]
        now = world.resources.clock.now()
        async with world.database.transaction() as db:
            file_id = await db.scalar(select(StoredFile.id))
            db.add(
                FileVariant(
                    file_id=file_id, recipe="64x0-contain.jpeg", key="left-by-somebody-dead.jpg", size=0,
                    begun_at=now - GIVEN_UP * 2,
                )
            )  # fmt: skip

        async def half() -> Any:
            yield b"half of it"

        await storage.put("left-by-somebody-dead.jpg", half())
        answer = await client.get(url, params={"w": 64})
        assert answer.status_code == 200
        assert counted.times == 1
        await world.resources[Dispatcher].drain()
        assert len(kept(world)) == 2
        assert "left-by-somebody-dead.jpg" not in kept(world)


def other_process(world: World) -> Any:
    """Run another application on the same database and files."""
    return world_on(world.url, Path(world.resources.settings.DATA_DIR))
