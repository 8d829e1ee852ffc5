"""``/live``: the page, its files, and the stream that it draws."""

from importlib.resources import files

from starlette.responses import Response

from tradepost.core.settings.settings import Settings
from tradepost.live.dependencies import Watching
from tradepost.web.answers.sse import SseAnswer
from tradepost.web.pages import add_page, page_headers
from tradepost.web.routing.route import OpenRoute
from tradepost.web.routing.router import Router


def build_router(settings: Settings) -> Router:
    """Return the routes of the page, its files and its stream; none is in the OpenAPI."""
    router = Router(route_class=OpenRoute, include_in_schema=False)
    add_page(router, "/live", files("tradepost.live") / "page", settings, headers=page_headers())

    @router.get("/live/stream", response_class=Response)
    async def stream(watching: Watching) -> SseAnswer:
        """Send what was seen in the last minutes (``history``), then a ``frame`` a second; come back when it ends."""
        return SseAnswer(watching)

    return router
