"""Many items in one request, in and out: how many a second, what each costs, and what other requests feel of it.

Beside the bulk or the export, somebody reads one item after the other at an even pace. The same is measured with nothing
beside it, just before: the ratio of both tells whether the lane of bulk work keeps out of others' way.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.load.processor_time import seconds_of_tree
from tests.load.uploads import memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.load.contestants import Server
    from tests.load.database import Dataset

BULK, EXPORT = "bulk", "export"
"""The workloads' names."""
LINES = 20_000
"""Items of a bulk."""
PACE = 0.02
"""Seconds between two requests of others."""
CONNECTIONS = 4
"""Connections that they come on."""
ALONE = 4.0
"""Seconds for which they are measured with nothing beside them."""
READ_SIZE = 2**16
END = b"\r\n0\r\n\r\n"
"""Of an answer in chunks."""


def lines(names: Sequence[str], count: int) -> bytes:
    """So many new items, with two or three tags each."""
    made = []
    for number in range(count):
        tags = [names[number * step % len(names)] for step in (1, 7, 13)]
        made.append(
            json.dumps(
                {
                    "title": f"Load test item {number} with {tags[0]} handles",
                    "description": "Made by the load generator; as long as a short description would be. "
                    * 2,
                    "price": number % 500 + 0.5,
                    "tags": list(dict.fromkeys(tags)),
                }
            )
        )
    return "\n".join(made).encode()


async def _exchange(server: Server, request: bytes, took: Callable[[bytes], None]) -> None:
    """Send a request, and hand over its answer piece by piece to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**20)
    sending = asyncio.ensure_future(_send(writer, request))
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"WRONG: {head[:300]!r}")
    end = b""
    while not end.endswith(END):
        piece = await reader.read(READ_SIZE)
        if not piece:
            raise SystemExit(f"WRONG: an answer without its end: {end!r}")
        took(piece)
        end = (end + piece)[-len(END) :]
    await sending
    writer.close()


async def _send(writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    await writer.drain()


async def take_in(server: Server, token: str, body: bytes) -> int:
    """Send a bulk and return how many items were created."""
    head = (
        "POST /api/v1/items/bulk HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answers = bytearray()
    await _exchange(server, head.encode() + body, answers.extend)
    return answers.count(b'"status":201')


async def take_out(server: Server) -> int:
    """Read an export and return how many items it had."""
    number, last = 0, b""

    def took(piece: bytes) -> None:
        nonlocal number, last
        number += (last + piece).count(b"}\n")
        last = piece[-1:]

    await _exchange(server, b"GET /api/v1/items/export HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", took)
    return number


class Others:
    """Somebody who reads items at an even pace, whatever else goes on; latencies count from when a request was due."""

    def __init__(self, server: Server, dataset: Dataset) -> None:
        self._server = server
        self._requests = [
            f"GET /api/v1/items/{item_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            for item_id in dataset.item_ids[:500]
        ]

    async def beside(self, work: Awaitable[int]) -> tuple[int, list[float]]:
        """Read until ``work`` has come to its end; return what it returned, and the seconds that each request took."""
        took: list[float] = []
        readers = [asyncio.ensure_future(self._read(at, took)) for at in range(CONNECTIONS)]
        try:
            return await work, took
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _read(self, at: int, took: list[float]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        due = time.perf_counter() + at * PACE
        while True:
            await asyncio.sleep(due - time.perf_counter())
            writer.write(self._requests[at % len(self._requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - due)
            at += CONNECTIONS
            due += CONNECTIONS * PACE


@dataclass(frozen=True)
class Moved:
    """What one round took."""

    name: str
    items: int
    rate: float
    """Items a second."""
    cpu: float
    """Microseconds of the server's process for each item, those of the others' requests included."""
    database: float
    """Likewise of PostgreSQL's processes; SQLite works in the server's own."""
    grown: float
    """By how many MiB the server's memory grew at its most."""
    p99: float
    """Milliseconds of others' requests meanwhile."""
    p99_alone: float
    """And with nothing beside them."""


def percentile(took: Sequence[float], share: float) -> float:
    """The value that so many are below."""
    return sorted(took)[min(len(took) - 1, int(len(took) * share))]


async def _nothing() -> int:
    await asyncio.sleep(ALONE)
    return 0


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def measure(
    server: Server,
    others: Others,
    name: str,
    work: Callable[[], Awaitable[int]],
    *,
    of_database: Callable[[], float],
) -> Moved:
    """Measure one round."""

    async def both() -> Moved:
        _, alone = await others.beside(_nothing())
        _forget_peak(server.pid)
        resident, cpu, stored = memory(server.pid, "VmRSS"), seconds_of_tree(server.pid), of_database()
        began = time.perf_counter()
        number, meanwhile = await others.beside(work())
        seconds = time.perf_counter() - began
        return Moved(
            name,
            number,
            number / seconds,
            (seconds_of_tree(server.pid) - cpu) / number * 1e6,
            (of_database() - stored) / number * 1e6,
            (memory(server.pid, "VmHWM") - resident) / 1024,
            percentile(meanwhile, 0.99) * 1000,
            percentile(alone, 0.99) * 1000,
        )

    return asyncio.run(both())


def move(
    server: Server,
    dataset: Dataset,
    token: str,
    *,
    names: Sequence[str],
    rounds: int,
    say: Callable[[str], None],
) -> list[Moved]:
    """Measure bulks and exports of a server in turn."""
    others, body = Others(server, dataset), lines(dataset.tags, LINES)

    def of_database() -> float:
        return 0.0 if dataset.postmaster is None else seconds_of_tree(dataset.postmaster)

    works: dict[str, Callable[[], Awaitable[int]]] = {
        EXPORT: lambda: take_out(server),
        BULK: lambda: take_in(server, token, body),
    }
    found = []
    for number in range(rounds):
        for name, work in works.items():
            if name not in names:
                continue
            one = measure(server, others, name, work, of_database=of_database)
            if name == BULK and one.items != LINES:
                raise SystemExit(f"WRONG: of {LINES} items {one.items} were created")
            found.append(one)
            say(
                f"{name:7} round {number + 1}: {one.rate:8,.0f} items/s  CPU {one.cpu:6.1f} us, database {one.database:6.1f}  memory +{one.grown:.1f} MiB  "
                f"others' p99 {one.p99:.1f} ms, alone {one.p99_alone:.1f} ms"
            )
    return found


def table(found: Sequence[Moved], *, rounds: int) -> list[str]:
    """A section of the report."""
    out = [
        f"### bulk and export (medians of {rounds} rounds, beside {1 / PACE:.0f} reads of others a second)",
        "",
        "| workload | items | items/s | server CPU us an item | database's | memory grew, MiB | others' p99, ms | alone | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(one.name for one in found):
        mine = [one for one in found if one.name == name]
        figures = [
            median(getattr(one, field) for one in mine)
            for field in ("items", "rate", "cpu", "database", "grown")
        ]
        waits = [median(one.p99 for one in mine), median(one.p99_alone for one in mine)]
        ratio = median(one.p99 / one.p99_alone for one in mine)
        out.append(
            "| {} | {:,.0f} | {:,.0f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.2f} |".format(
                name, *figures, *waits, ratio
            )
        )
    return [*out, ""]
