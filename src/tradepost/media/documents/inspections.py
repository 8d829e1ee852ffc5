"""Inspections of documents: while they stream by, and once they are stored where their format keeps a directory."""

import asyncio
import struct
from codecs import getincrementaldecoder
from typing import Final, Protocol

from tradepost.media.documents import content_types, zip_archive
from tradepost.media.documents.compound_file import streams_below_root
from tradepost.media.documents.content_types import ContentTypes, read_content_types
from tradepost.media.documents.stored_bytes import StoredBytes
from tradepost.media.errors import UnsupportedFile

_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_OTHERS: Final = {
    "application/vnd.ms-word.document.macroenabled.main+xml": "is a Word document with macros (.docm)",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml": "is a Word template (.dotx)",
    "application/vnd.ms-word.template.macroenabledtemplate.main+xml": "is a Word template with macros (.dotm)",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml": "is an Excel workbook",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml": "is a PowerPoint presentation",
}
"""Types of the main part of other documents: what the file is then."""
_OTHER_STREAMS: Final = {
    "ENCRYPTEDPACKAGE": "is encrypted",
    "WORKBOOK": "is an Excel workbook",
    "BOOK": "is an Excel workbook",
    "POWERPOINT DOCUMENT": "is a PowerPoint presentation",
}
_WORD_HEAD: Final = struct.Struct("<H8xH")
"""The beginning of a Word document's stream ([MS-DOC], FibBase): what it is, and flags."""
_WORD_IDENTS: Final = frozenset({0xA5DC, 0xA5EC})
_TEMPLATE: Final = 0x0001


class Inspection(Protocol):
    """Checks a file block by block while it streams; raises ``UnsupportedFile`` when it is not what it seemed."""

    def see(self, block: bytes) -> None:
        """Check the next block."""
        ...

    async def finish(self, stored: StoredBytes) -> None:
        """Judge the whole, which is stored by now."""
        ...


class NoInspection:
    """Checks nothing: the first bytes said enough, or the file is read later."""

    def see(self, block: bytes) -> None:
        pass

    async def finish(self, stored: StoredBytes) -> None:
        pass


class TextInspection:
    """Checks that all of a file is UTF-8 without NUL."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")()

    def see(self, block: bytes) -> None:
        self._decode(block, final=False)
        if b"\x00" in block:
            raise UnsupportedFile("is no text in UTF-8")

    async def finish(self, stored: StoredBytes) -> None:  # noqa: ARG002 - all of it was seen
        self._decode(b"", final=True)

    def _decode(self, block: bytes, *, final: bool) -> None:
        try:
            self._decoder.decode(block, final)
        except UnicodeDecodeError:
            raise UnsupportedFile("is no text in UTF-8") from None


class DocInspection:
    """Checks that a compound file is a Word document: its root has the stream of one.

    An encrypted .docx is a compound file too, and a template differs by a flag.
    """

    def see(self, block: bytes) -> None:
        pass

    async def finish(self, stored: StoredBytes) -> None:
        streams = await streams_below_root(stored)
        document = streams.get("WORDDOCUMENT")
        if document is None or "ENCRYPTEDPACKAGE" in streams:
            reasons = (reason for name, reason in _OTHER_STREAMS.items() if name in streams)
            raise UnsupportedFile(next(reasons, "is no Word document"))
        if document.start is not None:
            head = await stored.read(document.start, _WORD_HEAD.size)
            if len(head) == _WORD_HEAD.size:
                ident, flags = _WORD_HEAD.unpack(head)
                if ident in _WORD_IDENTS and flags & _TEMPLATE:
                    raise UnsupportedFile("is a Word template (.dot)")


class DocxInspection:
    """Checks that an archive is a Word document: ``[Content_Types].xml`` says which part is its main part.

    By convention that is ``word/document.xml``, but other programs name it otherwise.
    """

    def see(self, block: bytes) -> None:
        pass

    async def finish(self, stored: StoredBytes) -> None:
        place = await zip_archive.find_directory(stored)
        directory = await stored.read(place.start, place.size)
        # Ten thousand entries, and a mebibyte of XML, take a while.
        entries = await asyncio.to_thread(_by_name, directory, place)
        types = entries.get(content_types.NAME)
        if types is None:
            raise UnsupportedFile("is an archive and no Word document")
        content = await zip_archive.content_of(stored, types)
        await asyncio.to_thread(lambda: _check_main_part(read_content_types(content), entries))


def _by_name(directory: bytes, place: zip_archive.Directory) -> dict[str, zip_archive.Entry]:
    found = zip_archive.entries_in(directory, count=place.count, shift=place.shift)
    return {entry.name.decode("utf-8", "replace").lower(): entry for entry in found}


def _check_main_part(types: ContentTypes, entries: dict[str, zip_archive.Entry]) -> None:
    of_parts = {types.of(name) for name in entries}
    for content_type, reason in _OTHERS.items():
        if content_type in of_parts:
            raise UnsupportedFile(reason)
    if _WORD not in of_parts:
        raise UnsupportedFile("is an archive and no Word document")
