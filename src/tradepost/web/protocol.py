"""HTTP/1.1 on a connection, with an end to what a client may send before there is a request: in bytes and in time.

uvicorn's protocol waits for the end of a head for ever and keeps all of it: one client could fill the memory, and a few
thousand that send half a head and fall silent could use up the connections. No layer of the application sees them.
"""

import asyncio
import contextvars
from typing import Any, Final
from urllib.parse import unquote

import httptools
import structlog
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tradepost.core.clock import SystemClock
from tradepost.web.asgi_scope import ARRIVED_KEY, ENDLESS_KEY, REQUEST_ID_KEY
from tradepost.web.cycle import Cycle, in_http_1_0
from tradepost.web.overload.door import DOOR_KEY, Door
from tradepost.web.problems.rendering import refusal
from tradepost.web.readiness import Readiness

MAX_HEAD_BYTES: Final = 64 * 1024
"""Size of a request line with all header fields, at most; also of the trailer fields, and of a chunk's extensions."""
HEAD_TIMEOUT: Final = 10.0
"""Seconds from the first byte of a head to its last."""
FIRST_BYTE_TIMEOUT: Final = 15.0
"""Seconds that a new connection may be silent; after a request uvicorn's shorter keep-alive time-out takes over."""
WRITE_TIMEOUT: Final = 30.0
"""Seconds for which a client may leave what it was sent untouched, once the buffer for it is full."""
LINGER: Final = 2.0
"""Seconds for which the rest is still taken in after a refusal: a reset connection would lose the answer on its way."""
LINGER_BYTES: Final = 2**20
"""How much of that rest is taken in, with what was there before."""

STOPPING_KEY: Final = "tradepost.stopping"
"""Where the lifespan's state has a function that ends the answers that would go on for ever: the server stops."""
READINESS_KEY: Final = "tradepost.readiness"
"""Where the lifespan's state has the `Readiness` of the process, which says whether it drains."""

_log = structlog.stdlib.get_logger("tradepost.web")
_clock = SystemClock()
_NOBODYS: Final = contextvars.Context()
"""Of what goes on from one request to the next: it has nothing of either."""

_FRAMING: Final = frozenset({b"expect", b"host", b"transfer-encoding"})
"""Fields that say where a request goes and where it ends: two readings of them are a request smuggled past a proxy."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, held to RFC 9112: heads that are too long (431), too slow (408) or ambiguous (400) are refused.

    A request that arrives in one piece costs an addition and a few comparisons, and no timer.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pending = 0
        """Bytes since the parser last came to the end of a head or to a part of a body."""
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        """When the last answer was complete."""
        self._refused = False
        self._in_known_head = False
        self._is_in_head = False
        self._half_closed = False
        self._hosts = 0
        self._codings = b""
        self._raw_root = self.root_path.encode("ascii")
        self._readiness: Readiness | None = self.app_state.get(READINESS_KEY)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first byte."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(FIRST_BYTE_TIMEOUT, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

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
        self._parse(data)
        self._time_head()

    def _time_head(self) -> None:
        """Begin or end the time for a head, unless its connection was refused: then there is one for the rest."""
        if self._refused:
            return
        if self._pending == 0:
            if self._timer is not None:
                self._stop_timer()
        elif self._pending > MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT, self._on_slow_head)

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay_with_http(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self.send_400_response(str(error))

    def _stay_with_http(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 with a request that offered another protocol, as RFC 9110, section 7.8, has it.

        The parser takes what follows such a head for the other protocol, so that a body would be lost: Java's client
        offers HTTP/2 with the first request of each connection. A parser of its own reads the body, by the head's framing.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        framing = [
            name + b":" + value
            for name, value in self.cycle.scope["headers"]
            if name in {b"content-length", b"transfer-encoding"}
        ]
        if framing:
            self._in_known_head = True
            self.cycle.more_body = True
            self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", b"host:x", *framing, b"", b""]))
        if rest:
            self._parse(rest)

    def _should_upgrade(self) -> bool:
        return False

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection for the answer when a client has sent its request and shut down its sending side.

        A body that is cut off, and an answer without an end, have nobody to be finished for.
        """
        # TLS has no half-closed connections, so its transports cannot be kept open.
        if not self._is_answering or self.cycle.more_body or ENDLESS_KEY in self.cycle.scope:
            return None
        if not self.transport.can_write_eof() or self._refused:
            return None
        self._half_closed = True
        return True

    def on_response_complete(self) -> None:
        """Go on to the next request, or close a connection on which none can come."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self._idle_since = _clock.monotonic()
            # One timer for a connection: to set another for each answer costs more than to look again now and then.
            if self.timeout_keep_alive_task is None:
                self._look_after(self.timeout_keep_alive)
        if self._half_closed and not self._is_answering:
            self.transport.close()

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler, context=_NOBODYS
        )

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing has come for long enough since the last answer."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or self._is_answering or self._refused:
            # The end of that answer begins the time anew; a refusal has a time of its own.
            return
        left = self._idle_since + self.timeout_keep_alive - _clock.monotonic()
        if left > 0 or self._pending:
            # What came in part, of a head or of a body that was answered before it, has its own time, too.
            self._look_after(left if left > 0 else self.timeout_keep_alive)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Forget what the last head said about its framing."""
        if self._in_known_head:
            return
        super().on_message_begin()
        self._hosts = 0
        self._codings = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field, and note those that say where the request goes and where it ends."""
        if self._in_known_head:
            return
        name = name.lower()
        if name in _FRAMING:
            if name == b"host":
                self._hosts += 1
            elif name == b"transfer-encoding":
                self._codings += b"," + value
            elif value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is ambiguous, or came whole and was too long all the same."""
        if self._in_known_head:
            self._in_known_head = False
            return
        if self._pending > MAX_HEAD_BYTES:
            # The last piece may be the beginning of the body for the most part: here the head is counted alone.
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                message = "the head is too long"
                raise ValueError(message)  # the parser stops, and `send_400_response` is called
        self._pending = 0
        version = self.parser.get_http_version()
        is_old = version == "1.0"
        if self._hosts != 1 and not (is_old and self._hosts == 0):
            message = "a request names one host"
            raise ValueError(message)
        # The only coding there is. Another one before it, `identity` too, is read differently by different proxies.
        if self._codings and self._codings.strip(b", \t").lower() != b"chunked":
            message = "the only transfer coding is chunked"
            raise ValueError(message)
        if is_old:
            # Such a client would take it for the answer (RFC 9110, section 10.1.1).
            self.expect_100_continue = False
        self._is_in_head = True
        self._begin(version)
        self._is_in_head = False
        # uvicorn's list is the scope's own, and the parser reports the fields of a trailer as it does those of a head:
        # credentials and lengths in them would count, unseen by every proxy on the way.
        self.headers = []

    def _begin(self, version: str) -> None:
        """Begin a request, or let it wait for those before it, as uvicorn does, but with a cycle of our own."""
        scope: Any = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self._raw_root + url.path
        scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = Cycle(  # by position: named, arguments cost a class three times as much
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            version != "1.0" and self.parser.should_keep_alive(),
            self.on_response_complete,
        )
        # Before the first request there is no cycle, whatever its annotation says.
        if before is None or before.response_complete:  # type: ignore[redundant-expr]
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: Any = cycle.scope
        scope[ARRIVED_KEY] = _clock.monotonic()
        draining = self._readiness is not None and self._readiness.draining
        if draining:
            # The client comes back on a new connection, to a process that stays. One that was kept would be closed under
            # the next request.
            cycle.keep_alive = False
        door: Door | None = self.app_state.get(DOOR_KEY)
        if door is not None and not door.admits(cycle):
            # At once, and without a task: a refusal has to cost as little as it can. Not from within the end of another
            # answer, where hundreds that came in one piece would lie on the stack, and not to who takes no answers.
            if self._is_in_head and not self.flow.write_paused:
                answer = door.refusal(scope, self.server_state.default_headers, stays=cycle.keep_alive)
                if answer is not None:
                    self._answer_whole(cycle, answer)
                    return
            app = door.refusing
        started: Any = app
        if cycle.scope["http_version"] == "1.0":
            started = in_http_1_0(cycle, app, may_stay=not draining)
        super()._start_asgi_task(cycle, started)

    def _answer_whole(self, cycle: RequestResponseCycle, answer: bytes) -> None:
        cycle.response_started = cycle.response_complete = True
        self.transport.write(answer)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_chunk_header(self) -> None:
        """Count anew: what follows is a chunk of a body, or the trailer fields."""
        self._pending = 0

    def on_body(self, body: bytes) -> None:
        """Count anew, and hand on the part of a body, which uvicorn would copy twice on its way."""
        self._pending = 0
        cycle: Any = self.cycle
        if cycle.response_complete:
            # It was answered before it came: whoever sends it is not idle.
            self._idle_since = _clock.monotonic()
            return
        cycle.take_in(body)
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

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
            if self.cycle.response_started or self.pipeline:
                # That answer is perhaps half written; another one after that would be taken for a part of it.
                self.transport.close()
                return
            # The body was broken before the application said anything, and this is the answer: it has nobody to tell.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        request_id = _clock.token(12)
        answer = refusal({REQUEST_ID_KEY: request_id}, status)
        _log.info("a connection was closed for what was sent", status=status, request_id=request_id)
        head = [*self.server_state.default_headers, *answer.raw_headers]
        head += ((b"x-request-id", request_id.encode()), (b"connection", b"close"))
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
