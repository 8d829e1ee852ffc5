"""PNG: a row of chunks, each with a checksum (PNG third edition, W3C)."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from tradepost.media.containers.anatomy import (
    FRAMES_LIMIT,
    PARTS_LIMIT,
    PROFILE_LIMIT,
    Anatomy,
    Broken,
    NoPicture,
    TooManyFrames,
    TooManyParts,
    orientation_in,
)

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = 13
_ANIMATION: Final = frozenset({b"acTL", b"fcTL", b"fdAT"})
_KEPT: Final = frozenset({b"PLTE", b"tRNS"}) | _ANIMATION
_COLOURS: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
"""What the numbers of the pixels mean, and the only length that each may have."""
_ANCILLARY: Final = 0x20
"""Set in the first letter of what may be left out."""


def dissect_png(data: bytes) -> Anatomy:
    """Return what a PNG is made of."""
    walk = _Walk()
    for kind, body in _chunks(data):
        if kind == b"IEND":
            break
        walk.step(kind, body)
    return walk.anatomy()


class _Walk:
    """Takes one chunk after the other, and keeps what draws."""

    def __init__(self) -> None:
        self._header = b""
        self._before: list[bytes] = []
        self._pixels: list[bytes] = []
        self._behind: list[bytes] = []
        self._declared = self._controls = 0
        self._exif = b""
        self._profile: bytes | None = None

    def step(self, kind: bytes, body: bytes) -> None:
        """Take one chunk."""
        if (kind == b"IHDR") == bool(self._header):
            raise Broken("its header is not where it belongs")
        if kind == b"IHDR":
            if len(body) != _HEADER:
                raise Broken("its header is wrong")
            self._header = body
        elif kind == b"IDAT":
            self._pixels.append(body)
        elif kind in _KEPT or len(body) == _COLOURS.get(kind):
            (self._behind if self._pixels else self._before).append(_chunk(kind, body))
            self._count(kind, body)
        elif kind == b"iCCP":
            self._profile = _unpacked(body.partition(b"\0")[2][1:])
        elif kind == b"eXIf":
            self._exif = body.removeprefix(b"Exif\0\0")
        elif not kind[0] & _ANCILLARY:
            raise Broken("it has a part that nobody knows")

    def anatomy(self) -> Anatomy:
        """Return what was found up to the end."""
        if not self._header or not self._pixels:
            raise NoPicture
        if self._declared != self._controls:
            raise Broken("its number of frames is wrong")
        width, height = struct.unpack_from(">LL", self._header)
        bare = [
            SIGNATURE,
            _chunk(b"IHDR", self._header),
            *self._before,
            # One chunk, however many there were: Pillow spends Python's time on each.
            _chunk(b"IDAT", b"".join(self._pixels)),
            *self._behind,
            _chunk(b"IEND", b""),
        ]
        return Anatomy(
            "PNG",
            width,
            height,
            b"".join(bare),
            frames=max(1, self._declared),
            orientation=orientation_in(self._exif),
            profile=self._profile,
        )

    def _count(self, kind: bytes, body: bytes) -> None:
        if kind == b"acTL":
            (self._declared,) = struct.unpack_from(">L", body)
        self._controls += kind == b"fcTL"
        if max(self._declared, self._controls) > FRAMES_LIMIT:
            raise TooManyFrames


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of every chunk."""
    at = len(SIGNATURE)
    for _ in range(PARTS_LIMIT):
        length, kind = struct.unpack_from(">L4s", data, at)
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">L", data, at + 8 + length)
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            raise Broken("it is damaged")
        yield kind, body
        at += 12 + length
    raise TooManyParts


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", len(body), kind) + body + struct.pack(">L", zlib.crc32(body, zlib.crc32(kind)))


def _unpacked(packed: bytes) -> bytes | None:
    """Return a profile out of its compression; None for a broken one, or one that is much too large."""
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed, PROFILE_LIMIT)
    except zlib.error:
        return None
    return profile if unpacker.eof else None
