"""The layer of deadlines: a request whose time is up is answered, and whatever it waits for ends.

The answer goes out at that moment, beside the task, which may yet have to roll back, or to see the end of a commit.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from tradepost.core.deadlines import Deadline, DeadlineExceeded, NotBegun, Stage, deadline
from tradepost.core.errors import MalformedHeader
from tradepost.core.finishing import finished
from tradepost.web.asgi_scope import ARRIVED_KEY, ERROR_CODE_KEY, REQUEST_HEADERS_KEY
from tradepost.web.problems.rendering import problem

RAW_HEADER: Final = b"request-timeout"
PROGRESS: Final = 30.0
"""Seconds that long work (a body that is stored as it comes, an answer that is made as it goes) may stand still."""
REMINDER: Final = 5.0
"""Seconds after which a task that goes on is told once more that its time is up."""
_SECONDS: Final = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?")
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
_TURNS: Final = 3
"""Turns of the loop in which a task hears of its end and says whether it had begun."""


class Deadlines:
    """Gives each request its deadline: ``seconds`` after its head was there, or earlier as ``Request-Timeout`` has it.

    Most have the same time, and end long before it is up: they stand in a queue, for whose first there is a timer.
    """

    def __init__(self, app: ASGIApp, *, seconds: float, monotonic: Callable[[], float]) -> None:
        self.app = app
        self._seconds = seconds
        self.monotonic = monotonic
        self._queue: dict[_Request, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seconds = self._seconds
        sent = scope[REQUEST_HEADERS_KEY]
        if RAW_HEADER in sent:
            asked = _seconds_of(sent[RAW_HEADER])
            if asked is None:
                detail = "Request-Timeout is a number of seconds above 0, such as 2.5"
                await problem(scope, MalformedHeader(detail))(scope, receive, send)
                return
            seconds = min(seconds, asked)
        request = _Request(self, scope, send, scope[ARRIVED_KEY] + seconds)
        if seconds == self._seconds:
            self._queue[request] = None
            if self._timer is None:
                self._watch(request)
        else:
            request.watch()
        token = deadline.set(request)
        try:
            await self.app(scope, receive, request.send)
        except asyncio.CancelledError:
            if not request.take_back():
                raise
        finally:
            deadline.reset(token)
            self.forget(request)
            if request.is_over:
                await request.settled()

    def forget(self, request: "_Request") -> None:
        """Take a request that is answered, or has a timer of its own, out of the queue."""
        self._queue.pop(request, None)
        request.unwatch()

    def _watch(self, first: "_Request") -> None:
        left = max(0.0, first.at - self.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self.monotonic()
        while self._queue:
            first = next(iter(self._queue))
            if first.at > now:
                self._watch(first)
                return
            del self._queue[first]
            first.on_time()


class _Request(Deadline):
    """The deadline of one request, and its ``send``, which drops what comes after the answer to that deadline."""

    __slots__ = ("_answer", "_answering", "_layer", "_long", "_scope", "_send", "_timer", "at")

    def __init__(self, layer: Deadlines, scope: Scope, send: Send, end: float) -> None:
        super().__init__(asyncio.current_task())
        self.at = end
        self._layer = layer
        self._scope = scope
        self._send = send
        self._long = False
        self._answering = False
        self._answer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message, unless the request has been answered without it."""
        if self._answer is not None:
            return _dropped()
        if message["type"] == "http.response.start":
            self._answering = True
        elif message.get("more_body", False):
            self.progressed()
        return self._send(message)

    @override
    def progressed(self) -> None:
        self.at = self._layer.monotonic() + PROGRESS
        if not self._long:
            self._long = True
            self._layer.forget(self)
            self.watch()

    def watch(self) -> None:
        """Have a timer of one's own."""
        left = max(0.0, self.at - self._layer.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left, self.on_time)

    def unwatch(self) -> None:
        """Stop it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_time(self) -> None:
        """End the request, unless it has made progress meanwhile."""
        if self.at > self._layer.monotonic():
            self.watch()
            return
        if self._answering and not self._long:
            # The answer is on its way: what a client does not take is the business of ``web.protocol``.
            self.progressed()
            return
        self.end()
        self.at = self._layer.monotonic() + REMINDER
        self.watch()
        if self._answer is None and not self._answering:
            self._answer = asyncio.create_task(self._give_answer(), name="answer to a deadline")

    async def settled(self) -> None:
        """Wait until the answer has been sent, and the task has heard of its last cancellation."""
        if self._answer is not None:
            await finished(self._answer)
        if self._cancellations:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            while self.take_back():
                pass

    async def _give_answer(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        # What only reads has begun with that; what changes something has changed nothing yet.
        begun = Stage.READING if self._scope["method"] in _SAFE_METHODS else Stage.WRITING
        error = NotBegun() if self.stage < begun else DeadlineExceeded()
        sent = self._scope[REQUEST_HEADERS_KEY]
        if b"transfer-encoding" in sent or sent.get(b"content-length", b"0") != b"0":
            # The rest of its body may never come.
            error.headers["Connection"] = "close"
        answer = problem(self._scope, error)
        with suppress(OSError):
            await answer(self._scope, _nothing, self._send)
        self._scope[ERROR_CODE_KEY] = error.code


async def _dropped() -> None:
    pass


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _seconds_of(value: bytes) -> float | None:
    """Return the seconds that a ``Request-Timeout`` names; None when it is malformed."""
    seconds = float(value) if _SECONDS.fullmatch(value.strip()) else 0.0
    return seconds or None
