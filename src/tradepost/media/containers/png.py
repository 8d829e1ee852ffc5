"""PNG: a row of chunks, each with a checksum (PNG third edition, W3C)."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from tradepost.media.containers.anatomy import (
    FRAMES_LIMIT,
    PARTS_LIMIT,
    UPRIGHT,
    Anatomy,
    Broken,
    FirstFrame,
    NoPicture,
    TooManyFrames,
    TooManyParts,
    exif_of,
    orientation_in,
)
from tradepost.media.containers.png_colours import COLOURS, profile_of

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = 13
_SHARED: Final = frozenset({b"PLTE", b"tRNS"})
"""Palette and transparency, of all frames alike."""
_ANIMATION: Final = frozenset({b"acTL", b"fcTL", b"fdAT"})
_CONTROL: Final = ">4xLLLL"
"""Of a frame: its place in the row (passed over here), width and height, left and top."""
_GREY: Final = frozenset({0, 4})
"""Types without colours; 4 has an alpha channel."""
_PALETTED: Final = 3
_KEYED: Final = {0: ">H", 2: ">3H"}
"""Types of which one colour may be transparent, and how it is written."""
_BYTE: Final = 8
_ANCILLARY: Final = 0x20
"""Set in the first letter of what may be left out."""


def dissect_png(data: bytes) -> Anatomy:
    """Return the anatomy of a PNG; raise Broken."""
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
        self._width = self._height = self._depth = self._type = 0
        self._colours: dict[bytes, bytes] = {}
        self._shared: dict[bytes, bytes] = {}
        self._before: list[bytes] = []
        self._pixels: list[bytes] = []
        self._behind: list[bytes] = []
        self._declared = self._controls = 0
        self._hidden = b""
        self._first: list[bytes] = []
        self._exif = b""

    def step(self, kind: bytes, body: bytes) -> None:
        """Take one chunk."""
        if (kind == b"IHDR") == bool(self._header):
            raise Broken("its header is not where it belongs")
        if kind == b"IHDR":
            if len(body) != _HEADER:
                raise Broken("its header is wrong")
            self._header = body
            self._width, self._height, self._depth, self._type = struct.unpack_from(">LLBB", body)
        elif kind == b"IDAT":
            self._pixels.append(body)
        elif kind in _SHARED:
            self._share(kind, body)
        elif kind in _ANIMATION:
            (self._behind if self._pixels else self._before).append(_chunk(kind, body))
            self._animate(kind, body)
        elif kind in COLOURS:
            self._explain(kind, body)
        elif kind == b"eXIf":
            self._exif = body.removeprefix(b"Exif\0\0")
        elif not kind[0] & _ANCILLARY:
            raise Broken("it has a part that nobody knows")

    def anatomy(self) -> Anatomy:
        """Return the findings, once the end is reached."""
        if not self._header or not self._pixels:
            raise NoPicture
        if self._declared != self._controls:
            raise Broken("its number of frames is wrong")
        # One chunk, however many there were: Pillow spends Python's time on each.
        orientation = orientation_in(self._exif)
        turned = [_chunk(b"eXIf", exif_of(orientation))] if self._declared and orientation != UPRIGHT else []
        parts = (*turned, *self._before, _chunk(b"IDAT", b"".join(self._pixels)), *self._behind)
        profile, kinds = profile_of(self._colours)
        tagged = None
        if profile is not None and (self._declared or b"iCCP" not in kinds):
            told = self._colours | {b"iCCP": b"icc\0\0" + zlib.compress(profile.data)}
            tagged = self._file(*(_chunk(kind, told[kind]) for kind in kinds), *parts)
        return Anatomy(
            "PNG",
            self._width,
            self._height,
            self._file(*parts),
            tagged=tagged,
            frames=max(1, self._declared),
            first=self._first_frame(),
            orientation=orientation,
            profile=profile,
            channels=1 if self._type in _GREY else 3,
            depth=self._depth,
            key=self._key(),
            # Between two frames there are the canvas, the one before, the new frame, and that frame with its alpha.
            memory=16 if self._declared else 10,
        )

    def _file(self, *parts: bytes, header: bytes = b"") -> bytes:
        return b"".join((SIGNATURE, _chunk(b"IHDR", header or self._header), *parts, _chunk(b"IEND", b"")))

    def _explain(self, kind: bytes, body: bytes) -> None:
        # What comes too late says nothing in browsers, and neither does a second of its kind.
        too_late = self._pixels or (kind == b"cICP" and b"PLTE" in self._shared)
        if not too_late:
            self._colours.setdefault(kind, body)

    def _share(self, kind: bytes, body: bytes) -> None:
        # Transparency that comes before the palette whose colours it is of says nothing in browsers.
        too_early = kind == b"tRNS" and self._type == _PALETTED and b"PLTE" not in self._shared
        if not self._pixels and kind not in self._shared and not too_early:
            self._shared[kind] = body
            self._before.append(_chunk(kind, body))

    def _animate(self, kind: bytes, body: bytes) -> None:
        if kind == b"acTL":
            (self._declared,) = struct.unpack_from(">L", body)
        elif kind == b"fcTL":
            if self._pixels and not self._controls:
                # The pixels before it are no frame: they are for programs that show no animations.
                self._hidden = body
            self._controls += 1
        elif self._hidden and self._controls == 1:
            self._first.append(body[4:])
        if max(self._declared, self._controls) > FRAMES_LIMIT:
            raise TooManyFrames

    def _first_frame(self) -> FirstFrame | None:
        if not self._hidden:
            return None
        width, height, left, top = struct.unpack_from(_CONTROL, self._hidden)
        if not (width and height and left + width <= self._width and top + height <= self._height):
            raise Broken("a frame reaches out of the picture")
        shared = (_chunk(kind, body) for kind, body in self._shared.items())
        pixels = _chunk(b"IDAT", b"".join(self._first))
        header = struct.pack(">LL", width, height) + self._header[8:]
        return FirstFrame(self._file(*shared, pixels, header=header), width, height, left, top)

    def _key(self) -> tuple[int, ...] | None:
        """Return the colour that is transparent, where that is told by one colour."""
        layout, body = _KEYED.get(self._type), self._shared.get(b"tRNS", b"")
        if layout is None or len(body) != struct.calcsize(layout):
            return None
        key: tuple[int, ...] = struct.unpack(layout, body)
        return key if self._depth > _BYTE else tuple(value & 0xFF for value in key)


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
