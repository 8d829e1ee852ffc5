"""Bodies that come too slowly, and the rest of a refused one, which is drained."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from tests.clock import stopped_clock
from tradepost.core.errors import TookTooLong
from tradepost.web.bodies import incoming_body
from tradepost.web.bodies.incoming_body import IncomingBody, Patience


class Client:
    """Sends chunks with pauses between, by which its clock moves; falls silent at the end."""

    def __init__(
        self, chunks: Iterable[tuple[float, bytes]], *, ends: bool = False, leaves: bool = False
    ) -> None:
        self.clock = stopped_clock()
        self.received = 0
        self._chunks = list(chunks)
        self._ends = ends
        self._leaves = leaves

    async def receive(self) -> Message:
        if not self._chunks:
            if self._leaves:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
        pause, chunk = self._chunks.pop(0)
        self.clock.move(pause)
        self.received += len(chunk)
        more = bool(self._chunks) or not self._ends
        return {"type": "http.request", "body": chunk, "more_body": more}


def body_of(client: Client, **headers: str) -> IncomingBody:
    sent = {"transfer_encoding": "chunked"} | headers
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
    return IncomingBody({"type": "http", "headers": raw}, client.receive)


async def read(client: Client, patience: Patience) -> bytes:
    body = body_of(client)
    return b"".join([chunk async for chunk in body.chunks(body.receive, client.clock.monotonic, patience)])


async def test_what_comes_in_time_is_read() -> None:
    client = Client([(1, b"a" * 10), (5, b""), (1, b"b")], ends=True)
    assert await read(client, Patience()) == b"a" * 10 + b"b"


@pytest.mark.parametrize("pause", [0.5, 3])
async def test_drops_are_not_enough(pause: float) -> None:
    """A byte now and then keeps no upload alive: slow-loris for bodies."""
    with pytest.raises(TookTooLong):
        await read(Client([(pause, b"x")] * 10_000), Patience(silence=60, grace=10, rate=1000))


async def test_silence_is_not_waited_for() -> None:
    with pytest.raises(TookTooLong):
        await read(Client([(0, b"x")]), Patience(silence=0.01))


async def test_a_client_that_is_gone() -> None:
    with pytest.raises(ClientDisconnect):
        await read(Client([(0, b"x")], leaves=True), Patience())


async def test_what_the_reader_takes_is_not_the_clients_time() -> None:
    client = Client([(0, b"x")] * 5, ends=True)
    body = body_of(client)
    async for _ in body.chunks(body.receive, client.clock.monotonic, Patience(grace=1, rate=1)):
        client.clock.move(100)


async def test_the_rest_is_read_up_to_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming_body, "DRAIN_BYTES", 1000)
    client = Client([(0, b"x" * 100)] * 100)
    await body_of(client).drain()
    assert client.received == 1000


@pytest.mark.parametrize("limit", ["DRAIN_SECONDS", "DRAIN_SILENCE"])
async def test_a_rest_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(incoming_body, limit, 0.01)
    client = Client([(0, b"x" * 100)])
    await body_of(client).drain()
    assert client.received == 100


async def test_a_client_that_waits_for_100_continue_is_not_waited_for() -> None:
    client = Client([(0, b"x" * 100)])
    await body_of(client, expect="100-continue").drain()
    assert client.received == 0
