"""Puts the layers around the application, in the order that ``web.middleware`` draws."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from tradepost.core.clock import Clock
from tradepost.core.observability.access_log import AccessLog
from tradepost.core.observability.metrics import Metrics
from tradepost.core.observability.spans import Tracing
from tradepost.core.overload.control import OverloadControl
from tradepost.core.settings.settings import Settings
from tradepost.web.middleware.admission import Admission, Refuse
from tradepost.web.middleware.body_limit import BodyLimit
from tradepost.web.middleware.compression import Compression
from tradepost.web.middleware.cors import Cors
from tradepost.web.middleware.deadlines import Deadlines
from tradepost.web.middleware.exchange import Exchange, fields_of_refusals
from tradepost.web.middleware.failures import Failures
from tradepost.web.middleware.fast_path import FastPath
from tradepost.web.middleware.faults import Faults
from tradepost.web.middleware.idempotency import Idempotency
from tradepost.web.middleware.rate_limits import RateLimits
from tradepost.web.middleware.traces import Traces
from tradepost.web.middleware.trusted_hosts import TrustedHosts
from tradepost.web.middleware.trusted_proxies import TrustedProxies
from tradepost.web.overload.door import Door
from tradepost.web.overload.importance import Ranking
from tradepost.web.overload.refusals import Refusals
from tradepost.web.problems.handlers import ErrorAnswers
from tradepost.web.routing import path_table


def install(
    app: FastAPI,
    *,
    settings: Settings,
    clock: Clock,
    metrics: Metrics,
    answers: ErrorAnswers,
    access_line: AccessLog | None = None,
    larger_bodies: Mapping[str, int] | None = None,
    keyless: Collection[Callable[..., Any]] = (),
    tracing: Tracing | None = None,
) -> Door | None:
    """Put the path table before the routes, and all layers around the application; return the door, if there is one.

    ``larger_bodies`` gives the limits of paths that take files, by prefix; ``keyless`` are the endpoints that take no
    ``Idempotency-Key``. Call this last: a route that is added later is not
    in the table, and a layer that is added later is not within the others.
    """

    def outermost(inner: ASGIApp) -> ASGIApp:
        if settings.BACKEND_CORS_ORIGINS:
            inner = Cors(inner, settings.BACKEND_CORS_ORIGINS)
        if "*" not in settings.ALLOWED_HOSTS:
            inner = TrustedHosts(inner, settings.ALLOWED_HOSTS)
        inner = Exchange(
            inner,
            clock=clock,
            metrics=metrics,
            access_line=access_line,
            secure_transport=not settings.is_local,
        )
        if tracing is not None:
            inner = Traces(inner, tracing=tracing, monotonic=clock.monotonic)
        # Around everything: all layers are to see the same client, host and path.
        return TrustedProxies(inner, settings.TRUSTED_PROXIES) if settings.TRUSTED_PROXIES else inner

    table = path_table.install(app)
    app.add_middleware(Failures, answers=answers)
    # Around FastAPI's own layers, not within them as `add_middleware` has it: those are for what takes the ordinary path.
    layered: ASGIApp = FastPath(app.build_middleware_stack(), table=table, answers=answers)
    layered = Idempotency(layered, table=table, answers=answers, keyless=keyless)
    if settings.RATE_LIMIT_ENABLED:
        layered = RateLimits(layered, settings=settings, answers=answers)
    layered = Compression(layered)
    # Within the layers whose headers every answer needs, and within the one that lets a body end that nobody reads.
    layered = Deadlines(layered, seconds=settings.REQUEST_TIMEOUT, monotonic=clock.monotonic)
    layered = BodyLimit(layered, settings.MAX_BODY_BYTES, larger_bodies)
    if settings.FAULTS_ENABLED:
        layered = Faults(layered, answers=answers, monotonic=clock.monotonic)
    app.middleware_stack = outermost(layered)
    if not settings.OVERLOAD_CONTROL:
        return None
    control = OverloadControl(floor=settings.DB_POOL_SIZE * 3 // 2)
    refusals = Refusals(clock, fields_of_refusals(secure_transport=not settings.is_local))
    refusing = outermost(Refuse(refusals, lambda: control.load))
    app.middleware_stack = Admission(app.middleware_stack, refusing=refusing)
    proxies = TrustedProxies(app, settings.TRUSTED_PROXIES)
    return Door(
        control,
        clock=clock,
        ranking=Ranking(clock=clock, secret=settings.SECRET_KEY.get_secret_value(), address=proxies.address),
        refusals=refusals,
        refusing=refusing,
        refused=metrics.observe_refused,
        answered=metrics.observe_refusals,
        answers_origins=bool(settings.BACKEND_CORS_ORIGINS),
    )
