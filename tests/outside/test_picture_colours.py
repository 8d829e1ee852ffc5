"""Every form of a picture looks in Chromium as the picture did that was sent.

The looks in ``tests.media.swatches.SEEN``, which ``make test`` goes by, are Chromium's too.
"""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.media import swatches
from tests.media.swatches import Colour
from tests.outside.browser import Browser, browsing, needs_browser
from tradepost.media import pictures
from tradepost.media.containers.dissection import dissect

pytestmark = needs_browser

SIDE = swatches.SIDE * swatches.PATCH
ACROSS = 12
TYPES = {b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp"}


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing(width=1000, height=800) as browser:
        yield browser


async def looks(browser: Browser, files: Mapping[str, bytes], directory: Path) -> dict[str, list[Colour]]:
    """Return the patches of each picture as they are on the screen."""
    rows = -(-len(files) // ACROSS)
    html = "<!doctype html><style>body{margin:0}img{position:absolute;image-rendering:pixelated}</style>"
    places = {}
    for number, (name, data) in enumerate(files.items()):
        kind = TYPES.get(data[:4], "jpeg" if data.startswith(b"\xff\xd8") else "avif")
        places[name] = (number % ACROSS * SIDE, number // ACROSS * SIDE)
        html += '<img style="left:{}px;top:{}px" '.format(*places[name])
        html += (
            f'width={SIDE} height={SIDE} src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
        )
    page = directory / "page.html"
    page.write_text(html, encoding="utf-8")
    shot = await browser.picture(page, (ACROSS * SIDE, rows * SIDE))
    return {name: swatches.patches(shot.crop((x, y, x + SIDE, y + SIDE))) for name, (x, y) in places.items()}


def differing(found: Mapping[str, Sequence[Colour]], *, tolerance: int) -> dict[str, int]:
    """Return the names of pictures that look otherwise than is known, and by how much."""
    apart = {name: swatches.furthest(colours, swatches.seen(name)) for name, colours in found.items()}
    return {name: far for name, far in apart.items() if far > tolerance}


async def test_the_looks_that_the_small_tests_go_by_are_those_of_the_browser(
    browser: Browser, tmp_path: Path
) -> None:
    found = await looks(browser, swatches.stills() | swatches.moving(), tmp_path)
    assert differing(found, tolerance=1) == {}


async def test_what_is_served_looks_as_what_was_sent(browser: Browser, tmp_path: Path) -> None:
    files = swatches.stills() | swatches.moving()
    found = await looks(browser, {name: pictures.clean(data).data for name, data in files.items()}, tmp_path)
    assert differing(found, tolerance=swatches.LOSSY) == {}
    exact = {
        name: colours
        for name, colours in found.items()
        if not name.startswith("jpeg") and "table" not in name
    }
    assert differing(exact, tolerance=swatches.EXACT) == {}


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
async def test_a_variant_looks_as_what_was_sent(
    browser: Browser, kind: pictures.Format, tmp_path: Path
) -> None:
    files = swatches.stills() | swatches.moving()
    made = {
        name: pictures.vary(pictures.clean(data).data, box=(64, 64), fit="contain", kind=kind).data
        for name, data in files.items()
    }
    if kind == "avif":
        # Chromium 156 shows an alpha of 200 as 214, as if it were of limited range; the file says that it is not.
        made = {name: data for name, data in made.items() if "grey and alpha" not in name}
    assert differing(await looks(browser, made, tmp_path), tolerance=swatches.LOSSY) == {}


async def test_what_is_turned_looks_as_what_was_sent(browser: Browser, tmp_path: Path) -> None:
    moving = {name: data for name, data in swatches.moving().items() if "apng" in name}
    made = {}
    for name, data in (swatches.stills() | moving).items():
        cleaned = pictures.clean(swatches.turned(data))
        assert dissect(cleaned.data).orientation == (6 if name in moving else 1)
        made[name] = cleaned.data
    shown = await looks(browser, made, tmp_path)
    # The screen shows it turned: its patches are compared in the order of the original.
    found = {name: swatches.upright(colours) for name, colours in shown.items()}
    assert differing(found, tolerance=swatches.LOSSY) == {}
