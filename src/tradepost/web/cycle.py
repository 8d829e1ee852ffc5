"""One request and its answer on a connection: uvicorn's, but an answer of known length leaves in one piece.

uvicorn writes the head when it comes, and the body after it. Each write is a call of the system that wakes the client, and
with one client at a time there are few other costs as high.
"""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


class Cycle(RequestResponseCycle):
    """uvicorn's cycle, which keeps the head of an answer of known length until the first part of its body is there."""

    body: Any
    """What came of the request's body and was not received yet: a piece as it came, or several put together."""
    _head: bytes | None = None

    def take_in(self, piece: bytes) -> None:
        """Keep a piece of the body until it is received: as it is if it is alone, which copies nothing."""
        if not self.body:
            self.body = piece
            return
        if isinstance(self.body, bytes):
            self.body = bytearray(self.body)
        self.body += piece

    async def send(self, message: Any) -> None:
        """Send a part of the answer."""
        head = self._head
        if head is not None:
            self._head = None
            await self._send_with(head, message)
        elif self.response_started or self.flow.write_paused or self.disconnected or not self._keep(message):
            await super().send(message)

    def _keep(self, message: Message) -> bool:
        """Keep the head of an answer whose length it names; False where uvicorn is to write it."""
        if message["type"] != "http.response.start":
            return False
        length: bytes | None = None
        fields = self.default_headers + list(message.get("headers", ()))
        for name, value in fields:
            if name == b"content-length":
                length = value
            elif name in {b"connection", b"transfer-encoding"}:
                return False
        if length is None:
            return False
        head = b"".join([STATUS_LINE[message["status"]], *[b"%b: %b\r\n" % field for field in fields]])
        # One look at all of it, where uvicorn takes two at each field: nothing in one may begin another.
        if not head.count(b"\r") == head.count(b"\n") == len(fields) + 1 or b"\0" in head:
            return False
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = False
        self.expected_content_length = int(length)
        self._head = head + (b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        return True

    async def _send_with(self, head: bytes, message: Any) -> None:
        """Send the first part of a body, with the head before it."""
        body = message.get("body", b"")
        if (
            message["type"] != "http.response.body"
            or message.get("more_body", False)
            or self.disconnected
            or self.scope["method"] == "HEAD"
            or len(body) != self.expected_content_length
        ):
            if not self.disconnected:
                self.transport.write(head)
            await super().send(message)
            return
        self.transport.write(head + body)
        self.expected_content_length = 0
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def in_http_1_0(cycle: RequestResponseCycle, app: ASGIApp, *, may_stay: bool) -> ASGIApp:
    """Answer a client of HTTP/1.0, which knows no chunks, and keeps its connection only where it is told so.

    ``ab -k`` and old proxies are such clients. An answer of known length leaves the connection open if that was asked
    for; the end of any other is the end of the connection (RFC 9112, sections 9.3 and C.2.2).
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        sized = False

        async def send_unchunked(message: Message) -> None:
            nonlocal sized
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                bare = message["status"] in {204, 304} or scope["method"] == "HEAD"
                sized = bare or any(name.lower() == b"content-length" for name, _ in headers)
                if not sized:
                    cycle.chunked_encoding = False
                elif (
                    may_stay
                    and _asks_to_stay(scope)
                    and not any(name.lower() == b"connection" for name, _ in headers)
                ):
                    cycle.keep_alive = True
                    message = {**message, "headers": [*headers, (b"connection", b"keep-alive")]}
            elif not sized:
                # uvicorn counts what is left of a length that here nobody knows.
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_unchunked)

    return answer


def _asks_to_stay(scope: Scope) -> bool:
    return any(
        name == b"connection" and b"keep-alive" in value.lower().replace(b" ", b"").split(b",")
        for name, value in scope["headers"]
    )
