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
from tests.uploading import AVATAR, code, kept, nothing_left, pdf, png, rows, send, usage
from tradepost.web.bodies.incoming_body import Patience

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
    monkeypatch.setattr("tradepost.web.bodies.uploads.PATIENCE", Patience(silence=0.05))

    async def silent() -> AsyncIterator[bytes]:
        yield part(png())[:-2]
        await asyncio.sleep(3)

    answer = await post(alice, silent())
    assert code(answer) == (408, "HTTP_408")
    assert answer.headers["connection"] == "close"
    assert await nothing_left(world)


# --- what is said -----------------------------------------------------------------------------------------------------


def box(brands: bytes) -> bytes:
    """Return the first box of a picture of the ISO base media family, which lists its brands."""
    return bytes([0, 0, 0, 8 + len(brands)]) + b"ftyp" + brands


PICTURES = {
    "AVIF": (box(b"avif\0\0\0\0avifmif1miafMA1B"), "is an AVIF picture"),
    "AVIF of another brand": (box(b"mif1\0\0\0\0mif1avifmiaf"), "is an AVIF picture"),
    "AVIF that moves": (box(b"avis\0\0\0\0avismsf1"), "is an AVIF picture"),
    "HEIC": (box(b"heic\0\0\0\0mif1heic"), "is a HEIC picture"),
    "HEIC of another brand": (box(b"mif1\0\0\0\0mif1heic"), "is a HEIC picture"),
    "JPEG XL": (b"\xff\x0a" + bytes(10), "is a JPEG XL picture"),
    "TIFF": (b"II*\x00" + bytes(10), "is a TIFF picture"),
    "BMP": (b"BM\x46\x00\x00\x00\x00\x00\x00\x00" + bytes(60), "is a BMP picture"),
    "SVG": (
        b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "is an SVG drawing",
    ),
    "a film": (box(b"isom\0\0\0\0isommp42"), "is no picture"),
    "nothing": (b"", "is empty"),
}


@pytest.mark.parametrize("what", PICTURES)
async def test_a_picture_that_is_not_taken_is_named(world: World, alice: Person, what: str) -> None:
    content, reason = PICTURES[what]
    item = await sell(alice)
    answer = await send(alice, item, png(), content)
    assert code(answer) == (415, "HTTP_415")
    assert answer.json()["detail"] == (
        f'File 2 ("file1") {reason}; allowed are JPEG, PNG, GIF and WebP pictures'
    )
    assert await nothing_left(world)


async def test_a_broken_picture_is_named(world: World, alice: Person) -> None:
    item = await sell(alice)
    (error,) = (await send(alice, item, png(), png()[:-20])).json()["errors"]
    assert error["location"] == ["body", "files"]
    assert error["message"].startswith('File 2 ("file1"): The picture cannot be read: ')
    (error,) = (await post(alice, part(png()[:-20], file_name="é.png") + END)).json()["errors"]
    assert error["message"].startswith('File 1 ("é.png"): The picture cannot be read: ')
    answer = await post(alice, part(png()[:-20]) + END, "/api/v1/upload/process-image/")
    (error,) = answer.json()["errors"]
    assert error["message"].startswith('File 1 ("a.png"): The picture cannot be read: ')


async def test_a_file_that_is_too_large_is_named(world: World, alice: Person) -> None:
    item = await sell(alice)
    answer = await send(alice, item, b"small", b"x" * (LIMIT + 1), to="documents")
    assert code(answer) == (413, "HTTP_413")
    assert answer.json()["detail"] == 'File 2 ("file1") is too large; allowed are 100,000 bytes'
    long = part(b"x" * (LIMIT + 1), file_name="n" * 200)
    assert (await post(alice, long + END)).json()["detail"].startswith(f'File 1 ("{"n" * 79}…") is too large')


# --- forms of real programs -------------------------------------------------------------------------------------------

UNFILLED = part(b"", name="files", file_name="", **{"Content-Type": "application/octet-stream"})


async def test_an_input_that_nobody_filled_counts_as_none(world: World, alice: Person) -> None:
    item = await sell(alice)
    path = f"/api/v1/upload/items/{item['id']}/images/"
    filled = part(png(), name="files", file_name="b.png")
    for body in (UNFILLED + filled, filled + UNFILLED, UNFILLED + filled + UNFILLED * 3):
        answer = await post(alice, in_pieces(body + END, 50), path)
        assert answer.status_code == 200, answer.text
        assert [file["original_name"] for file in answer.json()["uploaded_files"]] == ["b.png"]
    answer = await post(alice, UNFILLED * 2 + END, path)
    assert (answer.status_code, answer.json()["detail"]) == (400, "Maximum 5 files allowed")
    broken = part(b"x", name="files", file_name="c.png")
    answer = await post(alice, UNFILLED + filled + UNFILLED + broken + END, path)
    assert answer.json()["detail"].startswith('File 2 ("c.png") is no picture')
    # One that has a name and no content, or content and no name, is a file.
    nameless = part(png(), name="files", file_name="")
    answer = await post(alice, nameless + END, path)
    assert [file["original_name"] for file in answer.json()["uploaded_files"]] == [""]
    assert code(await post(alice, part(b"", name="files") + END, path)) == (415, "HTTP_415")
    for other in (AVATAR, "/api/v1/upload/process-image/"):
        answer = await post(alice, part(b"", file_name="") + END, other)
        assert answer.status_code == 422
        assert answer.json()["errors"][0] == {
            "location": ["body", "file"],
            "message": "Field required",
            "type": "missing",
        }
        assert (await post(alice, part(b"", file_name="") + part(png()) + END, other)).status_code == 200


async def test_a_name_with_brackets_is_that_of_the_field(alice: Person) -> None:
    item = await sell(alice)
    path = f"/api/v1/upload/items/{item['id']}/images/"
    body = part(png(), name="files[]") + part(png(), name="files[]") + END
    answer = await post(alice, body, path)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["uploaded_files"]) == 2
    for name in ("files[0]", "file[]", "Files", "files[][]"):
        answer = await post(alice, part(png(), name=name) + END, path)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["location"] == ["body", name]


async def test_the_name_of_a_form_of_net(alice: Person) -> None:
    body = (
        b"--b\r\nContent-Disposition: form-data; name=file; "
        b"filename=\"=?utf-8?B?5paw5bu6LnBuZw==?=\"; filename*=utf-8''%E6%96%B0%E5%BB%BA.png\r\n\r\n"
    )
    item = await sell(alice)
    path = f"/api/v1/upload/items/{item['id']}/images/"
    answer = await post(alice, body.replace(b"name=file;", b"name=files;") + png() + b"\r\n" + END, path)
    (file,) = answer.json()["uploaded_files"]
    assert file["original_name"] == "新建.png"
    shown = (await alice.api.get(file["url"])).headers["content-disposition"]
    assert shown.endswith("filename*=UTF-8''%E6%96%B0%E5%BB%BA.png")
