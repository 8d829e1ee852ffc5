"""Clients that ask and then take nothing: given up after a while, whatever the answer is."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from uvicorn.server import ServerState

from tradepost.web import protocol
from tradepost.web.protocol import BoundedHttpProtocol

PIECE = b"x" * 65_536
PIECES = 400
"""More than the buffers of both ends hold."""


class Endless:
    """An application that answers for as long as it is taken from."""

    def __init__(self) -> None:
        self.sent = 0
        self.over = asyncio.Event()

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.sent += 1
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.over.set()


@pytest_asyncio.fixture
async def answering() -> AsyncIterator[tuple[Endless, int]]:
    """The application behind our protocol, and its port."""
    app = Endless()
    config = uvicorn.Config(app, http=BoundedHttpProtocol, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttpProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    yield app, server.sockets[0].getsockname()[1]
    server.close()


async def ask(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection


async def test_who_takes_nothing_is_given_up(
    answering: tuple[Endless, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WRITE_TIMEOUT", 0.3)
    app, port = answering
    with await ask(port) as connection:
        async with asyncio.timeout(20):
            await app.over.wait()
        # What was in the kernel's buffers comes yet, and then the connection is cut off.
        loop, taken = asyncio.get_running_loop(), 0
        with suppress(ConnectionResetError):
            while piece := await loop.sock_recv(connection, 65_536):
                taken += len(piece)
        assert taken < PIECES * len(PIECE)


async def test_who_takes_it_slowly_is_not(
    answering: tuple[Endless, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WRITE_TIMEOUT", 2.0)
    app, port = answering
    loop = asyncio.get_running_loop()
    with await ask(port) as connection:
        taken = 0
        while taken < PIECES * len(PIECE):
            taken += len(await loop.sock_recv(connection, 2**20))
            await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await app.over.wait()
    assert app.sent == PIECES
