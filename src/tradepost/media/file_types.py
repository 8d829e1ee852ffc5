"""File types, recognised by content: the name and type that a client states are never trusted.

Pictures are only sorted here, by their first bytes; ``pictures`` reads all of them. Documents are inspected while they
stream by and once they are stored (``documents.inspections``).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tradepost.media.documents import compound_file
from tradepost.media.documents.inspections import (
    DocInspection,
    DocxInspection,
    Inspection,
    NoInspection,
    TextInspection,
)
from tradepost.media.errors import UnsupportedFile

PDF_HEADER_LIMIT: Final = 1024
"""Bytes within which a PDF has its header: every reader takes one behind a byte order mark, blank lines or junk."""

DRAWING_LIMIT: Final = 4096
"""Bytes within which a drawing has its first element."""


@dataclass(frozen=True, slots=True)
class FileType:
    """A type of file: its content type, its extension, others that fit it, and what inspects one on its way in."""

    content_type: str
    extension: str
    also: frozenset[str] = frozenset()
    inspection: Callable[[], Inspection] = NoInspection


@dataclass(frozen=True, slots=True)
class Accepted:
    """The types that are taken somewhere: ``recognise`` tells one by its first block, ``allowed`` names all for people."""

    recognise: Callable[[bytes], FileType]
    allowed: str


_PDF: Final = FileType("application/pdf", "pdf")
_TEXT: Final = FileType(
    "text/plain; charset=utf-8",
    "txt",
    # Nothing that a double click runs or draws: a page or a script is saved as text.
    also=frozenset({"text", "log", "md", "markdown"}),
    inspection=TextInspection,
)
_DOC: Final = FileType("application/msword", "doc", inspection=DocInspection)
_DOCX: Final = FileType(
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "docx",
    inspection=DocxInspection,
)
JPEG: Final = FileType("image/jpeg", "jpg", also=frozenset({"jpeg", "jpe", "jfif"}))
_PNG: Final = FileType("image/png", "png", also=frozenset({"apng"}))
_GIF: Final = FileType("image/gif", "gif")
_WEBP: Final = FileType("image/webp", "webp")

_DOCUMENTS: Final = (_PDF, _TEXT, _DOC, _DOCX)
_PICTURES: Final = (JPEG, _PNG, _GIF, _WEBP)
DOCUMENT_TYPES: Final = tuple(file_type.content_type for file_type in _DOCUMENTS)
PICTURE_TYPES: Final = tuple(file_type.content_type for file_type in _PICTURES)
_FITTING: Final = {
    file_type.extension: file_type.also | {file_type.extension} for file_type in (*_DOCUMENTS, *_PICTURES)
}

_RICH_TEXT: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\\rt")
_BY_SIGNATURE: Final[tuple[tuple[re.Pattern[bytes], FileType, str], ...]] = (
    (re.compile(rb"\xff\xd8\xff"), JPEG, "is a JPEG picture"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _PNG, "is a PNG picture"),
    (re.compile(rb"GIF8[79]a"), _GIF, "is a GIF picture"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _WEBP, "is a WebP picture"),
)
_OTHERS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = (
    (re.compile(rb"\x00{3}.ftyp(?:.{4}){0,15}?avi[fs]", re.DOTALL), "is an AVIF picture"),
    (re.compile(rb"\x00{3}.ftyp(?:he[iv][cxms]|mif1|msf1)", re.DOTALL), "is a HEIC picture"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "is a JPEG XL picture"),
    (re.compile(rb"\x00\x00\x00\x0cjP  "), "is a JPEG 2000 picture"),
    (re.compile(rb"II\*\x00|MM\x00\*"), "is a TIFF picture"),
    (re.compile(rb"BM.{4}\x00{4}", re.DOTALL), "is a BMP picture"),
)
"""What people send and no browser shows, or not every program: named, so that they know what to do about it."""
_DRAWING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<svg\b", re.DOTALL)


def _picture_type(head: bytes) -> FileType:
    """Return the type of the picture that begins so; ``UnsupportedFile`` for none."""
    for signature, file_type, _ in _BY_SIGNATURE:
        if signature.match(head):
            return file_type
    drawing = "is an SVG drawing" if _DRAWING.match(head[:DRAWING_LIMIT]) else "is no picture"
    raise UnsupportedFile(_other(head) or drawing)


def _document_type(head: bytes) -> FileType:
    """Return the type of the document that begins so; ``UnsupportedFile`` for none, and for an empty file."""
    if head.startswith(compound_file.MAGIC):
        return _DOC
    if head.startswith(b"PK\x03\x04"):
        return _DOCX
    if head.startswith(b"%PDF-") or re.search(rb"%PDF-\d", head[:PDF_HEADER_LIMIT]):
        return _PDF
    if _RICH_TEXT.match(head):
        raise UnsupportedFile("is an RTF document")
    pictures = (reason for signature, _, reason in _BY_SIGNATURE if signature.match(head))
    reason = next(pictures, None) or _other(head)
    if reason is not None:
        raise UnsupportedFile(reason)
    return _TEXT


def _other(head: bytes) -> str | None:
    """Return why a file that begins so is taken nowhere; None for an unknown beginning."""
    if not head:
        return "is empty"
    return next((reason for signature, reason in _OTHERS if signature.match(head)), None)


PICTURES: Final = Accepted(_picture_type, "JPEG, PNG, GIF and WebP pictures")
DOCUMENTS: Final = Accepted(_document_type, "PDF, text in UTF-8, .doc and .docx")


def saved_name(original_name: str, name: str) -> str:
    """Return the name to save a file under: its own if its extension fits its type, else with that of its type behind it.

    ``name`` is that of the stored file, which ends in the extension of its type.
    """
    extension = name.rpartition(".")[2]
    before, _, own = original_name.rpartition(".")
    fits = bool(before) and own.lower() in _FITTING.get(extension, {extension})
    return original_name if fits else f"{original_name}.{extension}"
