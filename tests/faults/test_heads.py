"""Clients that never come to the end of a request's head, or whose head has no end."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.flows.live import LiveServer, environment, serving
from tradepost.web.protocol import FIRST_BYTE_TIMEOUT, HEAD_TIMEOUT, MAX_HEAD_BYTES

LEEWAY = 5.0
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


@pytest_asyncio.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    with serving(environment(tmp_path_factory.mktemp("heads"))) as server:
        await server.ready()
        yield server


async def conversation(server: LiveServer, *pieces: bytes, pause: float = 0.05) -> tuple[bytes, float]:
    """Send the pieces and return all that came back, and the seconds until the server closed the connection."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    began = loop.time()
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(FIRST_BYTE_TIMEOUT + LEEWAY):
            answer = await reader.read()
    finally:
        writer.close()
    return answer, loop.time() - began


def assert_refused(answer: bytes, status: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    problem = json.loads(body)
    assert problem["error_code"] == f"HTTP_{status}"
    assert b"x-request-id: " + problem["request_id"].encode() in head


def field(size: int) -> bytes:
    return b"X-Long: " + b"a" * (size - 10) + b"\r\n"


@pytest.mark.parametrize("split", [True, False], ids=["in pieces", "at once"])
async def test_a_head_that_is_too_long_is_refused(server: LiveServer, split: bool) -> None:  # noqa: FBT001
    long = GET + field(MAX_HEAD_BYTES + 100) + b"\r\n"
    pieces = [long[at : at + 20_000] for at in range(0, len(long), 20_000)] if split else [long]
    answer, seconds = await conversation(server, *pieces)
    assert_refused(answer, 431)
    assert seconds < HEAD_TIMEOUT / 2


async def test_many_short_fields_are_too_long_as_well(server: LiveServer) -> None:
    answer, _ = await conversation(server, GET, *[field(100) * 200] * 4)
    assert_refused(answer, 431)


async def test_a_head_without_an_end_is_not_kept(server: LiveServer) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(GET + b"X-Long: ")
    sent = 0
    try:
        async with asyncio.timeout(HEAD_TIMEOUT):
            while sent < 2**26:
                writer.write(b"a" * 2**16)
                sent += 2**16
                await writer.drain()
    except ConnectionError:
        pass
    else:
        pytest.fail("the server took all of it")
    finally:
        writer.close()


async def test_trailer_fields_have_an_end_too(server: LiveServer) -> None:
    post = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, _ = await conversation(server, post, b"1\r\nx\r\n0\r\n", *[field(20_000)] * 5)
    first, _, rest = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 405 ")
    assert b"HTTP/1.1 431 " in rest


async def test_trailer_fields_that_end_are_over(server: LiveServer) -> None:
    post = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    last = GET + b"Connection: close\r\n\r\n"
    answer, _ = await conversation(server, *[post + field(40_000) + b"\r\n"] * 3, last)
    assert answer.count(b"HTTP/1.1 405 ") == 3
    assert answer.count(b"HTTP/1.1 200 ") == 1


async def test_a_long_head_within_the_limit_is_served_with_its_long_body(server: LiveServer) -> None:
    body = b'{"email": "' + b"a" * 200_000 + b'"}'
    head = b"POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += field(60_000) + b"Content-Length: %d\r\n\r\n" % len(body)
    answer, _ = await conversation(server, head + body)
    assert answer.startswith(b"HTTP/1.1 422 "), answer[:200]


async def test_what_is_no_http_is_refused_like_everything_else(server: LiveServer) -> None:
    answer, _ = await conversation(server, b"what is this?\r\n\r\n")
    assert_refused(answer, 400)


async def test_clients_that_fall_silent_are_left(server: LiveServer) -> None:
    silent, slow, dripping, second = await asyncio.gather(
        conversation(server),
        conversation(server, GET),
        # One byte a second does not put it off.
        conversation(server, GET, b"X-Slow: ", *[b"a"] * 8, pause=1.0),
        # The second head of a connection has no longer than the first.
        conversation(server, GET + b"\r\n", GET),
    )
    assert silent[0] == b""
    assert abs(silent[1] - FIRST_BYTE_TIMEOUT) < LEEWAY
    for answer, seconds in (slow, dripping):
        assert_refused(answer, 408)
        assert HEAD_TIMEOUT - 0.5 < seconds < HEAD_TIMEOUT + LEEWAY
    assert second[0].startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in second[0]


async def test_a_head_in_pieces_is_served_and_the_connection_goes_on(server: LiveServer) -> None:
    answer, _ = await conversation(
        server, GET[:10], GET[10:], b"\r\n", GET + b"\r\n", GET, b"Connection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 200 ") == 3
