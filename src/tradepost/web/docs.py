"""The OpenAPI document and its page: Swagger UI, from the package's own files so that it works without internet."""

import html
import json
from importlib.resources import files
from typing import Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tradepost.core.settings.settings import Settings
from tradepost.web.answers.static_content import StaticContents, root_of
from tradepost.web.openapi.document import at_root
from tradepost.web.routing.route import OpenRoute
from tradepost.web.routing.router import Router

VERSION: Final = "5.35.0"
"""Of Swagger UI; part of its files' addresses, so that they may be kept for ever."""

_ASSETS: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
# Swagger UI sets style attributes; scripts come from our own files only, and nothing is sent to anyone else.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_PAGE: Final = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{title}</title>
    <link rel="icon" type="image/png" href="{root}/docs/{version}/favicon-32x32.png">
    <link rel="stylesheet" href="{root}/docs/{version}/swagger-ui.css">
    <link rel="stylesheet" href="{root}/docs/{version}/page.css">
  </head>
  <body>
    <div id="swagger-ui" data-openapi="{openapi}"></div>
    <noscript>The documentation needs JavaScript; the document behind it is at <a href="{openapi}">{openapi}</a>.</noscript>
    <script src="{root}/docs/{version}/swagger-ui-bundle.js"></script>
    <script src="{root}/docs/{version}/start.js"></script>
  </body>
</html>
"""


def _asset(name: str) -> bytes:
    return (files("tradepost.web") / "static" / "swagger-ui" / name).read_bytes()


def build_router(app: FastAPI, settings: Settings) -> Router:
    """Return the routes of the documentation of ``app``; none of them is in the OpenAPI itself."""
    router = Router(route_class=OpenRoute, include_in_schema=False)
    contents = StaticContents()
    openapi_path = f"{settings.API_V1_STR}/openapi.json"

    def document(root: str) -> bytes:
        return json.dumps(at_root(app.openapi(), root), ensure_ascii=False, separators=(",", ":")).encode()

    @router.get(openapi_path)
    async def openapi_document(request: Request) -> Response:
        root = root_of(request, settings)
        content = await contents.get(f"openapi {root}", lambda: document(root), "application/json")
        return content.answer(request, "no-cache")

    @router.get("/docs")
    async def documentation(request: Request) -> Response:
        root = html.escape(root_of(request, settings))
        page = _PAGE.format(
            root=root,
            version=VERSION,
            title=html.escape(settings.PROJECT_NAME),
            openapi=f"{root}{openapi_path}",
        )
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
        return Response(page, headers=headers, media_type="text/html")

    @router.get(f"/docs/{VERSION}/{{name}}")
    async def documentation_file(request: Request, name: str) -> Response:
        if name not in _ASSETS:
            raise HTTPException(404)
        content = await contents.get(name, lambda: _asset(name), _ASSETS[name])
        return content.answer(request, "public, max-age=31536000, immutable")

    return router
