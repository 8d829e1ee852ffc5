"""WebP: RIFF chunks; those of an animation's frames have chunks in them (RFC 9649)."""

import struct
from collections.abc import Iterator
from typing import Final

from tradepost.media.containers.anatomy import (
    FRAMES_LIMIT,
    PARTS_LIMIT,
    UPRIGHT,
    Anatomy,
    Broken,
    EndsTooSoon,
    NoPicture,
    TooManyFrames,
    TooManyParts,
    orientation_in,
)
from tradepost.media.containers.icc import dissect_profile

_ANIMATED: Final = 0x02
_DRAWS: Final = 0x10 | _ANIMATED
"""Flags of an extended file that stay: alpha and animation. Profile, Exif and XMP go with their chunks."""
_PIXELS: Final = frozenset({b"ALPH", b"VP8 ", b"VP8L"})
_FRAME_HEADER: Final = 16


def dissect_webp(data: bytes) -> Anatomy:
    """Return the anatomy of a WebP; raise Broken."""
    (length,) = struct.unpack_from("<L", data, 4)
    if length + 8 > len(data):
        raise EndsTooSoon
    walk = _Walk()
    for kind, body in _chunks(data[12 : length + 8]):
        walk.step(kind, body)
    return walk.anatomy()


class _Walk:
    """Takes one chunk after the other, and keeps what draws."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._seen: set[bytes] = set()
        self._size: tuple[int, int] | None = None
        self._flags = self._frames = 0
        self._lossless = False
        self._exif = b""
        self._profile = b""

    def step(self, kind: bytes, body: bytes) -> None:
        """Take one chunk."""
        if kind == b"ANMF":
            self._frame(body)
        elif kind in self._seen:
            return  # Decoders look at the first one only.
        elif kind == b"VP8X":
            self._header(body)
        elif kind == b"ANIM":
            self._kept.append(_chunk(kind, body[:6]))
        elif kind in _PIXELS and not self._flags & _ANIMATED:
            self._kept.append(_chunk(kind, body))
            self._size = self._size or _size(kind, body)
            self._lossless |= kind == b"VP8L"
        elif kind == b"EXIF":
            self._exif = body.removeprefix(b"Exif\0\0")
        elif kind == b"ICCP":
            self._profile = body
        self._seen.add(kind)

    def anatomy(self) -> Anatomy:
        """Return the findings, once the end is reached."""
        if self._size is None or bool(self._flags & _ANIMATED) != bool(self._frames):
            raise NoPicture
        content = b"WEBP" + b"".join(self._kept)
        return Anatomy(
            "WEBP",
            *self._size,
            b"RIFF" + struct.pack("<L", len(content)) + content,
            frames=max(1, self._frames),
            orientation=UPRIGHT if self._frames else orientation_in(self._exif),
            # Browsers pass over both in an animation.
            profile=None if self._frames else dissect_profile(self._profile),
            # libwebp composes on canvases of its own, hands over a copy, and Pillow takes another.
            memory=20 if self._lossless else 16,
            lossy=not self._lossless,
        )

    def _header(self, body: bytes) -> None:
        if self._seen:
            raise Broken("its header is not where it belongs")
        self._flags = body[0] & _DRAWS
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
        self._size = (width, height)
        self._kept.append(_chunk(b"VP8X", bytes([self._flags, 0, 0, 0]) + body[4:10]))

    def _frame(self, body: bytes) -> None:
        self._frames += 1
        if self._frames > FRAMES_LIMIT:
            raise TooManyFrames
        chunks = [chunk for chunk in _chunks(body[_FRAME_HEADER:]) if chunk[0] in _PIXELS]
        self._lossless |= any(kind == b"VP8L" for kind, _ in chunks)
        pixels = b"".join(_chunk(kind, inner) for kind, inner in chunks)
        self._kept.append(_chunk(b"ANMF", body[:_FRAME_HEADER] + pixels))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of every chunk."""
    at = 0
    for _ in range(PARTS_LIMIT):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sL", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) < length:
            raise EndsTooSoon
        yield kind, body
        at += 8 + length + length % 2
    raise TooManyParts


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack("<4sL", kind, len(body)) + body + b"\0" * (len(body) % 2)


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    """Return the size that the only chunk of a simple file tells."""
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and body.startswith(b"\x2f"):
        (bits,) = struct.unpack_from("<L", body, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise NoPicture
