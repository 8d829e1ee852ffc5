"""Every form of a picture has the colours that a browser shows of what was sent."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageCms

from tests.conftest import Person
from tests.media import gallery, swatches
from tests.media.swatches import LOSSY, furthest, patches, seen, upright
from tests.uploading import show
from tradepost.media import pictures
from tradepost.media.colours import TOLERANCE, conversion_of
from tradepost.media.containers.dissection import dissect
from tradepost.media.containers.icc import PROFILE_LIMIT, dissect_profile, matrix_profile
from tradepost.media.errors import PictureRefused
from tradepost.media.pictures import Format


def chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks of a PNG."""
    found, at = {}, 8
    while at < len(data):
        length, kind = struct.unpack_from(">L4s", data, at)
        found[kind] = data[at + 8 : at + 8 + length]
        at += 12 + length
    return found


def numbers(data: bytes) -> bytes:
    """Return the pixels as they are in the file, whatever they mean."""
    return gallery.opened(data).tobytes()


@pytest.mark.parametrize("name", swatches.stills() | swatches.moving())
@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_a_variant_shows_what_a_browser_shows(name: str, kind: Format) -> None:
    data = (swatches.stills() | swatches.moving())[name]
    served = pictures.clean(data).data
    made = pictures.vary(served, box=(64, 64), fit="contain", kind=kind)
    assert (made.width, made.height) == (64, 64)
    assert furthest(patches(gallery.opened(made.data)), seen(name)) <= LOSSY
    assert gallery.opened(made.data).info.get("icc_profile") is None


@pytest.mark.parametrize("name", swatches.stills() | swatches.moving())
def test_what_is_made_to_measure_shows_what_a_browser_shows(name: str) -> None:
    data = (swatches.stills() | swatches.moving())[name]
    made = pictures.resize(data, width=64, height=None, quality=95).picture
    assert furthest(patches(gallery.opened(made.data)), seen(name)) <= LOSSY


@pytest.mark.parametrize("name", swatches.stills() | swatches.moving())
def test_what_is_served_keeps_its_numbers_and_their_meaning_or_changes_both(name: str) -> None:
    data = (swatches.stills() | swatches.moving())[name]
    cleaned = pictures.clean(data)
    before, after = dissect(data), dissect(cleaned.data)
    if numbers(cleaned.data) != numbers(data):
        assert after.profile is None
        assert furthest(patches(gallery.opened(cleaned.data)), seen(name)) <= LOSSY
    elif after.profile is None:
        assert conversion_of(before.profile, channels=before.channels) is None
    else:
        assert after.profile == before.profile
    assert pictures.clean(cleaned.data) == cleaned, "what is clean already stays as it is"


@pytest.mark.parametrize("name", swatches.stills())
def test_what_is_turned_shows_what_a_browser_shows(name: str) -> None:
    cleaned = pictures.clean(swatches.turned(swatches.stills()[name]))
    after = dissect(cleaned.data)
    assert (after.orientation, after.profile, after.format) == (
        1,
        None,
        dissect(swatches.stills()[name]).format,
    )
    assert furthest(upright(patches(gallery.opened(cleaned.data))), seen(name)) <= (
        LOSSY if "jpeg" in name else 3
    )


@pytest.mark.parametrize("name", [name for name in swatches.moving() if "apng" in name])
def test_an_animation_is_turned_by_the_browser_and_in_variants(name: str) -> None:
    sent = swatches.turned(swatches.moving()[name])
    served = pictures.clean(sent).data
    assert dissect(served).orientation == 6
    made = pictures.vary(served, box=(64, 64), fit="contain", kind="webp")
    assert furthest(upright(patches(gallery.opened(made.data))), seen(name)) <= LOSSY


def test_an_animation_keeps_of_its_exif_data_the_orientation_alone() -> None:
    data = gallery.animation("PNG")
    tiff = gallery.exif(6).tobytes().removeprefix(b"Exif\0\0")
    cleaned = pictures.clean(data[:33] + gallery.png_chunk(b"eXIf", tiff) + data[33:])
    after = gallery.opened(cleaned.data)
    assert gallery.SECRET not in cleaned.data
    assert dict(after.getexif()) == {gallery.ORIENTATION: 6}
    assert (after.size, (cleaned.width, cleaned.height)) == ((40, 30), (30, 40)), "as it is seen"
    assert pictures.clean(cleaned.data) == cleaned
    moving = gallery.animation("WEBP", exif=gallery.exif(6))
    assert pictures.clean(moving).data == pictures.clean(gallery.animation("WEBP")).data, (
        "browsers do not turn it"
    )
    made = pictures.resize(moving, width=None, height=None, quality=85).picture
    assert (made.width, made.height) == (40, 30)


def test_a_profile_is_known_by_what_it_does_and_not_by_its_name() -> None:
    served = pictures.clean(swatches.stills()["png profile linear"]).data
    assert patches(gallery.opened(served))[2] == bytes((188, 188, 188))
    same = dissect(swatches.stills()["png profile of sRGB, gamma 1"])
    assert same.profile is not None
    assert conversion_of(same.profile, channels=3) is None
    assert conversion_of(same.profile, channels=1) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "profile",
    [swatches.SAME_AS_SRGB, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()],
    ids=["ours", "Little CMS"],
)
def test_a_profile_like_that_of_srgb_costs_no_encoding(kind: str, profile: bytes) -> None:
    with_it, without = (
        gallery.file_of(swatches.drawing(), kind, **options) for options in ({"icc_profile": profile}, {})
    )
    assert len(pictures.clean(with_it).data) <= len(pictures.clean(without).data) + 18, "but for WebP's flags"
    assert numbers(pictures.clean(with_it).data) == numbers(with_it)


@pytest.mark.parametrize(("bend", "converted"), [(0.0, False), (0.002, False), (0.05, True)])
def test_the_tolerance_is_that_of_the_furthest_colour(bend: float, converted: bool) -> None:  # noqa: FBT001
    assert TOLERANCE == 2

    def curve(value: float) -> float:
        straight = value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        return straight * (1 + bend)

    profile = matrix_profile(swatches.SRGB_LIGHTS, curve)
    assert profile is not None
    assert (conversion_of(profile, channels=3) is not None) is converted


def test_a_png_with_a_few_numbers_keeps_them_and_every_pixel() -> None:
    sent = swatches.stills()["png chromaticities of Adobe RGB"]
    served = chunks(pictures.clean(sent).data)
    assert {kind: served[kind] for kind in (b"gAMA", b"cHRM")} == {
        kind: chunks(sent)[kind] for kind in (b"gAMA", b"cHRM")
    }
    both = swatches.coloured(swatches.gama(100_000), swatches.cicp(12, 13, 0, 1))
    served = chunks(pictures.clean(both).data)
    assert b"cICP" in served, "what counts is kept"
    assert b"gAMA" not in served, "what it overrules is not"


def test_an_animation_keeps_a_profile_that_says_nothing_of_its_owner() -> None:
    secret = swatches.icc(
        b"RGB ",
        {
            **dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(swatches.xyz, swatches.P3_COLUMNS), strict=True)),
            **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), swatches.SRGB_CURVE),
            b"desc": b"text\0\0\0\0" + gallery.SECRET,
            b"mmod": gallery.SECRET,
        },
    )
    served = pictures.clean(swatches.animated(swatches.iccp(secret), hidden=False)).data
    kept = zlib.decompress(chunks(served)[b"iCCP"].partition(b"\0")[2][1:])
    assert gallery.SECRET not in kept
    read = ImageCms.ImageCmsProfile(io.BytesIO(kept)).profile
    assert read.red_colorant is not None
    assert [round(value, 4) for value in read.red_colorant[0]] == [0.5151, 0.2412, -0.0011]


def test_the_picture_in_front_of_an_animation_is_no_frame() -> None:
    sent = swatches.animated(part=True)
    assert gallery.opened(sent).getpixel((5, 5)) == (200, 100, 0), "Pillow begins with it"
    made = gallery.opened(pictures.vary(sent, box=(64, 64), fit="contain", kind="webp").data).convert("RGBA")
    assert made.getchannel("A").getpixel((5, 5)) == 0
    assert made.getchannel("A").getpixel((60, 60)) == 255
    served = pictures.clean(sent).data
    assert chunks(served)[b"IDAT"] == chunks(sent)[b"IDAT"], "what it is sent for stays in the file"
    at = sent.index(b"fcTL")
    control = bytearray(sent[at : at + 30])
    control[8:12] = struct.pack(">L", 65)
    wrong = sent[:at] + control + struct.pack(">L", zlib.crc32(control)) + sent[at + 34 :]
    with pytest.raises(PictureRefused) as refused:
        pictures.clean(wrong)
    assert "out of the picture" in refused.value.errors[0]["message"]


@pytest.mark.parametrize(
    ("lights", "usable"),
    [
        (swatches.SRGB_LIGHTS, True),
        ((*swatches.WHITE, *(0.3, 0.3) * 3), False),
        ((*swatches.WHITE, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3), False),
        ((0.3, 0.0, *swatches.SRGB_LIGHTS[2:]), False),
        ((42_949.0,) * 8, False),
    ],
)
def test_lights_that_span_no_colours_say_nothing(lights: Any, usable: bool) -> None:  # noqa: FBT001
    assert (matrix_profile(lights, lambda value: value) is not None) is usable


def profile_of_tags(tags: Sequence[tuple[bytes, int, int]], size: int) -> bytes:
    """Return a profile whose table of tags says what it likes."""
    head = struct.pack(">L4xB3x4s4s4s12x4s28x", size, 4, b"mntr", b"RGB ", b"XYZ ", b"acsp").ljust(128, b"\0")
    table = struct.pack(">L", len(tags)) + b"".join(struct.pack(">4sLL", *tag) for tag in tags)
    return (head + table).ljust(min(size, PROFILE_LIMIT + 1), b"\0")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(128),
        profile_of_tags([], 132),
        profile_of_tags([(b"A2B0", 0, 4_000_000_000)], 1000),
        profile_of_tags([(b"A2B0", 4_000_000_000, 10)], 1000),
        profile_of_tags([(name, 0, PROFILE_LIMIT) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], PROFILE_LIMIT),
        profile_of_tags([(b"A2B0", 140, 10)] * 1000, 20_000),
        profile_of_tags([(b"A2B0", 0, 10)], PROFILE_LIMIT + 1),
    ],
)
def test_a_profile_that_is_a_burden_says_nothing(data: bytes) -> None:
    assert dissect_profile(data) is None
    sent = gallery.file_of(gallery.drawing(), "PNG", icc_profile=data or b"\0")
    assert gallery.corners(gallery.opened(pictures.clean(sent).data)) == "rgbw"


def test_tags_that_share_their_bytes_are_held_to_the_limit_together() -> None:
    curve = b"curv\0\0\0\0" + struct.pack(">L", PROFILE_LIMIT // 4) + bytes(PROFILE_LIMIT // 2)
    columns = b"".join(map(swatches.xyz, swatches.SRGB_COLUMNS))
    places = [(name, 210 + 20 * number, 20) for number, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    places += [(name, 270, len(curve)) for name in (b"rTRC", b"gTRC", b"bTRC")]
    head = profile_of_tags(places, 270 + len(curve))[:210]
    assert dissect_profile(head + columns + curve) is None


WOUNDED = [swatches.P3, swatches.UNEVEN, swatches.FADED, swatches.PRINTED, swatches.LINEAR_GREY]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WOUNDED), st.data())
def test_a_wounded_profile_is_used_or_passed_over(profile: bytes, data: st.DataObject) -> None:
    wounded = bytearray(profile)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wounded) - 1))
        wounded[at] = data.draw(st.integers(0, 255))
    mode = {b"RGB ": "RGB", b"CMYK": "CMYK", b"GRAY": "L"}[profile[16:20]]
    sent = gallery.file_of(gallery.drawing(16, 16, mode), "JPEG", icc_profile=bytes(wounded))
    assert gallery.opened(pictures.clean(sent).data).size == (16, 16)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"cICP", b"gAMA", b"cHRM", b"sRGB", b"iCCP"]), st.binary(max_size=40))
    )
)
def test_whatever_a_png_says_of_its_colours_it_is_taken(told: list[tuple[bytes, bytes]]) -> None:
    cleaned = pictures.clean(swatches.coloured(*told))
    pictures.vary(cleaned.data, box=(64, 64), fit="contain", kind="jpeg")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8))
def test_whatever_gamma_and_lights_a_png_has_it_is_taken(gamma: int, lights: list[int]) -> None:
    sent = swatches.coloured(swatches.gama(gamma), (b"cHRM", struct.pack(">8L", *lights)))
    pictures.vary(pictures.clean(sent).data, box=(64, 64), fit="contain", kind="jpeg")


async def test_uploads_look_as_what_was_sent(alice: Person, client: httpx.AsyncClient) -> None:
    for name in (
        "png profile linear",
        "png grey, profile linear",
        "png code points P3",
        "png grey of 16 bits, one transparent",
        "apng behind a picture, a part",
        "jpeg print, profile",
        "webp profile with a table",
    ):
        data = (swatches.stills() | swatches.moving())[name]
        url = (await show(alice, data, "swatches"))["url"]
        for kind in ("jpeg", "webp", "avif"):
            made = await client.get(url, params={"w": 64, "format": kind})
            assert made.status_code == 200, made.text
            assert furthest(patches(gallery.opened(made.content)), seen(name)) <= LOSSY
        original = await client.get(url)
        assert original.content == pictures.clean(data).data
