"""The layer that tells a tracing system of each request; it is there only where spans are sent."""

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradepost.core.observability import trace_context
from tradepost.core.observability.metrics import UNMATCHED
from tradepost.core.observability.spans import Tracing
from tradepost.web.asgi_scope import (
    ARRIVED_KEY,
    ERROR_CODE_KEY,
    OUTCOME_KEY,
    REQUEST_ID_KEY,
    SPAN_KEY,
    TEMPLATE_KEY,
)

_NAME: Final = b"traceparent"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"})
"""The methods that a span names; others are what somebody made up."""


class Traces:
    """Begins a span for each request, of the trace that its header names or of a new one.

    The layers within are shown a header that names this span: what they do is because of it, be it logged, put into a message
    or sent to somebody. It knows no more of a request than the log does: its route, never its path.
    """

    def __init__(self, app: ASGIApp, *, tracing: Tracing, monotonic: Callable[[], float]) -> None:
        self.app = app
        self._tracing = tracing
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        named = dict(scope["headers"]).get(_NAME)
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        cause = None if named is None else trace_context.read(named)
        now = self._monotonic()
        span = self._tracing.begin(method, kind="server", cause=cause, ago=now - scope.get(ARRIVED_KEY, now))
        others = [field for field in scope["headers"] if field[0] != _NAME]
        scope["headers"] = [*others, (_NAME, span.context.encode())]
        if not span.is_recorded:
            await self.app(scope, receive, send)
            return
        scope[SPAN_KEY] = span
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            template = scope.get(TEMPLATE_KEY) or UNMATCHED
            outcome = scope.get(OUTCOME_KEY)
            is_fault = status >= 500 and outcome is None  # noqa: PLR2004
            span.end(
                name=f"{method} {template}",
                facts={
                    "http.request.method": method,
                    "http.route": template,
                    # None went out when the client was gone before.
                    **({"http.response.status_code": status} if status else {}),
                    "tradepost.request_id": scope.get(REQUEST_ID_KEY, ""),
                },
                failure=scope.get(ERROR_CODE_KEY, str(status)) if is_fault else None,
            )
