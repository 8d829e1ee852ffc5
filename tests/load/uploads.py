"""Uploads of files of 1 MiB, to Tradepost and beside it: how much CPU each takes, and how memory grows meanwhile.

Every contestant checks a token, looks at the item, stores the file, hashes it and writes its row; Tradepost besides counts
quotas, and waits until the file is on the disk. How long the event loop is kept from its work meanwhile, `tests.load.loop_lag`
tells.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import string
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.load.contestants import LIMIT
from tests.load.processor_time import seconds_of_tree
from tests.uploading import pdf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.load.contestants import Server

UPLOAD = "upload"
"""The workload's name."""
UPLOADERS = frozenset({"tradepost", LIMIT, "straightforward"})
MEBIBYTE = 2**20
CONNECTIONS = 20
COUNT = 400
"""Uploads of a round."""
WARM_UP = 40
BOUNDARY = b"load-test-boundary"


def form(field: bytes, content: bytes) -> bytes:
    """Encode a form with one file."""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="a"\r\n' % (BOUNDARY, field)
    return head + b"Content-Type: application/pdf\r\n\r\n" + content + b"\r\n--%b--\r\n" % BOUNDARY


def encoded(path: str, token: str, body: bytes) -> bytes:
    """Encode a request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def answer(reader: asyncio.StreamReader) -> int:
    """Read an answer and return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


async def uploads(server: Server, requests: Sequence[bytes], connections: int) -> list[int]:
    """Send the requests over so many connections and return the statuses."""
    waiting = list(requests)
    statuses = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while waiting:
            writer.write(waiting.pop())
            await writer.drain()
            statuses.append(await answer(reader))
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return statuses


def memory(pid: int, field: str) -> int:
    """Return a figure of a process's memory in KiB."""
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{field}:")[2].split()[0])


@dataclass(frozen=True)
class Uploaded:
    """What one round of one contestant took."""

    contestant: str
    cpu: float
    """Milliseconds of the server's process for each upload."""
    rate: float
    """Uploads a second."""
    grown: float
    """By how many MiB the server's memory grew at its most."""


def measure(server: Server, requests: Sequence[bytes]) -> Uploaded:
    """Send these uploads to a server."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    resident, cpu, began = memory(server.pid, "VmRSS"), seconds_of_tree(server.pid), time.perf_counter()
    statuses = asyncio.run(uploads(server, requests, CONNECTIONS))
    seconds = time.perf_counter() - began
    if set(statuses) != {200}:
        raise SystemExit(f"WRONG: {server.contestant.name} answered {sorted(set(statuses))}")
    used = seconds_of_tree(server.pid) - cpu
    grown = (memory(server.pid, "VmHWM") - resident) / 1024
    return Uploaded(server.contestant.name, used / len(requests) * 1000, len(requests) / seconds, grown)


def item_of(server: Server, token: str) -> int:
    """Put an item up for sale and return its id."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/items/", json.dumps({"title": "Lamp", "price": 1}), headers)
    found = json.loads(connection.getresponse().read())
    connection.close()
    return int(found["id"])


def use_for_a_while(server: Server) -> None:
    """Make the directories that a store has which has been in use for a while."""
    letters = string.ascii_letters + string.digits + "-_"
    for pair in itertools.product(letters, repeat=2):
        (server.directory / "uploads" / "".join(pair)).mkdir(parents=True, exist_ok=True)


def empty(server: Server) -> None:
    """Give back the memory that a round's files take, or the next one would be served by a machine with less of it.

    They are emptied, not removed: some file systems are slow to reuse what was removed just now.
    """
    for path in server.directory.rglob("*.pdf"):
        os.truncate(path, 0)


def compare(
    servers: Sequence[Server],
    tokens: Sequence[str],
    *,
    rounds: int,
    size: int,
    say: Callable[[str], None],
) -> list[Uploaded]:
    """Have servers that share a database take uploads in turn; the first one makes the items."""
    body = form(b"files", pdf(size - 20)[:size])
    requests = [
        encoded(f"/api/v1/upload/items/{item_of(servers[0], token)}/documents/", token, body)
        for token in tokens
    ]
    requests = list(itertools.islice(itertools.cycle(requests), COUNT))
    for server in servers:
        use_for_a_while(server)
        measure(server, requests[:WARM_UP])
    found = []
    for number in range(rounds):
        turn = number % len(servers)
        for server in [*servers[turn:], *servers[:turn]]:
            found.append(measure(server, requests))
            empty(server)
            one = found[-1]
            say(
                f"{UPLOAD:7} {CONNECTIONS:4} {one.contestant:16} round {number + 1}: {one.rate:8,.0f}/s  "
                f"CPU {one.cpu:6.2f} ms  memory +{one.grown:.1f} MiB"
            )
    return found


def table(found: Sequence[Uploaded], *, rounds: int, size: int) -> list[str]:
    """A section of the report."""
    names = dict.fromkeys(each.contestant for each in found)
    of = {name: [each for each in found if each.contestant == name] for name in names}
    ours = of[next(iter(names))]
    lines = [
        f"### upload {size:,} bytes ({CONNECTIONS} connections, {COUNT} uploads a round, medians of {rounds} rounds)",
        "",
        f"| contestant | uploads/s | server CPU ms | memory grew, MiB | {ours[0].contestant}'s CPU to this |",
        "|---|---|---|---|---|",
    ]
    for name, rounds_of in of.items():
        ratio = median(mine.cpu / theirs.cpu for mine, theirs in zip(ours, rounds_of, strict=True))
        figures = [median(getattr(each, field) for each in rounds_of) for field in ("rate", "cpu", "grown")]
        lines.append("| {} | {:.0f} | {:.2f} | {:.1f} | {:.2f} |".format(name, *figures, ratio))
    return [*lines, ""]
