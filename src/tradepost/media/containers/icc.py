"""ICC profiles: a header, a table of tags, and their data (ICC.1:2022); what a picture's numbers mean.

A profile is read before any colour engine sees it, by the rules of browsers, and made anew from nothing but the tags that
convert colours to those of screens. So names, serial numbers of displays and dates are gone, an engine is never handed a
table that points outside of its file, and a profile that browsers pass over is passed over here.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PROFILE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a colour profile; those of printing presses have 3 MB."""

GREY: Final = b"GRAY"
RGB: Final = b"RGB "
PRINT: Final = b"CMYK"
_XYZ: Final = b"XYZ "
_LAB: Final = b"Lab "

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""The x and y of white, red, green and blue (CIE 1931)."""
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
"""Rows of three."""

_HEADER: Final = 128
_ENTRY: Final = 12
_TAGS_LIMIT: Final = 100
_NEWEST: Final = 4
"""The last major version whose profiles are all known to browsers; 5 is iccMAX."""
_TABLES: Final = (b"A2B0", b"A2B1", b"A2B2")
"""Tables from the device's colours to those of the profile's connection space, the best first."""
_COLUMNS: Final = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES: Final = (b"rTRC", b"gTRC", b"bTRC")
_GREY_CURVE: Final = b"kTRC"
_WHITE: Final = b"wtpt"
_D50: Final[Vector] = (0.9642, 1.0, 0.82491)
"""The white that profiles connect by."""
_BRADFORD: Final[Matrix] = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
"""From XYZ to the responses of cones in which one white is exchanged for another."""
_SAMPLES: Final = 256
"""Points of a curve: one for each value that a channel of a decoded picture may have."""
_CURVE_HEADER: Final = 12
_PARAMETERS: Final = (1, 3, 4, 5, 7)
"""Numbers in a parametric curve of each kind."""
_SINGULAR: Final = 1e-6
_LARGEST: Final = 32_000.0
"""What a number of a profile may be at most."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile made anew: the space of the numbers that it explains (``GREY``, ``RGB``, ``PRINT``), and its bytes."""

    space: bytes
    data: bytes


def dissect_profile(data: bytes) -> Profile | None:
    """Return the profile in ``data`` made anew; None where browsers pass it over, as they do a broken one."""
    try:
        return _dissected(data)
    except struct.error:
        return None


def matrix_profile(chromaticities: Chromaticities, curve: Callable[[float], float]) -> Profile | None:
    """Return a profile of three lights and the curve that leads to their strength; None where they span no colours.

    ``curve`` maps 0 to 1 to 0 to 1.
    """
    columns = _columns(chromaticities)
    if columns is None:
        return None
    points = [curve(number / (_SAMPLES - 1)) for number in range(_SAMPLES)]
    values = [round(65_535 * min(1.0, max(0.0, point))) for point in points]
    table = struct.pack(f">4s4xL{_SAMPLES}H", b"curv", _SAMPLES, *values)
    tags = dict(zip(_COLUMNS, map(_coordinates, columns), strict=True)) | dict.fromkeys(_CURVES, table)
    return Profile(RGB, _made(_NEWEST, RGB, _XYZ, tags))


def _dissected(data: bytes) -> Profile | None:
    size, version, space, connection, signature = struct.unpack_from(">L4xB7x4s4s12x4s", data)
    (count,) = struct.unpack_from(">L", data, _HEADER)
    if signature != b"acsp" or version > _NEWEST or count > _TAGS_LIMIT:
        return None
    if not _HEADER <= size <= min(len(data), PROFILE_LIMIT):
        return None
    tags: dict[bytes, bytes] = {}
    for number in range(count):
        name, start, length = struct.unpack_from(">4sLL", data, _HEADER + 4 + _ENTRY * number)
        if start + length > size:
            return None
        tags.setdefault(name, data[start : start + length])
    kept = _converting(space, connection, tags)
    # Tags may share their bytes: all together they are held to the limit once more.
    if kept is None or sum(map(len, kept.values())) > PROFILE_LIMIT:
        return None
    return Profile(space, _made(version, space, connection, kept))


def _converting(space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> dict[bytes, bytes] | None:
    """Return the tags that lead from numbers in ``space`` to the connection space, or None; tables go before curves."""
    if space not in {GREY, RGB, PRINT} or connection not in {_XYZ, _LAB}:
        return None
    table = next((tags[name] for name in _TABLES if name in tags), None)
    if table is not None:
        return {_TABLES[0]: table}
    curves = {GREY: (_GREY_CURVE,), RGB: _CURVES}.get(space, ())
    needed = (*curves, *(_COLUMNS if space == RGB else ()))
    if not needed or connection != _XYZ or not tags.keys() >= set(needed):
        return None
    if not all(_is_curve(tags[name]) for name in curves):
        return None
    return {name: tags[name] for name in needed}


def _is_curve(data: bytes) -> bool:
    """Tell whether a tag is a curve that browsers draw by: a table, or a known formula whose exponent is not negative."""
    if data[:4] == b"curv":
        count: int
        (count,) = struct.unpack_from(">L", data, 8)
        return _CURVE_HEADER + 2 * count <= len(data)
    if data[:4] != b"para":
        return False
    kind: int
    exponent: int
    kind, exponent = struct.unpack_from(">H2xl", data, 8)
    return kind < len(_PARAMETERS) and len(data) >= _CURVE_HEADER + 4 * _PARAMETERS[kind] and exponent >= 0


def _made(version: int, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Return a profile of these tags and of those that each profile has to have."""
    named = {
        b"desc": _text(version, "Picture"),
        b"cprt": _text(version, "None"),
        _WHITE: _coordinates(_D50),
        **tags,
    }
    at = _HEADER + 4 + _ENTRY * len(named)
    entries, bodies = [struct.pack(">L", len(named))], list[bytes]()
    places: dict[bytes, int] = {}
    for name, body in named.items():
        if body not in places:
            places[body] = at
            bodies.append(body + bytes(-len(body) % 4))
            at += len(bodies[-1])
        entries.append(struct.pack(">4sLL", name, places[body], len(body)))
    # Of its class, only the way from the device's numbers counts: browsers do not look at it.
    header = (
        struct.pack(">L4xB3x4s4s4s12x4s28x", at, version, b"mntr", space, connection, b"acsp")
        + _coordinates(_D50)[8:]
    )
    return header.ljust(_HEADER, b"\0") + b"".join(entries + bodies)


def _text(version: int, text: str) -> bytes:
    if version >= _NEWEST:
        encoded = text.encode("utf-16-be")
        return struct.pack(">4s4xLL2s2sLL", b"mluc", 1, 12, b"en", b"US", len(encoded), 28) + encoded
    # The description of old profiles: ASCII, then neither Unicode nor a script of the Macintosh.
    return struct.pack(">4s4xL", b"desc", len(text) + 1) + text.encode() + bytes(1 + 78)


def _coordinates(vector: Vector) -> bytes:
    """Return a tag with one colour in XYZ, as numbers with 16 bits behind the point."""
    return struct.pack(">4s4x3l", b"XYZ ", *(round(value * 65_536) for value in vector))


def _columns(chromaticities: Chromaticities) -> Matrix | None:
    """Return red, green and blue in XYZ at full strength, under the white that profiles connect by."""
    white, *lights = (
        (x, y, 1 - x - y) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)
    )
    if white[1] < _SINGULAR:
        return None
    red, green, blue = lights
    bright = (white[0] / white[1], 1.0, white[2] / white[1])
    strengths = _solved(_transposed((red, green, blue)), bright)
    cones = _product(_BRADFORD, bright)
    if strengths is None or min(map(abs, cones)) < _SINGULAR:
        return None
    gains = [to / of for to, of in zip(_product(_BRADFORD, _D50), cones, strict=True)]
    columns: list[Vector] = []
    for light, strength in zip((red, green, blue), strengths, strict=True):
        a, b, c = (
            seen * gain * strength for seen, gain in zip(_product(_BRADFORD, light), gains, strict=True)
        )
        column = _solved(_BRADFORD, (a, b, c))
        if column is None or max(map(abs, column)) > _LARGEST:
            return None
        columns.append(column)
    return columns[0], columns[1], columns[2]


def _product(matrix: Matrix, vector: Vector) -> Vector:
    a, b, c = (sum(one * other for one, other in zip(row, vector, strict=True)) for row in matrix)
    return a, b, c


def _transposed(matrix: Matrix) -> Matrix:
    a, b, c = zip(*matrix, strict=True)
    return a, b, c


def _solved(matrix: Matrix, right: Vector) -> Vector | None:
    """Return what ``matrix`` makes ``right`` of (Cramer's rule); None where it flattens the space."""
    whole = _determinant(matrix)
    if abs(whole) < _SINGULAR:
        return None
    columns = _transposed(matrix)
    a, b, c = (_determinant((*columns[:at], right, *columns[at + 1 :])) / whole for at in range(len(columns)))
    return a, b, c


def _determinant(rows: Sequence[Vector]) -> float:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
