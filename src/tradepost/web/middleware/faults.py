"""The layer that does to requests what they, or an admin, ask for: faults on purpose, with ``FAULTS_ENABLED`` alone."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradepost.core.observability.server_timing import Timing, timing
from tradepost.web.asgi_scope import CYCLE_KEY
from tradepost.web.problems.handlers import ErrorAnswers
from tradepost.web.problems.rendering import refusal
from tradepost.web.strikes import Blow, Strike, Strikes

DETAIL: Final = "A fault that was made on purpose"
PIECES: Final = 10
"""Parts that a slow body comes in."""
RETRIED: Final = frozenset({429, 503})
"""Statuses that come with ``Retry-After``."""


class Faults:
    """Strikes requests within the layers that log and count them, and outside those whose work a client sees."""

    def __init__(self, app: ASGIApp, *, answers: ErrorAnswers, monotonic: Callable[[], float]) -> None:
        self.app = app
        self._answers = answers
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        strikes: Strikes = scope["state"]["resources"][Strikes]
        try:
            due = await strikes.due(scope)
        except Exception as error:  # noqa: BLE001 - every exception has its answer
            await self._answers(scope, error)(scope, receive, send)
            return
        for strike in due:
            if strike.kind is Blow.DELAY:
                await asyncio.sleep(strike.amount)
                strike.done(f"{strike.amount * 1000:.0f}ms")
            elif strike.kind is Blow.STATUS:
                status = int(strike.amount)
                strike.done(str(status))
                headers = {"Retry-After": "1"} if status in RETRIED else None
                await refusal(scope, status, DETAIL, headers)(scope, receive, send)
                return
            elif strike.kind is Blow.DROP:
                strike.done("")
                await _cut(scope, at_once=True)
                return
            elif strike.kind is Blow.TRUNCATE:
                send = _truncated(scope, send, strike)
            elif strike.kind is Blow.SLOW_BODY:
                send = _slow(send, strike)
        slow = next((strike for strike in due if strike.kind is Blow.SLOW_DB), None)
        if slow is None:
            await self.app(scope, receive, send)
        else:
            await self._with_slow_database(slow, scope, receive, send)

    async def _with_slow_database(self, strike: Strike, scope: Scope, receive: Receive, send: Send) -> None:
        """Have each statement of the request, and each read that it shares, take longer."""
        number = 0

        def slowed() -> float:
            nonlocal number
            number += 1
            return strike.amount

        asked = timing.get()
        was = None
        if asked is None:
            was = timing.set(Timing(self._monotonic, slowed))
        else:
            asked.slowed = slowed
        try:
            await self.app(scope, receive, send)
        finally:
            if was is not None:
                timing.reset(was)
            if number:
                strike.done(f"{number} x {strike.amount * 1000:.0f}ms")


async def _cut(scope: Scope, *, at_once: bool) -> None:
    """End the connection of a request: with what was written so far, or ``at_once``.

    Where the server does not show its connections (``tradepost serve`` does), the request fails instead, and the server's own
    way of ending an answer that was begun is to close.
    """
    cycle: Any = scope.get(CYCLE_KEY)
    if cycle is None:
        raise ConnectionAbortedError("the connection is to be cut, and this server shows none")
    if at_once:
        cycle.transport.abort()
    else:
        cycle.transport.close()
    # The server hears of it a turn of the loop later, and would answer 500 until then.
    cycle.disconnected = True
    cycle.message_event.set()


def _truncated(scope: Scope, send: Send, strike: Strike) -> Send:
    """Return a ``send`` that lets so many bytes of the body pass, but never the last one, and cuts the connection."""
    passed = 0
    is_cut = False

    async def sending(message: Message) -> None:
        nonlocal passed, is_cut
        if is_cut:
            return
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        # A HEAD has no body on the wire, so that nothing of it can be missing.
        ends = not message.get("more_body", False)
        limit = int(strike.amount) or len(body) // 2
        if not body or scope["method"] == "HEAD" or (passed + len(body) < limit and not ends):
            passed += len(body)
            await send(message)
            return
        part = body[: max(0, min(limit - passed, len(body) - 1))]
        is_cut = True
        if part:
            await send({**message, "body": part, "more_body": True})
        strike.done(f"after {passed + len(part)} bytes")
        await _cut(scope, at_once=False)

    return sending


def _slow(send: Send, strike: Strike) -> Send:
    """Return a ``send`` that spreads the first part of a body over a time."""
    is_done = False

    async def sending(message: Message) -> None:
        nonlocal is_done
        body = message.get("body", b"")
        if is_done or not body:
            await send(message)
            return
        is_done = True
        size = -(-len(body) // PIECES)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        strike.done(f"{len(body)} bytes in {strike.amount * 1000:.0f}ms")
        for piece in pieces[:-1]:
            await send({**message, "body": piece, "more_body": True})
            await asyncio.sleep(strike.amount / len(pieces))
        await asyncio.sleep(strike.amount / len(pieces))
        await send({**message, "body": pieces[-1]})

    return sending
