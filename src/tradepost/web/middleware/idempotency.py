"""The layer of idempotency keys: it finds out whose key it is and what it is a key of, before the request is answered.

What comes after does the work once: in the transaction of the request, in a group, or under a lease.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradepost.core.idempotency.claim import CLAIM, Claim
from tradepost.core.resources import Resources
from tradepost.web.asgi_scope import CLAIM_KEY, REQUEST_HEADERS_KEY, TEMPLATE_KEY
from tradepost.web.askers import Askers
from tradepost.web.idempotency import RAW_HEADER, REPLAYED, Form, digest_of, fingerprint_of, key_of
from tradepost.web.problems.handlers import ErrorAnswers
from tradepost.web.routing.path_table import PathTable

_REPLAYED: Final = (REPLAYED.lower().encode(), b"true")


class Idempotency:
    """Gives a POST with an ``Idempotency-Key`` its claim; what has no such header costs one look.

    ``keyless`` are the endpoints that take no key. A key of nobody, or of a credential that does not hold, is passed over: the
    route refuses such a request itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        table: PathTable,
        answers: ErrorAnswers,
        keyless: Collection[Callable[..., Any]] = (),
    ) -> None:
        self.app = app
        self._find = table.find
        self._answers = answers
        self._keyless = frozenset(keyless)

    # No coroutine of its own: all requests pass here, and few have a key.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["method"] == "POST" and RAW_HEADER in scope[REQUEST_HEADERS_KEY]:
            return self._keyed(scope, receive, send)
        return self.app(scope, receive, send)

    async def _keyed(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = get_route_path(scope)
        found = self._find(path)
        target = None if found is None else found[0].targets.get("POST")
        if found is None or target is None or target.form is None or target.endpoint in self._keyless:
            await self.app(scope, receive, send)
            return
        scope[TEMPLATE_KEY] = found[0].template
        try:
            claim = await self._claim(scope, path)
            body = b"" if claim is None else await _whole(receive)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - every exception has its answer
            await self._answers(scope, error)(scope, receive, send)
            return
        if claim is None:
            await self.app(scope, receive, send)
            return
        fingerprint = fingerprint_of(scope["query_string"], body)
        claim.fingerprint = lambda: fingerprint
        receive, send = _once_more(body, receive), _telling(claim, send)
        if target.form is Form.TRANSACTION:
            scope[CLAIM_KEY] = claim
            await self.app(scope, receive, send)
            return
        token = CLAIM.set(claim)
        try:
            await self.app(scope, receive, send)
        finally:
            CLAIM.reset(token)

    async def _claim(self, scope: Scope, path: str) -> Claim | None:
        """Return the claim of a request; None when it is nobody's."""
        asker = await _resources(scope)[Askers].find(scope)
        return None if asker is None else Claim(digest_of(asker.user_id, path, key_of(scope)), asker.user_id)


def _resources(scope: Scope) -> Resources:
    return scope["state"]["resources"]  # type: ignore[no-any-return]


async def _whole(receive: Receive) -> bytes:
    """Read a body to its end; the layers outside bound its size."""
    chunks = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _once_more(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that hands out a body that was read already."""
    unread = [body]

    async def receive_again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return receive_again


def _telling(claim: Claim, send: Send) -> Send:
    """Return a ``send`` that says of an answer that it is an earlier one."""

    async def send_marked(message: Message) -> None:
        if claim.replayed and message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), _REPLAYED]}
        await send(message)

    return send_marked
