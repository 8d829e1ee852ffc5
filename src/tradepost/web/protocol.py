"""HTTP/1.1 on a connection, with an end to what a client may send before there is a request: in bytes and in time.

uvicorn's protocol waits for the end of a head for ever and keeps all of it: one client could fill the memory, and a few
thousand that send half a head and fall silent could use up the connections. No layer of the application sees them.
"""

import asyncio
from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tradepost.core.clock import SystemClock
from tradepost.web import problems
from tradepost.web.event_stream import ENDLESS_KEY

MAX_HEAD_BYTES: Final = 64 * 1024
"""Size of a request line with all header fields, at most; also of the trailer fields, and of a chunk's extensions."""
HEAD_TIMEOUT: Final = 10.0
"""Seconds from the first byte of a head to its last."""
FIRST_BYTE_TIMEOUT: Final = 15.0
"""Seconds that a new connection may be silent; after a request uvicorn's shorter keep-alive time-out takes over."""
WRITE_TIMEOUT: Final = 60.0
"""Seconds for which a client may leave what it was sent untouched, once the buffer for it is full."""
LINGER: Final = 2.0
"""Seconds for which the rest is still taken in after a refusal: a reset connection would lose the answer on its way."""

LINGER_BYTES: Final = 2**20
"""How much of that rest is taken in, with what was there before."""

STOPPING_KEY: Final = "tradepost.stopping"
"""Where the lifespan's state has a function that ends the answers that would go on for ever: the server stops."""

_log = structlog.stdlib.get_logger("tradepost.web")
_clock = SystemClock()


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol; refuses heads that are too long (431) or too slow (408).

    A request that arrives in one piece costs an addition and two comparisons, and no timer.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pending = 0
        """Bytes since the parser last came to the end of a head or to a part of a body."""
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first byte."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(FIRST_BYTE_TIMEOUT, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Have the application wait until the client takes what is there, but not for ever."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        """Have the application write again."""
        self._stop_write_timer()
        super().resume_writing()

    def shutdown(self) -> None:
        """Finish what is being answered, except for what has no end: its client comes back to another process."""
        stop = self.app_state.get(STOPPING_KEY)
        if stop is not None:
            stop()
        if self._is_answering and self.flow.write_paused and ENDLESS_KEY in self.cycle.scope:
            self.transport.abort()
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Take in what arrived, and see whether a head is still open after it."""
        if self._refused:
            self._pending += len(data)
            if self._pending > LINGER_BYTES:
                self.transport.close()
            return
        if self._timer is not None and self._pending == 0:
            self._stop_timer()
        self._pending += len(data)
        super().data_received(data)
        if self._pending == 0:
            if self._timer is not None:
                self._stop_timer()
        elif self._pending > MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._timer is None and not self._refused:
            self._timer = self.loop.call_later(HEAD_TIMEOUT, self._on_slow_head)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head came whole and was too long all the same."""
        if self._pending > MAX_HEAD_BYTES:
            # The last piece may be the beginning of the body for the most part: here the head is counted alone.
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                message = "the head is too long"
                raise ValueError(message)  # the parser stops, and `send_400_response` is called
        self._pending = 0
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Count anew: what follows is a chunk of a body, or the trailer fields."""
        self._pending = 0

    def on_body(self, body: bytes) -> None:
        """Count anew, and hand on the part of a body."""
        self._pending = 0
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """Count anew: a chunk is over, or the trailer fields."""
        self._pending = 0

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the same for every fault
        """Refuse what the parser has something against."""
        self._refuse(431 if self._pending > MAX_HEAD_BYTES else 400)

    @property
    def _is_answering(self) -> bool:
        # Before the first request there is no cycle, whatever its annotation says.
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _on_slow_head(self) -> None:
        self._timer = None
        if self._is_answering:
            # An earlier request on this connection has yet to be answered, and has a deadline of its own.
            self._timer = self.loop.call_later(HEAD_TIMEOUT, self._on_slow_head)
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answer as every other layer does, and close the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_timer()
        if self._is_answering:
            # That answer is perhaps half written; another one after that would be taken for a part of it.
            self.transport.close()
            return
        request_id = _clock.token(12)
        answer = problems.refusal({problems.REQUEST_ID_KEY: request_id}, status)
        _log.info("a connection was closed for what was sent", status=status, request_id=request_id)
        head = [
            *self.server_state.default_headers,
            *answer.raw_headers,
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        fields = b"".join(b"%b: %b\r\n" % field for field in head)
        self.transport.write(STATUS_LINE[status] + fields + b"\r\n" + bytes(answer.body))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER, self.transport.close)
        else:
            self.transport.close()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
