"""Answers that go on: server-sent events (HTML Living Standard, section 9.2) from whatever has something to tell."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send
from typing_extensions import override

ENDLESS_KEY: Final = "tradepost.endless"
"""Is in the ASGI scope of a request whose answer nobody waits for the end of."""


class SentEvent(Protocol):
    """One event, as ``format_sse_event`` takes it apart; ``data`` is text already."""

    @property
    def name(self) -> str | None: ...
    @property
    def data(self) -> str | None: ...
    @property
    def id(self) -> int | None: ...
    @property
    def retry(self) -> int | None: ...


class EventSource(Protocol):
    """Where events come from."""

    async def next(self) -> Sequence[SentEvent] | None:
        """Return the next events, none for a sign of life, or None at the end."""
        ...

    def end(self) -> None:
        """Have ``next`` return None soon."""
        ...


class EventStream(EventSourceResponse):
    """Sends what ``source`` has, each time it has something and the client has taken what was sent before.

    Nothing is read ahead: a client that takes nothing holds one batch of events and the server's small buffer, until
    ``web.protocol`` gives it up.
    """

    def __init__(self, source: EventSource) -> None:
        # Without the second, nginx would keep the events until its buffer is full.
        super().__init__((), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._source = source

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ENDLESS_KEY] = True
        leaving = asyncio.create_task(self._end_with_client(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                while (events := await self._source.next()) is not None:
                    body = b"".join(map(_encoded, events)) or KEEPALIVE_COMMENT
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    async def _end_with_client(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._source.end()


def _encoded(event: SentEvent) -> bytes:
    return format_sse_event(
        data_str=event.data,
        event=event.name,
        id=None if event.id is None else str(event.id),
        retry=event.retry,
    )
