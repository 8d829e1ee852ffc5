"""Requests framed as proxies, old clients and attackers frame them (RFC 9112): each is read in one way, or refused."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.faults.test_heads import assert_refused, conversation
from tests.flows.live import LiveServer, environment, serving

ITEM = b'{"title": "Lamp", "price": 5}'
FORM = b"username=admin@example.com&password=changethis"


@pytest_asyncio.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    with serving(environment(tmp_path_factory.mktemp("framing"))) as server:
        await server.ready()
        yield server


@pytest_asyncio.fixture(scope="module")
async def token(server: LiveServer) -> str:
    async with server.client() as client:
        answer = await client.post(
            "/auth/login", data={"username": "admin@example.com", "password": "changethis"}
        )
    return str(answer.json()["access_token"])


def post(path: str, *fields: bytes, version: bytes = b"1.1") -> bytes:
    head = [b"POST /api/v1" + path.encode() + b" HTTP/" + version, b"Host: x", *fields, b"", b""]
    return b"\r\n".join(head)


def chunked(body: bytes, *trailer: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n" % (len(body), body) + b"".join(field + b"\r\n" for field in trailer) + b"\r\n"


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


async def items_of(server: LiveServer, token: str) -> int:
    async with server.client(token) as client:
        return len((await client.get("/items/user/me")).json())


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize(
    ("fields", "trailer", "status"),
    [
        ([b"Content-Type: application/json"], [b"Authorization: Bearer %b"], 401),
        ([b"Authorization: Bearer %b"], [b"Content-Type: application/json"], 415),
    ],
    ids=["credentials", "type"],
)
async def test_a_trailer_field_is_no_header_field(
    server: LiveServer, token: str, fields: list[bytes], trailer: list[bytes], status: int, *, in_pieces: bool
) -> None:
    before = await items_of(server, token)
    head = post("/items/", b"Connection: close", b"Transfer-Encoding: chunked", *fields)
    whole = (head + chunked(ITEM, *trailer)).replace(b"%b", token.encode())
    # Cut before the trailer too: its fields come when the request is being answered already.
    cut = whole.index(b"\r\n0\r\n") + 5
    pieces = [whole[: len(head)], whole[len(head) : cut], whole[cut:]] if in_pieces else [whole]
    answer, _ = await conversation(server, *pieces)
    assert statuses(answer) == [status], answer
    assert await items_of(server, token) == before


@pytest.mark.parametrize(
    "codings",
    [
        [b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: identity, chunked"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 3"],
    ],
)
async def test_a_body_whose_length_is_said_twice_is_refused(server: LiveServer, codings: list[bytes]) -> None:
    answer, _ = await conversation(server, post("/auth/register", *codings) + chunked(b"{}"))
    assert_refused(answer, 400)


@pytest.mark.parametrize("hosts", [[], [b"Host: a", b"Host: a"]], ids=["none", "two"])
async def test_a_request_names_one_host(server: LiveServer, hosts: list[bytes]) -> None:
    answer, _ = await conversation(server, b"\r\n".join([b"GET /health HTTP/1.1", *hosts, b"", b""]))
    assert_refused(answer, 400)


async def test_a_broken_chunk_is_refused_while_nothing_was_answered(server: LiveServer) -> None:
    head = post("/auth/register", b"Content-Type: application/json", b"Transfer-Encoding: chunked")
    answer, _ = await conversation(server, head + b'5\r\n{"ema\r\n', b"what?\r\n")
    assert_refused(answer, 400)
    assert statuses(answer) == [400]


async def test_a_broken_chunk_after_the_answer_ends_the_connection(server: LiveServer) -> None:
    answer, _ = await conversation(
        server, post("/items/1", b"Transfer-Encoding: chunked"), b"1\r\nx\r\n", b"what?\r\n"
    )
    assert statuses(answer)[0] == 405


async def test_a_client_of_http_1_0_keeps_its_connection_when_it_asks_to(server: LiveServer) -> None:
    stays = b"GET /api/v1/items/ HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    answer, _ = await conversation(server, stays, stays, b"GET /health HTTP/1.0\r\n\r\n")
    first, second, last = answer.split(b"HTTP/1.1 ")[1:]
    for part in (first, second):
        assert part.startswith(b"200 ")
        assert b"connection: keep-alive\r\n" in part
        assert b"content-length: " in part
    assert b"connection: close\r\n" in last


async def test_an_endless_answer_to_http_1_0_has_no_chunks(server: LiveServer, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /api/v1/notifications/stream HTTP/1.0\r\nConnection: keep-alive\r\n"
        b"Authorization: Bearer " + token.encode() + b"\r\n\r\n"
    )
    try:
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            first = await reader.readline()
    finally:
        writer.close()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close\r\n" in head
    assert b"transfer-encoding" not in head
    assert first.partition(b":")[0] in {b"retry", b"id", b"event", b"data", b""}


async def test_a_client_of_http_1_0_is_not_told_to_continue(server: LiveServer) -> None:
    fields = [
        b"Expect: 100-continue",
        b"Content-Type: application/x-www-form-urlencoded",
        b"Content-Length: %d" % len(FORM),
    ]
    old, _ = await conversation(server, post("/auth/login", *fields, version=b"1.0"), FORM)
    assert statuses(old) == [200]
    new, _ = await conversation(server, post("/auth/login", b"Connection: close", *fields), FORM)
    assert statuses(new) == [100, 200]


async def half_closed(server: LiveServer, request: bytes) -> bytes:
    """Send a request, shut down the sending side, and return all that comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    writer.write_eof()
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def test_a_half_closed_request_is_answered(server: LiveServer) -> None:
    get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    assert statuses(await half_closed(server, get)) == [200]
    assert statuses(await half_closed(server, get * 3)) == [200, 200, 200]
    form = [b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: %d" % len(FORM)]
    assert statuses(await half_closed(server, post("/auth/login", *form) + FORM)) == [200]


async def test_a_half_sent_request_is_not_answered(server: LiveServer, token: str) -> None:
    before = await items_of(server, token)
    fields = [b"Content-Type: application/json", b"Authorization: Bearer " + token.encode()]
    cut = post("/items/", *fields, b"Content-Length: %d" % (len(ITEM) + 1)) + ITEM
    assert await half_closed(server, cut) == b""
    assert await items_of(server, token) == before


async def test_an_offer_of_another_protocol_costs_no_body(server: LiveServer) -> None:
    """Java's client offers HTTP/2 with the first request of each connection."""
    offer = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAAB"]
    typed = b"Content-Type: application/x-www-form-urlencoded"
    sized = post("/auth/login", *offer, typed, b"Content-Length: %d" % len(FORM))
    in_chunks = post("/auth/login", *offer, typed, b"Transfer-Encoding: chunked")
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for pieces in (
        [sized + FORM + last],
        [sized, FORM[:5], FORM[5:] + last],
        [in_chunks + chunked(FORM) + last],
        [in_chunks, chunked(FORM), last],
        [b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"\r\n".join([*offer, b"", b""]) + last],
    ):
        answer, _ = await conversation(server, *pieces)
        assert statuses(answer) == [200, 200], pieces


async def test_a_bearer_in_the_head_still_counts_with_a_trailer(server: LiveServer, token: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield ITEM

    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post(
            "/api/v1/items/",
            content=body(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
    assert answer.status_code == 201
    assert json.loads(answer.content)["title"] == "Lamp"
