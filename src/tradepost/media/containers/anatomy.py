"""What the walk over a picture's file finds, and what it may complain of."""

import struct
from dataclasses import dataclass
from typing import Final

PARTS_LIMIT: Final = 100_000
"""Parts of one file; 10 MiB of GIF have 41,000. Many more are only there to keep a walk at Python's pace busy."""
FRAMES_LIMIT: Final = 500
"""Frames of an animation."""
PROFILE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a colour profile; those of printing presses have 3 MB."""
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
class Anatomy:
    """What the walk over a file found.

    ``bare`` is the file without what does not draw. ``orientation`` is that of Exif, 1 to 8, 1 being upright; ``profile``
    is the ICC profile; ``bare`` lacks both. ``memory`` is what drawing takes at its peak, in bytes per pixel; for JPEG,
    which can be drawn smaller than it is, what it takes at any scale. ``scans`` is how often a decoder goes over the whole
    of it. ``channels`` is 4 for the colours of print. ``lossy`` tells whether pixels are approximate already.
    """

    format: str
    width: int
    height: int
    bare: bytes
    frames: int = 1
    orientation: int = UPRIGHT
    profile: bytes | None = None
    memory: float = 10
    scans: int = 1
    channels: int = 3
    lossy: bool = False


_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_ENTRIES_LIMIT: Final = 512
_LAST_ORIENTATION: Final = 8


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
