"""``/admin``: the console for staff. It is a client of the API like any other: every rule, and the audit trail, hold by that."""

from importlib.resources import files

from tradepost.core.settings.settings import Settings
from tradepost.web.pages import add_page, page_headers
from tradepost.web.routing.route import OpenRoute
from tradepost.web.routing.router import Router


def build_router(settings: Settings) -> Router:
    """Return the routes of the console's page and its files; none is in the OpenAPI."""
    router = Router(route_class=OpenRoute, include_in_schema=False)
    # Pictures of hidden items are fetched with the token and shown from memory (blob:).
    headers = page_headers(images="'self' data: blob:")
    add_page(router, "/admin", files("tradepost.web") / "static" / "admin", settings, headers=headers)
    return router
