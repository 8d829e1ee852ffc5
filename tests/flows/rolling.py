"""Replicas that are replaced one after the other behind a load balancer, under load, and what became of every request."""

import asyncio
import itertools
import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from tests.flows.live import API, LiveServer, environment, eventually, join, reserved_port, serving

DRAIN_SECONDS: Final = 2
Front = Callable[[Sequence[int]], AbstractContextManager[str]]
"""A load balancer before servers on these ports; it is reached at the address that the block is given."""


@dataclass
class Load:
    """What clients ask for, each at its own pace whatever the answers, and all that went wrong."""

    client: httpx.AsyncClient
    person: int
    item: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    made: set[int] = field(default_factory=set)
    told: list[int] = field(default_factory=list)
    streams: int = 0
    _running: set["asyncio.Task[None]"] = field(default_factory=set)

    async def run(self, kind: str, rate: float, ask: Callable[[], Awaitable[None]]) -> None:
        """Start ``rate`` requests a second until cancelled, however long each takes."""
        while True:
            task = asyncio.create_task(self._one(kind, ask))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            await asyncio.sleep(1 / rate)

    async def finish(self) -> None:
        """Wait for what is under way."""
        while self._running:
            await asyncio.wait(self._running)

    async def _one(self, kind: str, ask: Callable[[], Awaitable[None]]) -> None:
        self.sent[kind] += 1
        try:
            await ask()
        except httpx.HTTPStatusError as error:
            self.faults.append(f"{kind}: {error.response.status_code} {error.response.text[:200]}")
        except httpx.TransportError as error:
            self.faults.append(f"{kind}: {error!r}")

    async def read(self) -> None:
        (await self.client.get(f"/items/{self.item}")).raise_for_status()

    async def look(self) -> None:
        (await self.client.get("/items/", params={"limit": 5})).raise_for_status()

    async def create(self) -> None:
        await self._create({})

    async def create_with_key(self) -> None:
        await self._create({"Idempotency-Key": f"rolling-{self.sent['create with key']}"})

    async def _create(self, headers: dict[str, str]) -> None:
        answer = await self.client.post("/items/", json={"title": "Lamp", "price": 1}, headers=headers)
        answer.raise_for_status()
        self.made.add(answer.json()["id"])

    async def upload(self) -> None:
        files = [("files", ("notes.txt", b"Made of brass.\n" * 4096, "text/plain"))]
        (await self.client.post(f"/upload/items/{self.item}/documents/", files=files)).raise_for_status()

    async def listen(self) -> None:
        """Follow the stream of notifications, and come back to it where it ended, until cancelled."""
        last = "0"
        while True:
            headers = {"Last-Event-ID": last}
            with suppress(httpx.RemoteProtocolError):
                async with self.client.stream("GET", "/notifications/stream", headers=headers) as answer:
                    if answer.status_code != 200:
                        self.faults.append(f"stream: {answer.status_code}")
                    self.streams += 1
                    async for line in answer.aiter_lines():
                        if line.startswith("id:"):
                            last = line.removeprefix("id:").strip()
                        elif line.startswith("data:"):
                            self.told.append(json.loads(line.removeprefix("data:"))["number"])
            await asyncio.sleep(0.1)


async def replace_all(url: str, directory: Path, front: Front, *, replicas: int, rounds: int) -> None:
    """Replace each replica ``rounds`` times under load; nobody notices, no write is lost, done twice, or told twice."""
    env = environment(
        directory, url, DRAIN_SECONDS=DRAIN_SECONDS, KEEP_ALIVE_SECONDS=75, TRUSTED_PROXIES="127.0.0.1",
        UPLOAD_QUOTA_FILES=1_000_000,
    )  # fmt: skip
    with ExitStack() as kept:
        ports = [kept.enter_context(reserved_port()) for _ in range(replicas)]
        places = [ExitStack() for _ in ports]
        for place in places:
            kept.enter_context(place)
        # The first one migrates.
        servers = [await _started(env, place, port) for place, port in zip(places, ports, strict=True)]
        address = kept.enter_context(front(ports))
        load = await _under_load(address)
        async with aclosing(load.client):
            async with AsyncExitStack() as tasks:
                await _start(load, tasks)
                for _, at in itertools.product(range(rounds), range(replicas)):
                    servers[at].send(signal.SIGTERM)
                    assert await servers[at].ended() == 0
                    places[at].close()
                    servers[at] = await _started(env, places[at], ports[at])
                    await asyncio.sleep(1)
            await load.finish()
            assert load.faults == []
            assert min(load.sent.values()) > 5
            await _compare(load)


async def _started(env: dict[str, str], replica: ExitStack, port: int) -> LiveServer:
    server = replica.enter_context(serving(env, reserved=port))
    await server.ready()
    return server


async def _under_load(address: str) -> Load:
    async with httpx.AsyncClient(base_url=address + API, timeout=30.0) as stranger:

        async def answers() -> bool:
            return (await stranger.get("/items/")).status_code == 200

        await eventually(answers)
        account = await join(stranger, "ada@example.com")
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    client = httpx.AsyncClient(
        base_url=address + API,
        headers={"Authorization": f"Bearer {account.token}"},
        timeout=30.0,
        limits=limits,
    )
    load = Load(client, account.id)
    await load.create()
    (load.item,) = load.made
    return load


async def _start(load: Load, tasks: AsyncExitStack) -> None:
    work = [
        load.run("read", 20, load.read),
        load.run("look", 10, load.look),
        load.run("create", 5, load.create),
        load.run("create with key", 5, load.create_with_key),
        load.run("upload", 2, load.upload),
        load.listen(),
    ]
    for coroutine in work:
        task = asyncio.create_task(coroutine)
        tasks.push_async_callback(_end, task)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _compare(load: Load) -> None:
    """Compare what clients were told with what there is: no write was lost, done twice, or told twice."""
    kept: set[int] = set()
    cursor: str | None = ""
    while cursor is not None:
        params = {"owner_id": load.person, "limit": 100} | ({"cursor": cursor} if cursor else {})
        page = (await load.client.get("/items/", params=params)).json()
        kept |= {item["id"] for item in page["items"]}
        cursor = page["next_cursor"]
    assert kept == load.made
    assert load.streams > 1
    assert load.told == list(range(1, len(load.told) + 1)), json.dumps(load.told)
