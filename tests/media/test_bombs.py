"""What is made to exhaust a server costs at most 5 s and 300 MiB, each in a process of its own that is measured.

``SOAK_ROUNDS=2`` has each do all kinds of work; a test run does two of them.
"""

import asyncio
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.media import gallery, swatches

MIB = 1024 * 1024
SECONDS = 5
MEMORY = 300 * MIB
WORKS = (
    ("clean", "avif")
    if os.environ.get("SOAK_ROUNDS", "1") == "1"
    else ("clean", "resize", "jpeg", "webp", "avif")
)

PROGRAM = """
import resource, sys
from pathlib import Path
from tradepost.core.errors import TradepostError
from tradepost.media import pictures
pictures.prepare_pillow()
data = Path(sys.argv[1]).read_bytes()
works = {
    "clean": lambda: pictures.clean(data),
    "resize": lambda: pictures.resize(data, width=4096, height=4096, quality=95),
    "jpeg": lambda: pictures.vary(data, box=(2048, 2048), fit="cover", kind="jpeg"),
    "webp": lambda: pictures.vary(data, box=(2048, 2048), fit="cover", kind="webp"),
    "avif": lambda: pictures.vary(data, box=(2048, 2048), fit="cover", kind="avif"),
}
try:
    works[sys.argv[2]]()
    told = "done"
except TradepostError as error:
    told = error.errors[0]["message"] if hasattr(error, "errors") else error.detail
used = resource.getrusage(resource.RUSAGE_SELF)
peak = used.ru_maxrss
if Path("/proc/self/status").exists():
    # Linux counts what the process was forked from in ru_maxrss.
    peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
print(peak * 1024, used.ru_utime + used.ru_stime, told)
"""


def turned(image: Image.Image, kind: str, **options: object) -> bytes:
    return gallery.file_of(image, kind, exif=gallery.exif(6), **options)


def profile_bomb() -> bytes:
    """A PNG whose colour profile unpacks to a gigabyte."""
    data = gallery.file_of(gallery.drawing(), "PNG")
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(MIB)) for _ in range(1024)) + packer.flush()
    return data[:33] + gallery.png_chunk(b"iCCP", b"x\0\0" + packed) + data[33:]


def deep_and_transparent(colours: int, *told: swatches.Chunk) -> bytes:
    """A PNG of 24 megapixels with 16 bits, whose black is transparent."""
    data = gallery.png_of_zeros(6000, 4000, bits=16, colours=colours)
    chunks = (*told, swatches.trns(bytes(2 if colours == 0 else 6)))
    return data[:33] + b"".join(gallery.png_chunk(*chunk) for chunk in chunks) + data[33:]


def behind_a_picture() -> bytes:
    """An APNG of 15 megapixels whose only frame, as large, comes behind a picture for old programs."""
    data = gallery.png_of_zeros(5000, 3000)
    at = data.index(b"IDAT")
    (length,) = struct.unpack_from(">L", data, at - 4)
    control = struct.pack(">LLLLLHHBB", 0, 5000, 3000, 0, 0, 1, 1, 0, 1)
    frame = gallery.png_chunk(b"fcTL", control) + gallery.png_chunk(
        b"fdAT", struct.pack(">L", 1) + data[at + 4 : at + 4 + length]
    )
    return (
        data[:33] + gallery.png_chunk(b"acTL", struct.pack(">LL", 1, 0)) + data[33:-12] + frame + data[-12:]
    )


def large_table() -> bytes:
    """A profile whose table takes nearly all that a profile may have."""
    head = b"mft2\0\0\0\0" + bytes((3, 3, 88, 0)) + swatches.fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    straight = struct.pack(">2H", 0, 65_535) * 3
    table = head + struct.pack(">2H", 2, 2) + straight + bytes(range(256)) * (88**3 * 6 // 256) + straight
    return swatches.icc(b"RGB ", {b"A2B0": table}, pcs=b"Lab ")


BOMBS: dict[str, Callable[[], bytes]] = {
    "png 65,000 x 65,000": lambda: gallery.png_of_zeros(65_000, 65_000, honest=False),
    "png 16,383 x 16,383, 1 bit": lambda: gallery.png_of_zeros(16_383, 16_383, bits=1, colours=0),
    "png 24 megapixels": lambda: gallery.png_of_zeros(6000, 4000, colours=6),
    "png to be turned": lambda: turned(Image.new("RGBA", (6000, 4000), (9, 8, 7, 6)), "PNG"),
    "png to be converted": lambda: gallery.file_of(
        gallery.noise(2400, 1600).resize((6000, 4000), Image.Resampling.NEAREST).quantize(200, method=2),
        "PNG",
        icc_profile=gallery.profile(),
    ),
    "png with a profile of a gigabyte": profile_bomb,
    "png of 800,000 chunks": lambda: gallery.png_of_zeros(9, 9)[:33]
    + gallery.png_chunk(b"IDAT", b"") * 800_000,
    "png of 500 frames": lambda: gallery.animation("PNG", 500, (447, 447)),
    "png of 6 large frames": lambda: gallery.animation("PNG", 6, (5000, 3000)),
    "png behind a picture": behind_a_picture,
    "png of 16 bits, one transparent": lambda: deep_and_transparent(2),
    "png of 16 bits of grey, one transparent": lambda: deep_and_transparent(0, swatches.iccp(swatches.LINEAR_GREY)),
    "png with a large table": lambda: gallery.file_of(
        gallery.noise(2400, 1600).resize((6000, 4000), Image.Resampling.NEAREST).quantize(200, method=2),
        "PNG",
        icc_profile=large_table(),
    ),
    "jpeg of print with a table, 26 megapixels": lambda: gallery.file_of(
        gallery.noise(5900, 4400, "CMYK"), "JPEG", quality=60, icc_profile=swatches.PRINTED
    ),
    "gif of 500,000 frames": lambda: gallery.gif_of_specks(500_000),
    "gif of 500 frames": lambda: gallery.gif_of_specks(500, (447, 447)),
    "gif of 5 large frames": lambda: gallery.gif_of_specks(5, (4100, 4100)),
    "gif of 5,000,000 sub-blocks": lambda: gallery.gif_of_specks(1)[:-2] + b"\1\0" * 5_000_000,
    "webp 16,383 x 16,383": lambda: b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xfe\xbf\xff\x0f" + bytes(5),
    "webp 15 megapixels, to be turned": lambda: turned(gallery.noise(4800, 3100), "WEBP", method=0),
    "webp 12 megapixels without loss": lambda: turned(
        gallery.noise(800, 800).resize((3460, 3460), Image.Resampling.NEAREST),
        "WEBP",
        lossless=True,
        quality=0,
        method=0,
    ),
    "webp of 500 frames": lambda: gallery.animation("WEBP", 500, (447, 447), method=0),
    "jpeg 65,000 x 65,000": lambda: gallery.file_of(gallery.drawing(), "JPEG").replace(
        struct.pack(">HH", 48, 64), struct.pack(">HH", 65_000, 65_000)
    ),
    "jpeg 50 megapixels": lambda: gallery.file_of(gallery.noise(8160, 6120), "JPEG", quality=60),
    "jpeg 26 megapixels, to be turned": lambda: turned(gallery.noise(5950, 4450), "JPEG", quality=60),
    "jpeg 50 megapixels, 20 scans, to be turned": lambda: gallery.with_scans(
        turned(gallery.noise(8160, 6120), "JPEG", progressive=True, quality=20), 20
    ),
    "jpeg 40 megapixels, full colour, 25 scans": lambda: gallery.with_scans(
        gallery.file_of(gallery.noise(7300, 5475), "JPEG", progressive=True, quality=20, subsampling=0), 25
    ),
    "jpeg 26 megapixels of print, 38 scans": lambda: gallery.with_scans(
        gallery.file_of(gallery.noise(5900, 4400, "CMYK"), "JPEG", progressive=True, quality=20), 38
    ),
    "jpeg of 64 scans": lambda: gallery.with_scans(
        gallery.file_of(gallery.noise(4000, 3900), "JPEG", progressive=True, quality=20), 64
    ),
    "jpeg of 2,000,000 segments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 2_000_000,
}  # fmt: skip
REFUSED = {"65,000", "16,383", "800,000", "500,000", "5,000,000", "2,000,000"}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_costs_little(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(await asyncio.to_thread(BOMBS[name]))
    refused = any(word in name for word in REFUSED)
    for work in ("clean",) if refused else WORKS:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(path), work,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        memory, seconds, told = out.decode().strip().split(" ", 2)
        # Of processor time, and with the interpreter's own: not a question of how busy the machine is.
        assert float(seconds) < SECONDS, (work, told)
        assert int(memory) < MEMORY, (work, told)
        assert (told == "done") != refused, told
