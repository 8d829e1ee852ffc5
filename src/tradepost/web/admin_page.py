"""``/admin``: the console for staff. It is a client of the API like any other: every rule, and the audit trail, hold by that."""

import html
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tradepost.core.settings.settings import Settings
from tradepost.web.answers.static_content import StaticContents, root_of
from tradepost.web.routing.route import OpenRoute

_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_POLICY: Final = (
    # Own files only, no script or style within the page, no text that becomes HTML, and nobody to put it into a frame.
    # Pictures of hidden items are fetched with the token and shown from memory (blob:).
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
_DIRECTORY: Final = files("tradepost.web") / "static" / "admin"


def _page(settings: Settings, root: str) -> bytes:
    fields = {"title": settings.PROJECT_NAME, "root": root, "api": settings.API_V1_STR}
    safe = {name: html.escape(value) for name, value in fields.items()}
    return (_DIRECTORY / "index.html").read_text(encoding="utf-8").format(**safe).encode()


def build_router(settings: Settings) -> APIRouter:
    """Return the routes of the console's page and its files; none is in the OpenAPI."""
    router = APIRouter(route_class=OpenRoute, include_in_schema=False)
    contents = StaticContents()
    names = {
        each.name: _TYPES[kind]
        for each in _DIRECTORY.iterdir()
        if (kind := f".{each.name.rpartition('.')[2]}") in _TYPES
    }

    @router.get("/admin")
    async def console(request: Request) -> Response:
        root = root_of(request, settings)
        content = await contents.get(
            f"page {root}", lambda: _page(settings, root), "text/html; charset=utf-8"
        )
        response = content.answer(request, "no-cache")
        response.headers.update(_HEADERS)
        return response

    @router.get("/admin/files/{name}")
    async def console_file(request: Request, name: str) -> Response:
        if name not in names:
            raise HTTPException(404)
        content = await contents.get(name, (_DIRECTORY / name).read_bytes, names[name])
        return content.answer(request, "no-cache")

    return router
