"""Pictures of every kind, made on the spot: good ones, burdened ones, and monsters of a few kilobytes."""

import io
import re
import struct
import zlib
from random import Random

from PIL import Image, ImageCms, PngImagePlugin

SECRET = b"secret-of-the-seller"
"""What no cleaned picture may contain."""
ORIENTATION = 0x0112
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b"<rdf:Description>" + SECRET + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def drawing(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """Return a picture whose four quarters differ: red and green above, blue and white below."""
    image = Image.new("RGB", (width, height), "white")
    image.paste("red", (0, 0, width // 2, height // 2))
    image.paste("lime", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    return image.convert(mode)


def corners(image: Image.Image) -> str:
    """Return the colours of the quarters in reading order, by their letters; dark is ``-``."""
    width, height = image.size
    rgb = image.convert("RGB")
    letters = ""
    for x, y in ((1, 1), (3, 1), (1, 3), (3, 3)):
        pixel = rgb.getpixel((width * x // 4, height * y // 4))
        assert isinstance(pixel, tuple)
        bright = "".join(letter for letter, value in zip("rgb", pixel, strict=True) if value > 150)
        letters += {"rgb": "w", "": "-"}.get(bright, bright[:1])
    return letters


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the file that Pillow makes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """Return what Pillow sees in ``data``, decoded."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def exif(orientation: int = 1) -> Image.Exif:
    """Return Exif data with a place on earth, a comment, and an orientation."""
    data = Image.Exif()
    data[ORIENTATION] = orientation
    data[0x010E] = SECRET.decode()
    data.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 17.0)})
    return data


def profile(kind: str = "wide") -> bytes:
    """Return an ICC profile: sRGB, or ``wide``, whose red, green and blue are laid out differently."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if kind == "srgb":
        return srgb
    changed = bytearray(srgb)
    changed = bytearray(bytes(changed).replace("sRGB".encode("utf-16-be"), "Wide".encode("utf-16-be")))
    # The columns of red and green change places: what says red is green.
    tags = {changed[132 + 12 * i : 136 + 12 * i].decode(): 132 + 12 * i for i in range(changed[131])}
    red, green = tags["rXYZ"], tags["gXYZ"]
    changed[red + 4 : red + 12], changed[green + 4 : green + 12] = (
        changed[green + 4 : green + 12],
        changed[red + 4 : red + 12],
    )
    return bytes(changed)


def frames(number: int = 3, size: tuple[int, int] = (40, 30)) -> list[Image.Image]:
    """Return pictures of different colours."""
    return [Image.new("RGB", size, (40 * n % 256, 255 - 7 * n % 256, 90)) for n in range(number)]


def animation(kind: str, number: int = 3, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """Return an animation that is repeated without end."""
    first, *others = frames(number, size)
    return file_of(first, kind, save_all=True, append_images=others, duration=50, loop=0, **options)


def burdened() -> dict[str, bytes]:
    """Return a file of each format with everything that does not draw."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_text("Packed", SECRET.decode(), zip=True)
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    jpeg = file_of(drawing(), "JPEG", exif=exif(), xmp=XMP, comment=SECRET, icc_profile=profile("srgb"))
    photoshop = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">L", len(SECRET)) + SECRET
    jpeg = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(photoshop) + 2) + photoshop + jpeg[2:]
    gif = file_of(drawing(mode="P"), "GIF", comment=SECRET)
    extension = b"\x21\xff\x0bXMP DataXMP" + bytes([len(SECRET)]) + SECRET + b"\0"
    note = b"\x21\x01\x0c" + bytes(12) + bytes([len(SECRET)]) + SECRET + b"\0"
    gif = gif[:-1] + extension + note + b";"
    return {
        "JPEG": jpeg,
        "PNG": file_of(
            drawing(), "PNG", pnginfo=text, exif=exif(), dpi=(300, 300), icc_profile=profile("srgb")
        ),
        "GIF": gif,
        "WEBP": file_of(drawing(), "WEBP", exif=exif(), xmp=XMP, icc_profile=profile("srgb"), quality=95),
    }


def good() -> dict[str, bytes]:
    """Return pictures that are to be taken as they are, of every format and kind."""
    transparent = drawing(mode="RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(transparent.size))
    palette = drawing().quantize(8)
    palette.info["transparency"] = 0
    return {
        "baseline.jpg": file_of(drawing(), "JPEG"),
        "progressive.jpg": file_of(drawing(), "JPEG", progressive=True),
        "grey.jpg": file_of(drawing(mode="L"), "JPEG"),
        "full-colour.jpg": file_of(drawing(), "JPEG", subsampling=0, quality=95),
        "restarts.jpg": file_of(drawing(320, 240), "JPEG", restart_marker_rows=1),
        "rgb.png": file_of(drawing(), "PNG"),
        "rgba.png": file_of(transparent, "PNG"),
        "grey-alpha.png": file_of(transparent.convert("LA"), "PNG"),
        "grey.png": file_of(drawing(mode="L"), "PNG"),
        "bits.png": file_of(drawing(mode="1"), "PNG"),
        "16-bit.png": file_of(deep(), "PNG"),
        "palette.png": file_of(drawing().quantize(8), "PNG"),
        "palette-transparent.png": file_of(palette, "PNG", transparency=0),
        "animated.png": animation("PNG"),
        "still.gif": file_of(drawing(mode="P"), "GIF"),
        "transparent.gif": file_of(palette, "GIF", transparency=0),
        "animated.gif": animation("GIF"),
        "lossy.webp": file_of(drawing(), "WEBP"),
        "lossless.webp": file_of(drawing(), "WEBP", lossless=True),
        "alpha.webp": file_of(transparent, "WEBP"),
        "alpha-lossless.webp": file_of(transparent, "WEBP", lossless=True),
        "animated.webp": animation("WEBP"),
    }


def deep() -> Image.Image:
    """Return a picture with 16 bits of grey: dark on the left, bright on the right."""
    return Image.frombytes("I;16", (64, 48), (b"\x00\x20" * 32 + b"\x00\xe0" * 32) * 48)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">L4s", len(body), kind) + body + struct.pack(">L", zlib.crc32(kind + body))


def png_of_zeros(width: int, height: int, *, bits: int = 8, colours: int = 2, honest: bool = True) -> bytes:
    """Return a black PNG of any size, whose pixels take a thousandth of themselves; not ``honest``: hardly any."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    row = bytes(1 + (width * channels * bits + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height if honest else 1)) + packer.flush()
    palette = png_chunk(b"PLTE", bytes(3 * 256)) if colours == 3 else b""
    header = png_chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + palette + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def with_scans(data: bytes, number: int) -> bytes:
    """Return a progressive JPEG with its last scan repeated until there are ``number``."""
    starts = [found.start() for found in re.finditer(rb"\xff\xda", data)]
    return data[:-2] + data[starts[-1] : -2] * (number - len(starts)) + data[-2:]


def gif_of_specks(number: int, size: tuple[int, int] = (1, 1)) -> bytes:
    """Return a GIF with many frames of one pixel each, on a canvas of ``size``."""
    speck = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", *size, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    return head + speck * number + b";"


def noise(width: int, height: int, mode: str = "RGB", *, seed: int = 1) -> Image.Image:
    """Return a picture that is hard to compress, always the same."""
    small = Image.frombytes("RGB", (128, 128), Random(seed).randbytes(128 * 128 * 3))
    return small.resize((width, height), Image.Resampling.BICUBIC).convert(mode)
