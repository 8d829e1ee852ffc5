"""The layer of idempotency keys: it finds out whose key it is and what it is a key of, before the request is answered.

What comes after does the work once: in the transaction of the request, in a group, or under a lease.
"""

import hashlib
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradepost.core.idempotency.claim import CLAIM, Claim, Kept, Replayed
from tradepost.core.idempotency.errors import IdempotencyKeyReused
from tradepost.core.idempotency.leases import KeyLeases
from tradepost.core.resources import Resources
from tradepost.web.asgi_scope import BODY_KEY, CLAIM_KEY, REQUEST_HEADERS_KEY, TEMPLATE_KEY
from tradepost.web.askers import Askers
from tradepost.web.bodies.fingerprints import WatchedBody
from tradepost.web.bodies.incoming_body import PATIENCE, IncomingBody
from tradepost.web.idempotency import (
    RAW_HEADER,
    REPLAYED,
    SUCCESSES,
    Form,
    digest_of,
    fingerprint_of,
    kept_headers,
    key_of,
    replay,
    without,
)
from tradepost.web.problems.handlers import ErrorAnswers
from tradepost.web.routing.path_table import PathTable, Target

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
        claim: Claim | None = None
        answer: ASGIApp | None = None
        try:
            claim = await self._claim(scope, path)
            if claim is not None:
                receive, send = await _fingerprinted(claim, scope, receive), _telling(claim, send)
                if target.form is Form.LEASE:
                    answer = await self._leased(claim, target, scope, receive)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - every exception has its answer
            answer = self._answers(scope, error)
        if answer is not None:
            await answer(scope, receive, send)
        elif claim is not None and target.form is Form.GROUP:
            await self._claimed(claim, scope, receive, send)
        else:
            if claim is not None:
                scope[CLAIM_KEY] = claim
            await self.app(scope, receive, send)

    async def _claimed(self, claim: Claim, scope: Scope, receive: Receive, send: Send) -> None:
        token = CLAIM.set(claim)
        try:
            await self.app(scope, receive, send)
        finally:
            CLAIM.reset(token)

    async def _leased(self, claim: Claim, target: Target, scope: Scope, receive: Receive) -> ASGIApp:
        """Have a request answered while its key is held, and return the answer: it is kept before it is sent."""
        leases = _resources(scope)[KeyLeases]
        answer = _Recorded()
        try:
            async with leases.held(claim):
                await self._claimed(claim, scope, receive, answer.record)
                kept = answer.kept(target.hidden)
                if kept is not None:
                    await leases.complete(claim, kept)
        except Replayed as earlier:
            if BODY_KEY in scope:
                body: IncomingBody = scope[BODY_KEY]
                async for _ in body.chunks(receive, _resources(scope).clock.monotonic, PATIENCE):
                    pass
            if claim.fingerprint() != earlier.fingerprint:
                raise IdempotencyKeyReused from None
            claim.replayed = True
            return replay(earlier.kept)
        return answer

    async def _claim(self, scope: Scope, path: str) -> Claim | None:
        """Return the claim of a request; None when it is nobody's."""
        asker = await _resources(scope)[Askers].find(scope)
        return None if asker is None else Claim(digest_of(asker.user_id, path, key_of(scope)), asker.user_id)


def _resources(scope: Scope) -> Resources:
    return scope["state"]["resources"]  # type: ignore[no-any-return]


async def _fingerprinted(claim: Claim, scope: Scope, receive: Receive) -> Receive:
    """Give a claim its fingerprint, and return a ``receive`` of the same body: read already, or watched while it comes."""
    query: bytes = scope["query_string"]
    if BODY_KEY in scope:
        watched = WatchedBody(receive, scope[REQUEST_HEADERS_KEY].get(b"content-type", b""))

        def fingerprint() -> bytes | None:
            digest = watched.digest()
            return None if digest is None else fingerprint_of(query, digest)

        claim.fingerprint = fingerprint
        return watched.receive
    body = await _whole(receive)
    known = fingerprint_of(query, hashlib.sha256(body).digest())
    claim.fingerprint = lambda: known
    return _once_more(body, receive)


class _Recorded:
    """An answer that was recorded instead of being sent."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    async def record(self, message: Message) -> None:
        self._messages.append(message)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        for message in self._messages:
            await send(message)

    def kept(self, hidden: frozenset[str]) -> Kept | None:
        """Return what is kept of it, without the fields ``hidden``; None if it is no success."""
        if not self._messages or self._messages[0]["status"] not in SUCCESSES:
            return None
        start, *rest = self._messages
        body = b"".join(message.get("body", b"") for message in rest)
        return Kept(start["status"], without(body, hidden), kept_headers(start["headers"]))


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
