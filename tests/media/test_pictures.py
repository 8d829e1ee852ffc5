"""Cleaning, scaling and converting pictures of every kind."""

import contextlib
import io
import struct
import zipfile

import pytest
from PIL import Image, ImageChops

from tests.media import gallery
from tradepost.media import pictures
from tradepost.media.containers.dissection import dissect
from tradepost.media.errors import NotAPictureFile, PictureRefused
from tradepost.media.pictures import Fit, Format, Size

TYPES = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"}


def same_pixels(one: Image.Image, other: Image.Image) -> bool:
    """Tell whether two pictures look exactly alike."""
    return ImageChops.difference(one.convert("RGBA"), other.convert("RGBA")).getbbox() is None


def reason(error: pytest.ExceptionInfo[PictureRefused]) -> str:
    message: str = error.value.errors[0]["message"]
    return message


@pytest.mark.parametrize("name", gallery.good())
def test_what_is_good_keeps_every_pixel_and_frame(name: str) -> None:
    data = gallery.good()[name]
    cleaned = pictures.clean(data)
    before, after = gallery.opened(data), gallery.opened(cleaned.data)
    assert cleaned.content_type == TYPES[name.rpartition(".")[2]]
    assert (cleaned.width, cleaned.height) == before.size == after.size
    assert before.mode == after.mode
    frames = getattr(before, "n_frames", 1)
    assert getattr(after, "n_frames", 1) == frames == (3 if "animated" in name else 1)
    for number in range(frames):
        before.seek(number)
        after.seek(number)
        assert same_pixels(before, after)
        assert before.info.get("duration") == after.info.get("duration")
    assert before.info.get("loop") == after.info.get("loop")
    assert pictures.clean(cleaned.data) == cleaned, "what is clean already stays as it is"


@pytest.mark.parametrize("kind", gallery.burdened())
def test_nothing_but_the_picture_is_left(kind: str) -> None:
    data = gallery.burdened()[kind]
    assert gallery.SECRET in data
    cleaned = pictures.clean(data)
    after = gallery.opened(cleaned.data)
    assert same_pixels(gallery.opened(data), after)
    assert gallery.SECRET not in cleaned.data
    for trace in (
        b"Exif",
        b"eXIf",
        b"xmp",
        b"XMP",
        b"ICC",
        b"tEXt",
        b"zTXt",
        b"iTXt",
        b"Photoshop",
        b"8BIM",
        b"pHYs",
    ):
        assert trace not in cleaned.data
    assert not after.getexif()
    assert not {"icc_profile", "exif", "xmp", "comment", "Comment", "photoshop"} & set(after.info)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "seen"),
    [(1, "rgbw"), (2, "grwb"), (3, "wbgr"), (4, "bwrg"), (5, "rbgw"), (6, "brwg"), (7, "wgbr"), (8, "gwrb")],
)
def test_every_orientation_is_applied(kind: str, orientation: int, seen: str) -> None:
    cleaned = pictures.clean(gallery.file_of(gallery.drawing(), kind, exif=gallery.exif(orientation)))
    after = gallery.opened(cleaned.data)
    assert gallery.corners(after) == seen
    assert not after.getexif()
    assert after.format == kind
    assert after.size == (cleaned.width, cleaned.height) == ((48, 64) if orientation > 4 else (64, 48))
    assert gallery.SECRET not in cleaned.data


@pytest.mark.parametrize(
    "broken", [b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff", b"junk"]
)
def test_broken_metadata_are_no_fault_of_the_picture(broken: bytes) -> None:
    cleaned = pictures.clean(gallery.file_of(gallery.drawing(), "JPEG", exif=b"Exif\0\0" + broken))
    assert gallery.corners(gallery.opened(cleaned.data)) == "rgbw"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colours_become_those_of_srgb(kind: str) -> None:
    data = gallery.file_of(gallery.drawing(), kind, icc_profile=gallery.profile())
    cleaned = pictures.clean(data)
    assert gallery.corners(gallery.opened(cleaned.data)) == "grbw"
    assert b"Wide" not in cleaned.data
    assert "icc_profile" not in gallery.opened(cleaned.data).info


def test_transparency_outlives_a_change_of_colours() -> None:
    image = gallery.drawing(mode="RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    cleaned = pictures.clean(gallery.file_of(image, "PNG", icc_profile=gallery.profile()))
    after = gallery.opened(cleaned.data)
    assert ImageChops.difference(after.getchannel("A"), image.getchannel("A")).getbbox() is None


def test_a_profile_that_cannot_be_read_says_nothing() -> None:
    data = gallery.file_of(gallery.drawing(), "JPEG", icc_profile=b"no profile at all")
    assert gallery.corners(gallery.opened(pictures.clean(data).data)) == "rgbw"


@pytest.mark.parametrize("progressive", [False, True])
def test_colours_of_print_become_those_of_screens(progressive: bool) -> None:  # noqa: FBT001
    data = gallery.file_of(gallery.drawing(mode="CMYK"), "JPEG", progressive=progressive)
    after = gallery.opened(pictures.clean(data).data)
    assert after.mode == "RGB"
    assert gallery.corners(after) == "rgbw"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("page.html", gallery.SECRET)
    return buffer.getvalue()


@pytest.mark.parametrize("name", gallery.good())
@pytest.mark.parametrize(
    "tail", [zipped(), b"<html><script>alert(1)</script></html>"], ids=["archive", "page"]
)
def test_what_follows_the_picture_is_lost(name: str, tail: bytes) -> None:
    data = gallery.good()[name]
    cleaned = pictures.clean(data + tail)
    assert cleaned == pictures.clean(data)
    assert tail[-16:] not in cleaned.data
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(cleaned.data))


def test_the_second_picture_of_a_telephone_is_lost() -> None:
    data = gallery.file_of(gallery.drawing(), "MPO", save_all=True, append_images=[gallery.drawing(80, 60)])
    assert gallery.opened(data).format == "MPO"
    after = gallery.opened(pictures.clean(data).data)
    assert (after.format, after.size) == ("JPEG", (64, 48))


@pytest.mark.parametrize("name", gallery.good())
def test_half_of_a_file_is_refused(name: str) -> None:
    data = gallery.good()[name]
    for part in (len(data) // 3, len(data) // 2, len(data) - 40, len(data) - 5):
        with pytest.raises(PictureRefused):
            pictures.clean(data[:part])


@pytest.mark.parametrize("name", ["still.gif", "animated.gif"])
def test_a_gif_that_lacks_its_last_byte_alone_gets_it_back(name: str) -> None:
    data = gallery.good()[name]
    assert data[-1:] == b";"
    whole = pictures.clean(data)
    assert pictures.clean(data[:-1]) == whole
    assert whole.data[-1:] == b";"
    for missing in range(2, 12):
        with pytest.raises(PictureRefused) as error:
            pictures.clean(data[:-missing])
        assert "ends too soon" in reason(error)


def test_an_animation_that_ends_behind_a_frame_has_those_before() -> None:
    data = gallery.gif_of_specks(3)
    size = len(gallery.gif_of_specks(4)) - len(data)
    assert gallery.opened(pictures.clean(data[: -1 - size]).data).n_frames == 2  # type: ignore[attr-defined]


def test_a_jpeg_without_its_end_may_lack_more_and_is_refused() -> None:
    data = gallery.file_of(gallery.drawing(), "JPEG")
    for missing in (2, 3, 40):
        with pytest.raises(PictureRefused) as error:
            pictures.clean(data[:-missing])
        assert "its end (the marker FF D9) is missing" in reason(error)


@pytest.mark.parametrize("name", ["rgb.png", "animated.png", "animated.gif", "lossy.webp"])
def test_a_wrong_byte_in_the_middle_is_refused_or_harmless(name: str) -> None:
    data = bytearray(gallery.good()[name])
    for at in range(20, len(data), 7):
        data[at] ^= 0x55
        with contextlib.suppress(PictureRefused):
            gallery.opened(pictures.clean(bytes(data)).data)
        data[at] ^= 0x55


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"GIF88a" + bytes(20),
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        gallery.file_of(gallery.drawing(), "BMP"),
        gallery.file_of(gallery.drawing(), "TIFF"),
        gallery.file_of(gallery.drawing(), "AVIF"),
        gallery.file_of(gallery.drawing(), "ICO"),
        b"x" + gallery.file_of(gallery.drawing(), "PNG"),
    ],
)
def test_what_is_none_of_the_four_is_not_taken(data: bytes) -> None:
    with pytest.raises(NotAPictureFile):
        pictures.clean(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\xff\xd8\xff\xd9", "holds no picture"),
        (b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b";", "holds no picture"),
        (b"RIFF\x04\0\0\0WEBP", "holds no picture"),
        (b"\x89PNG\r\n\x1a\n" + gallery.png_chunk(b"IEND", b""), "holds no picture"),
        (b"\x89PNG\r\n\x1a\n" + gallery.png_chunk(b"IDAT", b""), "header"),
        (gallery.png_of_zeros(0, 5), "pixels wide and high"),
        (gallery.png_of_zeros(40_000, 40_000, honest=False), "pixels wide and high"),
        (gallery.png_of_zeros(16_000, 16_000, honest=False), "megapixels"),
        (gallery.png_of_zeros(6_000, 6_000, honest=False), "may have 24 megapixels"),
        (gallery.gif_of_specks(501), "more than 500 frames"),
        (gallery.gif_of_specks(200, (2000, 2000)), "in all its frames"),
        (gallery.gif_of_specks(1, (0, 0)), "out of the picture"),
        (gallery.animation("PNG", 501, (2, 2)), "more than 500 frames"),
        (gallery.with_scans(gallery.file_of(gallery.drawing(), "JPEG", progressive=True), 65), "scans"),
        (b"\xff\xd8" + b"\xff\xfe\0\2" * 10_001 + gallery.file_of(gallery.drawing(), "JPEG")[2:], "too many parts"),
        (gallery.file_of(gallery.drawing(), "JPEG").replace(b"\xff\xc0", b"\xff\xc9"), "rare kind"),
    ],
)  # fmt: skip
def test_what_is_broken_or_a_burden_is_refused_with_a_reason(data: bytes, told: str) -> None:
    with pytest.raises(PictureRefused) as error:
        pictures.clean(data)
    assert told in reason(error)


def test_a_fraction_of_a_byte_is_all_that_a_thousand_chunks_cost() -> None:
    whole = gallery.file_of(gallery.noise(60, 60), "PNG")
    found = dissect(whole)
    start = whole.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">L", whole, start)
    pixels = whole[start + 8 : start + 8 + length]
    pieces = b"".join(gallery.png_chunk(b"IDAT", bytes([byte])) for byte in pixels)
    assert dissect(whole[:start] + pieces + whole[start + 12 + length :]) == found


@pytest.mark.parametrize(
    ("original", "asked", "made"),
    [
        ((64, 48), (32, None), (32, 24)),
        ((64, 48), (None, 96), (128, 96)),
        ((64, 48), (10, 40), (10, 40)),
        ((64, 48), (None, None), (64, 48)),
        ((4, 4000), (None, 1), (1, 1)),
        ((5000, 10), (None, None), (4096, 8)),
    ],
)
def test_a_jpeg_is_made_to_measure(original: Size, asked: tuple[int | None, int | None], made: Size) -> None:
    resized = pictures.resize(
        gallery.file_of(gallery.drawing(*original), "PNG"), width=asked[0], height=asked[1], quality=85
    )
    assert resized.original == original
    after = gallery.opened(resized.picture.data)
    assert after.format == "JPEG"
    assert after.size == (resized.picture.width, resized.picture.height) == made


def test_a_ratio_that_leads_too_far_is_refused() -> None:
    with pytest.raises(PictureRefused) as error:
        pictures.resize(gallery.file_of(gallery.drawing(4, 4000), "PNG"), width=4096, height=None, quality=85)
    assert "4096x4096000" in reason(error)


def test_a_turned_picture_is_measured_as_it_is_seen() -> None:
    data = gallery.file_of(gallery.drawing(640, 480), "JPEG", exif=gallery.exif(6))
    resized = pictures.resize(data, width=120, height=None, quality=85)
    assert resized.original == (480, 640)
    after = gallery.opened(resized.picture.data)
    assert after.size == (120, 160)
    assert gallery.corners(after) == "brwg"
    assert not after.getexif()


@pytest.mark.parametrize("name", gallery.good())
@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("fit", ["contain", "cover"])
def test_every_picture_has_every_variant(name: str, kind: Format, fit: Fit) -> None:
    data = pictures.clean(gallery.good()[name]).data
    made = pictures.vary(data, box=(16, 16), fit=fit, kind=kind)
    after = gallery.opened(made.data)
    assert made.content_type == f"image/{kind}"
    assert after.format == kind.upper()
    assert after.size == (made.width, made.height)
    assert max(after.size) == 16
    if "animated" not in name and "16-bit" not in name and fit == "contain" and after.mode == "RGB":
        assert gallery.corners(after)[-1] == "w"


@pytest.mark.parametrize(
    ("size", "box", "fit", "shown"),
    [
        ((640, 480), (64, 64), "contain", (64, 48)),
        ((640, 480), (64, 64), "cover", (64, 64)),
        ((640, 480), (1024, 1024), "contain", (640, 480)),
        ((640, 480), (1024, 1024), "cover", (480, 480)),
        ((640, 480), (2048, 64), "cover", (640, 20)),
        ((640, 480), (512, 2048), "cover", (120, 480)),
        ((16_383, 1), (64, 64), "contain", (64, 1)),
        ((16_383, 1), (64, 64), "cover", (1, 1)),
        ((1, 1), (2048, 64), "cover", (1, 1)),
    ],
)
def test_a_variant_is_never_larger_than_its_picture(size: Size, box: Size, fit: Fit, shown: Size) -> None:
    (left, top, right, bottom), found = pictures.fit_into(size, box, fit)
    assert found == shown
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    made = pictures.vary(gallery.file_of(gallery.drawing(*size), "PNG"), box=box, fit=fit, kind="webp")
    assert (made.width, made.height) == shown


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_cover_shows_the_middle_of_a_large_photograph(orientation: int) -> None:
    """Its decoder scales it down on the way, and the part is cut out of what comes."""
    image = Image.new("RGB", (3000, 2000), "red")
    image.paste("lime", (1000, 500, 2000, 1500))
    data = gallery.file_of(image, "JPEG", exif=gallery.exif(orientation))
    after = gallery.opened(pictures.vary(data, box=(128, 128), fit="cover", kind="jpeg").data)
    assert after.size == (128, 128)
    for x, y, letter in (
        (20, 64, "r"),
        (44, 64, "g"),
        (84, 64, "g"),
        (108, 64, "r"),
        (64, 20, "r"),
        (64, 64, "g"),
    ):
        pixel = after.getpixel((x, y))
        assert isinstance(pixel, tuple)
        assert "rgb"[pixel.index(max(pixel))] == letter


def test_what_is_transparent_becomes_white_where_it_must() -> None:
    clear = gallery.file_of(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG")
    assert gallery.opened(pictures.resize(clear, width=8, height=8, quality=95).picture.data).getpixel((4, 4)) == (
        255, 255, 255,
    )  # fmt: skip
    assert (
        gallery.corners(gallery.opened(pictures.vary(clear, box=(64, 64), fit="contain", kind="jpeg").data))
        == "wwww"
    )
    kept = gallery.opened(pictures.vary(clear, box=(64, 64), fit="contain", kind="webp").data)
    assert kept.getchannel("A").getextrema() == (0, 0)


def test_sixteen_bits_of_grey_are_scaled_and_not_cut_off() -> None:
    data = gallery.file_of(gallery.deep(), "PNG")
    after = gallery.opened(pictures.resize(data, width=64, height=48, quality=95).picture.data)
    dark, bright = (after.convert("L").getpixel((x, 24)) for x in (8, 56))
    assert isinstance(dark, int | float)
    assert isinstance(bright, int | float)
    assert abs(dark - 0x20) < 4
    assert abs(bright - 0xE0) < 4
