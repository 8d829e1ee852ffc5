"""Server-sent events (HTML Living Standard, section 9.2): an answer that goes on until its source ends or its client leaves."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from tradepost.core.deadlines import note_progress
from tradepost.web.asgi_scope import ENDLESS_KEY


class SentEvent(Protocol):
    """A server-sent event, as ``format_sse_event`` takes it apart; ``data`` is text already."""

    @property
    def name(self) -> str | None: ...
    @property
    def data(self) -> str | None: ...
    @property
    def id(self) -> int | None: ...
    @property
    def retry(self) -> int | None: ...


class SseSource(Protocol):
    """Where server-sent events come from."""

    async def next(self) -> Sequence[SentEvent] | None:
        """Wait for the next events and return them: none for a keep-alive comment, or None at the end."""
        ...

    def end(self) -> None:
        """Have ``next`` return None soon."""
        ...


class SseAnswer(EventSourceResponse):
    """Sends the events of ``source`` as they come, each batch once the client has taken the one before.

    Nothing is read ahead: a client that takes nothing holds one batch of events and the server's small buffer, until
    ``web.protocol`` gives it up.
    """

    def __init__(self, source: SseSource) -> None:
        # Without the second, nginx would keep the events until its buffer is full.
        super().__init__((), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._source = source

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ENDLESS_KEY] = True
        note_progress()
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
