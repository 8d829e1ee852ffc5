"""The routes at the root: welcome, probes and metrics. They answer while the database is away, when they matter most."""

from typing import Annotated, Literal

from fastapi import Header, Request, Response
from pydantic import Field

from tradepost.core.observability.metrics import Metrics
from tradepost.core.settings.settings import Settings
from tradepost.core.wire.schemas import Output
from tradepost.web.answers.static_content import root_of
from tradepost.web.asgi_scope import OUTCOME_KEY
from tradepost.web.readiness import Readiness, ReadinessReport
from tradepost.web.routing.route import OpenRoute
from tradepost.web.routing.router import Router


class Health(Output):
    """The service answers."""

    status: Literal["healthy"] = Field(default="healthy", description="Always this")


class Liveness(Output):
    """The process answers."""

    status: Literal["alive"] = Field(default="alive", description="Always this")


class Welcome(Output):
    """Where to go from here."""

    message: str = Field(description="A greeting", examples=["Welcome to Tradepost"])
    service: Literal["Tradepost"] = Field(
        default="Tradepost",
        description="Always this, whatever the service calls itself: programs know it by that",
    )
    environment: str = Field(description="`local`, `staging` or `production`", examples=["production"])
    version: str = Field(description="The version that is served", examples=["0.1.0"])
    documentation: str = Field(description="The path of the page to read and try the API", examples=["/docs"])
    openapi: str = Field(description="The path of the OpenAPI document", examples=["/api/v1/openapi.json"])
    health: str = Field(description="The path that says whether the service answers", examples=["/health"])
    metrics: str = Field(description="The path of the metrics for Prometheus", examples=["/metrics"])


def build_router(*, settings: Settings, readiness: Readiness, metrics: Metrics) -> Router:
    """Return the routes at the root."""
    router = Router(tags=["meta"], route_class=OpenRoute)
    fresh = {"Cache-Control": "no-store"}

    @router.get("/")
    async def welcome(request: Request) -> Welcome:
        """Say what this is and where to go from here."""
        root = root_of(request, settings)
        return Welcome(
            message=f"Welcome to {settings.PROJECT_NAME}",
            environment=settings.ENVIRONMENT.value,
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
    async def readiness_report(request: Request, response: Response) -> ReadinessReport:
        """Say whether requests should be sent here, and how each part is."""
        report = await readiness.report()
        response.headers.update(fresh)
        if report.status != "ready":
            response.status_code = 503
            response.headers["Retry-After"] = "1"
        if report.status == "draining":
            # As it should be: neither an error in the log nor a failed request in the metrics.
            request.scope[OUTCOME_KEY] = "draining"
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
