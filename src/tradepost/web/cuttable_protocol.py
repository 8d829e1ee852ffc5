"""The protocol of a server on which faults are made on purpose, some of which cut connections."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tradepost.web.asgi_scope import CYCLE_KEY
from tradepost.web.protocol import BoundedHttpProtocol


class CuttableHttpProtocol(BoundedHttpProtocol):
    """The protocol that shows each request its connection."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: Any = cycle.scope
        scope[CYCLE_KEY] = cycle
        super()._start_asgi_task(cycle, app)
