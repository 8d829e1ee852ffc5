"""Compound files ([MS-CFB], known as OLE): a file system within a file, which .doc is made of.

Only the names right below the root are read, and where their bytes begin: another program's file may hold a Word document
further down, and is none for that.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tradepost.media.documents.stored_bytes import StoredBytes
from tradepost.media.errors import UnsupportedFile

MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENTRIES_LIMIT: Final = 8192
"""Entries of the directory that are looked at: a mebibyte of them."""
_HEADER: Final = struct.Struct("<8s16x4xHH16xL4xL8xL4x109L")
"""Magic number, order of bytes, size of sectors, where directory begins, cut-off, and where the table of tables goes on."""
_SHIFTS: Final = frozenset({9, 12})
"""Sectors are of 512 or 4,096 bytes."""
_LITTLE_ENDIAN: Final = 0xFFFE
_ENTRY: Final = struct.Struct("<64sHBxLLL36xLL4x")
_STREAM: Final = 2
_ROOT: Final = 5
_NAME_LIMIT: Final = 64
_NOTHING: Final = 0xFFFFFFFA
"""Sectors and entries from here on are none: ends of chains, and free ones."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream below the root; ``start`` is where its bytes begin, None where they lie in pieces smaller than a sector."""

    start: int | None


class _Damaged(UnsupportedFile):
    """Its structure is broken."""

    def __init__(self) -> None:
        super().__init__("is damaged")


async def streams_below_root(stored: StoredBytes) -> dict[str, Stream]:
    """Return the streams right below the root by their names, in capitals: these are compared without regard to case."""
    file = await _CompoundFile.open(stored)
    entries = await file.directory()
    if not entries or entries[0][2] != _ROOT:
        raise _Damaged
    found: dict[str, Stream] = {}
    visited: set[int] = set()
    left = [entries[0][5]]
    while left:
        number = left.pop()
        if number >= _NOTHING or number in visited:
            continue
        if number >= len(entries):
            raise _Damaged
        visited.add(number)
        raw, length, kind, before, after, _, start, size = entries[number]
        left += [before, after]
        if kind == _STREAM and length <= _NAME_LIMIT:
            name = raw[: max(length - 2, 0)].decode("utf-16-le", "replace").upper()
            found[name] = Stream(file.offset(start) if size >= file.cutoff else None)
    return found


class _CompoundFile:
    """Follows the chains of sectors of a compound file."""

    def __init__(self, stored: StoredBytes, header: Sequence[int]) -> None:
        self._stored = stored
        self._shift, self._directory, self.cutoff, self._next_difat, *self._fat = header

    @classmethod
    async def open(cls, stored: StoredBytes) -> "_CompoundFile":
        head = await stored.read(0, _HEADER.size)
        if len(head) < _HEADER.size:
            raise _Damaged
        magic, order, *header = _HEADER.unpack(head)
        if magic != MAGIC or order != _LITTLE_ENDIAN or header[0] not in _SHIFTS:
            raise _Damaged
        return cls(stored, header)

    def offset(self, sector: int) -> int:
        """Return where a sector begins; the header takes the place of one."""
        return (sector + 1) << self._shift

    async def directory(self) -> list[tuple[bytes, int, int, int, int, int, int, int]]:
        """Return the entries of the directory: name, its length, kind, left, right and child, start and size."""
        size = 1 << self._shift
        whole = bytearray()
        sector = self._directory
        while sector < _NOTHING:
            whole += await self._sector(sector)
            if len(whole) > ENTRIES_LIMIT * _ENTRY.size:
                raise _Damaged
            sector = await self._following(sector, size // 4)
        return list(_ENTRY.iter_unpack(whole))

    async def _following(self, sector: int, per_sector: int) -> int:
        """Return the sector that follows one in its chain."""
        at, within = divmod(sector, per_sector)
        while at >= len(self._fat):
            # Of a large file, only the first places of the table of chains are in the header.
            if self._next_difat >= _NOTHING or len(self._fat) * per_sector << self._shift > self._stored.size:
                raise _Damaged
            *more, self._next_difat = struct.unpack(f"<{per_sector}L", await self._sector(self._next_difat))
            self._fat += more
        table = self._fat[at]
        if table >= _NOTHING:
            raise _Damaged
        following: int
        (following,) = struct.unpack_from("<L", await self._sector(table), 4 * within)
        return following

    async def _sector(self, number: int) -> bytes:
        size = 1 << self._shift
        found = await self._stored.read(self.offset(number), size)
        if not found:
            raise _Damaged
        # The last sector of a file may have been cut short.
        return found.ljust(size, b"\0")
