"""``/notifications/unsubscribe``: the built-in page and the one-click target (RFC 8058) of optional e-mails.

GET changes nothing, because scanners of e-mails open every link; POST switches the kind off.
"""

import html
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

from tradepost.core.settings.settings import Settings
from tradepost.notifications.kinds import KINDS_BY_NAME, NotificationKind
from tradepost.notifications.preferences.dependencies import PreferenceWrites, build_unsubscribe_links
from tradepost.notifications.preferences.unsubscribe import PATH
from tradepost.web.answers.static_content import root_of
from tradepost.web.routing.router import Router

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
_ASK: Final = (
    "<p>Get no more e-mails of this kind: {kind}. Your inbox is not changed by it.</p>"
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    "<button>Switch these e-mails off</button></form>"
)
_DONE: Final = (
    '<p class="note good" role="status">You get no more e-mails of this kind: {kind}.</p>'
    "<p>You can switch them on again in your preferences.</p>"
)
_BAD: Final = (
    '<p class="note bad" role="status">This link is not good. Perhaps it was not copied as a whole.</p>'
)


def build_router(settings: Settings) -> Router:
    """Return the routes of the page; they are not in the OpenAPI."""
    router = Router(include_in_schema=False)
    links = build_unsubscribe_links(settings)

    def read(token: str) -> tuple[int, NotificationKind[Any]] | None:
        found = links.read(token)
        kind = None if found is None else KINDS_BY_NAME.get(found[1])
        return None if found is None or kind is None or kind.email.fixed else (found[0], kind)

    def page(request: Request, content: str, *, status: int = 200, **values: str) -> Response:
        filled = content.format(**{name: html.escape(value) for name, value in values.items()})
        project = html.escape(settings.PROJECT_NAME)
        root = html.escape(root_of(request, settings))
        body = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
            f'<link rel="stylesheet" href="{root}/account/files/page.css">'
            f"<title>E-mails - {project}</title></head>"
            f'<body><main><p class="brand">{project}</p><h1>E-mails</h1>{filled}</main></body></html>'
        )
        return Response(body, status, headers=_HEADERS, media_type="text/html")

    @router.get(PATH)
    async def ask_to_unsubscribe(request: Request, token: str = "") -> Response:
        found = read(token)
        return (
            page(request, _BAD, status=400)
            if found is None
            else page(request, _ASK, kind=found[1].description)
        )

    @router.post(PATH)
    async def unsubscribe(request: Request, preferences: PreferenceWrites, token: str = "") -> Response:
        found = read(token)
        if found is None:
            return page(request, _BAD, status=400)
        user_id, kind = found
        await preferences.switch_off_email(user_id, kind)
        return page(request, _DONE, kind=kind.description)

    return router
