"""The layer that bounds request bodies, and lets a client read a refusal that comes before its body has.

A socket that is closed with unread bytes in it is reset, and then what was sent may be lost on the other side. So a refusal is
sent at once, what still comes is read and dropped for a while, and then the connection is closed: a lingering close.
"""

from collections.abc import Awaitable, Mapping
from typing import Final

from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradepost.web.asgi_scope import BODY_KEY, REQUEST_HEADERS_KEY
from tradepost.web.bodies.incoming_body import IncomingBody
from tradepost.web.problems.rendering import refusal

_LONGEST_LENGTH: Final = 18
_CLOSE: Final = {"Connection": "close"}
_PLAIN: Final = frozenset({b"", b"identity"})
_TOO_LARGE: Final = "The body is too large"


class BodyLimit:
    """Refuses bodies of more than ``limit`` bytes: at once when they announce it, else as soon as they cross it.

    ``larger`` gives paths that begin in a certain way limits of their own. The connection is closed after a 413: the
    rest of the body is on its way, and is not wanted. Below those paths any refusal may come before its body, so that every
    answer there ends in a lingering close if it has to.
    """

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self._limit = limit
        self._larger = sorted((larger or {}).items(), key=lambda entry: -len(entry[0]))
        self._prefixes = tuple(larger or ())

    # No coroutine of its own: all requests pass here.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        sent = scope.get(REQUEST_HEADERS_KEY) or dict(scope["headers"])
        length = sent.get(b"content-length")
        if length is not None and not length.isdigit():
            return refusal(scope, 400, "Invalid content length", _CLOSE)(scope, receive, send)
        if b"content-encoding" in sent and sent[b"content-encoding"].strip().lower() not in _PLAIN:
            headers = {**_CLOSE, "Accept-Encoding": "identity"}
            answer = refusal(scope, 415, "The body must be sent without a content coding", headers)
            return answer(scope, receive, send)
        takes_files = get_route_path(scope).startswith(self._prefixes)
        limit = self._limit_of(scope) if takes_files else self._limit
        is_too_large = length is not None and (len(length) > _LONGEST_LENGTH or int(length) > limit)
        if is_too_large or takes_files:
            scope[BODY_KEY] = body = IncomingBody(scope, receive)
            receive, send = body.receive, lingering(body, send)
        if is_too_large:
            return refusal(scope, 413, _TOO_LARGE, _CLOSE)(scope, receive, send)
        if length is None and (b"transfer-encoding" in sent or scope["http_version"] == "2"):
            receive = _counted(receive, limit)
        return self.app(scope, receive, send)

    def _limit_of(self, scope: Scope) -> int:
        path = get_route_path(scope)
        return next((limit for prefix, limit in self._larger if path.startswith(prefix)), self._limit)


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


def lingering(body: IncomingBody, send: Send) -> Send:
    """Return a ``send`` whose answer may come before the body does: then the connection lingers, and is closed."""
    lingers = False

    async def send_and_drain(message: Message) -> None:
        nonlocal lingers
        if message["type"] == "http.response.start" and not body.complete:
            lingers = True
            headers = [field for field in message.get("headers", ()) if field[0] != b"connection"]
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        if not lingers or message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        await send({**message, "more_body": True})
        await body.drain()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_and_drain
