"""Clients of the live stream: one within the process, of whose connection a test has hold, and one over the network."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.conftest import World

PATH = "/notifications/stream"
STREAM = f"/api/v1{PATH}"
PATIENCE = 20.0
"""Seconds within which whatever is to come has come, on a machine that is busy too."""


@dataclass(frozen=True)
class Event:
    """An event as a client reads it."""

    name: str
    data: dict[str, Any]
    id: str


@dataclass
class Reader:
    """Reads the lines of a stream (HTML Living Standard, section 9.2.6)."""

    last_id: str = ""
    retry: int | None = None
    comments: int = 0
    _pending: dict[str, str] = field(default_factory=dict)

    def line(self, line: str) -> Event | None:
        """Take a line, and return the event that it completes."""
        if line.startswith(":"):
            self.comments += 1
            return None
        if line:
            name, _, value = line.partition(": ")
            self._pending[name] = value
            return None
        pending, self._pending = self._pending, {}
        self.last_id = pending.get("id", self.last_id)
        self.retry = int(pending["retry"]) if "retry" in pending else self.retry
        if "data" not in pending:
            return None
        return Event(pending.get("event", "message"), json.loads(pending["data"]), self.last_id)


class Listener:
    """A stream that an application within this process answers."""

    def __init__(
        self, world: World, headers: dict[str, str], method: str = "GET", *, query: str = ""
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.events: list[Event] = []
        self.reader = Reader()
        self.body = b""
        self.taking = asyncio.Event()
        """Whether the client takes what it is sent; the application waits in ``send`` while it does not."""
        self.taking.set()
        self._progress = asyncio.Event()
        self._gone = asyncio.Event()
        self._asked = False
        self._rest = ""
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": STREAM,
            "raw_path": STREAM.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 1),
        }
        answer: Any = world.transport.app(self._scope, self._receive, self._send)
        self.task: asyncio.Task[None] = asyncio.create_task(answer)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.taking.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]
            *lines, self._rest = (self._rest + message["body"].decode()).split("\n")
            self.events += [event for line in lines if (event := self.reader.line(line)) is not None]
        self._progress.set()

    async def until(self, number: int) -> list[Event]:
        """Wait until there are so many events, and return them all."""
        await self._until(lambda: len(self.events) >= number)
        return self.events

    async def answered(self) -> None:
        """Wait until the status is there."""
        async with asyncio.timeout(PATIENCE):
            while not self.status:
                await self._progress.wait()

    async def begun(self) -> None:
        """Wait until the stream has said where it stands."""
        await self._until(lambda: bool(self.reader.last_id))

    async def commented(self, number: int) -> None:
        """Wait for signs of life."""
        await self._until(lambda: self.reader.comments >= number)

    async def _until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                assert not self.task.done(), (self.status, self.body)
                self._progress.clear()
                progress = asyncio.create_task(self._progress.wait())
                await asyncio.wait({progress, self.task}, return_when=asyncio.FIRST_COMPLETED)
                progress.cancel()

    async def ended(self) -> None:
        """Wait until the application has ended the answer by itself."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.shield(self.task)

    async def leave(self) -> None:
        """Close the connection, and wait until the application has noticed."""
        self._gone.set()
        self.taking.set()
        await self.ended()


@asynccontextmanager
async def listening(
    world: World,
    headers: dict[str, str],
    last_event_id: object = None,
    *,
    begun: bool = True,
    query: str = "",
) -> AsyncIterator[Listener]:
    """Open a stream within this process for the length of the block."""
    given = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    listener = Listener(world, headers | given, query=query)
    try:
        if begun:
            await listener.begun()
        yield listener
    finally:
        await listener.leave()


@asynccontextmanager
async def heard_from(
    client: httpx.AsyncClient, last_event_id: str | None = None
) -> AsyncIterator[AsyncIterator[Event]]:
    """Open a stream over the network; the events end with it, be that its end or a broken connection."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    async with client.stream("GET", PATH, headers=headers, timeout=httpx.Timeout(30.0)) as response:
        assert response.status_code == 200, await response.aread()

        async def events() -> AsyncIterator[Event]:
            reader = Reader()
            try:
                async for line in response.aiter_lines():
                    event = reader.line(line)
                    if event is not None:
                        yield event
            except httpx.TransportError:
                return

        yield events()
