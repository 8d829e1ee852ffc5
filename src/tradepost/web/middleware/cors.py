"""The layer for scripts of other origins (CORS, the Fetch standard)."""

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from tradepost.web.asgi_scope import REQUEST_HEADERS_KEY, add_header
from tradepost.web.problems.rendering import refusal

EXPOSED_HEADERS: Final = (
    "X-Request-ID",
    "X-Process-Time",
    "X-Total-Count",
    "Link",
    "ETag",
    "Idempotency-Replayed",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
)
"""Headers of an answer that scripts of other origins may read."""

_METHODS: Final = ("GET", "HEAD", "QUERY", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Cors(CORSMiddleware):
    """Lets scripts of the configured origins read answers (the Fetch standard); a refused preflight is a problem.

    Unlike its base it wraps no ``send``: the answer's headers are known as soon as the request is.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        super().__init__(
            app,
            allow_origins=list(origins),
            allow_methods=_METHODS,
            # Generated clients, tracing and browsers' own extensions add headers that no list knows.
            allow_headers=["*"],
            allow_credentials=True,
            expose_headers=EXPOSED_HEADERS,
        )
        self._exposed = ", ".join(EXPOSED_HEADERS).encode("ascii")

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = scope.get(REQUEST_HEADERS_KEY) or dict(scope["headers"])
        origin = sent.get(b"origin")
        if origin is not None and scope["method"] == "OPTIONS" and b"access-control-request-method" in sent:
            await self._answer_preflight(scope, receive, send)
            return
        # Caches must keep the answers for different origins apart, the ones without an origin too.
        add_header(scope, b"vary", b"Origin")
        if origin is not None and self.is_allowed_origin(origin.decode("latin-1")):
            add_header(scope, b"access-control-allow-origin", origin)
            add_header(scope, b"access-control-allow-credentials", b"true")
            add_header(scope, b"access-control-expose-headers", self._exposed)
        await self.app(scope, receive, send)

    async def _answer_preflight(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self.preflight_response(Headers(scope=scope))
        if response.status_code != 200:  # noqa: PLR2004
            headers = {
                name: value
                for name, value in response.headers.items()
                if not name.startswith(("content-", "access-"))
            }
            response = refusal(scope, response.status_code, bytes(response.body).decode(), headers)
        await response(scope, receive, send)
