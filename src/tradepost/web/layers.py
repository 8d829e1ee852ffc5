"""The layers that turn requests away before there is a route, and the order of all layers.

::

    Exchange       id, time, headers, log line, metrics         (web.middleware)
    TrustedHosts   400 for a host we do not answer for          only with ALLOWED_HOSTS
    Cors           preflights and headers for other origins     only with BACKEND_CORS_ORIGINS
    BodyLimit      413 for a body that is too large
    FastPath       the endpoints of the busiest routes          (web.paths)
    FastAPI's own
    Failures       500 for what nobody foresaw                  (web.middleware)
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from tradepost.core.clock import Clock
from tradepost.core.observability.access_log import AccessLog
from tradepost.core.observability.metrics import Metrics
from tradepost.core.settings.settings import Environment, Settings
from tradepost.web import paths, problems
from tradepost.web.middleware import SENT_KEY, Exchange, Failures, add_header
from tradepost.web.parting import BODY_KEY, IncomingBody, parting

PROBES: Final = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""What orchestrators call by address, whatever the host."""

EXPOSED_HEADERS: Final = (
    "X-Request-ID",
    "X-Process-Time",
    "X-Total-Count",
    "Link",
    "ETag",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
)
"""What scripts of other origins may read of an answer."""

ACCEPTED_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Range",
    "Server-Timing",
    "X-API-Key",
    "X-Request-ID",
)
"""What scripts of other origins may send."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)\.?(:\d{0,5})?")
_MOST_HOSTS: Final = 1024
_LONGEST_LENGTH: Final = 18


class TrustedHosts:
    """Answers only for the hosts of ``allowed``: names, ``*.example.com`` for all below it, ``*`` for any.

    Ports do not count. More than one ``Host``, none, or one that cannot be read is refused like a stranger's.
    """

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self.app = app
        names = [name.lower() for name in allowed]
        self._any = "*" in names
        self._names = {name for name in names if not name.startswith("*")}
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        self._known: dict[bytes, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and self._trusts(hosts[0]):
            await self.app(scope, receive, send)
            return
        response = problems.refusal(scope, 400, "Invalid host header")
        await response(scope, receive, send)

    def _trusts(self, host: bytes) -> bool:
        verdict = self._known.get(host)
        if verdict is None:
            verdict = self._judge(host.decode("latin-1").lower())
            if len(self._known) < _MOST_HOSTS:
                self._known[host] = verdict
        return verdict

    def _judge(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1]
        return self._any or name in self._names or name.endswith(self._suffixes)


class Cors(CORSMiddleware):
    """Lets scripts of the configured origins read answers (the Fetch standard); a refused preflight is a problem.

    Unlike its base it wraps no ``send``: the answer's headers are known as soon as the request is.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        super().__init__(
            app,
            allow_origins=list(origins),
            allow_methods=_METHODS,
            allow_headers=ACCEPTED_HEADERS,
            allow_credentials=True,
            expose_headers=EXPOSED_HEADERS,
        )
        self._exposed = ", ".join(EXPOSED_HEADERS).encode("ascii")

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = scope.get(SENT_KEY) or dict(scope["headers"])
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
            response = problems.refusal(scope, response.status_code, bytes(response.body).decode(), headers)
        await response(scope, receive, send)


class BodyLimit:
    """Refuses bodies of more than ``limit`` bytes: at once when they announce it, else as soon as they cross it.

    ``larger`` gives paths that begin in a certain way limits of their own. The connection is closed after a 413: the
    rest of the body is on its way, and nobody wants to read it. Below those paths every refusal may come before its body,
    and is answered so that the client can read it (``web.parting``).
    """

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self._limit = limit
        self._larger = sorted((larger or {}).items(), key=lambda entry: -len(entry[0]))
        self._prefixes = tuple(larger or ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = scope.get(SENT_KEY) or dict(scope["headers"])
        length = sent.get(b"content-length")
        if length is not None and not length.isdigit():
            await problems.refusal(scope, 400, "Invalid content length", _CLOSE)(scope, receive, send)
            return
        takes_files = scope["path"].startswith(self._prefixes)
        limit = self._limit_of(scope) if takes_files else self._limit
        is_too_large = length is not None and (len(length) > _LONGEST_LENGTH or int(length) > limit)
        if is_too_large or takes_files:
            scope[BODY_KEY] = body = IncomingBody(scope, receive)
            receive, send = body.receive, parting(body, send)
        if is_too_large:
            await problems.refusal(scope, 413, _TOO_LARGE, _CLOSE)(scope, receive, send)
            return
        if length is None and (b"transfer-encoding" in sent or scope["http_version"] == "2"):
            receive = _counted(receive, limit)
        await self.app(scope, receive, send)

    def _limit_of(self, scope: Scope) -> int:
        path = scope["path"]
        return next((limit for prefix, limit in self._larger if path.startswith(prefix)), self._limit)


_CLOSE: Final = {"Connection": "close"}
_TOO_LARGE: Final = "The body is too large"


def _counted(receive: Receive, limit: int) -> Receive:
    """Return a ``receive`` that fails once more than ``limit`` bytes have come."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise HTTPException(413, _TOO_LARGE, _CLOSE)
        return message

    return counted


def install(
    app: FastAPI,
    *,
    settings: Settings,
    clock: Clock,
    metrics: Metrics,
    answers: problems.ErrorAnswers,
    access_line: AccessLog | None = None,
    larger_bodies: Mapping[str, int] | None = None,
) -> None:
    """Put the table of paths and all layers around the application; ``larger_bodies`` gives the limit of paths that
    take files, by prefix.

    Call this last: what is added to the application later is not within the layers.
    """
    table = paths.install(app)
    app.add_middleware(Failures)
    # Around FastAPI's own layers, not within them as `add_middleware` has it: those are for what takes the ordinary path.
    layered: ASGIApp = paths.FastPath(app.build_middleware_stack(), table=table, answers=answers)
    layered = BodyLimit(layered, settings.MAX_BODY_BYTES, larger_bodies)
    if settings.BACKEND_CORS_ORIGINS:
        layered = Cors(layered, settings.BACKEND_CORS_ORIGINS)
    if "*" not in settings.ALLOWED_HOSTS:
        layered = TrustedHosts(layered, settings.ALLOWED_HOSTS)
    app.middleware_stack = Exchange(
        layered,
        clock=clock,
        metrics=metrics,
        access_line=access_line,
        secure_transport=settings.ENVIRONMENT is not Environment.LOCAL,
    )
