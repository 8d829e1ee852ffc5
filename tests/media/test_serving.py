"""Files as they are answered: whole, in parts, or not at all when the client has them."""

import asyncio
import email
import hashlib

import httpx
import pytest
from sqlalchemy import update

from tests.conftest import Person, World
from tests.items.market import sell
from tests.uploading import FILES, code, pdf, png, send, show, storage_of
from tradepost.media.models import StoredFile

SIZE = 700_000
DATA = bytes(byte for seed in range(7) for byte in hashlib.shake_128(b"%d" % seed).digest(100_000))
DATA = pdf()[:20] + DATA[20:]
ETAG = f'"{hashlib.sha256(DATA).hexdigest()}"'


async def document(owner: Person, data: bytes = DATA, name: str = "a.pdf") -> str:
    """Keep a document and return its address."""
    item = await sell(owner)
    path = f"/api/v1/upload/items/{item['id']}/documents/"
    answer = await owner.api.post(path, files=[("files", (name, data))])
    assert answer.status_code == 200, answer.text
    return str(answer.json()["uploaded_files"][0]["url"])


async def ask(owner: Person, url: str, **headers: str) -> httpx.Response:
    """Ask for a file with these headers; ``_`` stands for ``-``."""
    return await owner.api.get(
        url, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


async def test_the_whole(alice: Person) -> None:
    url = await document(alice)
    answer = await ask(alice, url)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["etag"] == ETAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_the_head_of_it(alice: Person, client: httpx.AsyncClient) -> None:
    url = await document(alice)
    whole, head = await alice.api.get(url), await alice.api.head(url)
    assert (head.status_code, head.content) == (200, b"")
    ignored = {"x-request-id", "x-process-time"}
    assert {k: v for k, v in head.headers.items() if k not in ignored} == {
        k: v for k, v in whole.headers.items() if k not in ignored
    }
    ranged = await alice.api.head(url, headers={"Range": "bytes=0-1"})
    assert (ranged.status_code, ranged.headers["content-length"]) == (200, str(SIZE)), (
        "a range is for GET only"
    )
    assert (await client.head(url)).status_code == 404


@pytest.mark.parametrize("known", [ETAG, f"W/{ETAG}", "*", f'"a", {ETAG}'])
async def test_what_the_client_has_is_not_sent(alice: Person, known: str) -> None:
    url = await document(alice)
    answer = await ask(alice, url, If_None_Match=known, Range="bytes=0-1")
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == ETAG
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert "content-length" not in answer.headers


async def test_conditions_that_do_not_hold(alice: Person) -> None:
    url = await document(alice)
    assert (await ask(alice, url, If_None_Match='"other"')).status_code == 200
    assert (await ask(alice, url, If_Match=ETAG)).status_code == 200
    assert code(await ask(alice, url, If_Match='"other"')) == (412, "PRECONDITION_FAILED")
    assert code(await ask(alice, url, If_Match=f"W/{ETAG}")) == (412, "PRECONDITION_FAILED")
    assert (await ask(alice, url, Range="bytes=0-1", If_Range=ETAG)).status_code == 206
    for other in ('"other"', f"W/{ETAG}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        answer = await ask(alice, url, Range="bytes=0-1", If_Range=other)
        assert (answer.status_code, len(answer.content)) == (200, SIZE)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("0-0", 0, 1), ("100-299999", 100, 300_000), ("699999-", 699_999, SIZE), ("-10", SIZE - 10, SIZE)],
)
async def test_a_part(alice: Person, asked: str, start: int, end: int) -> None:
    answer = await ask(alice, await document(alice), Range=f"bytes={asked}")
    assert (answer.status_code, answer.content) == (206, DATA[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["etag"] == ETAG


async def test_several_parts(alice: Person) -> None:
    answer = await ask(alice, await document(alice), Range="bytes=0-9, 500000-500009, -5")
    assert answer.status_code == 206
    assert answer.headers["content-length"] == str(len(answer.content))
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content)
    parts = [
        (part["Content-Type"], part["Content-Range"], part.get_payload(decode=True))
        for part in message.walk()
        if not part.is_multipart()
    ]
    assert [(kind, place) for kind, place, _ in parts] == [
        ("application/pdf", f"bytes 0-9/{SIZE}"),
        ("application/pdf", f"bytes 500000-500009/{SIZE}"),
        ("application/pdf", f"bytes 699995-699999/{SIZE}"),
    ]
    assert answer.content.count(DATA[500_000:500_010]) == 1
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=700000-", "bytes=5-4", "bytes=x", "bytes=" + "0-0," * 50])
async def test_parts_that_cannot_be(alice: Person, asked: str) -> None:
    answer = await ask(alice, await document(alice), Range=asked)
    assert code(answer) == (416, "HTTP_416")
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "private, no-store"


async def test_other_units_are_not_known(alice: Person) -> None:
    answer = await ask(alice, await document(alice), Range="items=0-5")
    assert (answer.status_code, len(answer.content)) == (200, SIZE)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plan.pdf", 'attachment; filename="plan.pdf"'),
        ("Plan", 'attachment; filename="Plan.pdf"'),
        ("evil.html", 'attachment; filename="evil.html.pdf"'),
        ("../../x.pdf", 'attachment; filename="x.pdf"'),
        ("C:/a/b.pdf", 'attachment; filename="b.pdf"'),
        ("Tür.pdf", "attachment; filename=\"T_r.pdf\"; filename*=UTF-8''T%C3%BCr.pdf"),
        ("\u202egpj.pdf", 'attachment; filename="gpj.pdf"'),
        ("a%20b;c.pdf", "attachment; filename=\"a_20b_c.pdf\"; filename*=UTF-8''a%2520b%3Bc.pdf"),
        ("..", 'attachment; filename="pdf"'),
    ],
)
async def test_the_name_to_save_it_under(alice: Person, name: str, shown: str) -> None:
    answer = await ask(alice, await document(alice, name=name))
    assert answer.headers["content-disposition"] == shown


async def test_bytes_that_are_lost_are_not_found(world: World, alice: Person) -> None:
    shown = await show(alice)
    await storage_of(world).delete(shown["filename"])
    assert code(await alice.api.get(shown["url"])) == (404, "FILE_NOT_FOUND")
    ranges = await ask(alice, shown["url"], Range="bytes=0-1,4-5")
    assert code(ranges) == (404, "FILE_NOT_FOUND")


async def test_no_connection_is_held_while_bytes_flow(world: World, alice: Person) -> None:
    """Were it otherwise, a few clients who read slowly would keep everybody from the database."""
    url = await document(alice)
    held: list[int] = []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": url,
        "raw_path": url.encode(),
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"authorization", f"Bearer {alice.token}".encode())],
    }

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send_slowly(message: object) -> None:
        held.append(world.database.read_gate.held + world.database.write_gate.held)

    await world.transport.app(scope, receive, send_slowly)
    assert len(held) > 3
    assert set(held) == {0}


async def test_many_read_at_once(alice: Person) -> None:
    url = await document(alice)
    answers = await asyncio.gather(*(ask(alice, url) for _ in range(40)))
    assert {answer.content == DATA for answer in answers} == {True}


@pytest.mark.parametrize(
    "path", ["avatars/" + "x" * 5000, "avatars/%00", "avatars/%FF", "avatars/ü", "items/..", "documents/a/b"]
)
async def test_odd_names(client: httpx.AsyncClient, path: str) -> None:
    # What a client makes of two dots is the list, which is for staff.
    refusals = {401} if path.endswith("..") else {404, 422}
    assert (await client.get(f"{FILES}/{path}")).status_code in refusals


async def test_a_file_of_another_state_is_not_there(world: World, alice: Person) -> None:
    item = await sell(alice)
    (file,) = (await send(alice, item, png())).json()["uploaded_files"]
    for state in ("pending", "doomed"):
        async with world.database.transaction() as db:
            await db.execute(update(StoredFile).values(state=state))
        assert code(await alice.api.get(file["url"])) == (404, "FILE_NOT_FOUND")
        assert code(await alice.api.delete(file["url"])) == (404, "FILE_NOT_FOUND")
