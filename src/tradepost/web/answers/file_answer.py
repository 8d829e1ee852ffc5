"""Files as answers: whole, as byte ranges, or with no bytes when the client has them already.

The storage is opened only when the answer is sent, after the request's transaction has ended. An error before the first byte
is still answered as a problem.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from tradepost.core.errors import PreconditionFailed
from tradepost.web.answers.byte_ranges import Span, asked_spans

FOREVER: Final = "max-age=31536000, immutable"
"""The bytes under a name never change (RFC 8246)."""
FILE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Should a browser take a file for a page after all, it is one that may do nothing."""

Opening = Callable[[int, int], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""Opens a file for reading from one byte up to, not including, another."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What an answer says of a file. ``tag`` identifies its bytes; ``shown`` is the name to save it under."""

    size: int
    content_type: str
    tag: str
    shown_name: str
    is_public: bool
    inline: bool
    vary: str | None = None

    @property
    def etag(self) -> str:
        """The strong entity tag."""
        return f'"{self.tag}"'

    def headers(self) -> dict[str, str]:
        """Return what every answer about the file carries, that it was not changed too."""
        headers = {
            "ETag": self.etag,
            "Cache-Control": f"{'public' if self.is_public else 'private'}, {FOREVER}",
        }
        if self.vary:
            headers["Vary"] = self.vary
        return headers


def file_answer(request: Request, facts: FileFacts, opening: Opening, *, boundary: str) -> Response:
    """Return the answer to a GET or HEAD for a file (RFC 9110, sections 13 and 14).

    ``boundary`` divides the parts of an answer with several; it is unguessable, so no file can hold it. Raises
    ``PreconditionFailed`` and ``NoSuchRange``.
    """
    asked = request.headers
    headers = facts.headers()
    if (wanted := asked.get("if-match")) is not None and not _names(wanted, facts.etag, weak=False):
        raise PreconditionFailed(facts.etag)
    if (known := asked.get("if-none-match")) is not None and _names(known, facts.etag, weak=True):
        return Response(status_code=304, headers=headers)
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(facts.shown_name, inline=facts.inline),
        "Content-Security-Policy": FILE_POLICY,
    }
    spans = None
    if request.method == "GET" and asked.get("if-range", facts.etag) == facts.etag and "range" in asked:
        spans = asked_spans(asked["range"], facts.size)
    return FileAnswer(facts, opening, spans, boundary=boundary, headers=headers)


class FileAnswer(Response):
    """The bytes of a file, or some of them: 200, 206 with one range, or 206 with a part for each."""

    def __init__(
        self,
        facts: FileFacts,
        opening: Opening,
        spans: list[Span] | None,
        *,
        boundary: str,
        headers: dict[str, str],
    ) -> None:
        self._opening = opening
        self._spans = spans or [(0, facts.size)]
        self._heads = [b""]
        self._end = b""
        self.status_code = 200 if spans is None else 206
        self.background = None
        media_type = facts.content_type
        if len(self._spans) > 1:
            self._heads = [_part_head(span, facts, boundary) for span in self._spans]
            self._end = f"\r\n--{boundary}--\r\n".encode()
            media_type = f"multipart/byteranges; boundary={boundary}"
        elif spans is not None:
            headers["Content-Range"] = _content_range(spans[0], facts.size)
        length = sum(end - start for start, end in self._spans) + sum(map(len, self._heads)) + len(self._end)
        # The type is written as it is: Response would add a charset to any text.
        self.init_headers({**headers, "Content-Type": media_type, "Content-Length": str(length)})

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
            await send(_body(b"", more=False))
            return
        begun = False
        for head, span in zip(self._heads, self._spans, strict=True):
            async with self._opening(*span) as chunks:
                if not begun:
                    await send(start)
                    begun = True
                if head:
                    await send(_body(head))
                async for chunk in chunks:
                    await send(_body(chunk))
        await send(_body(self._end, more=False))


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _content_range(span: Span, size: int) -> str:
    return f"bytes {span[0]}-{span[1] - 1}/{size}"


def _part_head(span: Span, facts: FileFacts, boundary: str) -> bytes:
    return (
        f"\r\n--{boundary}\r\nContent-Type: {facts.content_type}\r\n"
        f"Content-Range: {_content_range(span, facts.size)}\r\n\r\n"
    ).encode()


def _names(header: str, etag: str, *, weak: bool) -> bool:
    """Tell whether a list of entity tags has this one; ``weak`` lets one match that claims less than to be the same."""
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or etag in tags or (weak and f"W/{etag}" in tags)


def disposition(name: str, *, inline: bool) -> str:
    """Return a ``Content-Disposition`` (RFC 6266) whose name holds no path, no quote and nothing that is not printable."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(letter for letter in bare if letter.isprintable()).strip(". ") or "file"
    ascii_name = "".join(letter if letter.isascii() and letter not in '"%;' else "_" for letter in plain)
    kind = "inline" if inline else "attachment"
    value = f'{kind}; filename="{ascii_name}"'
    return value if ascii_name == plain else f"{value}; filename*=UTF-8''{quote(plain, safe='')}"
