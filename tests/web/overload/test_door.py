"""Requests that are not let in, over real sockets: what they get, and what becomes of their connections."""

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response

from tests.load.exchange import CONTENT_LENGTH
from tests.web.apps import new_app, new_router, served
from tradepost.core.clock import SystemClock
from tradepost.core.errors import NotFound, Overloaded
from tradepost.core.observability.metrics import Metrics
from tradepost.web.answers.json_answer import JsonAnswer
from tradepost.web.asgi_scope import USER_ID_KEY
from tradepost.web.overload.door import DOOR_KEY, Door
from tradepost.web.routing.fast_path import fast_path

router = new_router()
CROWD = 10_000
"""Requests under way: more than any ceiling."""


@router.get("/things")
async def things() -> str:
    return "things"


@router.post("/things")
async def add_thing(request: Request) -> int:
    return len(await request.body())


@router.get("/late")
async def late() -> str:
    raise Overloaded


@router.get("/me")
async def me(request: Request) -> str:
    request.scope[USER_ID_KEY] = 7
    return "me"


def with_probe(app: FastAPI) -> None:
    @app.get("/livez")
    async def livez() -> str:
        return "alive"


class Client:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *lines: str, body: bytes = b"") -> None:
        head = "\r\n".join([*lines, "Host: x", "", ""])
        self._writer.write(head.encode() + body)
        await self._writer.drain()

    async def read(self, *, bodiless: bool = False) -> tuple[int, bytes, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        assert length is not None
        body = b"" if bodiless else await self._reader.readexactly(int(length[1]))
        return int(head[9:12]), head, body

    async def ask(self, *lines: str, body: bytes = b"") -> tuple[int, bytes, bytes]:
        await self.send(*lines, body=body)
        return await self.read()

    async def is_at_end(self) -> bool:
        return await self._reader.read() == b""


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def full(**settings: Any) -> AsyncIterator[tuple[Door, int]]:
    """Serve an application that is overloaded: whoever is refused first is."""
    app = new_app(router, extend=with_probe, **{"OVERLOAD_CONTROL": True, **settings})
    door: Door = app.state.door
    async with served(app, **{DOOR_KEY: door}) as port:
        overload(door)
        yield door, port
        door.close()


def overload(door: Door) -> None:
    door.control.is_overloaded = True
    door.control.under_way = CROWD


async def test_a_refusal_is_a_problem_with_all_that_an_answer_has() -> None:
    async with full() as (_, port), connected(port) as client:
        status, head, body = await client.ask("GET /api/v1/things HTTP/1.1")
        assert status == 503
        problem = json.loads(body)
        request_id = problem.pop("request_id")
        assert problem == {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "More is asked of the server than it can answer; try again later",
            "error_code": "HTTP_503",
        }
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
        assert fields["content-type"] == "application/problem+json"
        assert 1 <= int(fields["retry-after"]) <= 10
        assert fields["x-request-id"] == request_id
        assert fields["cache-control"] == "no-store"
        assert fields["x-content-type-options"] == "nosniff"
        assert "content-security-policy" in fields
        assert "connection" not in fields
        # The slow way has the same, in whatever order.
        await client.send("HEAD /api/v1/things HTTP/1.1")
        status, slow, _ = await client.read(bodiless=True)
        assert status == 503
        names = {line.partition(":")[0].lower() for line in slow.decode().split("\r\n")[1:] if line}
        assert names == set(fields)


async def test_the_id_of_a_request_is_kept() -> None:
    async with full() as (_, port), connected(port) as client:
        _, head, body = await client.ask("GET /api/v1/things HTTP/1.1", "X-Request-ID: mine-1")
        assert b"x-request-id: mine-1\r\n" in head
        assert json.loads(body)["request_id"] == "mine-1"
        _, _, body = await client.ask("GET /api/v1/things HTTP/1.1", "X-Request-ID: not sane!")
        assert json.loads(body)["request_id"] != "not sane!"


async def test_probes_are_always_let_in() -> None:
    async with full() as (_, port), connected(port) as client:
        status, _, body = await client.ask("GET /livez HTTP/1.1")
        assert (status, body) == (200, b'"alive"')


async def test_a_connection_goes_on_after_a_refusal_its_body_passed_over() -> None:
    async with full() as (door, port), connected(port) as client:
        body = b"x" * 300_000
        refused = ("POST /api/v1/things HTTP/1.1", f"Content-Length: {len(body)}")
        assert (await client.ask(*refused, body=body))[0] == 503
        assert (await client.ask("GET /api/v1/things HTTP/1.1"))[0] == 503
        door.control.is_overloaded = False
        status, _, answer = await client.ask(*refused, body=body)
        assert (status, answer) == (200, b"300000")


async def test_whoever_asks_for_the_end_of_the_connection_gets_it() -> None:
    async with full() as (_, port):
        for version in ("1.1", "1.0"):
            async with connected(port) as client:
                status, head, _ = await client.ask(f"GET /api/v1/things HTTP/{version}", "Connection: close")
                assert status == 503
                assert b"connection: close\r\n" in head
                assert await client.is_at_end()


async def test_thousands_in_one_piece_are_refused_one_after_the_other() -> None:
    async with full() as (_, port), connected(port) as client:
        request = "GET /api/v1/things HTTP/1.1\r\nHost: x\r\n\r\n"
        await client.send("HEAD /api/v1/things HTTP/1.1", body=(request * 3_000).encode())
        assert (await client.read(bodiless=True))[0] == 503
        for _ in range(3_000):
            assert (await client.read())[0] == 503


async def test_scripts_of_other_origins_can_read_a_refusal() -> None:
    async with full(BACKEND_CORS_ORIGINS=["https://shop.example"]) as (_, port), connected(port) as client:
        _, head, body = await client.ask("GET /api/v1/things HTTP/1.1", "Origin: https://shop.example")
        assert b"access-control-allow-origin: https://shop.example\r\n" in head
        assert json.loads(body)["status"] == 503


async def test_a_credential_counts_for_a_minute_after_it_was_accepted() -> None:
    async with full() as (door, port), connected(port) as client:
        door.control.is_overloaded = False
        door.control.under_way = 0
        assert (await client.ask("GET /api/v1/me HTTP/1.1", "Authorization: Bearer known"))[0] == 200
        overload(door)
        # Strangers fill the room that they have, people a larger one.
        door.control.ceiling = CROWD / 1.1
        write = ("POST /api/v1/things HTTP/1.1", "Content-Length: 1")
        known = await client.ask(*write, "Authorization: Bearer known", body=b"x")
        unknown = await client.ask(*write, "Authorization: Bearer made up", body=b"x")
        assert (known[0], unknown[0]) == (200, 503)


async def test_what_is_let_in_is_counted_out_again() -> None:
    async with full() as (door, port), connected(port) as client:
        door.control.is_overloaded = False
        door.control.under_way = 0
        for _ in range(5):
            assert (await client.ask("GET /api/v1/things HTTP/1.1"))[0] == 200
        assert door.control.under_way == 0


async def test_what_a_lane_refuses_is_counted_out_as_refused() -> None:
    metrics = Metrics(clock=SystemClock())
    async with full(metrics=metrics) as (door, port), connected(port) as client:
        # So much room that nobody is refused at the door.
        door.control.ceiling = 2.0 * CROWD
        assert (await client.ask("GET /api/v1/late HTTP/1.1"))[0] == 503
        assert door.control.under_way == CROWD
        async with asyncio.timeout(20):
            while b'refused_total{importance="stranger"} 1.0' not in (await metrics.render())[0]:
                await client.ask("GET /livez HTTP/1.1")


async def test_refusals_are_counted() -> None:
    metrics = Metrics(clock=SystemClock())
    async with full(metrics=metrics) as (door, port), connected(port) as client:
        for _ in range(3):
            await client.ask("GET /api/v1/things HTTP/1.1")
        # The next look is made when something is under way, which a probe is.
        await client.ask("GET /livez HTTP/1.1")
        async with asyncio.timeout(20):
            while b'refused_total{importance="stranger"} 3.0' not in (await metrics.render())[0]:
                await client.ask("GET /livez HTTP/1.1")
        shown = (await metrics.render())[0]
        assert b'tradepost_http_requests_total{method="GET",route="unmatched",status="503"} 3.0' in shown
        assert door.control.is_overloaded


@pytest.mark.parametrize("control", [True, False])
async def test_the_setting_takes_the_door_away(*, control: bool) -> None:
    app = new_app(router, OVERLOAD_CONTROL=control)
    assert (app.state.door is not None) is control


async def test_what_is_of_a_request_goes_with_its_answer() -> None:
    """Not with the next look for garbage, which would look at thousands of them."""
    notes = new_router()
    cycles: list[weakref.ref[Any]] = []

    @notes.get("/fast")
    @fast_path
    async def fast(request: Request) -> Response:
        cycles.append(weakref.ref(request.scope[DOOR_KEY]))
        return JsonAnswer(b"{}")

    @notes.get("/ordinary")
    async def ordinary(request: Request) -> str:
        cycles.append(weakref.ref(request.scope[DOOR_KEY]))
        return "noted"

    @notes.get("/refused")
    async def refused(request: Request) -> str:
        cycles.append(weakref.ref(request.scope[DOOR_KEY]))
        raise NotFound

    app = new_app(notes)
    async with served(app, **{DOOR_KEY: app.state.door}) as port, connected(port) as client:
        gc.collect()
        gc.disable()
        try:
            for path, status in {"fast": 200, "ordinary": 200, "refused": 404}.items():
                assert (await client.ask(f"GET /api/v1/{path} HTTP/1.1"))[0] == status
            await client.ask("GET /api/v1/none HTTP/1.1")
            assert [cycle() for cycle in cycles] == [None, None, None]
        finally:
            gc.enable()
    app.state.door.close()
