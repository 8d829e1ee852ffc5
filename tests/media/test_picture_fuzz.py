"""Files that are nearly pictures are cleaned or refused, and nothing else ever happens."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.media import gallery
from tradepost.media import pictures
from tradepost.media.errors import NotAPictureFile, PictureRefused

SEEDS = [*gallery.good().values(), *gallery.burdened().values()]
HEADS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x40\0\0\0WEBP"]


@st.composite
def nearly_pictures(draw: st.DrawFn) -> bytes:
    """Good files with bytes changed, cut out, put in and moved."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        # Headers are short and full of meaning: most wounds are there.
        at = draw(st.one_of(st.integers(0, min(120, len(data))), st.integers(0, len(data))))
        wound = draw(st.sampled_from(["change", "cut", "insert", "repeat", "flip"]))
        length = draw(st.integers(1, 16))
        if wound == "change":
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif wound == "cut":
            del data[at : at + length]
        elif wound == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif wound == "repeat":
            data[at:at] = data[at : at + length * 8]
        elif at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


def look(data: bytes) -> None:
    try:
        cleaned = pictures.clean(data)
    except (NotAPictureFile, PictureRefused):
        return
    assert pictures.clean(cleaned.data).content_type == cleaned.content_type
    pictures.vary(cleaned.data, box=(64, 64), fit="cover", kind="webp")


# A decoder's last resort is its time limit, not a test's.
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(nearly_pictures())
def test_a_wounded_picture_is_cleaned_or_refused(data: bytes) -> None:
    look(data)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=200))
@example(b"GIF89a", b"\x01\0\x01\0\0\0\0\x21")
@example(b"\xff\xd8\xff", b"\xc0\0\x02")
@example(b"\xff\xd8\xff", b"\xc0\0\x0b\x08\0\x01\0\x01\x03\x01\x11\0")
def test_a_right_beginning_is_not_enough(head: bytes, rest: bytes) -> None:
    with pytest.raises(PictureRefused):
        pictures.clean(head + rest)
