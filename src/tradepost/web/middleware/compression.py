"""The layer that compresses JSON on its way out (RFC 9110, section 8.4): answers to safe methods, from 1 KiB up.

Answers to other methods are never compressed. Tokens and secrets are shown in them alone, and what stands beside a secret
in a compressed body can be guessed by its length (BREACH). Without ``Accept-Encoding`` the layer costs one look at a dict.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, Protocol

import brotli  # type: ignore[import-untyped]
import zstandard
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradepost.web.answers.content_coding import IDENTITY, accepted_coding
from tradepost.web.asgi_scope import REQUEST_HEADERS_KEY

SHORTEST: Final = 1024
"""Bytes from which compressing saves more than it costs."""
LONG: Final = 16 * 1024
"""Bytes from which a body is compressed in a thread: what is shorter takes less than the way there."""

_SAFE: Final = frozenset({"GET", "HEAD", "QUERY"})
_WHOLE: Final = (b"application/json", b"application/problem+json")
_STREAMED: Final = (b"application/x-ndjson", b"text/csv")
_LONGEST_KNOWN: Final = 256
_GZIP: Final = 16 + zlib.MAX_WBITS
"""zlib's way to ask for gzip's header and trailer."""
_NOT_MODIFIED: Final = 304
_WITH_CONTENT: Final = frozenset({200, 400, 404, 409, 422})


class Encoder(Protocol):
    """Puts the chunks of one body into a content coding."""

    def encode(self, chunk: bytes) -> bytes:
        """Return a chunk, encoded and flushed: the client can read all that it has been sent."""
        ...

    def finish(self) -> bytes:
        """Return the end of the body."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(5, zlib.DEFLATED, _GZIP)

    def encode(self, chunk: bytes) -> bytes:
        return self._stream.compress(chunk) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()


class _Brotli:
    def __init__(self) -> None:
        self._stream: Any = brotli.Compressor(quality=4)

    def encode(self, chunk: bytes) -> bytes:
        return bytes(self._stream.process(chunk) + self._stream.flush())

    def finish(self) -> bytes:
        return bytes(self._stream.finish())


class _Zstandard:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=3).compressobj()

    def encode(self, chunk: bytes) -> bytes:
        return self._stream.compress(chunk) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._stream.flush()


_WHOLE_BODY: Final[dict[str, Callable[[bytes], bytes]]] = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=3).compress(body),
    "br": lambda body: brotli.compress(body, quality=4),
    "gzip": lambda body: zlib.compress(body, 5, _GZIP),
}
"""What is asked for each body anew, the cheapest first; at levels that take less time than the network saves."""
_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {"zstd": _Zstandard, "br": _Brotli, "gzip": _Gzip}
_AVAILABLE: Final = tuple(_WHOLE_BODY)


class Compression:
    """Compresses JSON answers and exports by ``Accept-Encoding``: with zstd, brotli or gzip.

    A compressed answer has an entity tag of its own: the plain one with ``;gzip`` or the like at its end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    # No coroutine of its own: all requests pass here.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["method"] in _SAFE:
            accepted = scope[REQUEST_HEADERS_KEY].get(b"accept-encoding")
            if accepted is not None:
                coding = _coding(accepted) if len(accepted) <= _LONGEST_KNOWN else _judged(accepted)
                if coding != IDENTITY:
                    send = _CompressedSend(scope, send, coding)
        return self.app(scope, receive, send)


def _judged(accept_encoding: bytes) -> str:
    return accepted_coding(accept_encoding.decode("latin-1"), _AVAILABLE)


_coding = lru_cache(maxsize=256)(_judged)


class _CompressedSend:
    """A ``send`` that holds the head of an answer back until its first chunk shows whether compressing pays."""

    def __init__(self, scope: Scope, send: Send, coding: str) -> None:
        self._scope = scope
        self._send = send
        self._coding = coding
        self._head: Message | None = None
        self._encoder: Encoder | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._suits(message):
                self._head = message
            else:
                await self._send(message)
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        head, self._head = self._head, None
        if head is not None:
            await self._begin(head, message)
        elif self._encoder is not None:
            await self._go_on(self._encoder, message)
        else:
            await self._send(message)

    def _suits(self, head: Message) -> bool:
        """Tell whether this answer is of a kind that is compressed; a 304 names the compressed form that it confirms."""
        if head["status"] == _NOT_MODIFIED:
            head["headers"] = [self._confirmed(*header) for header in head["headers"]]
            return False
        if head["status"] not in _WITH_CONTENT:
            return False
        headers = dict(head["headers"])
        kind = headers.get(b"content-type", b"").partition(b";")[0]
        return b"content-encoding" not in headers and (kind in _WHOLE or kind in _STREAMED)

    def _confirmed(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name == b"etag":
            compressed = _with_coding(value, self._coding)
            if compressed in self._scope[REQUEST_HEADERS_KEY].get(b"if-none-match", b""):
                return name, compressed
        return name, value

    async def _begin(self, head: Message, first: Message) -> None:
        body: bytes = first.get("body", b"")
        more = first.get("more_body", False)
        if not more and len(body) < SHORTEST:
            head["headers"] = [*head["headers"], (b"vary", b"Accept-Encoding")]
            await self._send(head)
            await self._send(first)
            return
        if more:
            self._encoder = _ENCODERS[self._coding]()
            await self._send(self._encoded(head, None))
            await self._go_on(self._encoder, first)
            return
        body = await _in_its_place(_WHOLE_BODY[self._coding], body)
        await self._send(self._encoded(head, len(body)))
        await self._send({"type": "http.response.body", "body": body})

    async def _go_on(self, encoder: Encoder, message: Message) -> None:
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        encoded = await _in_its_place(encoder.encode, chunk) if chunk else b""
        if not more:
            encoded += encoder.finish()
        if encoded:
            await self._send({"type": "http.response.body", "body": encoded, "more_body": more})

    def _encoded(self, head: Message, length: int | None) -> Message:
        headers = []
        for name, value in head["headers"]:
            if name == b"etag":
                headers.append((name, _with_coding(value, self._coding)))
            elif name != b"content-length":
                headers.append((name, value))
        headers += [(b"content-encoding", self._coding.encode("ascii")), (b"vary", b"Accept-Encoding")]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        return {**head, "headers": headers}


async def _in_its_place(encode: Callable[[bytes], bytes], body: bytes) -> bytes:
    return encode(body) if len(body) < LONG else await asyncio.to_thread(encode, body)


def _with_coding(tag: bytes, coding: str) -> bytes:
    return tag[:-1] + b";" + coding.encode("ascii") + b'"'
