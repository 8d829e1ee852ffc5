"""What a server tells of itself: spans that join a request to the e-mail that it causes, and reports of errors without secrets."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from tests.flows.collector import Collector, Span
from tests.flows.live import environment, eventually, serving
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.settings.database_url import async_url

EMAIL = "grace.hopper@example.com"
SECRET = "Sesame-opens-4-nobody"
NAMED = "0af7651916cd43dd8448eb211c80319c"
"""The trace of a client that traces, too."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector.running() as collector:
        yield collector


def named(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_one_trace_leads_from_a_request_to_its_e_mail(
    database_url: str, tmp_path: Path, collector: Collector
) -> None:
    env = environment(
        tmp_path,
        database_url,
        LOG_LEVEL="INFO",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20let-me-in",
    )
    with serving(env) as server:
        await server.ready()
        async with server.client() as client:
            form = {"email": EMAIL, "password": SECRET, "first_name": "Grace", "last_name": "Hopper"}
            answer = await client.post(
                "/auth/register", json=form, headers={"traceparent": f"00-{NAMED}-b7ad6b7169203331-01"}
            )
            assert answer.status_code == 200, answer.text

        async def mailed() -> bool:
            return any((tmp_path / "mails").glob("*.eml"))

        await eventually(mailed)
        server.send(signal.SIGTERM)
        assert await server.ended() == 0
        lines = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]

    spans = [span for span in collector.spans if span.trace_id == NAMED]
    request = named(spans, "POST /api/v1/auth/register")
    assert request.parent == "b7ad6b7169203331"
    assert request.service == "tradepost"
    assert request.facts["http.response.status_code"] == 200
    assert request.facts["tradepost.request_id"] == answer.headers["X-Request-ID"]
    assert not request.failed
    # What it did in the database,
    inserts = [span for span in spans if span.name == "INSERT" and span.parent == request.id]
    assert any("users" in str(span.facts["db.query.text"]) for span in inserts)
    assert named([span for span in spans if span.parent == request.id], "COMMIT").seconds <= request.seconds
    # the message that it left, what reacted to that, and the e-mail.
    mail = next(span for span in spans if span.name == "deliver notifications.mail")
    by_id = {span.id: span for span in spans}
    causes = []
    here = mail
    while here.parent in by_id:
        here = by_id[here.parent]
        causes.append(here)
    assert causes[-1] == request
    assert causes[0].name.startswith("publish ")
    assert mail.facts["tradepost.outcome"] == "done"
    (path,) = (tmp_path / "mails").glob("*.eml")
    assert message_from_bytes(path.read_bytes())["X-Trace-ID"] == NAMED
    assert any(line.get("trace_id") == NAMED for line in lines)

    assert {one.headers["authorization"] for one in collector.received} == {"Bearer let-me-in"}
    everything = collector.everything()
    for private in (EMAIL, SECRET, "Grace", "Hopper"):
        assert private.encode() not in everything


async def test_every_route_has_its_span_and_says_what_took_its_time(
    database_url: str, tmp_path: Path, collector: Collector
) -> None:
    with serving(environment(tmp_path, database_url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)) as server:
        await server.ready()
        async with server.client() as client:
            # The short path, whose reads share batches; the ordinary one; and none at all.
            assert (await client.get("/items", params={"limit": 7})).status_code == 200
            assert (await client.get("/categories")).status_code == 200
            assert (await client.get("/nothing", params={"q": SECRET})).status_code == 404
        server.send(signal.SIGTERM)
        assert await server.ended() == 0
    items = named(collector.spans, "GET /api/v1/items/")
    parts = [span for span in collector.spans if span.parent == items.id]
    assert any(span.name.startswith("batch ") for span in parts), [span.name for span in parts]
    assert all(0 <= span.seconds <= items.seconds for span in parts)
    tree = named(collector.spans, "GET /api/v1/categories/")
    assert [span for span in collector.spans if span.parent == tree.id]
    assert named(collector.spans, "GET unmatched").facts["http.response.status_code"] == 404
    assert len({items.trace_id, tree.trace_id}) == 2
    assert SECRET.encode() not in collector.everything()


async def test_a_collector_that_takes_nothing_costs_one_line_and_no_request(
    database_url: str, tmp_path: Path, collector: Collector
) -> None:
    collector.status = 500
    with serving(environment(tmp_path, database_url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)) as server:
        await server.ready()

        async def refused_twice() -> bool:
            async with server.client() as client:
                assert (await client.get("/items")).status_code == 200
            return len(collector.received) >= 2

        await eventually(refused_twice)
        server.send(signal.SIGTERM)
        assert await server.ended() == 0
        assert server.output.count("Failed to export") == 1


@pytest.fixture(params=["sampled elsewhere", "not sampled elsewhere", "begun here"])
def header(request: pytest.FixtureRequest) -> dict[str, str]:
    flags = {"sampled elsewhere": "01", "not sampled elsewhere": "00"}.get(request.param)
    return {} if flags is None else {"traceparent": f"00-{NAMED}-b7ad6b7169203331-{flags}"}


async def test_whoever_began_a_trace_says_whether_it_is_recorded(
    tmp_path: Path, collector: Collector, header: dict[str, str]
) -> None:
    env = environment(
        tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLE_RATE=0, LOG_LEVEL="INFO"
    )
    with serving(env) as server:
        await server.ready()
        async with server.client() as client:
            await client.get("/items", headers=header)
        server.send(signal.SIGTERM)
        assert await server.ended() == 0
        lines = [json.loads(line) for line in server.output.splitlines() if "/items" in line]
    assert [span.trace_id for span in collector.spans if span.name == "GET /api/v1/items/"] == [
        NAMED for flags in header.values() if flags.endswith("1")
    ]
    # The line of the log has an id all the same.
    assert [line["trace_id"] == NAMED for line in lines] == [bool(header)]


BROKEN = {
    "sqlite": (
        "ALTER TABLE account_tokens RENAME COLUMN nonce TO gone",
        "ALTER TABLE account_tokens RENAME COLUMN gone TO nonce",
    ),
    "postgresql": (
        "ALTER TABLE account_tokens ADD CONSTRAINT broken CHECK (email::int > 0) NOT VALID",
        "ALTER TABLE account_tokens DROP CONSTRAINT broken",
    ),
}


async def test_a_report_of_an_error_says_where_and_nothing_that_was_sent(
    database_url: str, tmp_path: Path, collector: Collector
) -> None:
    dsn = collector.url.replace("//", "//public-key@") + "/7"
    env = environment(tmp_path, database_url, SENTRY_DSN=dsn, SENTRY_TRACES_SAMPLE_RATE=1, LOG_LEVEL="INFO")
    with serving(env) as server:
        await server.ready()
        # A fault of ours: what a person sent is in the statement that fails, and in what the exception says.
        breaking, mending = BROKEN[make_url(database_url).get_backend_name()]
        await run(database_url, breaking)
        async with server.client(cookies={"name": SECRET}) as client:
            form = {
                "email": f"amazing.{EMAIL}",
                "password": SECRET,
                "first_name": "Grace",
                "last_name": "Hopper",
            }
            answer = await client.post("/auth/register", json=form, headers={"X-Api-Key": SECRET})
            assert answer.status_code == 500, answer.text
        await run(database_url, mending)
        server.send(signal.SIGTERM)
        assert await server.ended() == 0
        line = next(json.loads(line) for line in server.output.splitlines() if "request failed" in line)

    (report,) = [one for one in collector.reports if one["message"] == "request failed"]
    assert report["level"] == "error"
    assert report["tags"]["request_id"] == answer.headers["X-Request-ID"] == line["request_id"]
    assert report["contexts"]["trace"]["trace_id"] == report["tags"]["trace_id"] == line["trace_id"]
    exceptions = report["exception"]["values"]
    assert any(one["type"] in {"OperationalError", "DBAPIError"} for one in exceptions)
    frames = [frame for one in exceptions for frame in one["stacktrace"]["frames"]]
    assert any(frame["module"].startswith("tradepost.accounts") for frame in frames)
    assert not any("vars" in frame for frame in frames)
    assert not {"request", "user", "breadcrumbs", "extra", "modules"} & report.keys()
    # Its spans came to the same Sentry.
    request = named(collector.spans, "POST /api/v1/auth/register")
    assert (request.trace_id, request.failed) == (line["trace_id"], True)
    assert all("public-key" in one.headers["x-sentry-auth"] for one in collector.received)
    everything = collector.everything()
    for private in (EMAIL, SECRET, "Grace", "Hopper", "127.0.0.1"):
        assert private.encode() not in everything.replace(b"127.0.0.1:%d" % collector.port, b"")


async def run(url: str, statement: str) -> None:
    database = Database(DatabaseOptions(url=async_url(url)))
    async with database.transaction() as db:
        await db.execute(text(statement))
    await database.close()


LOOK = """
import sys
from tradepost.core.settings.settings import Settings
from tradepost.main import create_app
from tradepost.web.middleware.traces import Traces
app = create_app(Settings())
layer, layers = app.middleware_stack, []
while layer is not None:
    layers.append(type(layer))
    layer = getattr(layer, "app", None)
print(Traces in layers, sorted({".".join(name.split(".")[:3]) for name in sys.modules
    if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter", "sentry_sdk"))}))
"""


@pytest.mark.parametrize("is_on", [False, True])
def test_nothing_is_imported_and_no_layer_there_where_it_is_off(tmp_path: Path, *, is_on: bool) -> None:
    chosen = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "SENTRY_DSN": "http://k@127.0.0.1:9/1"}
    env = environment(tmp_path, **(chosen if is_on else {}))
    found = subprocess.run(
        [sys.executable, "-c", LOOK], env=env, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert found.startswith("True ['opentelemetry.exporter") if is_on else found == "False []", found
    assert ("opentelemetry.sdk.trace" in found, "sentry_sdk" in found) == (is_on, is_on)
