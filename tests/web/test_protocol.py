import asyncio
import socket
import time
from typing import Any

import pytest

from tests.web.apps import served
from tradepost.web import protocol
from tradepost.web.asgi_scope import ARRIVED_KEY

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
STOPPED = 0.05
"""Seconds for which each request keeps the loop from everything else."""


class Blocking:
    """An application that stops the loop, and keeps when requests arrived and when it began with them."""

    def __init__(self) -> None:
        self.arrived: list[float] = []
        self.began: list[float] = []
        self.ended: list[float] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.arrived.append(scope[ARRIVED_KEY])
        self.began.append(time.monotonic())
        while time.monotonic() < self.began[-1] + STOPPED:
            pass
        self.ended.append(time.monotonic())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def test_a_request_knows_since_when_it_waits_for_its_turn() -> None:
    app = Blocking()
    async with served(app) as port:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        await asyncio.sleep(0.02)  # until all are accepted
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            client.settimeout(0)
            assert (await asyncio.get_running_loop().sock_recv(client, 100)).startswith(b"HTTP/1.1 204")
            client.close()
    assert max(app.arrived) <= app.began[0]
    assert app.began[2] - app.arrived[2] >= 2 * STOPPED


async def test_the_turn_of_a_pipelined_request_comes_after_the_answer_before_it() -> None:
    app = Blocking()
    async with served(app) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(REQUEST * 3)
            client.settimeout(0)
            received = b""
            while received.count(b"HTTP/1.1 204") < 3:
                received += await asyncio.get_running_loop().sock_recv(client, 1000)
    assert app.arrived[1] >= app.ended[0]
    assert app.arrived[2] >= app.ended[1]


class Answering:
    """An application that answers at once, or once it is told to."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.ready.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def test_a_connection_is_closed_that_was_idle_for_long_enough_since_its_last_answer() -> None:
    async with served(Answering(), keep_alive=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = last = time.monotonic()
        while last < began + 1.2:
            # Each answer begins the time anew.
            await asyncio.sleep(0.2)
            last = time.monotonic()
            writer.write(REQUEST)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        assert await reader.read() == b""
        assert time.monotonic() >= last + 1
        writer.close()


async def test_a_connection_is_not_idle_while_it_is_answered() -> None:
    app = Answering()
    async with served(app, keep_alive=0.1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        app.ready.clear()
        writer.write(REQUEST)
        await asyncio.sleep(0.3)
        app.ready.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        # The end of that answer began the time anew.
        assert await reader.read() == b""
        writer.close()


LONG = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_connection_is_not_idle_while_a_body_comes_that_was_answered_before_it() -> None:
    async with served(Answering(), keep_alive=0.4) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LONG)
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.1)
            writer.write(b"x")
        writer.write(REQUEST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()


async def test_a_connection_that_was_idle_in_the_middle_of_a_body_is_closed_after_it() -> None:
    async with served(Answering(), keep_alive=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"4")
        await asyncio.sleep(0.5)
        writer.write(b"\r\nbody\r\n0\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\n\r\n", CHUNKED.replace(b"chunked", b"gzip, chunked"), b"nonsense\r\n\r\n"]
)
async def test_a_refused_connection_ends_though_its_client_keeps_it_open(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER", 0.2)
    lost = asyncio.Event()
    monkeypatch.setattr(protocol.BoundedHttpProtocol, "connection_lost", lambda _self, _error: lost.set())
    async with served(Answering()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        # The client has not closed its side: the server does.
        await asyncio.wait_for(lost.wait(), 5)
        writer.close()
