"""What Chromium's screen shows, as a picture: started without a head, once for a page."""

import asyncio
import shutil
from pathlib import Path

from PIL import Image

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # Colours as numbers of sRGB, one pixel for each of the page.
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    # Its own clock: the picture is taken when everything is loaded and drawn.
    "--virtual-time-budget=5000",
)


async def screenshot(page: str, size: tuple[int, int], directory: Path) -> Image.Image:
    """Return what a page of HTML looks like in a window of ``size``; ``directory`` is new, and takes what is written."""
    if BINARY is None:
        raise RuntimeError("Chromium is not installed")
    source, shot = directory / "page.html", directory / "shot.png"
    source.write_text(page)
    process = await asyncio.create_subprocess_exec(
        BINARY,
        *OPTIONS,
        f"--user-data-dir={directory / 'profile'}",
        f"--window-size={size[0]},{size[1]}",
        f"--screenshot={shot}",
        source.as_uri(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120):
            _, errors = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert shot.exists(), errors.decode(errors="replace")
    image = Image.open(shot)
    image.load()
    return image.convert("RGB")
