"""A request body on its way in: read at the client's pace but within limits of time, or drained unread.

Without them a client that sends a byte now and then could hold a connection, and the memory behind it, for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from tradepost.core.deadlines import note_progress
from tradepost.core.errors import TookTooLong


@dataclass(frozen=True)
class Patience:
    """How long a body may take, in seconds that are spent waiting for it."""

    silence: float = 15.0
    """Without a byte."""
    grace: float = 30.0
    """For any body, beside what its bytes may take."""
    rate: float = 16 * 1024
    """Bytes per second that must come on the whole."""


PATIENCE: Final = Patience()
DRAIN_BYTES: Final = 64 * 2**20
DRAIN_SECONDS: Final = 5.0
DRAIN_SILENCE: Final = 2.0


class IncomingBody:
    """The body of a request, and whether it has begun to come and has come whole."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        self._receive = receive
        self.begun = False
        self.complete = b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"
        self.awaited = b"expect" in headers

    async def receive(self) -> Message:
        """Receive a message, and note what it says of the body."""
        message = await self._receive()
        self.begun = True
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.complete = True
        return message

    async def chunks(
        self, receive: Receive, monotonic: Callable[[], float], patience: Patience
    ) -> AsyncIterator[bytes]:
        """Yield what comes; ``TookTooLong`` when it comes too slowly, ``ClientDisconnect`` when no more will come.

        ``receive`` is the request's own, which ends up here and may count on the way.
        """
        waited, total = 0.0, 0
        while not self.complete:
            before = monotonic()
            try:
                async with asyncio.timeout(patience.silence):
                    message = await receive()
            except TimeoutError:
                raise TookTooLong from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            # Only what we wait counts: a store or a picture that takes its time is not the client's fault.
            waited += monotonic() - before
            note_progress()
            chunk: bytes = message.get("body", b"")
            total += len(chunk)
            if waited > patience.grace + total / patience.rate:
                raise TookTooLong
            if chunk:
                yield chunk

    async def drain(self) -> None:
        """Read what still comes and drop it, until it ends, the client leaves, or it is too much."""
        if self.complete or (self.awaited and not self.begun):
            # A client that waits for `100 Continue` has not sent it.
            return
        left = DRAIN_BYTES
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.complete and left > 0:
                    async with asyncio.timeout(DRAIN_SILENCE):
                        message = await self.receive()
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
