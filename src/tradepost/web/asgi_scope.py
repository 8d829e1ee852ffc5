"""The ASGI scope of a request: the keys under which ``web`` keeps what it knows of it, and dependencies that read it.

The scope is the one thing that the server, every layer, FastAPI and the endpoint share. Through it the layer that logs and
counts learns which route answered and which user asked, whichever of them gave the answer.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from starlette.requests import Request
from starlette.types import Scope

T = TypeVar("T")

ARRIVED_KEY: Final = "tradepost.arrived"
"""When the request's turn came, in seconds of ``Clock.monotonic``: its head was there, and what came before it on the same
connection was answered."""
REQUEST_ID_KEY: Final = "tradepost.request_id"
"""The request's id."""
REQUEST_HEADERS_KEY: Final = "tradepost.request_headers"
"""The request's headers by name; of a repeated one the last."""
ANSWER_HEADERS_KEY: Final = "tradepost.answer_headers"
"""Raw headers that the answer gets, be it a success or an error; see ``add_header``."""
BODY_KEY: Final = "tradepost.body"
"""The ``IncomingBody`` of a request that may be answered before its body has come."""
TEMPLATE_KEY: Final = "tradepost.template"
"""The path of the route that answers, with its parameters' names, as in the OpenAPI."""
USER_ID_KEY: Final = "tradepost.user_id"
"""The id of the user whose credentials the request showed."""
API_KEY_KEY: Final = "tradepost.api_key"
"""The ``ApiKeyTerms`` of the key that the request showed."""
IDENTITY_KEY: Final = "tradepost.identity"
"""What the credentials of the request stand for, None for a stranger's, or the error that refuses them: found out once."""
LIMIT_KEY: Final = "tradepost.limit"
"""The name of the rate limit that refused the request."""
ERROR_CODE_KEY: Final = "tradepost.error_code"
"""The code of the problem that was answered."""
OUTCOME_KEY: Final = "tradepost.outcome"
"""A word for the log and the metrics in place of a status that would count as a fault and is none."""
CLAIM_KEY: Final = "tradepost.claim"
"""The ``Claim`` of a request with an idempotency key whose work is one transaction."""
SPAN_KEY: Final = "tradepost.span"
"""The ``Span`` of a request that is recorded."""
CYCLE_KEY: Final = "tradepost.cycle"
"""The server's own record of the request, with its connection; there only where faults are made on purpose."""
ENDLESS_KEY: Final = "tradepost.endless"
"""Is there when the answer goes on until the client leaves, so that the server need not wait for its end."""

SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
"""A request's id that is taken from the client."""

TOKEN_ENDPOINT_KEY: Final = "tradepost.token_endpoint"  # noqa: S105 - a key of the scope
"""Is there when a token endpoint answers: its errors bear OAuth 2's names as well."""


def add_header(scope: Scope, name: bytes, value: bytes) -> None:
    """Give the answer of this request a header, be it a success or an error; ``name`` is in lower case."""
    scope.setdefault(ANSWER_HEADERS_KEY, []).append((name, value))


class FromScope(Generic[T]):
    """A dependency that needs nothing of a request but its ASGI scope, and awaits nothing.

    FastAPI calls it with the request; the fast path calls ``read``, and need not make a request at all.
    """

    def __init__(self, read: Callable[[Scope], T]) -> None:
        self.read = read

    async def __call__(self, request: Request) -> T:
        return self.read(request.scope)


class FoundByScope(Generic[T]):
    """A dependency that needs nothing of a request but its ASGI scope, and awaits what that leads to."""

    def __init__(self, find: Callable[[Scope], Awaitable[T]]) -> None:
        self.find = find

    async def __call__(self, request: Request) -> T:
        return await self.find(request.scope)
