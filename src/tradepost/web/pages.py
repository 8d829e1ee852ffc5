"""Pages of our own: one HTML file and the scripts and style sheets beside it, served as they are from the package."""

import html
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tradepost.core.settings.settings import Settings
from tradepost.web.answers.static_content import StaticContents, root_of
from tradepost.web.routing.router import Router

_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def page_headers(*, images: str = "data:") -> dict[str, str]:
    """Return the header fields of a page; ``images`` is where its pictures come from, for the policy.

    Own files only, no script or style within the page, no text that becomes HTML, and nobody to put it into a frame.
    """
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Robots-Tag": "noindex",
    }


def add_page(
    router: Router, path: str, directory: Traversable, settings: Settings, *, headers: Mapping[str, str]
) -> None:
    """Serve ``index.html`` of a directory at ``path``, and its scripts and style sheets below it, at ``/files``.

    The page has places for ``title``, ``root`` (the prefix that a proxy in front takes off paths) and ``api``.
    """
    contents = StaticContents()
    names = {
        each.name: _TYPES[kind]
        for each in directory.iterdir()
        if (kind := f".{each.name.rpartition('.')[2]}") in _TYPES
    }

    def written(root: str) -> bytes:
        fields = {"title": settings.PROJECT_NAME, "root": root, "api": settings.API_V1_STR}
        safe = {name: html.escape(value) for name, value in fields.items()}
        return (directory / "index.html").read_text(encoding="utf-8").format(**safe).encode()

    @router.get(path)
    async def page(request: Request) -> Response:
        root = root_of(request, settings)
        content = await contents.get(f"page {root}", lambda: written(root), "text/html; charset=utf-8")
        response = content.answer(request, "no-cache")
        response.headers.update(headers)
        return response

    @router.get(f"{path}/files/{{name}}")
    async def page_file(request: Request, name: str) -> Response:
        if name not in names:
            raise HTTPException(404)
        content = await contents.get(name, (directory / name).read_bytes, names[name])
        return content.answer(request, "no-cache")
