"""Bodies that are no good: each gets a clear refusal, and nothing of any is left."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from starlette.types import Message, Scope

from tests.conftest import Person, World, world_on
from tests.items.market import sell
from tests.uploading import AVATAR, code, doc, docx, kept, nothing_left, pdf, png, rows, send, usage
from tradepost.web.parting import Patience

LIMIT = 100_000
TYPE = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An application that takes small files only."""
    directory = tmp_path_factory.mktemp("data")
    async with world_on(database_url, directory, MAX_UPLOAD_BYTES=LIMIT) as world:
        yield world


async def post(person: Person, body: Any, path: str = AVATAR, **headers: str) -> httpx.Response:
    """Send a body as a multipart form with the boundary ``b``."""
    return await person.api.post(path, content=body, headers=TYPE | headers)


def part(content: bytes = b"x", name: str = "file", file_name: str | None = "a.png", **headers: str) -> bytes:
    """Return a part of a form with the boundary ``b``."""
    said = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    lines = [f"Content-Disposition: {said}", *(f"{key}: {value}" for key, value in headers.items())]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--b--\r\n"


async def in_pieces(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 70_000, 40 * LIMIT])
@pytest.mark.parametrize("piece", [None, 1000, 65_536])
async def test_a_file_that_is_too_large(world: World, alice: Person, size: int, piece: int | None) -> None:
    body = part(png().ljust(size, b"\x00")) + END
    answer = await post(alice, in_pieces(body, piece) if piece else body)
    assert code(answer) == (413, "HTTP_413")
    assert answer.headers["connection"] == "close"
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_one_of_just_the_limit_is_taken(world: World, alice: Person) -> None:
    item = await sell(alice)
    assert (await send(alice, item, pdf().ljust(LIMIT, b" "), to="documents")).status_code == 200
    assert code(await send(alice, item, pdf().ljust(LIMIT + 1, b" "), to="documents")) == (413, "HTTP_413")
    assert len(kept(world)) == 1


async def test_five_of_the_limit_are_taken_and_a_large_one_among_them_spoils_all(
    world: World, alice: Person
) -> None:
    item = await sell(alice)
    large = pdf().ljust(LIMIT, b" ")
    assert (await send(alice, item, *[large] * 5, to="documents")).status_code == 200
    assert code(await send(alice, item, *[large] * 4, large + b" ", to="documents")) == (413, "HTTP_413")
    assert len(kept(world)) == 5


# --- shape ------------------------------------------------------------------------------------------------------------

GOOD = part(png()) + END
BODIES: dict[str, tuple[bytes, set[int]]] = {
    "nothing between": (END, {422}),
    "empty": (b"", {400, 422}),
    "no boundary in it": (b"nothing of the kind", {400}),
    "another boundary": (GOOD.replace(b"--b", b"--c"), {400}),
    "cut in the content": (GOOD[: len(GOOD) // 2], {400, 415, 422}),
    "cut before the end": (GOOD[: -len(END)], {400}),
    "cut in a header": (GOOD[:30], {400}),
    "cut in the boundary": (GOOD[:2], {400}),
    "a part without a name": (
        b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n' + END,
        {400},
    ),
    "a part without headers": (b"--b\r\n\r\nx\r\n" + END, {400}),
    "another disposition": (b'--b\r\nContent-Disposition: attachment; name="file"\r\n\r\nx\r\n' + END, {400}),
    "many headers": (part(png(), **{f"X-{number}": "y" for number in range(50)}) + END, {400}),
    "a long header": (part(png(), X="y" * 100_000) + END, {400, 413}),
    "a long name of a header": (part(png(), **{"X" * 100_000: "y"}) + END, {400, 413}),
    "a broken header": (b"--b\r\nno colon here\r\n\r\nx\r\n" + END, {400}),
    "a NUL in a header": (
        b'--b\r\nContent-Disposition: form-data; name="fi\x00le"\r\n\r\nx\r\n' + END,
        {400, 422},
    ),
    "another field": (part(png(), name="photo") + END, {422}),
    "a field of text": (part(b"hello", name="file", file_name=None) + END, {422}),
    "a huge field of text": (part(b"x" * 60_000, name="file", file_name=None) + END, {422, 413}),
    "two files": (part(png()) + part(png()) + END, {422}),
    "a file and a field": (part(png()) + part(b"1", name="width", file_name=None) + END, {422}),
    "a thousand parts": (part(b"") * 600 + END, {400, 413, 415, 422}),
    "an empty file": (part(b"") + END, {415}),
    "an empty file without a name": (part(b"", file_name="") + END, {415, 422}),
    "not a picture": (part(b"<svg xmlns='http://www.w3.org/2000/svg'/>") + END, {415}),
    "a page": (part(b"<html><script>alert(1)</script>", **{"Content-Type": "image/png"}) + END, {415}),
    "nested": (part(part(png()), **{"Content-Type": "multipart/mixed; boundary=b"}) + END, {400, 415}),
}


@pytest.mark.parametrize("piece", [None, 7], ids=["announced", "chunked"])
@pytest.mark.parametrize("what", BODIES)
async def test_odd_bodies(world: World, alice: Person, what: str, piece: int | None) -> None:
    body, statuses = BODIES[what]
    answer = await post(alice, in_pieces(body, piece) if piece else body)
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/mixed; boundary=b", 415),
        ("", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ('multipart/form-data; boundary=""', 400),
        ("multipart/form-data; boundary=" + "b" * 1000, 400),
        ("multipart/form-data; charset=utf-7", 400),
        (";;;", 415),
        ("multipart/form-data; boundary=é", 400),
    ],
)
async def test_odd_types(world: World, alice: Person, kind: str, status: int) -> None:
    answer = await alice.api.post(AVATAR, content=GOOD, headers={b"Content-Type": kind.encode("latin-1")})
    assert answer.status_code == status, answer.text
    assert await nothing_left(world)


@pytest.mark.parametrize("boundary", ["b", "'()+_,-./:=?", "-" * 60, "0" * 70, "a b"])
@pytest.mark.parametrize("size", [1, 3, 64, 100_000])
async def test_odd_boundaries_that_are_good(world: World, alice: Person, boundary: str, size: int) -> None:
    body = GOOD.replace(b"--b", b"--" + boundary.encode()) + b"an epilogue"
    answer = await alice.api.post(
        AVATAR,
        content=in_pieces(body, size),
        headers={"Content-Type": f'multipart/form-data; boundary="{boundary}"'},
    )
    assert answer.status_code == 200, answer.text
    assert (await alice.api.get(answer.json()["url"])).content == png()


# --- content ----------------------------------------------------------------------------------------------------------

DOCUMENTS = {
    "a zip": docx("readme.txt"),
    "a sheet": docx("[Content_Types].xml", "xl/workbook.xml"),
    "a broken zip": docx()[:-10],
    "a zip with nothing behind its head": b"PK\x03\x04" + bytes(1000),
    "a zip that lies about its directory": docx()[:-12] + b"\xff\xff\xff\xff" + docx()[-8:],
    "a compound file of something else": doc("Workbook"),
    "a compound file without a directory": doc()[:512],
    "a program": b"MZ\x90\x00\x03\x00\x00\x00",
    "latin-1": "Tür".encode("latin-1"),
    "utf-16": "text".encode("utf-16"),
    "text with a NUL": b"text\x00",
    "text with half a letter at its end": "Tür 🚪".encode()[:-1],
    "a picture": png(),
    "nothing": b"",
}


@pytest.mark.parametrize("what", DOCUMENTS)
async def test_documents_that_are_none(world: World, alice: Person, what: str) -> None:
    item = await sell(alice)
    assert code(await send(alice, item, DOCUMENTS[what], to="documents")) == (415, "HTTP_415")
    assert await nothing_left(world)


async def test_text_whose_letters_are_cut_by_blocks(alice: Person) -> None:
    item = await sell(alice)
    text = ("x" + "🚪ü" * 16_000).encode()
    (file,) = (await send(alice, item, text, to="documents")).json()["uploaded_files"]
    assert (await alice.api.get(file["url"])).content == text


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=some.binary(max_size=300)
    | some.lists(
        some.sampled_from(
            [
                b"--b",
                b"\r\n",
                b"--",
                b"b",
                b":",
                b"; ",
                b'"',
                b'name="file"',
                b"Content-Disposition: form-data",
                b"filename=a",
                png(),
                b"\x00",
                b" ",
            ]
        ),
        max_size=20,
    ).map(b"".join)
)
async def test_any_bytes_at_all(world: World, alice: Person, body: bytes) -> None:
    answer = await post(alice, body)
    assert answer.status_code < 500, answer.text


# --- going away -------------------------------------------------------------------------------------------------------


async def abort_after(world: World, person: Person, path: str, pieces: list[bytes]) -> None:
    """Send these pieces of a body, and then go away."""
    waiting: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    waiting.append({"type": "http.disconnect"})
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"testserver"),
            (b"content-type", TYPE["Content-Type"].encode()),
            (b"transfer-encoding", b"chunked"),
            (b"authorization", f"Bearer {person.token}".encode()),
        ],
    }

    async def receive() -> Message:
        await asyncio.sleep(0)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    async def send_nothing(message: Message) -> None:
        raise AssertionError(f"nobody is there to be told {message}")

    await world.transport.app(scope, receive, send_nothing)


@pytest.mark.parametrize("share", [0, 1, 2, 5, 9])
async def test_clients_that_go_away(world: World, alice: Person, share: int) -> None:
    item = await sell(alice)
    large = part(png(), name="files") + part(png().ljust(LIMIT // 2, b"\x01"), name="files")
    pieces = [large[at : at + len(large) // 10] for at in range(0, len(large), len(large) // 10)]
    await abort_after(world, alice, f"/api/v1/upload/items/{item['id']}/images/", pieces[:share])
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_requests_that_are_cancelled(world: World, alice: Person) -> None:
    """As when the server gives up at its end: at any moment, nothing is left, or all of it is there."""
    item = await sell(alice)
    for steps in range(0, 40, 2):
        request = asyncio.create_task(send(alice, item, png(), png()))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        found = await rows(world)
        assert len(found) in {0, 2}, steps
        assert {state for _, state in found} <= {"stored"}
        shown = (await alice.api.get(f"/api/v1/items/{item['id']}")).json()["images"]
        assert (
            sorted(name for name, _ in found)
            == sorted(url.rpartition("/")[2] for url in shown)
            == kept(world)
        )
        for url in shown:
            await alice.api.delete(url)
        assert await nothing_left(world)


async def test_a_body_that_comes_too_slowly(
    world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradepost.web.uploads.PATIENCE", Patience(silence=0.05))

    async def silent() -> AsyncIterator[bytes]:
        yield part(png())[:-2]
        await asyncio.sleep(3)

    answer = await post(alice, silent())
    assert code(answer) == (408, "HTTP_408")
    assert answer.headers["connection"] == "close"
    assert await nothing_left(world)
