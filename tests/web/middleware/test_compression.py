import gzip
import json
from collections.abc import AsyncIterator

import brotli  # type: ignore[import-untyped]
import httpx
import pytest
import pytest_asyncio
import zstandard
from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from tests.web.apps import caller, new_app, new_router
from tradepost.web.answers.json_answer import JsonAnswer
from tradepost.web.answers.streamed import StreamedAnswer
from tradepost.web.asgi_scope import REQUEST_HEADERS_KEY
from tradepost.web.middleware.compression import LONG, SHORTEST, Compression
from tradepost.web.routing.query_names import any_query

READERS = {
    "br": brotli.decompress,
    "zstd": lambda raw: zstandard.ZstdDecompressor().decompressobj().decompress(raw),
    "gzip": gzip.decompress,
    "identity": bytes,
}
TAG = '"7-abcdef"'
KIND = (b"content-type", b"application/x-ndjson")

router = new_router()


def body_of(size: int) -> bytes:
    return json.dumps({"text": "ä" * ((size - 11) // 6)}).encode().ljust(size)


@router.api_route("/json/{size}", methods=["GET", "HEAD", "POST"])
async def sized(size: int) -> Response:
    return JsonAnswer(body_of(size), headers={"ETag": TAG})


@router.get("/unchanged")
@any_query
async def unchanged() -> Response:
    return Response(status_code=304, headers={"ETag": TAG})


@router.get("/lines")
async def lines() -> Response:
    async def made() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b'{"number":%d}\n' % number

    return StreamedAnswer(made(), "application/x-ndjson")  # type: ignore[arg-type] # a generator


@router.get("/events")
async def server_sent_events() -> Response:
    async def made() -> AsyncIterator[bytes]:
        yield b"data: " + b"x" * 5000 + b"\n\n"

    return StreamedAnswer(made(), "text/event-stream")  # type: ignore[arg-type] # a generator


@pytest_asyncio.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with caller(new_app(router)) as client:
        yield client


async def raw_of(
    client: httpx.AsyncClient, path: str, coding: str, method: str = "GET", **headers: str
) -> tuple[httpx.Response, bytes]:
    asked = {"Accept-Encoding": coding, **headers}
    async with client.stream(method, f"/api/v1{path}", headers=asked) as answer:
        return answer, b"".join([chunk async for chunk in answer.aiter_raw()])


@pytest.mark.parametrize("coding", READERS)
@pytest.mark.parametrize("size", [SHORTEST, LONG - 1, LONG, 200_000])
async def test_a_body_comes_in_the_coding_that_was_asked_for(
    client: httpx.AsyncClient, coding: str, size: int
) -> None:
    answer, raw = await raw_of(client, f"/json/{size}", coding)
    assert answer.status_code == 200
    assert READERS[coding](raw) == body_of(size)
    assert answer.headers["content-length"] == str(len(raw))
    if coding == "identity":
        assert "content-encoding" not in answer.headers
        assert answer.headers["etag"] == TAG
    else:
        assert answer.headers["content-encoding"] == coding
        assert answer.headers["etag"] == f'"7-abcdef;{coding}"'
        assert "Accept-Encoding" in answer.headers.get_list("vary")
        assert len(raw) < size / 2


async def test_the_cheapest_of_those_that_are_liked_alike(client: httpx.AsyncClient) -> None:
    answer, _ = await raw_of(client, "/json/5000", "gzip, deflate, br, zstd")
    assert answer.headers["content-encoding"] == "zstd"
    answer, _ = await raw_of(client, "/json/5000", "gzip, br")
    assert answer.headers["content-encoding"] == "br"


@pytest.mark.parametrize("asked", ["", "identity", "gzip;q=0", "*;q=0", "deflate", "gzip;q=0, x" * 40, "ÿ"])
async def test_what_was_not_asked_for(client: httpx.AsyncClient, asked: str) -> None:
    headers = {b"Accept-Encoding": asked.encode("latin-1")}
    async with client.stream("GET", "/api/v1/json/5000", headers=headers) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert "content-encoding" not in answer.headers
    assert raw == body_of(5000)


async def test_what_is_short_stays_as_it_is(client: httpx.AsyncClient) -> None:
    answer, raw = await raw_of(client, f"/json/{SHORTEST - 1}", "gzip")
    assert raw == body_of(SHORTEST - 1)
    assert "content-encoding" not in answer.headers
    assert "Accept-Encoding" in answer.headers.get_list("vary")


async def test_answers_that_may_hold_secrets_are_not_compressed(client: httpx.AsyncClient) -> None:
    answer, raw = await raw_of(client, "/json/5000", "gzip", "POST")
    assert "content-encoding" not in answer.headers
    assert raw == body_of(5000)


async def test_a_head_has_the_headers_of_a_get(client: httpx.AsyncClient) -> None:
    read, raw = await raw_of(client, "/json/5000", "gzip")
    head, _ = await raw_of(client, "/json/5000", "gzip", "HEAD")
    for name in ("content-length", "content-encoding", "etag", "vary"):
        assert head.headers[name] == read.headers[name]
    assert read.headers["content-length"] == str(len(raw))


@pytest.mark.parametrize("coding", READERS)
async def test_lines_are_compressed_as_they_come(client: httpx.AsyncClient, coding: str) -> None:
    answer, raw = await raw_of(client, "/lines", coding)
    assert READERS[coding](raw) == b"".join(b'{"number":%d}\n' % number for number in range(5))
    assert answer.headers.get("content-encoding", "identity") == coding
    assert "content-length" not in answer.headers


async def test_each_line_can_be_read_when_it_comes() -> None:
    sent: list[Message] = []

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [KIND]})
        for line in (b"first", b"second"):
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope: Scope = {"type": "http", "method": "GET", REQUEST_HEADERS_KEY: {b"accept-encoding": b"zstd"}}
    await Compression(streaming)(scope, receive, send)
    reader = zstandard.ZstdDecompressor().decompressobj()
    assert [reader.decompress(message["body"]) for message in sent[1:]] == [b"first", b"second", b""]
    assert reader.eof


async def test_server_sent_events_are_left_alone(client: httpx.AsyncClient) -> None:
    answer, raw = await raw_of(client, "/events", "gzip")
    assert "content-encoding" not in answer.headers
    assert raw.startswith(b"data: x")


@pytest.mark.parametrize(
    ("known", "confirmed"),
    [
        ('"7-abcdef;gzip"', '"7-abcdef;gzip"'),
        ('"7-abcdef"', TAG),
        ('"1", W/"7-abcdef;gzip"', '"7-abcdef;gzip"'),
        ('"7-abcdef;br"', TAG),
    ],
)
async def test_a_304_names_the_form_that_the_client_has(
    client: httpx.AsyncClient, known: str, confirmed: str
) -> None:
    answer, _ = await raw_of(client, "/unchanged", "gzip", **{"If-None-Match": known})
    assert answer.status_code == 304
    assert answer.headers["etag"] == confirmed
