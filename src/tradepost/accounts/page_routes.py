"""``/account/…``: the small pages that links in e-mails lead to, at the root and without anything from elsewhere."""

import html
from importlib.resources import files
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tradepost.accounts.links import PAGES
from tradepost.accounts.models import TokenPurpose
from tradepost.core.settings.settings import Settings
from tradepost.web.answers.static_content import StaticContents, root_of
from tradepost.web.routing.route import OpenRoute
from tradepost.web.routing.router import Router

_TITLES: Final = {
    TokenPurpose.VERIFY_EMAIL: "Confirm your e-mail address",
    TokenPurpose.RESET_PASSWORD: "Set a new password",
    TokenPurpose.CHANGE_EMAIL: "Confirm your new e-mail address",
    TokenPurpose.UNDO_EMAIL: "Take your e-mail address back",
}
_AGAIN: Final = {
    TokenPurpose.VERIFY_EMAIL: "/auth/email/resend",
    TokenPurpose.RESET_PASSWORD: "/auth/password/forgot",
    # A change is asked for by whoever is logged in; by address there is only a new password.
    TokenPurpose.CHANGE_EMAIL: "/auth/password/forgot",
    TokenPurpose.UNDO_EMAIL: "/auth/password/forgot",
}
"""Where another link is asked for."""
_FILES: Final = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_HEADERS: Final = {
    # Own files only, and nobody to put the page into a frame and have somebody click in it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def _read(name: str) -> str:
    return (files("tradepost.accounts") / "pages" / name).read_text(encoding="utf-8")


def page(purpose: TokenPurpose, settings: Settings, *, root: str) -> str:
    """Return the page for links of this purpose; its paths begin with ``root``.

    It reads the token from the fragment, which reaches no server.
    """
    fields = {
        "title": _TITLES[purpose],
        "project": settings.PROJECT_NAME,
        # What a proxy in front takes off paths is a part of the address that people use.
        "root": root,
        "api": settings.API_V1_STR,
        "again": _AGAIN[purpose],
    }
    safe = {name: html.escape(value) for name, value in fields.items()}
    name = PAGES[purpose].rpartition("/")[2]
    return _read("_head.html").format(**safe) + _read(f"{name}.html") + _read("_foot.html").format(**safe)


def build_router(settings: Settings) -> Router:
    """Return the routes of the pages; none is in the OpenAPI."""
    router = Router(route_class=OpenRoute, include_in_schema=False)
    contents = StaticContents()

    async def answer(request: Request, purpose: TokenPurpose) -> Response:
        root = root_of(request, settings)
        content = await contents.get(
            f"{purpose} {root}",
            lambda: page(purpose, settings, root=root).encode(),
            "text/html; charset=utf-8",
        )
        response = content.answer(request, "no-cache")
        response.headers.update(_HEADERS)
        return response

    @router.get(PAGES[TokenPurpose.VERIFY_EMAIL])
    async def verify_email_page(request: Request) -> Response:
        return await answer(request, TokenPurpose.VERIFY_EMAIL)

    @router.get(PAGES[TokenPurpose.RESET_PASSWORD])
    async def reset_password_page(request: Request) -> Response:
        return await answer(request, TokenPurpose.RESET_PASSWORD)

    @router.get(PAGES[TokenPurpose.CHANGE_EMAIL])
    async def change_email_page(request: Request) -> Response:
        return await answer(request, TokenPurpose.CHANGE_EMAIL)

    @router.get(PAGES[TokenPurpose.UNDO_EMAIL])
    async def undo_email_change_page(request: Request) -> Response:
        return await answer(request, TokenPurpose.UNDO_EMAIL)

    @router.get("/account/files/{name}")
    async def page_file(request: Request, name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404)
        content = await contents.get(name, lambda: _read(name).encode(), _FILES[name])
        return content.answer(request, "no-cache")

    return router
