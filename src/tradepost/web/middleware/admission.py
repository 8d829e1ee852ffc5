"""The outermost layer: what the door let in is counted for as long as it is under way."""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from tradepost.core.errors import Overloaded
from tradepost.web.asgi_scope import ERROR_CODE_KEY
from tradepost.web.overload.door import DOOR_KEY, Door
from tradepost.web.overload.refusals import Refusals
from tradepost.web.problems.rendering import problem


class Admission:
    """Tells the door when a request's turn comes and when it is over; one that waited for too long is refused."""

    def __init__(self, app: ASGIApp, *, refusing: ASGIApp) -> None:
        self.app = app
        self._refusing = refusing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A server of another kind, or a test, has no door.
        if DOOR_KEY not in scope:
            await self.app(scope, receive, send)
            return
        door: Door = scope["state"][DOOR_KEY]
        try:
            await (self.app if door.turn(scope) else self._refusing)(scope, receive, send)
        finally:
            # Whoever refused it: here, a lane, or the gate of the connections.
            door.ended(scope, served=scope.get(ERROR_CODE_KEY) != Overloaded.code)


class Refuse:
    """An application that refuses everything."""

    def __init__(self, refusals: Refusals, load: Callable[[], float]) -> None:
        self._refusals = refusals
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = Overloaded(retry_after=self._refusals.retry_after(self._load()))
        await problem(scope, error)(scope, receive, send)
