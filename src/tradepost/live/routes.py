"""``/live``: the page, its files, and the stream that it draws."""

import html
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tradepost.core.settings.settings import Settings
from tradepost.live.dependencies import Watching
from tradepost.web.answers.sse import SseAnswer
from tradepost.web.answers.static_content import StaticContents, root_of
from tradepost.web.routing.route import OpenRoute

_FILES: Final = {"live.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8"}
_HEADERS: Final = {
    # Own files only, no text that becomes HTML, and nobody to put the page into a frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
_DIRECTORY: Final = files("tradepost.live") / "page"


def _page(settings: Settings, root: str) -> bytes:
    fields = {"title": settings.PROJECT_NAME, "root": root, "api": settings.API_V1_STR}
    safe = {name: html.escape(value) for name, value in fields.items()}
    return (_DIRECTORY / "index.html").read_text(encoding="utf-8").format(**safe).encode()


def build_router(settings: Settings) -> APIRouter:
    """Return the routes of the page, its files and its stream; none is in the OpenAPI."""
    router = APIRouter(route_class=OpenRoute, include_in_schema=False)
    contents = StaticContents()

    @router.get("/live")
    async def page(request: Request) -> Response:
        root = root_of(request, settings)
        content = await contents.get(
            f"page {root}", lambda: _page(settings, root), "text/html; charset=utf-8"
        )
        response = content.answer(request, "no-cache")
        response.headers.update(_HEADERS)
        return response

    @router.get("/live/files/{name}")
    async def page_file(request: Request, name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404)
        content = await contents.get(name, (_DIRECTORY / name).read_bytes, _FILES[name])
        return content.answer(request, "no-cache")

    @router.get("/live/stream", response_class=Response)
    async def stream(watching: Watching) -> SseAnswer:
        """Send what was seen in the last minutes (``history``), then a ``frame`` a second; come back when it ends."""
        return SseAnswer(watching)

    return router
