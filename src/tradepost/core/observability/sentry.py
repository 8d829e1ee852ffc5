"""Reports of errors to Sentry, by its own SDK; imported only where there is a Sentry.

A report says where in the code something failed, in which release, and by which ids the log has the rest. What an exception
says is left out, because it may repeat what somebody sent; the variables, and everything about the request, likewise.
"""

from collections.abc import Mapping
from typing import Any, Final

from sentry_sdk import Client
from sentry_sdk.consts import EndpointType
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import Dsn, event_from_exception
from typing_extensions import override

from tradepost.core.observability.incidents import CODES, chain
from tradepost.core.observability.reports import Reports
from tradepost.core.observability.trace_context import parent_id, trace_id

CLOSING: Final = 3.0
"""Seconds that the end of the process waits for the last reports to be taken."""
_TAKEN: Final = frozenset(
    {
        "breadcrumbs",
        "contexts",
        "environment",
        "event_id",
        "exception",
        "level",
        "logger",
        "message",
        "platform",
        "release",
        "sdk",
        "server_name",
        "tags",
        "timestamp",
    }
)


class SentryReports(Reports):
    """Sends each report in a thread of the SDK; when many wait, further ones are dropped."""

    def __init__(self, dsn: str, *, release: str, environment: str) -> None:
        # None of the SDK's integrations: they would put in requests, statements and lines of the log.
        self._client = Client(
            dsn=dsn,
            release=release,
            environment=environment,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            send_client_reports=False,
            send_default_pii=False,
            include_local_variables=False,
            max_breadcrumbs=0,
            propagate_traces=False,
            shutdown_timeout=CLOSING,
            in_app_include=["tradepost"],
            before_send=_scrubbed,
        )

    @override
    def report(
        self, error: BaseException, *, said: str, level: str, ids: Mapping[str, str], context: str | None
    ) -> None:
        event, hint = event_from_exception(error, self._client.options)
        event["level"] = "fatal" if level == "critical" else level  # type: ignore[typeddict-item]
        event["message"] = said
        event["tags"] = dict(ids)
        if context is not None:
            event["contexts"] = {"trace": {"trace_id": trace_id(context), "span_id": parent_id(context)}}
        self._client.capture_event(event, hint)

    @override
    def close(self) -> None:
        self._client.close(timeout=CLOSING)


def _scrubbed(event: Event, hint: Hint) -> Event:
    """Return an event without what the SDK adds by itself, and without what exceptions say but for the system's code."""
    _, error, _ = hint["exc_info"]
    codes = [
        f"{name} {value}" for one in chain(error) for name in CODES if (value := getattr(one, name, None))
    ]
    exceptions: list[dict[str, Any]] = event["exception"]["values"]
    for exception in exceptions:
        exception["value"] = ", ".join(codes)
    scrubbed: Any = {name: value for name, value in event.items() if name in _TAKEN}
    return scrubbed  # type: ignore[no-any-return]


def spans_address(dsn: str) -> tuple[str, dict[str, str]]:
    """Return where the Sentry of a DSN takes spans over OTLP, and the headers that show who sends them."""
    auth = Dsn(dsn).to_auth("tradepost")
    return auth.get_api_url(EndpointType.OTLP_TRACES), {"X-Sentry-Auth": auth.to_header()}
