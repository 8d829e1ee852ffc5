"""GIF: blocks, of which the long ones are chains of sub-blocks (GIF89a, CompuServe 1990)."""

import struct
from typing import Final

from tradepost.media.containers.anatomy import (
    FRAMES_LIMIT,
    PARTS_LIMIT,
    Anatomy,
    Broken,
    NoPicture,
    TooManyFrames,
    TooManyParts,
)

_END: Final = 0x3B
_FRAME: Final = 0x2C
_EXTENSION: Final = 0x21
_CONTROL: Final = 0xF9
_CONTROL_LENGTH: Final = 4
_TEXT: Final = 0x01
_APPLICATION: Final = 0xFF
_LOOPS: Final = (b"\x0bNETSCAPE2.0\x03\x01", b"\x0bANIMEXTS1.0\x03\x01")
"""The one extension that draws: how often an animation is repeated."""


def dissect_gif(data: bytes) -> Anatomy:
    """Return the anatomy of a GIF; raise Broken.

    One that ends behind a block, without the trailer, is whole but for that byte, which browsers do not miss either: it is
    added. One that ends within a block is not whole.
    """
    walk = _Walk(data)
    while walk.at < len(data) and data[walk.at] != _END:
        walk.step()
    return walk.anatomy()


class _Walk:
    """Goes from block to block, and keeps what draws."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._width, self._height, flags = struct.unpack_from("<HHB", data, 6)
        self.at = 13 + _palette(flags)
        self._kept = [data[: self.at]]
        self._control = b""
        self._frames = 0
        self._sub_blocks = 0

    def step(self) -> None:
        """Go over one block."""
        kind = self._data[self.at]
        if kind == _FRAME:
            self._frame()
        elif kind == _EXTENSION:
            self._extension()
        else:
            raise Broken("it has a part that nobody knows")

    def anatomy(self) -> Anatomy:
        """Return the findings, once the end is reached."""
        if not self._frames:
            raise NoPicture
        self._kept.append(bytes([_END]))
        return Anatomy(
            "GIF",
            self._width,
            self._height,
            b"".join(self._kept),
            frames=self._frames,
            # Between two frames there are the canvas, the one before, the new frame, and that frame in colour.
            memory=14 if self._frames > 1 else 10,
        )

    def _frame(self) -> None:
        left, top, across, down, flags = struct.unpack_from("<HHHHB", self._data, self.at + 1)
        if left + across > self._width or top + down > self._height:
            raise Broken("a frame reaches out of the picture")
        self._frames += 1
        if self._frames > FRAMES_LIMIT:
            raise TooManyFrames
        end = self._end_of_chain(self.at + 11 + _palette(flags))
        self._kept.append(self._control + self._data[self.at : end])
        self._control = b""
        self.at = end

    def _extension(self) -> None:
        label, length = self._data[self.at + 1], self._data[self.at + 2]
        end = self._end_of_chain(self.at + 2)
        if label == _CONTROL and length == _CONTROL_LENGTH:
            self._control = self._data[self.at : self.at + 7] + b"\0"
        elif label == _APPLICATION and self._data.startswith(_LOOPS, self.at + 2):
            self._kept.append(self._data[self.at : self.at + 18] + b"\0")
        elif label == _TEXT:
            self._control = b""  # It was meant for this text, which nobody draws.
        self.at = end

    def _end_of_chain(self, at: int) -> int:
        """Return where the chain of sub-blocks that begins at ``at`` has ended."""
        while length := self._data[at]:
            at += 1 + length
            self._sub_blocks += 1
            if self._sub_blocks > PARTS_LIMIT:
                raise TooManyParts
        return at + 1


def _palette(flags: int) -> int:
    """Return how many bytes of colours ``flags`` announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
