from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import Request
from pydantic import BaseModel
from starlette.types import Message

from tests.web.apps import caller, new_app, new_router
from tradepost.web.bodies.incoming_body import IncomingBody
from tradepost.web.middleware.body_limit import lingering

router = new_router()


class Text(BaseModel):
    text: str


@router.post("/texts")
async def take(text: Text) -> int:
    return len(text.text)


@router.post("/upload/file")
async def upload(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


LIMITS: dict[str, Any] = {"MAX_BODY_BYTES": 1000, "larger_bodies": {"/api/v1/upload/": 5000}}


async def chunked(size: int, piece: int = 100) -> AsyncIterator[bytes]:
    for _ in range(size // piece):
        yield b"x" * piece


async def test_a_body_within_the_limit_is_taken() -> None:
    async with caller(new_app(router, **LIMITS)) as client:
        content = b'{"text": "%s"}' % (b"x" * 988)
        assert len(content) == 1000
        headers = {"content-type": "application/json"}
        assert (await client.post("/api/v1/texts", content=content, headers=headers)).json() == 988
        assert (await client.post("/api/v1/upload/file", content=b"x" * 5000)).json() == 5000
        assert (await client.post("/api/v1/upload/file", content=chunked(5000))).json() == 5000


def assert_too_large(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["error_code"]) == (413, "HTTP_413")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(("path", "size"), [("texts", 1001), ("upload/file", 5001), ("nowhere", 1001)])
async def test_a_larger_one_is_refused_before_it_is_read(path: str, size: int) -> None:
    """And then read after all, so that who is still sending it gets to read the answer."""
    happened: list[str] = []
    app = new_app(router, **LIMITS)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": f"/api/v1/{path}",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"content-length", b"%d" % size)],
    }

    async def receive() -> dict[str, Any]:
        happened.append("read")
        return {"type": "http.request", "body": b"x" * size, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            happened.append(str(message["status"]))
            assert (b"connection", b"close") in message["headers"]
        else:
            happened.append(f"body, {'more' if message['more_body'] else 'end'}")

    await app(scope, receive, send)
    assert happened == ["413", "body, more", "read", "body, end"]


async def test_one_that_does_not_say_is_cut_off_at_the_limit() -> None:
    async with caller(new_app(router, **LIMITS)) as client:
        headers = {"content-type": "application/json"}
        assert_too_large(await client.post("/api/v1/texts", content=chunked(100_000), headers=headers))
        assert_too_large(await client.post("/api/v1/upload/file", content=chunked(100_000)))


@pytest.mark.parametrize(("length", "status"), [("9" * 5000, 413), ("-1", 400), ("1e3", 400), ("", 400)])
async def test_odd_lengths(length: str, status: int) -> None:
    async with caller(new_app(router, **LIMITS)) as client:
        response = await client.post(
            "/api/v1/texts", content=chunked(100), headers={"content-length": length}
        )
        assert response.status_code == status


@pytest.mark.parametrize("headers", [{"content-length": "0"}, {}])
async def test_a_request_without_a_body_is_answered_as_ever(headers: dict[str, str]) -> None:
    sent: list[Any] = []

    async def nothing() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    body = IncomingBody({"type": "http", "headers": raw}, nothing)
    answer = lingering(body, send)
    await answer({"type": "http.response.start", "status": 401, "headers": []})
    await answer({"type": "http.response.body", "body": b"no"})
    assert sent == [
        {"type": "http.response.start", "status": 401, "headers": []},
        {"type": "http.response.body", "body": b"no"},
    ]


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip", "nonsense"])
async def test_a_body_in_a_content_coding_is_refused(coding: str) -> None:
    async with caller(new_app(new_router())) as client:
        answer = await client.post("/api/v1/x", content=b"x", headers={"Content-Encoding": coding})
        assert (answer.status_code, answer.json()["error_code"]) == (415, "HTTP_415")
        assert answer.headers["accept-encoding"] == "identity"
        plain = await client.post("/api/v1/x", content=b"x", headers={"Content-Encoding": "identity"})
        assert plain.status_code == 404
