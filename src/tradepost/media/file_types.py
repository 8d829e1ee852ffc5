"""File types, recognised by content: the name and type that a client states are never trusted.

Pictures are only sorted here, by their first bytes; ``pictures`` reads all of them. Documents are inspected while they
stream by (``Inspection``), and at their end where their format keeps its directory there.
"""

import asyncio
import struct
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from tradepost.media.errors import UnsupportedFile

END_LIMIT: Final = 256 * 1024
"""Bytes at the end of a file that are kept for a look at its directory."""
_OLE_NAME: Final = "WordDocument".encode("utf-16-le")
_OLE_ENTRY: Final = 128
_ZIP_END: Final = struct.Struct("<4s4H2LH")
_ZIP_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_ZIP_ENTRIES: Final = 10_000


class Inspection(Protocol):
    """Checks a file block by block while it streams; raises ``UnsupportedFile`` when it is not what it seemed."""

    def see(self, block: bytes) -> None:
        """Check the next block."""
        ...

    async def finish(self) -> None:
        """Judge the whole."""
        ...


@dataclass(frozen=True, slots=True)
class FileType:
    """A type of file: its content type, its extension, and what inspects one on its way in."""

    content_type: str
    extension: str
    inspection: Callable[[], Inspection]


class NoInspection:
    """Checks nothing: the first bytes said enough, or the file is read later."""

    def see(self, block: bytes) -> None:
        pass

    async def finish(self) -> None:
        pass


class TextInspection:
    """Checks that all of a file is UTF-8 without NUL."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")()

    def see(self, block: bytes) -> None:
        self._decode(block, final=False)
        if b"\x00" in block:
            raise UnsupportedFile

    async def finish(self) -> None:
        self._decode(b"", final=True)

    def _decode(self, block: bytes, *, final: bool) -> None:
        try:
            self._decoder.decode(block, final)
        except UnicodeDecodeError:
            raise UnsupportedFile from None


class DocInspection:
    """Checks that a compound file ([MS-CFB]) has the stream of a Word document: an entry of its directory names it.

    Entries are of 128 bytes and lie on multiples of that, and each begins with its name.
    """

    def __init__(self) -> None:
        self._found = False
        self._before = b""
        self._at = 0

    def see(self, block: bytes) -> None:
        if self._found:
            return
        window = self._before + block
        start = self._at - len(self._before)
        found = window.find(_OLE_NAME)
        while found >= 0:
            if (start + found) % _OLE_ENTRY == 0:
                self._found = True
                return
            found = window.find(_OLE_NAME, found + 1)
        self._before = window[-len(_OLE_NAME) + 1 :]
        self._at += len(block)

    async def finish(self) -> None:
        if not self._found:
            raise UnsupportedFile


class DocxInspection:
    """Checks that an archive's directory, which is at its end, names what a Word document has (ECMA-376, part 2)."""

    def __init__(self) -> None:
        self._end = b""

    def see(self, block: bytes) -> None:
        self._end = (self._end + block)[-END_LIMIT:] if len(block) < END_LIMIT else block[-END_LIMIT:]

    async def finish(self) -> None:
        # Ten thousand entries take a while.
        names = await asyncio.to_thread(lambda: set(_names_in_archive(self._end)))
        if b"[Content_Types].xml" not in names or b"word/document.xml" not in names:
            raise UnsupportedFile


def _names_in_archive(end: bytes) -> Iterator[bytes]:
    """Yield the names in a ZIP archive's directory, of which ``end`` has at least all; raise if it has not."""
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or at + _ZIP_END.size > len(end):
        raise UnsupportedFile
    _, disk, first_disk, here, entries, size, _, _ = _ZIP_END.unpack_from(end, at)
    start = at - size
    if disk or first_disk or here != entries or entries > _ZIP_ENTRIES or start < 0:
        raise UnsupportedFile
    for _ in range(entries):
        if start + _ZIP_ENTRY.size > at:
            raise UnsupportedFile
        fields = _ZIP_ENTRY.unpack_from(end, start)
        if fields[0] != b"PK\x01\x02":
            raise UnsupportedFile
        lengths: tuple[int, int, int] = fields[10:13]
        name = start + _ZIP_ENTRY.size
        yield end[name : name + lengths[0]]
        start = name + sum(lengths)


_PDF: Final = FileType("application/pdf", "pdf", NoInspection)
_TEXT: Final = FileType("text/plain; charset=utf-8", "txt", TextInspection)
_DOC: Final = FileType("application/msword", "doc", DocInspection)
_DOCX: Final = FileType(
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", DocxInspection
)
JPEG: Final = FileType("image/jpeg", "jpg", NoInspection)
_PNG: Final = FileType("image/png", "png", NoInspection)
_GIF: Final = FileType("image/gif", "gif", NoInspection)
_WEBP: Final = FileType("image/webp", "webp", NoInspection)

DOCUMENT_TYPES: Final = tuple(file_type.content_type for file_type in (_PDF, _TEXT, _DOC, _DOCX))
PICTURE_TYPES: Final = tuple(file_type.content_type for file_type in (JPEG, _PNG, _GIF, _WEBP))


def picture_type(head: bytes) -> FileType:
    """Return the type of the picture that begins so; ``UnsupportedFile`` for none."""
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _GIF
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _WEBP
    raise UnsupportedFile


def document_type(head: bytes) -> FileType:
    """Return the type of the document that begins so; ``UnsupportedFile`` for none, and for an empty file."""
    if head.startswith(b"%PDF-"):
        return _PDF
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _DOC
    if head.startswith(b"PK\x03\x04"):
        return _DOCX
    if head:
        return _TEXT
    raise UnsupportedFile
