"""Image processing with Pillow: cleaning uploads, scaling, changing the format; functions of bytes that know no service."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Final, Literal, TypeVar

from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile

from tradepost.media.colours import Conversion, conversion_of
from tradepost.media.containers.anatomy import UPRIGHT, Anatomy, Broken
from tradepost.media.containers.dissection import NotAPicture, dissect
from tradepost.media.errors import NotAPictureFile, PictureRefused

T = TypeVar("T")
Size = tuple[int, int]
Fit = Literal["contain", "cover"]
Format = Literal["jpeg", "webp", "avif"]

SIDE_LIMIT: Final = 16_383
"""Pixels along one side: what WebP can hold, so that every picture can be every variant."""
PIXELS_LIMIT: Final = 50_000_000
"""What telephones make at their best (8160 x 6120)."""
ANIMATION_LIMIT: Final = 100_000_000
"""Pixels of all frames together: every frame costs a pass over the whole canvas."""
SCANNED_LIMIT: Final = 1_000_000_000
"""Pixels times scans of a progressive JPEG."""
MEMORY_LIMIT: Final = 240_000_000
"""Bytes that the work on one picture may take at once."""
JPEG_MEMORY: Final = 9
"""Bytes per pixel that a JPEG takes when it is turned, scaled or converted; larger ones are drawn at half the size."""
LOSSLESS_LIMIT: Final = 4_000_000
"""Pixels of a WebP that is encoded again without loss."""
RESIZED_SIDE: Final = 4096
"""Pixels that what is made to measure may have along both sides."""
BYTE: Final = 8
"""Bits of a channel that Pillow keeps."""
PRINT: Final = 4
"""Channels of a picture in the colours of print, which not every browser shows."""

CONTENT_TYPES: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
}
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each orientation of Exif."""

SIDEWAYS: Final = frozenset({5, 6, 7, 8})
"""Orientations that make the width a height."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished file, and its size in pixels as it is seen."""

    data: bytes
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Resized:
    """A JPEG made to measure, and the size that its source is seen in."""

    picture: Picture
    original: Size


def prepare_pillow() -> None:
    """Have Pillow refuse what it would only warn of, for the whole process."""
    Image.MAX_IMAGE_PIXELS = PIXELS_LIMIT
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def clean(data: bytes) -> Picture:
    """Return the picture in ``data`` as it is served: seen upright and in its colours, without anything else in its file.

    Where orientation and colours are those of sRGB already, the pixels stay exactly as they are: only the file around them is
    made anew. Otherwise they are encoded again in the same format, which costs quality and time, so two kinds are spared: an
    animation keeps what tells its orientation and colours, and a PNG keeps the few numbers that tell its colours.
    """
    anatomy = examine(data)
    conversion = conversion_of(anatomy.profile, channels=anatomy.channels)
    kept = anatomy.bare if conversion is None else anatomy.tagged
    upright = anatomy.orientation == UPRIGHT and anatomy.channels != PRINT
    if kept is not None and (upright or anatomy.moves):
        _drawn(anatomy, _look_at_all)
        return Picture(kept, CONTENT_TYPES[anatomy.format], *seen_size(anatomy))
    return _drawn(anatomy, _encoded_again)


def resize(data: bytes, *, width: int | None, height: int | None, quality: int) -> Resized:
    """Return the picture in ``data`` as a JPEG of this size; one side alone keeps the ratio.

    Without either, the size stays, as far as both sides are within the limit of 4096. What is transparent becomes white; of
    an animation, the first frame counts.
    """
    anatomy = examine(data)
    original = seen_size(anatomy)
    size = _exact(original, width, height)

    def work(_: Anatomy) -> Picture:
        image = _on_white(_pixels(anatomy, smallest=size))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        return _saved(image, "JPEG", quality=quality, optimize=True)

    return Resized(_drawn(anatomy, work), original)


def vary(data: bytes, *, box: Size, fit: Fit, kind: Format) -> Picture:
    """Return the picture in ``data``, never larger than it is, within ``box`` or cut to its shape; a still picture."""
    anatomy = examine(data)

    def work(_: Anatomy) -> Picture:
        seen = seen_size(anatomy)
        (left, top, right, bottom), size = fit_into(seen, box, fit)
        scale = size[0] / (right - left)
        image = _pixels(anatomy, smallest=(round(seen[0] * scale), round(seen[1] * scale)))
        # A decoder that scaled down on the way has changed what the crop counts in.
        across, down = image.width / seen[0], image.height / seen[1]
        crop = (left * across, top * down, right * across, bottom * down)
        image = image.resize(size, Image.Resampling.LANCZOS, box=crop, reducing_gap=3.0)
        if kind == "jpeg":
            return _saved(_on_white(image), "JPEG", quality=80, optimize=True, progressive=True)
        if kind == "webp":
            return _saved(image, "WEBP", quality=80, method=4)
        # One thread: the pool has as many as may be busy.
        return _saved(image, "AVIF", quality=60, speed=9, max_threads=1)

    return _drawn(anatomy, work)


def examine(data: bytes) -> Anatomy:
    """Return the anatomy of ``data`` after all limits were checked; no decoder has seen a byte, so no memory is spent."""
    try:
        anatomy = dissect(data)
    except NotAPicture:
        raise NotAPictureFile from None
    except Broken as broken:
        raise PictureRefused(f"The picture cannot be read: {broken}") from None
    width, height = anatomy.width, anatomy.height
    frames = anatomy.frames + (anatomy.first is not None)
    if not (0 < width <= SIDE_LIMIT and 0 < height <= SIDE_LIMIT):
        raise PictureRefused(f"A picture may be 1 to {SIDE_LIMIT:,} pixels wide and high")
    if width * height > PIXELS_LIMIT:
        raise PictureRefused(f"A picture may have {PIXELS_LIMIT // 1_000_000} megapixels")
    if frames > 1 and width * height * frames > ANIMATION_LIMIT:
        raise PictureRefused(
            f"An animation may have {ANIMATION_LIMIT // 1_000_000} megapixels in all its frames"
        )
    if width * height * anatomy.memory > MEMORY_LIMIT:
        most = int(MEMORY_LIMIT / anatomy.memory) // 1_000_000
        raise PictureRefused(f"A picture that is stored in this way may have {most} megapixels")
    if width * height * anatomy.scans > SCANNED_LIMIT:
        raise PictureRefused("The picture is stored in too many scans")
    return anatomy


def seen_size(anatomy: Anatomy) -> Size:
    """Return width and height of the picture once it is upright."""
    if anatomy.orientation in SIDEWAYS:
        return anatomy.height, anatomy.width
    return anatomy.width, anatomy.height


def fit_into(size: Size, box: Size, fit: Fit) -> tuple[tuple[float, float, float, float], Size]:
    """Return the crop of a picture of ``size`` that is shown in ``box``, and the size it is shown in; never enlarged.

    ``contain`` shows all of it, inside the box. ``cover`` shows the middle, in the shape of the box.
    """
    width, height = size
    if fit == "contain":
        scale = min(1.0, box[0] / width, box[1] / height)
        return (0, 0, width, height), (max(1, round(width * scale)), max(1, round(height * scale)))
    # The largest part of that shape which the picture has.
    scale = min(width / box[0], height / box[1])
    across, down = min(width, max(1.0, box[0] * scale)), min(height, max(1.0, box[1] * scale))
    left, top = (width - across) / 2, (height - down) / 2
    smaller = min(1.0, 1 / scale)
    shown = (max(1, round(across * smaller)), max(1, round(down * smaller)))
    return (left, top, left + across, top + down), shown


def _exact(original: Size, width: int | None, height: int | None) -> Size:
    if width is None and height is None:
        return fit_into(original, (RESIZED_SIDE, RESIZED_SIDE), "contain")[1]
    size = (
        width or max(1, round(original[0] * (height or 0) / original[1])),
        height or max(1, round(original[1] * (width or 0) / original[0])),
    )
    if max(size) > SIDE_LIMIT or size[0] * size[1] > RESIZED_SIDE**2:
        raise PictureRefused(f"In this ratio, the picture would become {size[0]}x{size[1]} pixels large")
    return size


def _drawn(anatomy: Anatomy, work: Callable[[Anatomy], T]) -> T:
    """Return the result of ``work``; any error of a decoder becomes ``PictureRefused``, as the file is to blame.

    Pillow and its plugins raise many types (OSError, SyntaxError, ValueError, IndexError, struct.error, EOFError, their own
    and warnings); left as they are, a damaged file would be answered with a 500.
    """
    try:
        return work(anatomy)
    except PictureRefused:
        raise
    except Exception as error:
        raise PictureRefused("The picture cannot be read: it is damaged") from error


def _opened(anatomy: Anatomy) -> ImageFile:
    return _decoder(anatomy, anatomy.bare, (anatomy.width, anatomy.height))


def _decoder(anatomy: Anatomy, file: bytes, size: Size) -> ImageFile:
    image = Image.open(io.BytesIO(file), formats=[anatomy.format])
    if image.size != size:
        # Limits were checked for another picture than the decoder's.
        raise PictureRefused("The picture cannot be read: its size is told in two ways")
    return image


def _look_at_all(anatomy: Anatomy) -> None:
    """Decode every frame, to see that the file is whole."""
    with _opened(anatomy) as image:
        # An eighth of the size needs all of the data, but a fraction of time and memory.
        image.draft(None, (1, 1))
        for number in range(anatomy.frames + (anatomy.first is not None)):
            image.seek(number)
            image.load()


def _pixels(anatomy: Anatomy, *, smallest: Size | None) -> Image.Image:
    """Return the first frame upright, in L, RGB or RGBA, colours as of sRGB.

    A JPEG may come scaled down by its decoder, yet not below twice ``smallest``.
    """
    shown = _in_srgb(anatomy, conversion_of(anatomy.profile, channels=anatomy.channels), smallest)
    if (first := anatomy.first) is not None:
        canvas = Image.new("RGBA", (anatomy.width, anatomy.height))
        canvas.paste(shown, (first.left, first.top))
        shown = canvas
    turn = _TURNS.get(anatomy.orientation)
    return shown.transpose(turn) if turn is not None else shown


def _draft_size(anatomy: Anatomy, smallest: Size | None) -> Size:
    """Return the size below which the decoder shall not scale."""
    width, height = anatomy.width, anatomy.height
    left = MEMORY_LIMIT - width * height * anatomy.memory
    scale = 1
    while width * height * JPEG_MEMORY > MEMORY_LIMIT * scale**2 or width * height * 4 > left * scale**2:
        scale *= 2
    if smallest is not None:
        across, down = smallest if anatomy.orientation not in SIDEWAYS else smallest[::-1]
        return min(width // scale, 2 * across), min(height // scale, 2 * down)
    return width // scale, height // scale


def _in_srgb(anatomy: Anatomy, conversion: Conversion | None, smallest: Size | None) -> Image.Image:
    """Return the pixels of the first frame in sRGB, as they lie in the file."""
    # Before the picture itself is in memory: this takes as much.
    low = _low_bytes(anatomy)
    image = _decoded(anatomy, smallest)
    transparent = None if anatomy.key is None else _transparent(image, anatomy.depth, anatomy.key)
    if transparent is not None and low is not None:
        transparent = ImageChops.darker(transparent, low)
    if image.mode.startswith("I"):
        # 16 bits of grey; Pillow's own conversion would cut off what is over 255.
        image = image.point(lambda value: value / 256).convert("L")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if conversion is not None:
        image = conversion.apply(image)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    if image.mode == "LA" or transparent is not None:
        image = image.convert("RGBA")
    if transparent is not None:
        image.putalpha(ImageChops.invert(transparent))
    return image


def _decoded(anatomy: Anatomy, smallest: Size | None, rawmode: str | None = None) -> Image.Image:
    """Return the first frame as the decoder leaves it; ``rawmode`` has a PNG's bytes read in another way."""
    if (first := anatomy.first) is not None:
        opened = _decoder(anatomy, first.file, (first.width, first.height))
    else:
        opened = _opened(anatomy)
    with opened as image:
        if anatomy.format == "JPEG":
            image.draft(None, _draft_size(anatomy, smallest))
        if rawmode is not None:
            image.tile = [tile._replace(args=rawmode) for tile in image.tile]
        # One transparent colour is found by ``_transparent``: Pillow compares it with numbers of another depth.
        if anatomy.key is not None:
            image.info.pop("transparency", None)
        image.load()
        vars(image).pop("_decoder", None)  # WebP's keeps three more canvases for as long as the image lives.
        return image


def _transparent(image: Image.Image, depth: int, key: tuple[int, ...]) -> Image.Image:
    """Return a mask of the pixels that have the transparent colour, as far as the decoder has left its bits."""
    if depth < BYTE:
        scale = 255 // (2**depth - 1)
        return _equal(image.convert("L"), (key[0] * scale,))
    if depth == BYTE:
        return _equal(image, key)
    if image.mode != "RGB":
        table = bytearray(65_536)
        table[key[0]] = 255
        return image.convert("I").point(table, "L")
    return _equal(image, tuple(value >> BYTE for value in key))


def _low_bytes(anatomy: Anatomy) -> Image.Image | None:
    """Return a mask of the pixels whose low bytes are those of the transparent colour, where colours have 16 bits.

    Pillow reads the high bytes alone. The low ones are got by having it take them for the high ones.
    """
    if anatomy.key is None or anatomy.depth <= BYTE or anatomy.channels == 1:
        return None
    return _equal(_decoded(anatomy, None, "RGB;16L"), tuple(value & 0xFF for value in anatomy.key))


def _equal(image: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    """Return a mask of the pixels of a colour."""
    # One channel after the other: all at once take as much memory as the image.
    masks = (
        image.getchannel(number).point([255 if value == wanted else 0 for value in range(256)])
        for number, wanted in enumerate(colour)
    )
    return reduce(ImageChops.darker, masks)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _encoded_again(anatomy: Anatomy) -> Picture:
    image = _pixels(anatomy, smallest=None)
    if anatomy.format == "JPEG":
        return _saved(image, "JPEG", quality=90)
    if anatomy.format == "PNG":
        return _saved(image, "PNG")
    if anatomy.format == "WEBP":
        # Without loss, the encoder takes forty bytes per pixel.
        lossless = not anatomy.lossy and image.width * image.height <= LOSSLESS_LIMIT
        return _saved(image, "WEBP", lossless=lossless, quality=50 if lossless else 90, method=2)
    raise AssertionError(anatomy.format)


def _saved(image: Image.Image, kind: str, **options: object) -> Picture:
    image.info.clear()  # Encoders take profiles, comments and Exif from here.
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Picture(buffer.getvalue(), CONTENT_TYPES[kind], *image.size)
