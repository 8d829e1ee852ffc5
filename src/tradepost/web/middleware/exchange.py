"""The outermost layer: id, time, security headers, log line and metrics of every request, whatever answered it."""

import itertools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Token
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradepost.core.clock import Clock
from tradepost.core.observability import logging, trace_context
from tradepost.core.observability.access_log import AccessLog
from tradepost.core.observability.metrics import UNMATCHED, Metrics
from tradepost.core.observability.server_timing import Timing, timing
from tradepost.core.observability.spans import Span
from tradepost.core.observability.trace_context import traceparent
from tradepost.web.asgi_scope import (
    ANSWER_HEADERS_KEY,
    API_KEY_KEY,
    ARRIVED_KEY,
    ENDLESS_KEY,
    ERROR_CODE_KEY,
    LIMIT_KEY,
    OUTCOME_KEY,
    REQUEST_HEADERS_KEY,
    REQUEST_ID_KEY,
    SANE_ID,
    SPAN_KEY,
    TEMPLATE_KEY,
    USER_ID_KEY,
)
from tradepost.web.problems.rendering import failure

ANSWER_KEY: Final = "tradepost.answer"
"""Where the ASGI scope has the ``Answer`` of a request."""
CLIENT_CLOSED_REQUEST: Final = 499
"""The status in log and metrics of a request whose client went away before the answer began (nginx's number)."""

SAMPLED: Final = 64
"""Every so many-th request is timed for the metrics, asked for or not."""

_TIMING: Final = re.compile(rb"(?:^|,)\s*timing\s*(?:;|,|$)")
"""The preference ``timing`` among others (RFC 7240)."""
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
_API_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'"
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
# Who may keep an answer. Where nothing is said, browsers and caches guess how long it is good.
_PRIVATE: Final = b"private, no-store"
"""To credentials. Not even to be asked about later: the next person may use the same browser."""
_UNKEPT: Final = b"no-store"
"""To what changes something, and an error."""
_ASKED_ABOUT: Final = b"no-cache"
_VARY: Final = (b"vary", b"Authorization, X-API-Key")
_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def fields_of_all(*, secure_transport: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields that every answer has, whatever it is."""
    return (*_ALWAYS, _TRANSPORT) if secure_transport else _ALWAYS


def fields_of_refusals(*, secure_transport: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields of an answer that is made before any layer sees the request, but for its id."""
    return (
        *fields_of_all(secure_transport=secure_transport),
        (b"x-process-time", b"0.000000"),
        (b"content-security-policy", _API_POLICY),
        (b"cache-control", b"no-store"),
        _VARY,
    )


class Answer:
    """A request's ``send``: it adds the headers that every answer has, and remembers whether the answer has begun."""

    __slots__ = ("began", "caching", "layer", "request_id", "sampled", "scope", "send", "status", "timing")

    def __init__(  # noqa: PLR0917 - by position, they cost half
        self,
        layer: "Exchange",
        scope: Scope,
        send: Send,
        request_id: bytes,
        caching: bytes,
        timing: Timing | None,
        sampled: Timing | None,
    ) -> None:
        self.layer = layer
        self.scope = scope
        self.send = send
        self.request_id = request_id
        self.caching = caching
        self.timing = timing
        self.sampled = sampled
        self.status = 0
        # Before this task had its turn: with many requests at once, most of the waiting is for that.
        self.began: float = scope[ARRIVED_KEY]

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._headers(message.get("headers", ()))
        return self.send(message) if self.sampled is None else self._send_timed(message, self.sampled)

    async def _send_timed(self, message: Message, sampled: Timing) -> None:
        with sampled.in_phase("write"):
            await self.send(message)

    def _headers(self, given: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        elapsed = self.layer.monotonic() - self.began
        names = {name for name, _ in given}
        headers = [
            *given,
            *self.layer.headers,
            (b"x-request-id", self.request_id),
            (b"x-process-time", b"%.6f" % elapsed),
        ]
        if b"content-security-policy" not in names:
            headers.append((b"content-security-policy", _API_POLICY))
        if b"cache-control" not in names:
            failed = self.status >= 400  # noqa: PLR2004
            caching = _UNKEPT if failed and self.caching is _ASKED_ABOUT else self.caching
            headers += ((b"cache-control", caching), _VARY)
        scope = self.scope
        if ANSWER_HEADERS_KEY in scope:
            headers += scope[ANSWER_HEADERS_KEY]
        if self.timing is not None:
            headers.append((b"server-timing", self.timing.header(elapsed)))
        return headers


class Exchange:
    """Gives each request its id, each answer its headers, and both a log line and a place in the metrics.

    ``X-Request-ID`` is taken from the client when it is 1 to 128 letters, digits, ``.``, ``_`` and ``-``, else made.
    A request with the header ``Server-Timing`` (any value but ``0``) or ``Prefer: timing`` is told where its time went.
    Without a ``Cache-Control`` of its own, every answer to credentials is ``private, no-store``; of the others an error or
    the answer to a method that changes something is ``no-store``, the rest ``no-cache``: to be kept, and asked about each time.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        clock: Clock,
        metrics: Metrics,
        access_line: AccessLog | None,
        secure_transport: bool,
    ) -> None:
        self.app = app
        self.monotonic = clock.monotonic
        self._clock = clock
        self.headers = fields_of_all(secure_transport=secure_transport)
        self._metrics = metrics
        self._access_line = access_line
        # Unique, not secret: chance for the process, a number for the request.
        self._prefix = clock.token(9)
        self._count = itertools.count(1)
        self._arrivals = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = dict(scope["headers"])
        raw_id = sent.get(b"x-request-id")
        if raw_id is not None and SANE_ID.fullmatch(raw_id):
            request_id = raw_id.decode("ascii")
        else:
            request_id = f"{self._prefix}-{next(self._count):08x}"
            raw_id = request_id.encode("ascii")
        scope[REQUEST_HEADERS_KEY] = sent
        scope[REQUEST_ID_KEY] = request_id
        token = logging.request_id.set(request_id)
        method = scope["method"]
        is_safe = method in _SAFE_METHODS
        caching = _ASKED_ABOUT if is_safe else _UNKEPT
        if b"authorization" in sent or b"x-api-key" in sent:
            caching = _PRIVATE
        # A server of another kind does not say it.
        arrived = scope.setdefault(ARRIVED_KEY, self.monotonic())
        is_sampled = next(self._arrivals) % SAMPLED == 0
        asks = _asks_for_times(sent)
        span: Span | None = scope.get(SPAN_KEY)
        is_timed = asks or is_sampled or span is not None
        timed, untimed = _timed(self.monotonic, arrived, span) if is_timed else (None, None)
        traced = untraced = None
        if not is_safe or b"traceparent" in sent:
            traced, untraced = self._traced(sent, begins=not is_safe)
        answer = Answer(
            self, scope, send, raw_id, caching, timed if asks else None, timed if is_sampled else None
        )
        scope[ANSWER_KEY] = answer
        metrics = self._metrics
        metrics.in_progress += 1
        try:
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            pass  # the client is gone
        except Exception as error:  # noqa: BLE001  (a fault of a layer: Failures answers what is raised further in)
            response = failure(scope, error)
            if answer.status == 0:
                await response(scope, receive, answer)
        finally:
            # It holds the scope: all that is of the request would wait for the garbage collector.
            del scope[ANSWER_KEY]
            metrics.in_progress -= 1
            self._note(scope, answer, traced)
            logging.request_id.reset(token)
            if untimed is not None:
                timing.reset(untimed)
            if untraced is not None:
                traceparent.reset(untraced)

    def _traced(
        self, sent: Mapping[bytes, bytes], *, begins: bool
    ) -> "tuple[str, Token[str | None]] | tuple[None, None]":
        """Go on with the trace that a request names; begin one where none is named and something is changed."""
        context = trace_context.read(sent[b"traceparent"]) if b"traceparent" in sent else None
        if context is None and begins:
            context = trace_context.begun(self._clock)
        return (None, None) if context is None else (context, traceparent.set(context))

    def _note(self, scope: Scope, answer: Answer, traced: str | None) -> None:
        """Count a request that is over, and write its line."""
        method = scope["method"]
        seconds = self.monotonic() - answer.began
        status = answer.status or CLIENT_CLOSED_REQUEST
        template = scope.get(TEMPLATE_KEY)
        outcome = scope.get(OUTCOME_KEY)
        self._metrics.observe(method, template, outcome or status, seconds, limit=scope.get(LIMIT_KEY))
        # Of an answer without an end, most would be the client's.
        if answer.sampled is not None and ENDLESS_KEY not in scope:
            self._metrics.observe_phases(answer.sampled.phases(seconds))
        if self._access_line is not None:
            self._access_line.write(
                request_id=scope[REQUEST_ID_KEY],
                method=method if method.isalpha() else "OTHER",
                template=template or UNMATCHED,
                status=status,
                seconds=seconds,
                person=scope.get(USER_ID_KEY),
                key=scope.get(API_KEY_KEY),
                error_code=scope.get(ERROR_CODE_KEY) or outcome,
                expected=outcome is not None,
                trace=None if traced is None else trace_context.trace_id(traced),
            )


def _asks_for_times(sent: Mapping[bytes, bytes]) -> bool:
    """Tell whether a request wants to know where its time went."""
    if b"server-timing" in sent:
        return sent[b"server-timing"] != b"0"
    return b"prefer" in sent and _TIMING.search(sent[b"prefer"].lower()) is not None


def _timed(
    monotonic: Callable[[], float], arrived: float, span: Span | None
) -> "tuple[Timing, Token[Timing | None]]":
    """Begin to time a request; until now it has waited for its turn."""
    asked = Timing(monotonic, span=span)
    asked.add("wait", monotonic() - arrived)
    return asked, timing.set(asked)
