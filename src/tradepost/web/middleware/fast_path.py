"""The layer of the fast path: the busiest endpoints are called without FastAPI's machinery."""

from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from tradepost.web.asgi_scope import TEMPLATE_KEY
from tradepost.web.problems.handlers import ErrorAnswers
from tradepost.web.routing.path_table import FOUND_KEY, PathTable


class FastPath:
    """Calls the endpoints that are marked with ``fast_path``; any other request takes the ordinary path.

    It stands around the whole of FastAPI: what it answers passes only through the layers outside it. It looks the route up,
    and leaves what it found for the ``PathTable`` within.
    """

    def __init__(self, app: ASGIApp, *, table: PathTable, answers: ErrorAnswers) -> None:
        self.app = app
        self._find = table.find
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            found = scope[FOUND_KEY] = self._find(get_route_path(scope))
            if found is not None:
                entry, parameters = found
                # A HEAD is not among them: it has no target of its own.
                target = entry.targets.get(scope["method"])
                if target is not None and target.fast is not None:
                    scope[TEMPLATE_KEY] = entry.template
                    scope["path_params"] = parameters
                    response: ASGIApp | None
                    try:
                        response = await target.fast(scope, receive)
                    except ClientDisconnect:
                        raise
                    except Exception as error:  # noqa: BLE001 - every exception has its answer
                        response = self._answers(scope, error)
                    if response is not None:
                        await response(scope, receive, send)
                        return
        await self.app(scope, receive, send)
