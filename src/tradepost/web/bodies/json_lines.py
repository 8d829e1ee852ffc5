"""A body of many JSON values, NDJSON or one array, spooled value by value while it arrives.

No more of it than one value and a block is in memory, whatever its size. What is cut here is parsed later, each value by
itself: a fault in one is that one's.
"""

import asyncio
import re
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from tradepost.core.errors import NoSpaceLeft, TooLarge, Unprocessable

IN_MEMORY: Final = 2**20
"""Bytes from which on a spool is a file."""
BLOCK: Final = 2**18
"""Bytes that are written and read at a time."""
_RECORD: Final = struct.Struct(">II")
_TOO_LONG: Final = 2**32 - 1
_OUTSIDE: Final = re.compile(rb'["\[\]{},]')
_INSIDE: Final = re.compile(rb'["\\]')
_SPACE: Final = b" \t\r\n"


class Line(NamedTuple):
    """A value as it was sent, with its number from 1; None for one that is too long."""

    number: int
    text: bytes | None


class Splitter(Protocol):
    """Cuts a body into values."""

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Yield the values that end in this chunk."""
        ...

    def end(self) -> Iterator[Line]:
        """Yield the value that the body ended with, if it was none before."""
        ...


class NdjsonSplitter:
    """Cuts at line feeds. Blank lines are counted, so that numbers are those of the file, and passed over."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = b""
        self._skips = False
        self._number = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            yield from self._line(part)
        self._rest += rest
        if len(self._rest) > self._longest:
            self._rest, self._skips = b"", True

    def _line(self, part: bytes) -> Iterator[Line]:
        self._number += 1
        text, skips = self._rest + part, self._skips
        self._rest, self._skips = b"", False
        if skips or len(text) > self._longest:
            yield Line(self._number, None)
        elif text.strip(_SPACE):
            yield Line(self._number, text.rstrip(b"\r"))

    def end(self) -> Iterator[Line]:
        yield from self._line(b"")


class ArraySplitter:
    """Cuts an array at the commas between its elements, by the brackets and quotes that it meets on the way."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._current = bytearray()
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._number = 0
        self._ended = False

    def feed(self, chunk: bytes) -> Iterator[Line]:
        if self._ended:
            self._only_space(chunk)
        elif self._depth:
            yield from self._scan(chunk, 0)
        elif opening := chunk.lstrip(_SPACE):
            if not opening.startswith(b"["):
                raise Unprocessable(("body",), "Input should be a valid list", kind="list_type")
            self._depth = 1
            yield from self._scan(opening, 1)

    def _scan(self, chunk: bytes, kept: int) -> Iterator[Line]:
        at = kept
        if self._escaped:
            self._escaped, at = False, at + 1
        while found := (_INSIDE if self._in_string else _OUTSIDE).search(chunk, at):
            at = found.end()
            mark = found[0]
            if mark == b"\\":
                self._escaped = at == len(chunk)
                at += 1
            elif mark == b'"':
                self._in_string = not self._in_string
            elif mark in b"[{":
                self._depth += 1
            elif self._depth > 1:
                self._depth -= mark in b"]}"
            elif mark in b",]":
                self._current += chunk[kept : found.start()]
                kept = at
                is_last = mark == b"]"
                yield from self._element(is_last=is_last)
                if is_last:
                    self._only_space(chunk[at:])
                    return
        self._current += chunk[kept:]
        self._check_length()

    def _check_length(self) -> None:
        if len(self._current) > self._longest:
            raise TooLarge(f"An item has more than {self._longest} bytes")

    def _element(self, *, is_last: bool) -> Iterator[Line]:
        self._check_length()
        text = bytes(self._current)
        self._current.clear()
        self._ended = is_last
        if is_last and self._number == 0 and not text.strip(_SPACE):
            return
        self._number += 1
        yield Line(self._number, text)

    def _only_space(self, rest: bytes) -> None:
        if rest.strip(_SPACE):
            raise Unprocessable(("body",), "JSON decode error: Extra data", kind="json_invalid")

    def end(self) -> Iterator[Line]:
        if not self._ended:
            raise Unprocessable(("body",), "JSON decode error: The array has no end", kind="json_invalid")
        return iter(())


class Spool:
    """The values of a body, written once and read once; in memory while they are few, else in a file that has no name."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self._most = most
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._block = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was written."""
        self._file.close()

    async def take(self, chunks: AsyncIterator[bytes], splitter: Splitter) -> None:
        """Write every value of a body; ``TooLarge`` when there are too many."""
        async for chunk in chunks:
            await self._add(splitter.feed(chunk))
        await self._add(splitter.end())
        await self._flush()
        await asyncio.to_thread(self._file.seek, 0)

    async def _add(self, lines: Iterator[Line]) -> None:
        for number, text in lines:
            self.count += 1
            if self.count > self._most:
                raise TooLarge(f"At most {self._most} lines are taken at once")
            self._block += _RECORD.pack(number, _TOO_LONG if text is None else len(text)) + (text or b"")
            if len(self._block) >= BLOCK:
                await self._flush()

    async def _flush(self) -> None:
        try:
            await asyncio.to_thread(self._file.write, self._block)
        except OSError as error:
            raise NoSpaceLeft from error
        self._block = bytearray()

    async def groups(self, size: int) -> AsyncIterator[list[Line]]:
        """Yield the values in their order, so many at a time."""
        group: list[Line] = []
        rest = b""
        while block := await asyncio.to_thread(self._file.read, BLOCK):
            rest += block
            at = 0
            while len(rest) >= at + _RECORD.size:
                number, length = _RECORD.unpack_from(rest, at)
                is_too_long = length == _TOO_LONG
                end = at + _RECORD.size + (0 if is_too_long else length)
                if len(rest) < end:
                    break
                group.append(Line(number, None if is_too_long else rest[at + _RECORD.size : end]))
                at = end
                if len(group) == size:
                    yield group
                    group = []
            rest = rest[at:]
        if group:
            yield group
