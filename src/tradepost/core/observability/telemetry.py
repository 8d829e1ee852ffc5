"""What a process tells systems elsewhere of itself: spans and reports of errors, each where a setting says so.

The modules that send them are optional extras, and are imported here, when they are needed: where they are not, they cost
neither memory nor time.
"""

import asyncio
from dataclasses import dataclass
from importlib import import_module
from typing import Self

from tradepost.core.clock import Clock
from tradepost.core.observability.reports import Reports
from tradepost.core.observability.spans import Facts, Tracing
from tradepost.core.settings.settings import Settings


@dataclass(frozen=True)
class Telemetry:
    """Where spans and reports go, if anywhere."""

    tracing: Tracing | None
    reports: Reports | None

    @classmethod
    def open(cls, settings: Settings, clock: Clock, *, service: str) -> Self:
        """Open what the settings ask for; ``service`` is what this process is called there."""
        return cls(_tracing(settings, clock, service), _reports(settings))

    async def close(self) -> None:
        """Send what is left, for a moment at most."""
        await asyncio.gather(
            *(asyncio.to_thread(one.close) for one in (self.tracing, self.reports) if one is not None)
        )


def _reports(settings: Settings) -> Reports | None:
    if settings.SENTRY_DSN is None:
        return None
    reports: Reports = import_module("tradepost.core.observability.sentry").SentryReports(
        settings.SENTRY_DSN.get_secret_value(),
        release=settings.VERSION,
        environment=settings.ENVIRONMENT.value,
    )
    return reports


def _tracing(settings: Settings, clock: Clock, service: str) -> Tracing | None:
    """Return what sends spans: to a collector, or without one to Sentry."""
    headers: dict[str, str] = {}
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT is not None:
        share = settings.OTEL_TRACES_SAMPLE_RATE
        endpoint = f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip('/')}/v1/traces"
        headers = settings.otlp_headers
    elif settings.SENTRY_DSN is not None and settings.SENTRY_TRACES_SAMPLE_RATE:
        share = settings.SENTRY_TRACES_SAMPLE_RATE
        endpoint, headers = import_module("tradepost.core.observability.sentry").spans_address(
            settings.SENTRY_DSN.get_secret_value()
        )
    else:
        return None
    about: Facts = {
        "service.name": service,
        "service.version": settings.VERSION,
        "deployment.environment.name": settings.ENVIRONMENT.value,
    }
    tracing: Tracing = import_module("tradepost.core.observability.otlp").OtlpTracing(
        endpoint, headers=headers, share=share, about=about, clock=clock
    )
    return tracing
