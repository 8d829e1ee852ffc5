"""A streamed answer: chunks as they are made, each after the client has taken the one before; ended when the client goes."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from tradepost.core.deadlines import note_progress


class StreamedAnswer(Response):
    """Sends what ``chunks`` yields. Nothing is made ahead, and the generator is closed when the client has left.

    It has no deadline as a whole, but from one chunk to the next.

    The head goes out with the first chunk: what fails before that is still answered as a problem.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        media_type: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(None, status, {"Cache-Control": "no-store", **(headers or {})}, media_type)
        del self.headers["content-length"]
        self._chunks = chunks

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_progress()
        leaving = asyncio.create_task(_client_left(receive))
        try:
            async with aclosing(self._chunks) as chunks:
                chunk = await anext(chunks, b"")
                await send(
                    {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
                )
                if scope["method"] != "HEAD":
                    while chunk and not leaving.done():
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                        chunk = await anext(chunks, b"")
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
