"""An HTTP/1.1 client that costs little: requests are bytes, answers a status and a body, connections are kept and reused."""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

import httptools
from typing_extensions import override

LONGEST_BODY: Final = 2**26
"""Bytes of an answer that are kept; more of it is a fault of the server."""
LOOK: Final = 0.25
"""Seconds between two looks for answers that take too long."""
CONNECT: Final = 10.0
"""Seconds for a connection to be made."""


class NoAnswer(Exception):
    """A request went without a whole answer; the text is the kind of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and whether no rate limit counted it."""

    status: int
    body: bytes
    is_unlimited: bool = True


@dataclass(frozen=True, slots=True)
class Host:
    """Where requests go: the parts of ``http://host:port/prefix``."""

    name: str
    port: int
    tls: bool
    prefix: str

    @classmethod
    def of(cls, url: str) -> "Host":
        """Return the parts of a URL; raises ``ValueError``."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("write the host as http://127.0.0.1:8000")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of ``Host``."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port == (443 if self.tls else 80) else f"{name}:{self.port}"


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_unlimited = True
        self._marker: bytes | None = None
        self._heard = b""
        self.overdue_at = 0.0
        self.is_open = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._fail("connection closed" if exc is None else "connection reset")

    @override
    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("answer not understood")
            self.close()

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Look for the one field that is of interest."""
        if name.lower() == b"ratelimit-policy":
            self._is_unlimited = False

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body; of a stream, look for what is waited for."""
        if self._marker is not None:
            self._heard = (self._heard + body)[-65_536:]
            if self._marker in self._heard:
                self._settle(Answer(self._parser.get_status_code(), self._heard))
                self._marker = None
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size > LONGEST_BODY:
            self._fail("answer too long")
            self.close()

    def on_message_complete(self) -> None:
        """Hand over the answer."""
        answer = Answer(self._parser.get_status_code(), b"".join(self._chunks), self._is_unlimited)
        self._is_unlimited = True
        self._chunks.clear()
        self._size = 0
        if not self._parser.should_keep_alive():
            self.close()
        self._settle(answer)

    def send(self, request: bytes, *, overdue_at: float) -> "asyncio.Future[Answer]":
        """Send a request; the future has its answer, or ``NoAnswer``. ``overdue_at`` is on the loop's clock."""
        self._answer = self._loop.create_future()
        self.overdue_at = overdue_at
        if self._transport is None or not self.is_open:
            self._fail("connection closed")
        else:
            self._transport.write(request)
        return self._answer

    def listen(self, request: bytes | None, marker: bytes, *, overdue_at: float) -> "asyncio.Future[Answer]":
        """Wait until a stream says ``marker``; ``request`` opens it, None goes on with the one that is open."""
        if request is not None:
            self._heard = b""
        self._marker = marker
        if request is None:
            self._answer = self._loop.create_future()
            self.overdue_at = overdue_at
            if marker in self._heard:
                self._settle(Answer(200, self._heard))
            elif not self.is_open:
                self._fail("connection closed")
            return self._answer
        return self.send(request, overdue_at=overdue_at)

    def expire(self) -> None:
        """Give the answer up that is waited for."""
        self._fail("timeout")
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_waiting(self) -> bool:
        """Whether a request is under way."""
        return self._answer is not None

    def _settle(self, answer: Answer) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _fail(self, kind: str) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(NoAnswer(kind))


class Client:
    """Connections to a host: one is used again as soon as it is free, a new one opened up to ``most``, then one waits."""

    def __init__(self, host: Host, *, most: int, timeout: float) -> None:
        self._host = host
        self._most = most
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._tls = ssl.create_default_context() if host.tls else None
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._looking = self._loop.call_later(LOOK, self._look)
        self.most_open = 0

    async def send(self, request: bytes) -> Answer:
        """Send a request on a free connection; raises ``NoAnswer``."""
        connection = await self.take()
        try:
            return await connection.send(request, overdue_at=self._loop.time() + self._timeout)
        finally:
            self.give_back(connection)

    async def take(self) -> Connection:
        """Return a connection for one's own use; the one used last, which the server has hardly closed yet."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            self._all.discard(connection)
        if len(self._all) + self._opening < self._most:
            return await self._open()
        place: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._timeout):
                found = await place
        except TimeoutError:
            raise NoAnswer("no free connection") from None
        # None: one was closed, and there is room for another.
        return found or await self._open()

    def give_back(self, connection: Connection) -> None:
        """Have others use a connection, or open another in the place of one that is closed."""
        usable = connection.is_open and not connection.is_waiting
        if not usable:
            connection.close()
            self._all.discard(connection)
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(connection if usable else None)
                return
        if usable:
            self._idle.append(connection)

    async def _open(self) -> Connection:
        self._opening += 1
        try:
            async with asyncio.timeout(CONNECT):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._loop), self._host.name, self._host.port, ssl=self._tls
                )
        except TimeoutError:
            raise NoAnswer("connecting took too long") from None
        except ssl.SSLError as error:
            raise NoAnswer(f"TLS: {error.reason}") from error
        except OSError as error:
            raise NoAnswer(f"cannot connect: {type(error).__name__}") from error
        finally:
            self._opening -= 1
        self._all.add(connection)
        self.most_open = max(self.most_open, len(self._all))
        return connection

    def overdue_at(self) -> float:
        """Return until when an answer to a request of now is waited for."""
        return self._loop.time() + self._timeout

    def _look(self) -> None:
        now = self._loop.time()
        for connection in [each for each in self._all if each.is_waiting and each.overdue_at < now]:
            connection.expire()
        self._looking = self._loop.call_later(LOOK, self._look)

    def close(self) -> None:
        """Close every connection."""
        self._looking.cancel()
        for connection in self._all:
            connection.close()
