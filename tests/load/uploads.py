"""`python -m tests.load.uploads`: upload files of 1 MiB to Tradepost, and to a server that uses `UploadFile`.

Both check a token, look at the item, store the file, hash it and write its row. What is compared is the CPU time of the
server's process for each upload, and how much its memory grows while many are under way; Tradepost besides waits until
the file is on the disk. How long the event loop is kept from its work meanwhile, `tests.load.loop_lag` tells.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import secrets
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.load.contestants import CONTESTANTS, running
from tests.load.database import filled_database
from tests.load.processor_time import seconds_of_tree
from tests.load.workloads import log_in
from tests.uploading import pdf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.contestants import Server

BOUNDARY = b"load-test-boundary"
MEBIBYTE = 2**20
NAMES = ("tradepost", "straightforward")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.uploads", description=__doc__)
    parser.add_argument("--size", type=int, default=MEBIBYTE, help="bytes of a file (default: 1 MiB)")
    parser.add_argument("--count", type=int, default=400, help="uploads in a round (default: 400)")
    parser.add_argument("--connections", type=int, default=20, help="default: 20")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    return parser.parse_args(argv)


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


def measure(server: Server, requests: Sequence[bytes], connections: int) -> tuple[float, float, float]:
    """Return CPU milliseconds for an upload, uploads a second, and by how many MiB memory grew at its most."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    resident, cpu, began = memory(server.pid, "VmRSS"), seconds_of_tree(server.pid), time.perf_counter()
    statuses = asyncio.run(uploads(server, requests, connections))
    seconds = time.perf_counter() - began
    if set(statuses) != {200}:
        raise SystemExit(f"WRONG: {server.contestant.name} answered {sorted(set(statuses))}")
    used = seconds_of_tree(server.pid) - cpu
    grown = (memory(server.pid, "VmHWM") - resident) / 1024
    return used / len(requests) * 1000, len(requests) / seconds, grown


def item_of(server: Server, token: str) -> int:
    """Put an item up for sale and return its id."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/items/", json.dumps({"title": "Lamp", "price": 1}), headers)
    found = json.loads(connection.getresponse().read())
    connection.close()
    return int(found["id"])


def main() -> int:
    """Measure; the exit status."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    secret = secrets.token_urlsafe(32)
    with ExitStack() as stack:
        dataset = stack.enter_context(filled_database(items=500, users=100, secret=secret, durable=False))
        ready = f"/api/v1/items/{dataset.item_ids[0]}"
        servers = [
            stack.enter_context(
                running(CONTESTANTS[name], database_url=dataset.url, secret=secret, ready_path=ready)
            )
            for name in NAMES
        ]
        tokens = log_in(servers[0], dataset)
        items = [item_of(servers[0], token) for token in tokens]
        body = form(b"files", pdf(options.size - 20)[: options.size])
        requests = [
            encoded(f"/api/v1/upload/items/{item}/documents/", token, body)
            for token, item in zip(tokens, items, strict=True)
        ]
        requests = (requests * (options.count // len(requests) + 1))[: options.count]
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in NAMES}
        for server in servers:
            measure(server, requests[:40], options.connections)
        for number in range(options.rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                found[server.contestant.name].append(measure(server, requests, options.connections))
        lines = [
            (
                f"Uploads of {options.size:,} bytes over {options.connections} connections,"
                f" {options.count} in a round, medians of {options.rounds} rounds."
            ),
            "",
            "| server | CPU ms/upload | uploads/s | memory grew, MiB |",
            "|---|---|---|---|",
        ]
        for name, figures in found.items():
            cpu, rate, grown = (median(values) for values in zip(*figures, strict=True))
            lines.append(f"| {name} | {cpu:.2f} | {rate:.0f} | {grown:.1f} |")
        pairs = zip(*(found[name] for name in NAMES), strict=True)
        ratio = median(ours[0] / theirs[0] for ours, theirs in pairs)
        lines.append(f"\nCPU: {ratio:.2f} of what `UploadFile` costs.")
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
