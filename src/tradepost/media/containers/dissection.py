"""Container parsing by allow-list: the segments, chunks and blocks of JPEG, PNG, GIF and WebP, before any decoder runs.

A short walk over the parts of a file tells the size of its canvas and the number of frames, so that limits are checked
before memory is spent. It also yields the file anew, made of nothing but the parts that draw the picture. A part that is not
known to draw is left out, so no list of kinds of metadata can be incomplete: Exif, GPS, XMP, IPTC, comments, texts, thumbnails, maker notes, second pictures, and whatever follows the end
of the picture (an archive, a page) are gone without a pixel having been touched.
"""

import re
import struct
from collections.abc import Callable
from typing import Final

from tradepost.media.containers.anatomy import Anatomy, EndsTooSoon
from tradepost.media.containers.gif import dissect_gif
from tradepost.media.containers.jpeg import dissect_jpeg
from tradepost.media.containers.png import SIGNATURE, dissect_png
from tradepost.media.containers.webp import dissect_webp


class NotAPicture(Exception):
    """The bytes begin with the signature of none of the four formats."""


_FORMATS: Final[tuple[tuple[re.Pattern[bytes], Callable[[bytes], Anatomy]], ...]] = (
    (re.compile(rb"\xff\xd8\xff"), dissect_jpeg),
    (re.compile(re.escape(SIGNATURE)), dissect_png),
    (re.compile(rb"GIF8[79]a"), dissect_gif),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), dissect_webp),
)


def dissect(data: bytes) -> Anatomy:
    """Return the anatomy of ``data``; raise NotAPicture or Broken."""
    for signature, walk in _FORMATS:
        if signature.match(data):
            try:
                return walk(data)
            except (IndexError, struct.error):
                raise EndsTooSoon from None
    raise NotAPicture
