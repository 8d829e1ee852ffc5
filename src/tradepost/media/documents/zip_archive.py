"""ZIP archives (APPNOTE 6.3), read from their directory at the end.

The headers in front of the entries are not asked for sizes: a program that streams its archive writes them behind the data.
Comments, data in front of the archive and the 64-bit forms are legal, and read.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tradepost.media.documents.stored_bytes import StoredBytes
from tradepost.media.errors import UnsupportedFile

ENTRIES_LIMIT: Final = 10_000
DIRECTORY_LIMIT: Final = 1024 * 1024
CONTENT_LIMIT: Final = 1024 * 1024
"""Bytes of an entry, packed and unpacked, that are read."""
_COMMENT_LIMIT: Final = 0xFFFF
_END: Final = struct.Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_ENDS_LIMIT: Final = 16
"""Places in a comment that look like the end of an archive."""
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<26xHH")
_EXTRA_64: Final = 1
_MAX_32: Final = 0xFFFFFFFF
_MAX_16: Final = 0xFFFF
_ENCRYPTED: Final = 0x0001
_STORED: Final = 0
_DEFLATED: Final = 8


class _Damaged(UnsupportedFile):
    """It is no archive, or a broken one."""

    def __init__(self) -> None:
        super().__init__("is a damaged archive")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the directory; ``start`` is where its local header begins."""

    name: bytes
    is_encrypted: bool
    method: int
    packed: int
    start: int


def entries_in(directory: bytes, *, count: int, shift: int) -> Iterator[Entry]:
    """Yield the entries of a directory; ``shift`` is how many bytes lie in front of the archive."""
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(directory):
            raise _Damaged
        fields = _ENTRY.unpack_from(directory, at)
        if fields[0] != b"PK\x01\x02":
            raise _Damaged
        name_end = at + _ENTRY.size + fields[10]
        extra = directory[name_end : name_end + fields[11]]
        packed, start = _sizes(fields, extra)
        yield Entry(
            directory[at + _ENTRY.size : name_end],
            bool(fields[3] & _ENCRYPTED),
            fields[4],
            packed,
            start + shift,
        )
        at = name_end + fields[11] + fields[12]


def _sizes(fields: tuple[int, ...], extra: bytes) -> tuple[int, int]:
    """Return the packed size and the start of an entry, from its 64-bit field where they do not fit 32 bits."""
    unpacked, packed, start = fields[9], fields[8], fields[16]
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _EXTRA_64:
            values = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            _ = next(values, 0) if unpacked == _MAX_32 else unpacked
            packed = next(values, packed) if packed == _MAX_32 else packed
            start = next(values, start) if start == _MAX_32 else start
        at += 4 + length
    return packed, start


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the directory of an archive is, and how much of anything lies in front of the archive."""

    start: int
    size: int
    count: int
    shift: int


async def find_directory(stored: StoredBytes) -> Directory:
    """Return where the directory is: in front of the last record of an end that fits, which a comment may follow."""
    length = min(stored.size, _COMMENT_LIMIT + _END.size)
    tail = await stored.read(stored.size - length, length)
    at = len(tail)
    for _ in range(_ENDS_LIMIT):
        at = tail.rfind(_END_SIGNATURE, 0, at)
        if at < 0:
            break
        if at + _END.size > len(tail):
            continue
        found = await _directory_before(stored, stored.size - length + at, _END.unpack_from(tail, at))
        if found is not None:
            return found
    raise _Damaged


async def _directory_before(stored: StoredBytes, at: int, end: tuple[int, ...]) -> Directory | None:
    _, disk, first_disk, here, count, size, start, _ = end
    if disk or first_disk or here != count:
        return None
    if _MAX_32 in {size, start} or count == _MAX_16:
        locator = await stored.read(at - _LOCATOR_64.size, _LOCATOR_64.size)
        if locator.startswith(b"PK\x06\x07"):
            at = at - _LOCATOR_64.size - _END_64.size
            record = await stored.read(at, _END_64.size)
            if len(record) < _END_64.size or not record.startswith(b"PK\x06\x06"):
                return None
            *_, count, size, start = _END_64.unpack(record)
    if count > ENTRIES_LIMIT or size > DIRECTORY_LIMIT or at - size < start:
        return None
    found = Directory(at - size, size, count, at - size - start)
    is_one = count > 0 and (await stored.read(found.start, 4)) == b"PK\x01\x02"
    return found if is_one else None


async def content_of(stored: StoredBytes, entry: Entry) -> bytes:
    """Return the unpacked content of a small entry."""
    if entry.is_encrypted:
        raise UnsupportedFile("is encrypted")
    local = await stored.read(entry.start, 30)
    if len(local) < _LOCAL.size or not local.startswith(b"PK\x03\x04") or entry.packed > CONTENT_LIMIT:
        raise _Damaged
    data = await stored.read(entry.start + _LOCAL.size + sum(_LOCAL.unpack(local)), entry.packed)
    if entry.method == _STORED:
        return data
    if entry.method != _DEFLATED:
        raise _Damaged
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(data, CONTENT_LIMIT)
    except zlib.error:
        raise _Damaged from None
    if not unpacker.eof:
        raise _Damaged
    return content
