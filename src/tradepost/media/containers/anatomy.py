"""The result of parsing a picture's container, its limits, and its errors; shared by the four formats."""

import struct
from dataclasses import dataclass
from typing import Final

from tradepost.media.containers.icc import Profile

PARTS_LIMIT: Final = 100_000
"""Parts of one file; 10 MiB of GIF have 41,000. Many more are only there to keep a walk at Python's pace busy."""
FRAMES_LIMIT: Final = 500
"""Frames of an animation."""
UPRIGHT: Final = 1
"""The orientation of what is not to be turned."""


class Broken(Exception):
    """The file breaks its format's rules, ends too soon, or is made to be a burden; the message says how."""


class TooManyFrames(Broken):
    """It has more frames than are drawn."""

    def __init__(self) -> None:
        super().__init__(f"it has more than {FRAMES_LIMIT} frames")


class TooManyParts(Broken):
    """It has more parts than are looked at."""

    def __init__(self) -> None:
        super().__init__("it has too many parts")


class EndsTooSoon(Broken):
    """Its end is missing."""

    def __init__(self) -> None:
        super().__init__("it ends too soon")


class NoPicture(Broken):
    """It is complete, and there is nothing to see."""

    def __init__(self) -> None:
        super().__init__("it holds no picture")


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """The first frame of an animation as a file of its own, and its place on the canvas."""

    file: bytes
    width: int
    height: int
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The result of parsing a file: its size and frames, its meaning, and the file made anew.

    ``bare`` is the file without what does not draw, and without ``orientation`` (that of Exif, 1 to 8, 1 being upright; an
    animated PNG keeps it) and ``profile`` (what the numbers of the pixels mean; None for sRGB). ``tagged`` is ``bare`` with the parts that tell the
    profile, where it may be kept: in a PNG that says it in a few numbers, and in an animation. ``channels`` is 1 for grey, 3
    for colours, 4 for those of print. ``depth`` is in bits per channel, and ``key`` the one colour of a PNG that is
    transparent, in numbers of that depth. ``first`` is the first frame where that is not what decoders draw first.

    ``memory`` is what drawing takes at its peak, in bytes per pixel; for JPEG, which can be drawn smaller than it is, what it
    takes at any scale. ``scans`` is how often a decoder goes over the whole of it. ``lossy`` tells whether pixels are
    approximate already.
    """

    format: str
    width: int
    height: int
    bare: bytes
    tagged: bytes | None = None
    frames: int = 1
    first: FirstFrame | None = None
    orientation: int = UPRIGHT
    profile: Profile | None = None
    channels: int = 3
    depth: int = 8
    key: tuple[int, ...] | None = None
    memory: float = 10
    scans: int = 1
    lossy: bool = False

    @property
    def moves(self) -> bool:
        """Whether it is an animation: of several frames, or of one that comes behind a picture for old programs."""
        return self.frames > 1 or self.first is not None


_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_ENTRIES_LIMIT: Final = 512
_LAST_ORIENTATION: Final = 8


def exif_of(orientation: int) -> bytes:
    """Return Exif data that tell an orientation, and nothing else."""
    return struct.pack(">4sLHHHLHHL", b"MM\0*", 8, 1, _ORIENTATION, _SHORT, 1, orientation, 0, 0)


def orientation_in(exif: bytes) -> int:
    """Return the orientation told by the first directory of ``exif`` (TIFF header and what follows), 1 without one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(order + "L", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(min(count, _ENTRIES_LIMIT)):
            tag, kind, _, value = struct.unpack_from(order + "HHLH", exif, start + 2 + 12 * entry)
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return value if UPRIGHT <= value <= _LAST_ORIENTATION else UPRIGHT
    except struct.error:
        pass  # Broken metadata are no fault of the picture.
    return UPRIGHT
