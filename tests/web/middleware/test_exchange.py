import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.web.apps import Lines, caller, new_app, new_router
from tradepost.core.clock import SystemClock
from tradepost.core.observability import logging
from tradepost.core.observability.metrics import Metrics
from tradepost.core.observability.trace_context import traceparent
from tradepost.web.asgi_scope import USER_ID_KEY, add_header
from tradepost.web.middleware.body_limit import BodyLimit
from tradepost.web.middleware.cors import Cors
from tradepost.web.middleware.exchange import Exchange
from tradepost.web.middleware.failures import Failures
from tradepost.web.middleware.trusted_hosts import TrustedHosts
from tradepost.web.problems.handlers import ErrorAnswers
from tradepost.web.routing.query_names import any_query

router = new_router()


@router.get("/things/{thing_id}")
@any_query
async def read_thing(thing_id: int) -> dict[str, int]:
    return {"id": thing_id}


@router.put("/things/{thing_id}")
async def write_thing(thing_id: int) -> dict[str, int]:
    return {"id": thing_id}


@router.get("/tagged")
async def tagged(response: Response) -> str:
    response.headers["ETag"] = '"1"'
    return "tagged"


@router.get("/cached")
async def cached(response: Response) -> str:
    response.headers["Cache-Control"] = "public, max-age=60"
    return "cached"


@router.get("/person")
async def person(request: Request) -> str:
    request.scope[USER_ID_KEY] = 7
    add_header(request.scope, b"x-extra", b"yes")
    return str(logging.request_id.get())


@router.get("/bug")
async def bug(request: Request) -> None:
    add_header(request.scope, b"x-extra", b"yes")
    raise RuntimeError("bug")


@router.get("/halfway")
async def halfway() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError("bug")

    return StreamingResponse(chunks())


@router.post("/read")
async def read(request: Request) -> int:
    return len(await request.body())


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(clock=SystemClock())


@pytest.fixture
def app(lines: Lines, metrics: Metrics) -> FastAPI:
    return new_app(router, lines=lines, metrics=metrics)


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(app) as client:
        yield client


# --- ids, times, headers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 128])
async def test_a_sane_id_is_taken(client: httpx.AsyncClient, lines: Lines, given: str) -> None:
    response = await client.get("/nowhere", headers={"X-Request-ID": given})
    assert (
        response.headers["x-request-id"] == response.json()["request_id"] == lines[-1]["request_id"] == given
    )


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "é", "a/b", "a\tb"])
async def test_any_other_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/nowhere", headers={b"x-request-id": given.encode()})
    made = response.headers["x-request-id"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{8,40}", made)
    assert made != given


async def test_made_ids_differ(client: httpx.AsyncClient) -> None:
    ids = {(await client.get("/nowhere")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


async def test_the_id_is_known_to_whatever_logs_meanwhile(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/person", headers={"X-Request-ID": "mine"})).json() == "mine"
    assert logging.request_id.get() is None


async def test_the_log_line_names_the_trace() -> None:
    lines = Lines()
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with caller(new_app(router, lines=lines)) as traced:
        for context in (f"00-{trace}-b7ad6b7169203331-01", "nonsense"):
            await traced.get("/api/v1/person", headers={"traceparent": context})
        # What changes something begins one, so that its effects can be found.
        await traced.post("/api/v1/person")
    assert [line["trace"] for line in lines[:2]] == [trace, None]
    assert re.fullmatch("[0-9a-f]{32}", str(lines[2]["trace"]))
    assert traceparent.get() is None


async def test_every_answer_says_how_long_it_took(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/things/1", "/nowhere", "/api/v1/bug"):
        assert float((await client.get(path)).headers["x-process-time"]) >= 0


async def test_timings_are_told_on_request(client: httpx.AsyncClient) -> None:
    assert "server-timing" not in (await client.get("/api/v1/person")).headers
    for header in ({"Server-Timing": "0"}, {"Prefer": "wait=10, timings"}, {"Prefer": "x-timing"}):
        assert "server-timing" not in (await client.get("/api/v1/person", headers=header)).headers
    for header in ({"Server-Timing": "1"}, {"Prefer": "timing"}, {"Prefer": "wait=10, Timing ; x=1"}):
        timing = (await client.get("/api/v1/person", headers=header)).headers["server-timing"]
        parts = [rf"{name};dur=\d+\.\d{{3}}" for name in ("auth", "wait", "db", "render", "total")]
        assert re.fullmatch(", ".join(parts), timing)


@pytest.mark.parametrize("path", ["/api/v1/things/1", "/nowhere", "/api/v1/bug", "/api/v1/things/x"])
async def test_every_answer_is_safe_in_a_browser(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "strict-transport-security" not in headers


async def test_outside_local_browsers_are_held_to_https() -> None:
    app = new_app(
        router, ENVIRONMENT="staging", SECRET_KEY="k" * 40, FIRST_SUPERUSER_PASSWORD="Another1password"
    )
    async with caller(app) as client:
        assert "max-age=" in (await client.get("/nowhere")).headers["strict-transport-security"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", "/api/v1/things/1", {}, "no-cache"),
        ("GET", "/api/v1/things/1", {"Authorization": "Bearer x"}, "private, no-store"),
        ("GET", "/api/v1/things/1", {"X-API-Key": "x"}, "private, no-store"),
        ("GET", "/api/v1/tagged", {"Authorization": "Bearer x"}, "private, no-store"),
        ("GET", "/api/v1/cached", {"Authorization": "Bearer x"}, "public, max-age=60"),
        ("PUT", "/api/v1/things/1", {}, "no-store"),
        ("PUT", "/api/v1/things/1", {"Authorization": "Bearer x"}, "private, no-store"),
        ("GET", "/nowhere", {}, "no-store"),
        ("GET", "/nowhere", {"Authorization": "Bearer x"}, "private, no-store"),
    ],
)
async def test_what_is_for_one_person_is_not_stored(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], expected: str
) -> None:
    answer = (await client.request(method, path, headers=headers)).headers
    assert answer["cache-control"] == expected
    if not expected.startswith("public"):
        assert "Authorization, X-API-Key" in answer["vary"]


# --- log lines and metrics --------------------------------------------------------------------------------------------


async def test_each_request_is_one_line(client: httpx.AsyncClient, lines: Lines) -> None:
    await client.get("/api/v1/things/17?token=secret", headers={"X-Request-ID": "one"})
    await client.get("/api/v1/person")
    await client.get("/api/v1/things/x")
    await client.request("BREW", "/secret/path")
    assert [
        (line["method"], line["template"], line["status"], line["person"], line["error_code"])
        for line in lines
    ] == [
        ("GET", "/api/v1/things/{thing_id}", 200, None, None),
        ("GET", "/api/v1/person", 200, 7, None),
        ("GET", "/api/v1/things/{thing_id}", 422, None, "VALIDATION_ERROR"),
        ("BREW", "unmatched", 404, None, "HTTP_404"),
    ]
    assert all(0 <= line["seconds"] < 5 for line in lines)
    assert "secret" not in str(lines)


async def test_each_request_is_counted(client: httpx.AsyncClient, metrics: Metrics) -> None:
    for path in ("/api/v1/things/1", "/api/v1/things/2", "/nowhere/1", "/nowhere/2"):
        await client.get(path)
    text = (await metrics.render())[0].decode()
    assert (
        'tradepost_http_requests_total{method="GET",route="/api/v1/things/{thing_id}",status="200"} 2.0'
        in text
    )
    assert 'tradepost_http_requests_total{method="GET",route="unmatched",status="404"} 2.0' in text
    assert "tradepost_http_requests_in_progress 0.0" in text


# --- unexpected exceptions --------------------------------------------------------------------------------------------


async def test_a_bug_is_logged_once_and_answered(
    client: httpx.AsyncClient, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr("tradepost.web.problems.rendering._log", Recorder(logged))
    response = await client.get("/api/v1/bug")
    assert response.json()["error_code"] == "INTERNAL_ERROR"
    assert response.headers["x-extra"] == "yes"
    assert [(line["status"], line["error_code"]) for line in lines] == [(500, "INTERNAL_ERROR")]
    assert len(logged) == 1
    assert isinstance(logged[0]["exc_info"], RuntimeError)


class Recorder:
    def __init__(self, logged: list[dict[str, Any]]) -> None:
        self.logged = logged

    def error(self, event: str, **values: Any) -> None:
        self.logged.append({"event": event, **values})


async def test_a_fault_of_a_layer_is_answered_too(lines: Lines, metrics: Metrics) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("bug")

    app = Exchange(broken, clock=SystemClock(), metrics=metrics, access_line=lines, secure_transport=False)
    async with caller(app) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()["error_code"]) == (500, "INTERNAL_ERROR")
    assert response.headers["x-request-id"] == lines[-1]["request_id"]


async def test_what_is_no_request_passes_by(metrics: Metrics) -> None:
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    app: ASGIApp = Failures(
        BodyLimit(Cors(TrustedHosts(inner, ["example.com"]), ["https://example.com"]), 10),
        ErrorAnswers(lambda _: None),
    )
    app = Exchange(app, clock=SystemClock(), metrics=metrics, access_line=None, secure_transport=False)
    await app({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]


async def test_an_answer_that_fails_halfway_is_left_unfinished(app: FastAPI, lines: Lines) -> None:
    sent = await run(app, "GET", "/api/v1/halfway")
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1]["more_body"]
    assert lines[-1]["error_code"] == "INTERNAL_ERROR"


async def test_a_client_that_goes_away_is_no_error(
    app: FastAPI, lines: Lines, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr("tradepost.web.problems.rendering._log", Recorder(logged))
    sent = await run(app, "POST", "/api/v1/read", received=[{"type": "http.disconnect"}])
    assert sent == []
    assert lines[-1]["status"] == 499
    assert logged == []
    assert metrics.in_progress == 0


async def test_a_cancelled_request_is_counted_all_the_same(lines: Lines, metrics: Metrics) -> None:
    slow = new_router()

    @slow.get("/slow")
    async def wait() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(run(new_app(slow, lines=lines, metrics=metrics), "GET", "/api/v1/slow"))
    await asyncio.sleep(0.05)
    assert metrics.in_progress == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert metrics.in_progress == 0
    assert lines[-1]["status"] == 499


async def run(
    app: FastAPI, method: str, path: str, received: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Call the application without a client in between, and return what it sent."""
    sent: list[dict[str, Any]] = []
    waiting = received or [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"host", b"testserver")], "root_path": "", "scheme": "http",
    }  # fmt: skip
    await app(scope, receive, send)
    return sent
