"""The layer of the limit that all routes share: ``RATE_LIMIT_DEFAULT``, for each person, API key or address.

It stands around the routes and within the preflights, and counts every request to the API, whatever answers it: a path that
is not there costs us as much as one that is.
"""

from collections.abc import Awaitable
from contextlib import nullcontext
from typing import Final

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from tradepost.core.observability.server_timing import timing
from tradepost.core.rate_limiter import RateLimiter
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.web.asgi_scope import REQUEST_HEADERS_KEY
from tradepost.web.askers import Askers
from tradepost.web.problems.handlers import ErrorAnswers
from tradepost.web.rate_limits import API_KEY_HEADER, enforce, quota_of

_BEARER: Final = b"authorization"


class RateLimits:
    """Counts the requests to the API and refuses with 429 what is past the rate; probes, metrics and pages are not counted.

    Credentials that do not hold are a stranger's. Without a rate for all, only API keys with one of their own are counted.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, answers: ErrorAnswers) -> None:
        self.app = app
        self._settings = settings
        self._prefix = f"{settings.API_V1_STR}/"
        self._counts_all = settings.RATE_LIMIT_DEFAULT is not None
        self._answers = answers

    # No coroutine of its own: all requests pass here, and are not counted without a rate for all.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and (self._counts_all or API_KEY_HEADER in scope[REQUEST_HEADERS_KEY]):
            return self._counted(scope, receive, send)
        return self.app(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if get_route_path(scope).startswith(self._prefix):
            sent = scope[REQUEST_HEADERS_KEY]
            asked = timing.get()
            try:
                with nullcontext() if asked is None else asked.in_phase("limits"):
                    await self._count(scope, is_stranger=API_KEY_HEADER not in sent and _BEARER not in sent)
            except Exception as error:  # noqa: BLE001 - every exception has its answer
                await self._answers(scope, error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _count(self, scope: Scope, *, is_stranger: bool) -> None:
        resources: Resources = scope["state"]["resources"]
        asker = None if is_stranger else await resources[Askers].find(scope)
        quota = quota_of(scope, asker, self._settings)
        if quota is not None:
            await enforce(scope, resources[RateLimiter], quota.name, quota.key, quota.rate)
