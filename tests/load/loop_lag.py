"""`python -m tests.load.loop_lag`: how long the event loop is kept from its work while pictures are.

One server process with a database of its own; twenty clients upload photographs (some to be turned), have others made to
measure, and ask for variants that nobody asked for before, without a pause. Within the server, a task that sleeps 5 ms at a
time notes how much later than that it is woken. The same is measured while nothing happens: what a busy machine adds is in
both.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import uvloop
from PIL import Image

from tests.flows.live import reserved_port
from tradepost.bootstrap import opened, prepare_database
from tradepost.core.settings.settings import Settings
from tradepost.loading.histogram import Histogram
from tradepost.main import create_served_app

CLIENTS = 20
NAP = 0.005
STEPS = (64, 128, 256, 512, 1024, 2048)
FORMATS = ("jpeg", "webp", "avif")
PASSWORD = "Tradepost1"


async def serve(port: int) -> None:
    """Serve until the load says that it is over, noting the loop's lag in between."""
    settings = Settings.load()
    async with opened(settings) as resources:
        await prepare_database(resources)
    server = uvicorn.Server(
        uvicorn.Config(create_served_app(), interface="asgi3", port=port, log_level="warning")
    )
    running = asyncio.create_task(server.serve())
    lag = Histogram()

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(NAP)
            lag.add_seconds([time.perf_counter() - before - NAP])

    watching = asyncio.create_task(watch())
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        figures = {f"p{share * 100:g}": lag.quantile(share) for share in (0.5, 0.99, 0.999, 1.0)}
        print(json.dumps(figures | {"samples": lag.total}), flush=True)  # noqa: T201
        lag.counts.clear()
    watching.cancel()
    server.should_exit = True
    await running


def photograph(seed: int, *, turned: bool) -> bytes:
    """Return a photograph of 12 megapixels, 2 to 3 MB."""
    small = Image.frombytes("RGB", (500, 375), os.urandom(500 * 375 * 3)).resize((4000, 3000))
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    exif[0x010E] = str(seed)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82, exif=exif)
    return buffer.getvalue()


async def client(url: str, number: int, photographs: list[bytes], until: float, done: dict[str, int]) -> None:
    """Work on pictures until the time is up."""
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=120) as api:
        person = {
            "email": f"user{number}@example.com",
            "password": PASSWORD,
            "first_name": "a",
            "last_name": "b",
        }
        await api.post("/auth/register", json=person)
        login = {"username": person["email"], "password": PASSWORD}
        token = (await api.post("/auth/login", data=login)).json()["access_token"]
        api.headers["Authorization"] = f"Bearer {token}"
        turn = number
        while time.monotonic() < until:
            turn += 1
            picture = {"file": ("me.jpg", photographs[turn % len(photographs)], "image/jpeg")}
            uploaded = await _counted(done, "upload", api.post("/upload/avatar/", files=picture))
            if uploaded is not None:
                path = uploaded.json()["url"].removeprefix("/api/v1")
                asked: dict[str, Any] = {"w": STEPS[turn % 6], "format": FORMATS[turn % 3]}
                await _counted(done, "variant", api.get(path, params=asked))
            data = {"resize_width": "800"}
            await _counted(done, "process", api.post("/upload/process-image/", files=picture, data=data))


async def _counted(done: dict[str, int], name: str, call: Any) -> httpx.Response | None:
    answer: httpx.Response = await call
    name = name if answer.is_success else f"{name} {answer.status_code}"
    done[name] = done.get(name, 0) + 1
    return answer if answer.is_success else None


async def measure(seconds: float) -> None:
    """Bring the server up, let it rest, load it, and print what it noted."""
    photographs = [photograph(number, turned=number % 2 == 0) for number in range(4)]
    with tempfile.TemporaryDirectory() as directory, reserved_port() as port:
        env = os.environ | {
            "DATA_DIR": directory,
            "DATABASE_URL": f"sqlite:///{Path(directory) / 'lag.db'}",
            "RATE_LIMIT_ENABLED": "false",
            "LOG_LEVEL": "ERROR",
        }
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.load.loop_lag", "--serve", str(port),
            env=env, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url) as probe:
            for _ in range(300):
                with suppress(httpx.TransportError):
                    if (await probe.get("/readyz")).is_success:
                        break
                await asyncio.sleep(0.1)

        async def noted() -> dict[str, float]:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(b"\n")
            figures: dict[str, float] = json.loads(await server.stdout.readline())
            return figures

        await noted()
        await asyncio.sleep(seconds / 3)
        print("at rest", await noted())  # noqa: T201
        done: dict[str, int] = {}
        until = time.monotonic() + seconds
        await asyncio.gather(*(client(url, number, photographs, until, done) for number in range(CLIENTS)))
        print("at work", await noted(), done)  # noqa: T201
        server.stdin.close()
        await server.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.loop_lag", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of load (default: 15)")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.serve) if given.serve else measure(given.seconds))


if __name__ == "__main__":
    main()
