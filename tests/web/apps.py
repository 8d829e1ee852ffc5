"""Small applications to try one part of ``web`` on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from tradepost.core.clock import SystemClock
from tradepost.core.database.faults import translate
from tradepost.core.observability.access_log import AccessLog
from tradepost.core.observability.metrics import Metrics
from tradepost.core.settings.settings import Settings
from tradepost.web.middleware import stack
from tradepost.web.openapi import document
from tradepost.web.problems import handlers
from tradepost.web.protocol import BoundedHttpProtocol
from tradepost.web.routing.router import Router


class Lines(list[dict[str, Any]], AccessLog):
    """An access log that keeps its lines."""

    def write(self, **values: Any) -> None:
        self.append(values)


def new_router(**options: Any) -> Router:
    """Return a router as every domain makes one."""
    return Router(**options)


def new_app(
    *routers: Router,
    lines: Lines | None = None,
    metrics: Metrics | None = None,
    larger_bodies: dict[str, int] | None = None,
    extend: Callable[[FastAPI], object] = lambda _app: None,
    **values: Any,
) -> FastAPI:
    """Return an application with all layers; ``values`` are its settings, ``extend`` adds to it before they come.

    Its ``state.door`` is that of overload control.
    """
    clock = SystemClock()
    settings = Settings(**{"_env_file": None, **values})
    app = FastAPI(**document.options(settings))
    for router in routers:
        router.add_to(app, prefix=settings.API_V1_STR)
    document.install(app, settings)
    extend(app)
    answers = handlers.ErrorAnswers(translate)
    handlers.install(app, answers)
    app.state.door = stack.install(
        app,
        settings=settings,
        clock=clock,
        metrics=metrics or Metrics(clock=clock),
        answers=answers,
        access_line=lines,
        larger_bodies=larger_bodies,
    )
    return app


@asynccontextmanager
async def caller(app: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an application."""
    transport = httpx.ASGITransport(app, client=options.pop("client", ("127.0.0.1", 123)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver", **options) as client:
        yield client


@asynccontextmanager
async def served(app: Any, *, keep_alive: Any = 5, **state: Any) -> AsyncIterator[int]:
    """Yield the port on which our protocol serves an application, in this loop; ``state`` is the lifespan's."""
    config = uvicorn.Config(app, http=BoundedHttpProtocol, lifespan="off", log_config=None, access_log=False)
    config.timeout_keep_alive = keep_alive
    config.load()
    server_state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttpProtocol(config=config, server_state=server_state, app_state=state),
        "127.0.0.1",
        0,
        backlog=2048,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
