"""Pictures whose numbers mean something else than sRGB: sixteen patches each, in every way that a file can tell it.

What Chromium shows of each is in ``seen_in_chromium``.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache

from PIL import Image, ImageChops

from tests.media import gallery
from tests.media.seen_in_chromium import SEEN

Colour = bytes
"""Red, green and blue."""
Chunk = tuple[bytes, bytes]

SIDE, PATCH = 4, 32
"""Patches along a side, and pixels of a patch: sixteen, the block of a JPEG's colours, are left at half the size."""
COLOURS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0), (255, 255, 255), (128, 128, 128), (10, 10, 10), (30, 30, 30), (64, 64, 64), (200, 200, 200), (255, 0, 0),
    (0, 255, 0), (0, 0, 255), (200, 50, 50), (50, 200, 50), (50, 50, 200), (20, 60, 10), (240, 200, 180), (5, 0, 0),
)  # fmt: skip
DEEP = (
    0,
    256,
    511,
    30_000,
    30_001,
    29_952,
    30_207,
    40_000,
    65_535,
    4369,
    12_850,
    2570,
    7710,
    16_448,
    51_400,
    60_000,
)
"""Greys of 16 bits; of the fourth, the neighbours differ only in the lower byte."""
KEY = struct.pack(">H", 30_000)

WHITE = (0.3127, 0.329)
SRGB_LIGHTS = (*WHITE, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
ADOBE_LIGHTS = (*WHITE, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB_COLUMNS = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
P3_COLUMNS = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))


EXACT = 2
"""How far colours may be from the browser's where nothing is lost on the way."""
LOSSY = 8
"""How far they may be where an encoder has lost something."""


def upright(colours: Sequence[Colour]) -> list[Colour]:
    """Return the patches of a picture that was turned to the right in the order that they had before."""
    return [colours[x * SIDE + SIDE - 1 - y] for y in range(SIDE) for x in range(SIDE)]


def patches(image: Image.Image) -> list[Colour]:
    """Return what is seen in the middle of each patch, on white."""
    image = image.convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image)
    step = image.width // SIDE
    middles = [(x * step + step // 2, y * step + step // 2) for y in range(SIDE) for x in range(SIDE)]
    return [page.crop((x, y, x + 1, y + 1)).tobytes() for x, y in middles]


def furthest(some: Sequence[Colour], others: Sequence[Colour]) -> int:
    """Return how far the channels of two rows of colours are apart at most."""
    return max(
        abs(one - other) for pair in zip(some, others, strict=True) for one, other in zip(*pair, strict=True)
    )


def seen(name: str) -> list[Colour]:
    """Return what Chromium shows of a picture."""
    numbers = bytes.fromhex(SEEN[name])
    return [numbers[at : at + 3] for at in range(0, len(numbers), 3)]


def drawing() -> Image.Image:
    """Return the sixteen colours."""
    image = Image.new("RGB", (SIDE * PATCH, SIDE * PATCH))
    for number, colour in enumerate(COLOURS):
        x, y = number % SIDE * PATCH, number // SIDE * PATCH
        image.paste(colour, (x, y, x + PATCH, y + PATCH))
    return image


# -- PNG ----------------------------------------------------------------------------------------------------------


def rows(cells: Sequence[bytes]) -> bytes:
    """Return the compressed rows of a PNG, made of one row of each patch."""
    return zlib.compress(
        b"".join((b"\0" + b"".join(cells[at : at + SIDE])) * PATCH for at in range(0, len(cells), SIDE))
    )


def png(kind: int, depth: int, cells: Sequence[bytes], *before: Chunk, after: Sequence[Chunk] = ()) -> bytes:
    """Return a PNG of one type of colour, with chunks before and after the pixels."""
    header = struct.pack(">LLBBBBB", SIDE * PATCH, SIDE * PATCH, depth, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), *before, (b"IDAT", rows(cells)), *after, (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(gallery.png_chunk(*chunk) for chunk in chunks)


def coloured(*before: Chunk, after: Sequence[Chunk] = ()) -> bytes:
    return png(2, 8, [bytes(colour) * PATCH for colour in COLOURS], *before, after=after)


def see_through(*before: Chunk) -> bytes:
    return png(6, 8, [bytes((*colour, 120)) * PATCH for colour in COLOURS], *before)


def grey(*before: Chunk) -> bytes:
    return png(0, 8, [bytes((colour[1],)) * PATCH for colour in COLOURS], *before)


def grey_and_alpha(*before: Chunk) -> bytes:
    return png(4, 8, [bytes((colour[1], 200)) * PATCH for colour in COLOURS], *before)


def few_greys(depth: int, *before: Chunk) -> bytes:
    """Return greys of less than a byte each, counted up from black and begun anew."""
    most = 2**depth - 1
    cells = [bytes((number % (most + 1) * (255 // most),)) * (PATCH * depth // 8) for number in range(16)]
    return png(0, depth, cells, *before)


def deep_grey(*before: Chunk) -> bytes:
    return png(0, 16, [struct.pack(">H", value) * PATCH for value in DEEP], *before)


def deep(*before: Chunk) -> bytes:
    return png(2, 16, [struct.pack(">3H", value, value, value) * PATCH for value in DEEP], *before)


def palette(*before: Chunk) -> bytes:
    return png(3, 8, [bytes((number,)) * PATCH for number in range(16)], *before)


def animated(*before: Chunk, hidden: bool = True, part: bool = False) -> bytes:
    """Return an APNG of a single frame: the sixteen colours, or its lower right quarter, behind an orange picture."""
    size, place = (SIDE * PATCH // 2, SIDE * PATCH // 2) if part else (SIDE * PATCH, 0)
    shown = [number for number in range(16) if not part or (number % SIDE > 1 and number // SIDE > 1)]
    lines = [bytes(COLOURS[number]) * PATCH for number in shown]
    across = size // PATCH
    frame = zlib.compress(
        b"".join((b"\0" + b"".join(lines[at : at + across])) * PATCH for at in range(0, len(lines), across))
    )
    whole = struct.pack(">LLLLLHHBB", 0, SIDE * PATCH, SIDE * PATCH, 0, 0, 9999, 1, 0, 0)
    control = struct.pack(">LLLLLHHBB", 0, size, size, place, place, 9999, 1, 0, 1)
    orange = [bytes((200, 100, 0)) * PATCH] * 16
    if hidden:
        after = ((b"fcTL", control), (b"fdAT", struct.pack(">L", 1) + frame))
        return png(2, 8, orange, *before, (b"acTL", struct.pack(">LL", 1, 1)), after=after)
    after = ((b"fcTL", struct.pack(">L", 1) + control[4:]), (b"fdAT", struct.pack(">L", 2) + frame))
    first = [bytes(colour) * PATCH for colour in COLOURS]
    return png(2, 8, first, *before, (b"acTL", struct.pack(">LL", 2, 1)), (b"fcTL", whole), after=after)


PLTE: Chunk = (b"PLTE", b"".join(map(bytes, COLOURS)))
SRGB: Chunk = (b"sRGB", b"\0")


def gama(value: int) -> Chunk:
    return b"gAMA", struct.pack(">L", value)


def chrm(lights: Sequence[float]) -> Chunk:
    return b"cHRM", struct.pack(">8L", *(round(value * 100_000) for value in lights))


def cicp(*codes: int) -> Chunk:
    return b"cICP", bytes(codes)


def iccp(profile: bytes) -> Chunk:
    return b"iCCP", b"sRGB\0\0" + zlib.compress(profile)


def trns(body: bytes) -> Chunk:
    return b"tRNS", body


# -- Profiles. All are called sRGB, which says nothing. -----------------------------------------------------------


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">l", round(value * 65_536)) for value in values)


def xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*values)


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">LH", 1, round(value * 256))


def formula(kind: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed(*values)


SRGB_CURVE = formula(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
LINEAR = formula(0, 1.0)


def icc(
    space: bytes, tags: dict[bytes, bytes], *, pcs: bytes = b"XYZ ", kind: bytes = b"mntr", version: int = 4
) -> bytes:
    """Return a profile with these tags, its name and its white."""
    name = "sRGB".encode("utf-16-be")
    named = struct.pack(">4s4xLL2s2sLL", b"mluc", 1, 12, b"en", b"US", len(name), 28) + name
    white = (0.9642, 1.0, 0.82491)
    tags = {b"desc": named, b"cprt": named, b"wtpt": xyz(white), **tags}
    at = 128 + 4 + 12 * len(tags)
    table, bodies = struct.pack(">L", len(tags)), b""
    for tag, body in tags.items():
        table += struct.pack(">4sLL", tag, at + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    size = at + len(bodies)
    head = struct.pack(">L4xB3x4s4s4s12x4s28x", size, version, kind, space, pcs, b"acsp") + fixed(*white)
    return head.ljust(128, b"\0") + table + bodies


def lights(
    columns: Sequence[Sequence[float]], *curves: bytes, kind: bytes = b"mntr", version: int = 4
) -> bytes:
    """Return a profile of three lights, with one curve for all or one for each."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC")
    each = curves if len(curves) == 3 else curves * 3
    tags = dict(zip(names[0], map(xyz, columns), strict=True)) | dict(zip(names[1], each, strict=True))
    return icc(b"RGB ", tags, kind=kind, version=version)


def greys(curve: bytes, *, pcs: bytes = b"XYZ ") -> bytes:
    return icc(b"GRAY", {b"kTRC": curve}, pcs=pcs)


def table(space: bytes, seen_as: Callable[..., tuple[float, float, float]], *, version: int = 2) -> bytes:
    """Return a profile of a table with the corners alone; ``seen_as`` gives L, a and b of channels from 0 to 1."""
    channels = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4, b"Lab ": 3}[space]
    straight = struct.pack(">2H", 0, 65_535)
    body = b"mft2\0\0\0\0" + bytes((channels, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    body += struct.pack(">2H", 2, 2) + straight * channels
    for corner in itertools.product((0, 1), repeat=channels):
        light, a, b = seen_as(*corner)
        body += struct.pack(">3H", round(light * 652.8), round((a + 128) * 256), round((b + 128) * 256))
    return icc(space, {b"A2B0": body + straight * 3}, pcs=b"Lab ", version=version)


def faded(red: float, green: float, blue: float) -> tuple[float, float, float]:
    return 10 + 80 * (0.3 * red + 0.6 * green + 0.1 * blue), 60 * (red - green), 40 * (red + green - 2 * blue)


def printed(cyan: float, magenta: float, yellow: float, black: float) -> tuple[float, float, float]:
    light, a, b = faded(1 - cyan, 1 - magenta, 1 - yellow)
    return light * (1 - 0.9 * black), a * (1 - black), b * (1 - black)


P3 = lights(P3_COLUMNS, SRGB_CURVE)
LINEAR_RGB = lights(SRGB_COLUMNS, LINEAR)
SAME_AS_SRGB = lights(SRGB_COLUMNS, SRGB_CURVE)
UNEVEN = lights(SRGB_COLUMNS, gamma(1), gamma(2.2), gamma(2.2))
LINEAR_GREY = greys(gamma(1))
FADED = table(b"RGB ", faded)
PRINTED = table(b"CMYK", printed)
LAB = table(b"Lab ", lambda one, two, three: (100 * one, 100 * two, 100 * three))


# -- Formats with one way to tell ---------------------------------------------------------------------------------


def jpeg(profile: bytes | None = None, mode: str = "RGB") -> bytes:
    return gallery.file_of(drawing().convert(mode), "JPEG", quality=100, subsampling=0, icc_profile=profile)


def ycck() -> bytes:
    """Return a JPEG of print whose colours were turned into brightness and hue, as Adobe's segment tells."""
    cyan, magenta, yellow, black = drawing().convert("CMYK").split()
    coded = ImageChops.invert(Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr")).split()
    image = Image.merge("CMYK", (*coded, black))
    data = gallery.file_of(image, "JPEG", quality=100, subsampling=0)
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\2" + data[at + 1 :]


def webp(profile: bytes | None = None, **options: object) -> bytes:
    return gallery.file_of(drawing(), "WEBP", lossless=True, icc_profile=profile, **options)


def turned(data: bytes) -> bytes:
    """Return a still picture with the orientation that has it turned to the right."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    if data.startswith(b"\x89PNG"):
        return data[:33] + gallery.png_chunk(b"eXIf", tiff) + data[33:]
    if data.startswith(b"\xff\xd8"):
        segment = b"Exif\0\0" + tiff
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    image = Image.open(io.BytesIO(data))
    return gallery.file_of(
        image, "WEBP", lossless=True, exif=b"Exif\0\0" + tiff, icc_profile=image.info.get("icc_profile")
    )


@cache
def stills() -> dict[str, bytes]:
    """Return pictures that do not move, by what is special about each."""
    broken = (b"iCCP", b"sRGB\0\0" + zlib.compress(b"no profile at all"))
    return {
        "png": coloured(),
        "png gamma 1": coloured(gama(100_000)),
        "png gamma 1/1.8": coloured(gama(55_556)),
        "png gamma 1/2.2": coloured(gama(45_455)),
        "png gamma nearly 1/2.2": coloured(gama(43_200)),
        "png gamma not quite 1/2.2": coloured(gama(43_100)),
        "png gamma 0": coloured(gama(0)),
        "png gamma too late": coloured(after=[gama(100_000)]),
        "png gamma twice": coloured(gama(45_455), gama(100_000)),
        "png gamma and sRGB": coloured(gama(100_000), SRGB),
        "png gamma and sRGB of an unknown intent": coloured((b"sRGB", b"\x09"), gama(100_000)),
        "png chromaticities alone": coloured(chrm(ADOBE_LIGHTS)),
        "png chromaticities of sRGB": coloured(gama(45_455), chrm(SRGB_LIGHTS)),
        "png chromaticities of Adobe RGB": coloured(gama(45_455), chrm(ADOBE_LIGHTS)),
        "png chromaticities, linear": coloured(chrm(ADOBE_LIGHTS), gama(100_000)),
        "png chromaticities of nothing": coloured(gama(100_000), chrm([0] * 8)),
        "png profile P3": coloured(iccp(P3)),
        "png profile linear": coloured(iccp(LINEAR_RGB)),
        "png profile linear, gamma 1/2.2 and sRGB": coloured(SRGB, gama(45_455), iccp(LINEAR_RGB)),
        "png profile of sRGB, gamma 1": coloured(iccp(SAME_AS_SRGB), gama(100_000)),
        "png profile uneven": coloured(iccp(UNEVEN)),
        "png profile with a table": coloured(iccp(FADED)),
        "png profile broken": coloured(broken),
        "png profile broken, gamma 1": coloured(broken, gama(100_000)),
        "png profile of greys, gamma 1": coloured(iccp(LINEAR_GREY), gama(100_000)),
        "png profile of print, gamma 1": coloured(iccp(PRINTED), gama(100_000)),
        "png code points P3": coloured(cicp(12, 13, 0, 1)),
        "png code points before a profile": coloured(cicp(1, 13, 0, 1), iccp(LINEAR_RGB)),
        "png code points linear": coloured(cicp(1, 8, 0, 1)),
        "png code points of television": coloured(cicp(9, 14, 0, 1)),
        "png code points of film": coloured(cicp(8, 17, 0, 1)),
        "png code points of SMPTE 240M": coloured(cicp(7, 7, 0, 1)),
        "png code points of XYZ": coloured(cicp(10, 13, 0, 1)),
        "png code points of a part of the range, gamma 1": coloured(cicp(12, 13, 0, 0), gama(100_000)),
        "png code points unknown, gamma 1": coloured(cicp(99, 99, 0, 1), gama(100_000)),
        "png alpha, gamma 1": see_through(gama(100_000)),
        "png alpha, code points P3": see_through(cicp(12, 13, 0, 1)),
        "png grey": grey(),
        "png grey, gamma 1": grey(gama(100_000)),
        "png grey, profile linear": grey(iccp(LINEAR_GREY)),
        "png grey, profile 1.8": grey(iccp(greys(gamma(1.8)))),
        "png grey, profile as sRGB": grey(iccp(greys(SRGB_CURVE))),
        "png grey, profile of colours": grey(iccp(LINEAR_RGB)),
        "png grey, PQ": grey(cicp(9, 16, 0, 1)),
        "png grey, HLG": grey(cicp(9, 18, 0, 1)),
        "png grey and alpha, gamma 1": grey_and_alpha(gama(100_000)),
        "png grey and alpha, profile linear": grey_and_alpha(iccp(LINEAR_GREY)),
        "png grey of 1 bit, one transparent": few_greys(1, trns(b"\0\0")),
        "png grey of 2 bits, one transparent": few_greys(2, trns(b"\0\2")),
        "png grey of 4 bits, one transparent": few_greys(4, trns(b"\0\7")),
        "png grey of 4 bits, none of them transparent": few_greys(4, trns(b"\0\x17")),
        "png grey, one transparent": grey(trns(b"\0\x80")),
        "png grey, one transparent, profile linear": grey(iccp(LINEAR_GREY), trns(b"\0\x80")),
        "png grey of 16 bits, gamma 1": deep_grey(gama(100_000)),
        "png grey of 16 bits, one transparent": deep_grey(trns(KEY)),
        "png grey of 16 bits, one transparent, gamma 1": deep_grey(gama(100_000), trns(KEY)),
        "png 16 bits, gamma 1": deep(gama(100_000)),
        "png 16 bits, one transparent": deep(trns(KEY * 3)),
        "png one transparent": coloured(trns(b"\0\x80" * 3)),
        "png one transparent, gamma 1": coloured(gama(100_000), trns(b"\0\x80" * 3)),
        "png palette, gamma 1": palette(gama(100_000), PLTE),
        "png palette before gamma 1": palette(PLTE, gama(100_000)),
        "png palette before code points": palette(PLTE, cicp(1, 8, 0, 1)),
        "png palette, some transparent, profile P3": palette(iccp(P3), PLTE, trns(b"\xff\xff\0\x80")),
        "png palette after transparency": palette(trns(b"\xff\xff\0\x80"), PLTE),
        "jpeg": jpeg(),
        "jpeg profile P3": jpeg(P3),
        "jpeg profile P3, of an odd class": jpeg(lights(P3_COLUMNS, SRGB_CURVE, kind=b"link")),
        "jpeg profile P3, version 2": jpeg(lights(P3_COLUMNS, SRGB_CURVE, version=2)),
        "jpeg profile P3, version 5": jpeg(lights(P3_COLUMNS, SRGB_CURVE, version=5)),
        "jpeg profile P3, cut off": jpeg(P3[:-40]),
        "jpeg profile P3, and more": jpeg(P3 + b"more"),
        "jpeg profile without curves": jpeg(icc(b"RGB ", {b"rXYZ": xyz(P3_COLUMNS[0])})),
        "jpeg profile with a wrong curve": jpeg(lights(P3_COLUMNS, formula(0, -1.0))),
        "jpeg profile linear": jpeg(LINEAR_RGB),
        "jpeg profile with a table": jpeg(FADED),
        "jpeg profile of Lab": jpeg(LAB),
        "jpeg profile of greys": jpeg(LINEAR_GREY),
        "jpeg profile of print": jpeg(PRINTED),
        "jpeg profile that is none": jpeg(b"no profile at all"),
        "jpeg grey, profile linear": jpeg(LINEAR_GREY, "L"),
        "jpeg grey, profile of colours": jpeg(LINEAR_RGB, "L"),
        "jpeg grey, profile uneven": jpeg(UNEVEN, "L"),
        "jpeg grey, profile over Lab": jpeg(greys(gamma(1), pcs=b"Lab "), "L"),
        "jpeg grey, profile with a table": jpeg(table(b"GRAY", lambda grey: (100 * grey, 0, 0)), "L"),
        "jpeg print": jpeg(mode="CMYK"),
        "jpeg print, brightness and hue": ycck(),
        "jpeg print, profile": jpeg(PRINTED, "CMYK"),
        "jpeg print, profile version 4": jpeg(table(b"CMYK", printed, version=4), "CMYK"),
        "jpeg print, profile of colours": jpeg(LINEAR_RGB, "CMYK"),
        "jpeg print, profile that is none": jpeg(b"no profile at all", "CMYK"),
        "webp profile P3": webp(P3),
        "webp profile linear": webp(LINEAR_RGB),
        "webp profile of sRGB": webp(SAME_AS_SRGB),
        "webp profile with a table": webp(FADED),
        "webp profile of greys": webp(LINEAR_GREY),
        "webp profile that is none": webp(b"no profile at all"),
    }  # fmt: skip


@cache
def moving() -> dict[str, bytes]:
    """Return animations; what is seen is their first frame."""
    return {
        "apng": animated(hidden=False),
        "apng behind a picture": animated(),
        "apng behind a picture, a part": animated(part=True),
        "apng behind a picture, gamma 1": animated(gama(100_000)),
        "apng gamma 1": animated(gama(100_000), hidden=False),
        "apng profile linear": animated(iccp(LINEAR_RGB), hidden=False),
        "apng profile P3, behind a picture": animated(iccp(P3)),
        "webp moving, profile linear": webp(
            LINEAR_RGB, save_all=True, append_images=[Image.new("RGB", (SIDE * PATCH, SIDE * PATCH))], duration=60_000
        ),
    }  # fmt: skip
