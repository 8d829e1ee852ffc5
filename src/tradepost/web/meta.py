"""What the service is, and how it is: the routes at the root, none of which needs the database to answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import structlog
from fastapi import APIRouter, Header, Request, Response
from pydantic import Field

from tradepost.core.clock import Clock
from tradepost.core.observability.incidents import root_cause
from tradepost.core.observability.metrics import Metrics
from tradepost.core.settings.settings import Settings
from tradepost.core.wire.schemas import Output
from tradepost.web.routing.route import Route

CHECK_TIMEOUT: Final = 2.0
"""Seconds that a part may take to answer; an orchestrator's own limit is rarely longer."""

Probe = Callable[[], Awaitable[None]]

_log = structlog.stdlib.get_logger("tradepost.readiness")


class CheckResult(Output):
    """How one part is."""

    status: Literal["ok", "failed"] = Field(description="Whether it answered well")
    required: bool = Field(description="Whether the service is not ready without it")
    latency_ms: float = Field(description="How long it took, in milliseconds")


class ReadinessReport(Output):
    """Whether requests should be sent here."""

    status: Literal["ready", "not ready", "draining"] = Field(
        description="`draining`: the process has been told to end"
    )
    checks: dict[str, CheckResult] = Field(description="How each part is, by its name")


class Health(Output):
    """The service answers."""

    status: Literal["healthy"] = Field(default="healthy", description="Always this")


class Liveness(Output):
    """The process answers."""

    status: Literal["alive"] = Field(default="alive", description="Always this")


class Welcome(Output):
    """Where to go from here."""

    message: str = Field(description="A greeting", examples=["Welcome to Tradepost"])
    version: str = Field(description="The version that is served", examples=["0.1.0"])
    documentation: str = Field(description="The path of the page to read and try the API", examples=["/docs"])
    openapi: str = Field(description="The path of the OpenAPI document", examples=["/api/v1/openapi.json"])
    health: str = Field(description="The path that says whether the service answers", examples=["/health"])
    metrics: str = Field(description="The path of the metrics for Prometheus", examples=["/metrics"])


@dataclass(frozen=True, slots=True)
class _Check:
    probe: Probe
    required: bool


class Readiness:
    """Knows the parts that the service stands on, and asks them.

    ``draining`` is set when the process has been told to end: it still answers, and should get nothing new.
    """

    def __init__(self, clock: Clock, *, timeout: float = CHECK_TIMEOUT) -> None:
        self.draining = False
        self._monotonic = clock.monotonic
        self._timeout = timeout
        self._checks: dict[str, _Check] = {}
        self._failed: set[str] = set()
        self._flight: asyncio.Task[dict[str, CheckResult]] | None = None

    def add(self, name: str, probe: Probe, *, required: bool = True) -> None:
        """Ask ``probe`` from now on; it returns when its part is well, and raises when it is not."""
        self._checks[name] = _Check(probe, required)

    async def report(self) -> ReadinessReport:
        """Ask all parts at once. Callers that come meanwhile share the answers."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._ask_all(), name="readiness")
        checks = await asyncio.shield(self._flight)
        ready = all(result.status == "ok" or not result.required for result in checks.values())
        status: Literal["ready", "not ready", "draining"] = "ready" if ready else "not ready"
        return ReadinessReport(status="draining" if self.draining else status, checks=checks)

    async def _ask_all(self) -> dict[str, CheckResult]:
        results = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
        return dict(zip(self._checks, results, strict=False))

    async def _ask(self, name: str, check: _Check) -> CheckResult:
        before = self._monotonic()
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout):
                await check.probe()
        except Exception as error:  # noqa: BLE001  (whatever is wrong with a part, the report is about it)
            failure = error
        latency = self._monotonic() - before
        self._tell(name, failure)
        return CheckResult(
            status="ok" if failure is None else "failed",
            required=check.required,
            latency_ms=round(latency * 1000, 3),
        )

    def _tell(self, name: str, failure: Exception | None) -> None:
        # The change, not the state: probes come every few seconds.
        if failure is not None and name not in self._failed:
            self._failed.add(name)
            _log.warning("a part failed its check", part=name, reason=root_cause(failure))
        elif failure is None and name in self._failed:
            self._failed.discard(name)
            _log.info("a part is well again", part=name)


def build_router(*, settings: Settings, readiness: Readiness, metrics: Metrics) -> APIRouter:
    """Return the routes at the root."""
    router = APIRouter(tags=["meta"], route_class=Route)
    fresh = {"Cache-Control": "no-store"}

    @router.get("/")
    async def welcome(request: Request) -> Welcome:
        """Say what this is and where to go from here."""
        root = str(request.scope.get("root_path", "")).rstrip("/")
        return Welcome(
            message=f"Welcome to {settings.PROJECT_NAME}",
            version=settings.VERSION,
            documentation=f"{root}/docs",
            openapi=f"{root}{settings.API_V1_STR}/openapi.json",
            health=f"{root}/health",
            metrics=f"{root}/metrics",
        )

    @router.get("/health")
    async def health(response: Response) -> Health:
        """Say that the service answers."""
        response.headers.update(fresh)
        return Health()

    @router.get("/livez")
    async def liveness(response: Response) -> Liveness:
        """Say that the process answers; a process that does not should be started anew. Never asks another part."""
        response.headers.update(fresh)
        return Liveness()

    @router.get(
        "/readyz",
        responses={503: {"description": "Send nothing here for now", "model": ReadinessReport}},
    )
    async def readiness_report(response: Response) -> ReadinessReport:
        """Say whether requests should be sent here, and how each part is."""
        report = await readiness.report()
        response.headers.update(fresh)
        if report.status != "ready":
            response.status_code = 503
            response.headers["Retry-After"] = "1"
        return report

    @router.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {
                "description": "Prometheus text format",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    )
    async def metrics_text(accept: Annotated[str, Header(include_in_schema=False)] = "") -> Response:
        """Return what happens inside, for Prometheus: of all workers together."""
        body, media_type = await metrics.render(accept)
        return Response(body, headers={**fresh, "Content-Type": media_type})

    return router
