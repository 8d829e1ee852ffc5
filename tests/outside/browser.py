"""A browser that is used as a person uses one: Chromium by its own driver, over the W3C's WebDriver protocol."""

import asyncio
import base64
import io
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from PIL import Image

BINARY: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER: Final = shutil.which("chromedriver")
needs_browser: Final = pytest.mark.skipif(
    BINARY is None or DRIVER is None,
    reason="needs Chromium and its driver (Debian: apt-get install chromium chromium-driver)",
)
OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Colours as numbers of sRGB, one pixel for each of the page.
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
)
PATIENCE: Final = 60.0
"""Seconds until what a page is to show must be there; it takes one, many more on a machine that is busy."""
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which the protocol names an element."""
_KEYS: Final = {"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "Space": " "}
"""What the protocol calls keys that write nothing."""
_LISTENING: Final = re.compile(rb"started successfully on port (\d+)")


class Browser:
    """One window. Elements are found by CSS selectors, and waited for until they are there."""

    def __init__(self, driver: httpx.AsyncClient, session: str) -> None:
        self._driver = driver
        self._session = session

    async def open(self, url: str) -> None:
        """Go to an address and wait until the page has loaded."""
        await self._command("POST", "url", {"url": url})

    async def reload(self) -> None:
        """Load the page again."""
        await self._command("POST", "refresh", {})

    async def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a JavaScript function in the page and return what it returns, or what its promise brings."""
        return await self._command("POST", "execute/sync", {"script": script, "args": arguments})

    async def until(self, script: str, *arguments: Any) -> Any:
        """Run a script again and again until it returns something true, and return that."""
        async with asyncio.timeout(PATIENCE):
            while True:
                if found := await self.run(script, *arguments):
                    return found
                await asyncio.sleep(0.1)

    async def find(self, selector: str) -> str:
        """Wait for an element that is shown; return its name in the protocol."""
        script = (
            "const found = document.querySelector(arguments[0]);"
            "return found && found.getClientRects().length ? found : null"
        )
        element: dict[str, str] = await self.until(script, selector)
        return element[_ELEMENT]

    async def click(self, selector: str) -> None:
        """Click on an element where it is on the screen."""
        await self._command("POST", f"element/{await self.find(selector)}/click", {})

    async def write(self, selector: str, text: str) -> None:
        """Type text into an element, in place of what is in it."""
        element = await self.find(selector)
        await self._command("POST", f"element/{element}/clear", {})
        await self._command("POST", f"element/{element}/value", {"text": text})

    async def text(self, selector: str) -> str:
        """Return the text of an element as it is seen."""
        text: str = await self._command("GET", f"element/{await self.find(selector)}/text")
        return text

    async def press(self, *keys: str) -> None:
        """Press keys one after the other, as somebody without a mouse does: characters, or names such as ``Tab``."""
        actions = [
            {"type": kind, "value": _KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")
        ]
        await self._command(
            "POST", "actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]}
        )

    async def console(self) -> list[str]:
        """Return what the browser had to say since the last look, but for statuses of answers: errors and refused loads."""
        lines = await self._command("POST", "se/log", {"type": "browser"})
        return [line["message"] for line in lines if "Failed to load resource" not in line["message"]]

    async def prefer(self, scheme: str) -> None:
        """Have pages drawn for people who prefer ``light`` or ``dark`` colours."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        wanted = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        await self._command("POST", "goog/cdp/execute", wanted)

    async def screenshot(self) -> bytes:
        """Return what is in the window, as a PNG."""
        return base64.b64decode(await self._command("GET", "screenshot"))

    async def picture(self, page: Path, size: tuple[int, int]) -> Image.Image:
        """Open a file of HTML, wait for its pictures, and return what its upper left corner looks like."""
        await self.open(page.as_uri())
        await self.run(
            "return Promise.all([...document.images].map((image) => image.decode())).then(() => true)"
        )
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        taken = await self._command(
            "POST",
            "goog/cdp/execute",
            {"cmd": "Page.captureScreenshot", "params": {"clip": clip, "captureBeyondViewport": True}},
        )
        image = Image.open(io.BytesIO(base64.b64decode(taken["data"])))
        assert image.size == size
        return image.convert("RGB")

    async def _command(self, method: str, path: str, values: dict[str, Any] | None = None) -> Any:
        answer = await self._driver.request(method, f"/session/{self._session}/{path}", json=values)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value


async def _port_of(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    async for line in process.stdout:
        if listening := _LISTENING.search(line):
            return int(listening[1])
    raise RuntimeError("the driver has ended")


@asynccontextmanager
async def browsing(*, width: int, height: int, phone: bool = False) -> AsyncIterator[Browser]:
    """Open a window without a screen, of this size in CSS pixels; a ``phone`` has touch and a viewport of its own."""
    if DRIVER is None or BINARY is None:
        raise RuntimeError("Chromium or its driver is not installed")
    process = await asyncio.create_subprocess_exec(DRIVER, "--port=0", stdout=subprocess.PIPE)
    try:
        port = await asyncio.wait_for(_port_of(process), PATIENCE)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=3 * PATIENCE) as driver:
            options: dict[str, Any] = {
                "binary": BINARY,
                "args": [*OPTIONS, f"--window-size={width},{height}"],
            }
            if phone:
                options["mobileEmulation"] = {
                    "deviceMetrics": {"width": width, "height": height, "pixelRatio": 2, "touch": True}
                }
            timeouts = {"script": int(2 * PATIENCE * 1000)}
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
                "timeouts": timeouts,
            }
            answer = await driver.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            assert answer.is_success, answer.text
            session: str = answer.json()["value"]["sessionId"]
            try:
                yield Browser(driver, session)
            finally:
                await driver.delete(f"/session/{session}")
    finally:
        process.terminate()
        await process.communicate()
