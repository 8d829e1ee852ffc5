"""Our cycle against uvicorn's: the same bytes for every answer, and one write where the length is known."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tradepost.web.cycle import Cycle
from tradepost.web.protocol import BoundedHttpProtocol


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.reads: list[bool] = []
        """Whether reading goes on, at each change."""

    def pause_reading(self) -> None:
        self.reads.append(False)

    def resume_reading(self) -> None:
        self.reads.append(True)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data:
            self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


LENGTH = (b"content-length", b"3")
ANSWERS = {
    "whole": [start(200, LENGTH, (b"content-type", b"text/plain")), body(b"abc")],
    "empty": [start(200, (b"content-length", b"0")), body()],
    "of two parts": [start(200, LENGTH), body(b"a", more=True), body(b"bc")],
    "with an empty end": [start(200, LENGTH), body(b"abc", more=True), body()],
    "in chunks": [start(200), body(b"abc", more=True), body(b"d")],
    "without headers": [{"type": "http.response.start", "status": 200}, body(b"abc")],
    "of a status without a body": [start(204), body()],
    "unchanged": [start(304, (b"etag", b'"1"')), body()],
    "closing": [start(200, LENGTH, (b"connection", b"close")), body(b"abc")],
    "too long": [start(200, LENGTH), body(b"abcd")],
    "too short": [start(200, LENGTH), body(b"ab")],
    "not at its end": [start(200, LENGTH), body(b"ab", more=True)],
    "in the wrong order": [body(b"abc"), start(200, LENGTH)],
    "twice": [start(200, LENGTH), start(200, LENGTH)],
    "after the end": [start(200, LENGTH), body(b"abc"), body(b"d")],
    "with a field in a field": [start(200, LENGTH, (b"x-name", b"a\r\nset-cookie: b")), body(b"abc")],
    "with a bare line feed": [start(200, LENGTH, (b"x-name", b"a\nb")), body(b"abc")],
    "with a NUL": [start(200, LENGTH, (b"x-name", b"a\0b")), body(b"abc")],
}


class Gone(Transport):
    """A transport whose client is gone, as uvloop has it."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        raise RuntimeError("the handler is closed")


def cycle_of(
    kind: type[RequestResponseCycle],
    transport: Transport,
    method: str,
    *,
    keep_alive: bool = True,
    on_response: Callable[[], None] = lambda: None,
) -> RequestResponseCycle:
    return kind(
        scope={"type": "http", "method": method, "http_version": "1.1"},  # type: ignore[typeddict-item]
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger("test"),
        access_logger=logging.getLogger("test"),
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=on_response,
    )


async def sent(
    kind: type[RequestResponseCycle], messages: list[dict[str, Any]], method: str, *, keep_alive: bool
) -> tuple[Any, list[bytes]]:
    """Send messages, and return all that can be seen of it, and what was written."""
    transport, done = Transport(), []
    cycle = cycle_of(kind, transport, method, keep_alive=keep_alive, on_response=lambda: done.append(True))
    error = None
    for message in messages:
        try:
            await cycle.send(dict(message))  # type: ignore[arg-type]
        except RuntimeError as raised:
            error = str(raised)
            break
    seen = (
        b"".join(transport.writes),
        transport.closed,
        done,
        cycle.response_complete,
        cycle.keep_alive,
        error,
    )
    return seen, transport.writes


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_are_those_of_uvicorn(name: str, method: str, *, keep_alive: bool) -> None:
    theirs, _ = await sent(RequestResponseCycle, ANSWERS[name], method, keep_alive=keep_alive)
    ours, writes = await sent(Cycle, ANSWERS[name], method, keep_alive=keep_alive)
    if ours[-1] is not None and "already completed" not in ours[-1]:
        # The head of an answer that is not one may be missing: the connection is closed in any case.
        assert ours[1:] == theirs[1:]
    else:
        assert ours == theirs
        if name in {"whole", "empty"}:
            assert len(writes) == 1


async def test_a_head_that_is_not_followed_by_its_end_leaves_with_the_first_part() -> None:
    _, writes = await sent(Cycle, ANSWERS["not at its end"], "GET", keep_alive=True)
    assert b"".join(writes).endswith(b"\r\n\r\nab")


@pytest.mark.parametrize("part", [body(b"abc"), body(b"a", more=True)])
async def test_nothing_is_written_to_a_client_that_is_gone_before_the_body(part: dict[str, Any]) -> None:
    transport = Gone()
    cycle = cycle_of(Cycle, transport, "GET")
    await cycle.send(start(200, LENGTH))  # type: ignore[arg-type]
    cycle.disconnected = True
    await cycle.send(part)  # type: ignore[arg-type]


LARGE = b"x" * (HIGH_WATER_LIMIT + 1)
BODIES: dict[str, Sequence[bytes | None]] = {
    "one piece": [b"abc", None],
    "piece by piece": [b"abc", None, b"d", None],
    "several before they are received": [b"abc", b"", b"d", b"efg", None, b"h", None],
    "more than is kept unread": [b"abc", LARGE, None, LARGE, LARGE, None, b"d", None],
    "just as much": [LARGE[1:], None, LARGE[2:], b"ab", None],
}
"""Pieces of bodies as they come; None stands for a moment in which the application receives."""


async def received(
    kind: type[RequestResponseCycle], pieces: Sequence[bytes | None], *, answered: bool
) -> tuple[list[Any], list[bool]]:
    """Return what an application receives of a body, and when reading pauses and goes on."""
    transport = Transport()
    cycle = cycle_of(kind, transport, "POST")
    cycle.response_complete = answered
    parser = SimpleNamespace(should_upgrade=lambda: False)
    protocol: Any = SimpleNamespace(parser=parser, cycle=cycle, flow=cycle.flow, _pending=1)
    take_in = BoundedHttpProtocol.on_body if kind is Cycle else HttpToolsProtocol.on_body
    messages = []
    for piece in pieces:
        if piece is None:
            messages.append(await cycle.receive())
        else:
            take_in(protocol, piece)
    return messages, transport.reads


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("name", BODIES)
async def test_bodies_are_received_as_from_uvicorn(name: str, *, answered: bool) -> None:
    ours = await received(Cycle, BODIES[name], answered=answered)
    assert ours == await received(RequestResponseCycle, BODIES[name], answered=answered)
    assert all(type(message.get("body", b"")) is bytes for message in ours[0])


async def test_a_piece_that_is_alone_is_not_copied() -> None:
    (message, after), _ = await received(Cycle, [LARGE, None, b"a", None], answered=False)
    assert message["body"] is LARGE
    assert after["body"] == b"a"
