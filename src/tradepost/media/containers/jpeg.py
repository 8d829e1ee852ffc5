"""JPEG: a row of segments, each behind a marker; coded data follow each start of a scan (ITU T.81, annex B)."""

import re
import struct
from typing import Final

from tradepost.media.containers.anatomy import (
    Anatomy,
    Broken,
    EndsTooSoon,
    NoPicture,
    TooManyParts,
    orientation_in,
)
from tradepost.media.containers.icc import dissect_profile

SEGMENTS_LIMIT: Final = 10_000
SCANS_LIMIT: Final = 64
"""Scans of one picture; encoders write 1 to 12. Each costs a pass over the whole of it, however little it holds."""

_PREFIX: Final = 0xFF
"""Begins every marker, and fills the space in front of one."""
_PROGRESSIVE: Final = 0xC2
_TABLES: Final = frozenset({0xC4, 0xDB, 0xDD})
"""Huffman and quantisation tables, restart intervals."""
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DRAWN_FRAMES: Final = frozenset({0xC0, 0xC1, _PROGRESSIVE})
"""Baseline, extended, progressive: what browsers draw. The others are lossless, hierarchical or arithmetic."""
_SCAN: Final = 0xDA
_END: Final = 0xD9
_LONELY: Final = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Markers without a payload. Between segments they mean nothing, and decoders skip them, too."""
_JFIF: Final = 0xE0
_EXIF: Final = 0xE1
_PROFILE: Final = 0xE2
_ADOBE: Final = 0xEE

_BEHIND_CODED_DATA: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""They end at the first marker that is neither a stuffed 0xFF nor a restart."""
_PLAIN_JFIF: Final = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
"""Version 1.1, square pixels, no thumbnail. That it is there tells decoders how the colours are coded."""
_PLAIN_ADOBE: Final = 12
"""Bytes of Adobe's segment, which tells the same."""
_PROFILE_HEADER: Final = 14
_DEPTH: Final = 8
_FACTORS: Final = frozenset(range(1, 5))


def dissect_jpeg(data: bytes) -> Anatomy:
    """Return the anatomy of a JPEG; raise Broken."""
    walk = _Walk(data)
    for _ in range(SEGMENTS_LIMIT):
        if walk.step():
            return walk.anatomy()
    raise TooManyParts


class _Walk:
    """Goes from marker to marker, and keeps what draws."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 2
        self._kept = [b"\xff\xd8"]
        self._size = (0, 0)
        self._components = self._scans = 0
        self._progressive = False
        self._samples = 0.0
        self._exif = b""
        self._profile: dict[int, bytes] = {}

    def step(self) -> bool:
        """Go over one segment; tell whether it was the end."""
        marker = self._marker()
        if marker == _END:
            return True
        if marker in _LONELY:
            return False
        (length,) = struct.unpack_from(">H", self._data, self._at)
        segment = self._data[self._at : self._at + length]
        if len(segment) < max(length, 2):
            raise EndsTooSoon
        self._at += length
        if marker in _FRAMES:
            self._frame(marker, segment[2:])
        if marker in _TABLES or marker in _DRAWN_FRAMES:
            self._kept.append(bytes([0xFF, marker]) + segment)
        elif marker == _SCAN:
            self._scan(segment)
        else:
            self._application(marker, segment[2:])
        return False

    def anatomy(self) -> Anatomy:
        """Return the findings, once the end is reached."""
        if not self._scans:
            raise NoPicture
        self._kept.append(b"\xff\xd9")
        return Anatomy(
            "JPEG",
            *self._size,
            b"".join(self._kept),
            orientation=orientation_in(self._exif),
            profile=dissect_profile(b"".join(self._profile[number] for number in sorted(self._profile))),
            # Where one scan is not all, decoders keep the coefficients of the whole picture, two bytes each.
            memory=2 * self._samples if self._progressive or self._scans > 1 else 0,
            scans=self._scans,
            channels=self._components,
            lossy=True,
        )

    def _marker(self) -> int:
        # Like the decoders, over whatever lies between two segments.
        self._at = self._data.find(b"\xff", self._at)
        if self._at < 0:
            raise EndsTooSoon
        while self._data[self._at] == _PREFIX:
            self._at += 1
        self._at += 1
        return self._data[self._at - 1]

    def _frame(self, marker: int, payload: bytes) -> None:
        depth, height, width, self._components = struct.unpack_from(">BHHB", payload)
        rare = marker not in _DRAWN_FRAMES or depth != _DEPTH or self._components not in {1, 3, 4}
        if self._kept_a_frame() or rare or not width * height:
            raise Broken("it is of a rare kind of JPEG")
        self._size = (width, height)
        self._progressive = marker == _PROGRESSIVE
        factors = [divmod(payload[7 + 3 * number], 16) for number in range(self._components)]
        if not all(factor in _FACTORS for pair in factors for factor in pair):
            raise Broken("it is of a rare kind of JPEG")
        most = max(across for across, _ in factors) * max(down for _, down in factors)
        self._samples = sum(across * down for across, down in factors) / most

    def _kept_a_frame(self) -> bool:
        return self._size != (0, 0)

    def _scan(self, segment: bytes) -> None:
        self._scans += 1
        if not self._kept_a_frame() or self._scans > SCANS_LIMIT:
            raise Broken("its scans are wrong, or too many")
        end = _BEHIND_CODED_DATA.search(self._data, self._at)
        if end is None:
            # Perhaps only the marker is missing. But half of the picture may be, and only a decoder could tell: it would
            # draw grey there, for good.
            raise Broken("its end (the marker FF D9) is missing, and perhaps more of it; save it anew")
        self._kept.append(b"\xff\xda" + segment + self._data[self._at : end.start()])
        self._at = end.start()

    def _application(self, marker: int, payload: bytes) -> None:
        if marker == _JFIF and payload.startswith(b"JFIF\0") and len(self._kept) == 1:
            self._kept.append(_PLAIN_JFIF)
        elif marker == _ADOBE and payload.startswith(b"Adobe") and len(payload) >= _PLAIN_ADOBE:
            self._kept.append(b"\xff\xee\x00\x0e" + payload[:_PLAIN_ADOBE])
        elif marker == _EXIF and payload.startswith(b"Exif\0") and not self._exif:
            self._exif = payload[6:]
        elif marker == _PROFILE and payload.startswith(b"ICC_PROFILE\0") and len(payload) > _PROFILE_HEADER:
            self._profile[payload[12]] = payload[_PROFILE_HEADER:]
