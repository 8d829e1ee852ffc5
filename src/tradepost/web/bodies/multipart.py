"""A streaming parser of ``multipart/form-data`` (RFC 7578).

The parser is pushed and the caller pulls, so that of a part's content there is never more in memory than one block and one
read from the network: an upload of any size takes the same memory.
"""

import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from tradepost.core.errors import RuleBroken, TooLarge, TradepostError, Unprocessable, UnsupportedType
from tradepost.core.wire.file_names import file_in_words, plain_name
from tradepost.web.bodies.content_disposition import Disposition, parse_disposition

BLOCK: Final = 192 * 1024
"""Bytes that are handed on at once, where there are as many: each block is a trip to a thread."""
SMALL_PIECE: Final = 1024
"""Bytes below which a piece is put together with the next: one of a single byte takes up a hundred by itself."""
HEADERS_LIMIT: Final = 8
"""Header fields of one part; RFC 7578 knows three."""
HEADER_LIMIT: Final = 4 * 1024
"""Bytes of one of them. A name of a file has 255 characters at the most on any system."""
FIELD_LIMIT: Final = 4 * 1024
"""Bytes of a field that is no file."""
_LONGEST_NAME: Final = 100
_KIND: Final = "multipart/form-data"


class MalformedForm(RuleBroken):
    """The body is no multipart form, or it ends in the middle of one."""

    code = "HTTP_400"
    detail = "The body is not a well-formed multipart form"


class FileTooLarge(TooLarge):
    """A file of the form is larger than is taken."""

    detail = "The file is too large"


@dataclass(frozen=True, slots=True)
class FormLimits:
    """What a form may be: bytes of each file, how many parts, and what to raise at one part more."""

    file_bytes: int
    parts: int
    too_many: Callable[[], TradepostError] = lambda: MalformedForm("The multipart form has too many parts")


@dataclass
class _Head:
    """The headers of a part, as they come."""

    disposition: Disposition | None = None
    field: bytearray = dataclasses.field(default_factory=bytearray)
    value: bytearray = dataclasses.field(default_factory=bytearray)

    def end_of_header(self) -> None:
        if bytes(self.field).lower() == b"content-disposition":
            disposition = parse_disposition(bytes(self.value))
            if disposition.kind == "form-data":
                self.disposition = disposition
        self.field.clear()
        self.value.clear()


class FormPart:
    """A part of a form. ``file_name`` is what the client calls the file; None for a field that is no file.

    ``position`` counts the files of the form, from 1 on. Iterating over the part yields its content in blocks, once.
    """

    def __init__(self, form: "MultipartForm", name: str, file_name: str | None, position: int) -> None:
        self.name = name
        self.file_name = file_name
        self.position = position
        self._form = form

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._form.content_of(self)

    async def text(self) -> str:
        """Return the content of a field; 413 past ``FIELD_LIMIT``, 422 if it is no text."""
        whole = bytearray()
        async for block in self:
            whole += block
        try:
            text = whole.decode()
        except UnicodeDecodeError:
            text = "\x00"
        if "\x00" in text:
            raise Unprocessable(
                ("body", self.name), "Text must be UTF-8 and hold no NUL", kind="string_unicode"
            )
        return text


class MultipartForm:
    """A form, whose parts are read in the order in which they come, each before the next.

    What is left unread of a part is skipped, within the same limits. Raises ``MalformedForm``,
    ``FileTooLarge`` the moment that a file is, ``TooLarge`` for a field, ``UnsupportedType`` for a body of another kind, and
    whatever ``body`` raises.
    """

    def __init__(self, content_type: str, body: AsyncIterator[bytes], limits: FormLimits) -> None:
        kind, options = parse_options_header(content_type)
        if kind != _KIND.encode():
            raise UnsupportedType(f"The body must be sent as {_KIND}")
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedForm("The multipart form names no boundary")
        self._body = body
        self._limits = limits
        self._events: deque[_Head | bytes | None] = deque()
        """Of a part: its head, pieces of its content, and None for its end."""
        self._head = _Head()
        self._parts = self._files = 0
        self._ended = False
        self._part: FormPart | None = None
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": lambda data, start, end: self._head.field.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._head.value.extend(data[start:end]),
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": lambda: self._events.append(self._head),
                    "on_part_data": lambda data, start, end: self._events.append(data[start:end]),
                    "on_part_end": lambda: self._events.append(None),
                    "on_end": self._on_end,
                },
                max_header_count=HEADERS_LIMIT,
                max_header_size=HEADER_LIMIT,
            )
        except FormParserError as error:
            raise MalformedForm from error

    @classmethod
    def empty(cls) -> "MultipartForm":
        """Return a form without a part, for a request without a body."""

        async def nothing() -> AsyncIterator[bytes]:
            yield b"--x--"

        return cls(f"{_KIND}; boundary=x", nothing(), FormLimits(0, 0))

    async def parts(self) -> AsyncIterator[FormPart]:
        """Yield the parts; ends when the whole body has come, what follows the form included.

        A file input that nobody filled is sent as a file without name and content: it counts as none.
        """
        while True:
            if self._part is not None:
                async for _ in self.content_of(self._part):
                    pass
            head = await self._next()
            if head is None:
                return
            if not isinstance(head, _Head):
                raise TypeError("content without a part")
            disposition = head.disposition
            if disposition is None or disposition.name is None:
                raise MalformedForm("A part of the multipart form has no name")
            if disposition.file_name == "" and await self._ends_here():
                continue
            name = disposition.name[:_LONGEST_NAME]
            file_name = disposition.file_name
            self._files += file_name is not None
            self._part = FormPart(
                self, name, None if file_name is None else plain_name(file_name), self._files
            )
            yield self._part

    async def content_of(self, part: FormPart) -> AsyncIterator[bytes]:
        """Yield the content of the part that is being read, in blocks of at least ``BLOCK`` bytes but for the last."""
        if part is not self._part:
            raise RuntimeError("a part can be read once, and before the next one")
        limit = FIELD_LIMIT if part.file_name is None else self._limits.file_bytes
        total = size = 0
        pieces: list[bytes] = []
        while (piece := await self._next()) is not None:
            if isinstance(piece, _Head):
                raise TypeError("a part within a part")
            total += len(piece)
            size += len(piece)
            if total > limit:
                raise self._too_large(part)
            if pieces and len(pieces[-1]) < SMALL_PIECE:
                pieces[-1] += piece
            else:
                pieces.append(piece)
            if size >= BLOCK:
                block = b"".join(pieces)
                pieces.clear()
                size = 0
                yield block
        self._part = None
        if pieces:
            yield b"".join(pieces)

    async def _ends_here(self) -> bool:
        """Read on; tell whether the part that has begun is empty, and pass over its end if so."""
        piece = await self._next()
        if piece is not None:
            self._events.appendleft(piece)
        return piece is None

    def _too_large(self, part: FormPart) -> TooLarge:
        if part.file_name is None:
            return TooLarge(f"The field {part.name} is too large")
        named = file_in_words(part.position, part.file_name)
        return FileTooLarge(f"{named} is too large; allowed are {self._limits.file_bytes:,} bytes")

    async def _next(self) -> _Head | bytes | None:
        """Return the next event; None at the end of a part, and of the body when there is no part."""
        while not self._events:
            chunk = await anext(self._body, None)
            if chunk is None:
                if not self._ended:
                    raise MalformedForm("The multipart form ends too soon")
                return None
            self._parse(chunk)
        return self._events.popleft()

    def _parse(self, chunk: bytes) -> None:
        parser = self._parser
        if parser.state == MultipartState.PART_DATA and not parser.index:
            # Most of a file has no boundary in it, nor the beginning of one at its end. The search from behind finds that out
            # in a quarter of the parser's time, which searches from the front.
            boundary = parser.boundary
            if chunk.rfind(boundary) < 0:
                at = chunk.rfind(boundary[:1], max(len(chunk) - len(boundary), 0))
                if at < 0 or not boundary.startswith(chunk[at:]):
                    self._events.append(chunk)
                    return
        try:
            parser.write(chunk)
        except FormParserError as error:
            raise MalformedForm from error

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise self._limits.too_many()
        self._head = _Head()

    def _on_header_end(self) -> None:
        self._head.end_of_header()

    def _on_end(self) -> None:
        self._ended = True
