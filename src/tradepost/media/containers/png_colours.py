"""What the numbers in a PNG mean: its chunks cICP, iCCP, sRGB, gAMA and cHRM (PNG third edition, W3C, section 4.3).

They may all be there, and contradict each other. The first of them that says something counts, and all that count are
turned into one profile, so that what comes after needs to know none of them. Where the specification leaves a choice,
Chromium's is taken: sellers look at their pictures in browsers.
"""

import math
import struct
import zlib
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

from tradepost.media.containers.icc import (
    PROFILE_LIMIT,
    Chromaticities,
    Profile,
    dissect_profile,
    matrix_profile,
)

COLOURS: Final = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})

_INTENTS: Final = 4
"""Rendering intents that an sRGB chunk may name."""
_GAMMA: Final = struct.Struct(">L")
_CHROMATICITIES: Final = struct.Struct(">8L")
_ONE: Final = 100_000
"""What stands for 1 in gAMA and cHRM."""
_USUAL_GAMMA: Final = 45_455
_NEARLY: Final = 0.05
"""How far, as a part of it, a gamma may be from the usual one that alone means sRGB."""

_D65: Final = (0.3127, 0.329)
_C: Final = (0.31, 0.316)
_SRGB: Final[Chromaticities] = (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_NTSC: Final[Chromaticities] = (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07)
_PRIMARIES: Final[Mapping[int, Chromaticities]] = {
    1: _SRGB,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: _NTSC,
    7: _NTSC,
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    22: (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
"""White, red, green and blue of each code (ITU-T H.273, table 2)."""

_TONES: Final = (
    (0.0, 0.0), (203.0, 0.5), (235.0, 0.565), (294.0, 0.6445), (366.0, 0.716), (456.0, 0.7835), (567.0, 0.847),
    (705.0, 0.905), (875.0, 0.965), (1000.0, 1.0),
)  # fmt: skip
"""Which part of a screen's light Chromium gives to so many candelas per square metre where a screen is not for HDR."""


_SRGB_KNEE: Final = 0.04045
_SMPTE_KNEE: Final = 0.0912
_HLG_KNEE: Final = 0.5
"""Where each curve changes from one formula to the other."""


def _power(exponent: float) -> Callable[[float], float]:
    return lambda value: math.pow(value, exponent)


def _srgb(value: float) -> float:
    return value / 12.92 if value <= _SRGB_KNEE else math.pow((value + 0.055) / 1.055, 2.4)


def _smpte_240(value: float) -> float:
    return value / 4 if value <= _SMPTE_KNEE else math.pow((value + 0.1115) / 1.1115, 1 / 0.45)


def _cinema(value: float) -> float:
    return min(1.0, math.pow(value, 2.6) * 52.37 / 48)


def _perceptual_quantizer(value: float) -> float:
    """Return what a screen shows of a value of PQ (SMPTE ST 2084)."""
    power = math.pow(value, 32 / 2523)
    light = max(0.0, power - 3424 / 4096) / (2413 / 128 - 2392 / 128 * power)
    return _dimmed(10_000 * math.pow(light, 16_384 / 2610))


def _hybrid_log_gamma(value: float) -> float:
    """Return what a screen shows of a value of HLG (ARIB STD-B67), graded for 1,000 candelas per square metre."""
    scene = (
        value**2 / 3
        if value <= _HLG_KNEE
        else (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    return _dimmed(1000 * math.pow(scene, 1.2))


def _dimmed(light: float) -> float:
    for (low, dark), (high, bright) in pairwise(_TONES):
        if light <= high:
            return dark + (bright - dark) * (light - low) / (high - low)
    return 1.0


_TELEVISION: Final = _power(2.4)
"""What screens make of the curves of television's cameras (ITU-R BT.1886)."""
_TRANSFERS: Final[Mapping[int, Callable[[float], float]]] = {
    1: _TELEVISION,
    4: _power(2.2),
    5: _power(2.8),
    6: _TELEVISION,
    7: _smpte_240,
    8: _power(1),
    11: _TELEVISION,
    13: _srgb,
    14: _TELEVISION,
    15: _TELEVISION,
    16: _perceptual_quantizer,
    17: _cinema,
    18: _hybrid_log_gamma,
}
"""The curve of each code (ITU-T H.273, table 3)."""


def profile_of(chunks: Mapping[bytes, bytes]) -> tuple[Profile | None, tuple[bytes, ...]]:
    """Return what ``chunks`` (of ``COLOURS``, by their kinds) say, and the kinds that say it; None for sRGB."""
    if (coded := _coded(chunks.get(b"cICP", b""))) is not None:
        return coded, (b"cICP",)
    if (profile := _unpacked(chunks.get(b"iCCP", b""))) is not None:
        return profile, (b"iCCP",)
    intent = chunks.get(b"sRGB", b"")
    if len(intent) == 1 and intent[0] < _INTENTS:
        return None, ()
    return _measured(chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b""))


def _coded(code_points: bytes) -> Profile | None:
    """Return the profile of a cICP: primaries, transfer, and then, always, no matrix and the full range."""
    if code_points[2:] != b"\0\1":
        return None
    primaries, transfer = _PRIMARIES.get(code_points[0]), _TRANSFERS.get(code_points[1])
    return None if primaries is None or transfer is None else matrix_profile(primaries, transfer)


def _unpacked(body: bytes) -> Profile | None:
    """Return the profile of an iCCP: its name, a zero, the method of compression, and the compressed bytes."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(body.partition(b"\0")[2][1:], PROFILE_LIMIT)
    except zlib.error:
        return None
    return dissect_profile(data) if unpacker.eof else None


def _measured(gamma: bytes, chromaticities: bytes) -> tuple[Profile | None, tuple[bytes, ...]]:
    """Return the profile of gAMA and cHRM; without a gamma, chromaticities say nothing."""
    if len(gamma) != _GAMMA.size or not any(gamma):
        return None, ()
    (exponent,) = _GAMMA.unpack(gamma)
    if len(chromaticities) != _CHROMATICITIES.size:
        if abs(exponent / _USUAL_GAMMA - 1) < _NEARLY:
            return None, ()
        return matrix_profile(_SRGB, _power(_ONE / exponent)), (b"gAMA",)
    a, b, c, d, e, f, g, h = (value / _ONE for value in _CHROMATICITIES.unpack(chromaticities))
    return matrix_profile((a, b, c, d, e, f, g, h), _power(_ONE / exponent)), (b"gAMA", b"cHRM")
