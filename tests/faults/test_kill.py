"""A server that is killed in the middle of writes keeps its word: what was acknowledged is there when it is back.

``SOAK_ROUNDS=50`` kills it as often on each engine; a test run does it once.
"""

import asyncio
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.conftest import ENGINES
from tests.flows.live import LiveServer, environment, join, serving
from tests.servers import PostgresServer

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
WRITERS = 6
LEAST_WRITES = 20
"""So many are acknowledged before the kill, however slow the machine is."""
TAGS = ["killed", "kept"]


@dataclass
class Ledger:
    """What clients were told: titles by id of what is there, and every id that was ever seen."""

    kept: dict[int, str] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    in_doubt: set[int] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    written: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    @property
    def highest(self) -> int:
        return max([0, *self.kept, *self.deleted, *self.in_doubt])

    async def write(self, client: httpx.AsyncClient, chance: Random) -> None:
        """Create and delete until the server is gone."""
        while True:
            title = f"Thing {next(self.numbers)}"
            victim = chance.choice(list(self.kept)) if self.kept and chance.random() < 0.2 else None
            try:
                if victim is None:
                    new = {"title": title, "price": 1, "tags": TAGS}
                    made = await client.post("/items/", json=new)
                    assert made.status_code == 201, made.text
                    self.kept[made.json()["id"]] = title
                else:
                    # From here on it may be gone, whatever becomes of the answer.
                    del self.kept[victim]
                    self.in_doubt.add(victim)
                    gone = await client.delete(f"/items/{victim}")
                    assert gone.status_code == 200, gone.text
                    self.deleted.add(victim)
                    self.in_doubt.discard(victim)
                self.written.release()
            except httpx.TransportError:
                return

    async def compare(self, client: httpx.AsyncClient) -> None:
        """Check what the server has against what it said."""
        stored: dict[int, dict[str, Any]] = {}
        for skip in itertools.count(0, 100):
            page = await client.get("/items/user/me", params={"skip": skip, "sort": "created_at"})
            stored |= {item["id"]: item for item in page.json()}
            if len(page.json()) < 100:
                break
        assert {item_id: title for item_id, title in self.kept.items() if item_id not in stored} == {}
        assert all(stored[item_id]["title"] == title for item_id, title in self.kept.items())
        assert self.deleted.isdisjoint(stored)
        # A write is there as a whole or not at all, also one that nobody was told of.
        assert all(item["tags"] == TAGS for item in stored.values())
        self.kept = {item_id: item["title"] for item_id, item in stored.items()}
        self.deleted |= self.in_doubt - stored.keys()
        self.in_doubt.clear()


async def killed_in_the_middle(server: LiveServer, client: httpx.AsyncClient, ledger: Ledger) -> None:
    """Have several clients write, and kill the server while they do."""
    chance = Random(ledger.highest)
    ledger.written = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(ledger.write(client, chance))
        for _ in range(LEAST_WRITES):
            await ledger.written.acquire()
        await asyncio.sleep(chance.uniform(0, 0.5))
        await asyncio.to_thread(server.kill)


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_was_acknowledged_outlives_kill_9_and_no_id_comes_twice(
    engine: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = None if engine == "sqlite" else await postgres.create_database("killed")
    env = environment(tmp_path, url)
    ledger = Ledger()
    token, newest = "", 0
    for _ in range(ROUNDS):
        with serving(env) as server:
            await server.ready()
            async with server.client(token) as client:
                if token:
                    await ledger.compare(client)
                else:
                    # The token is good after each restart: the key is kept too.
                    token = (await join(client, "writer@example.com")).token
                    client.headers["Authorization"] = f"Bearer {token}"
                await killed_in_the_middle(server, client, ledger)

        with serving(env) as server:
            await server.ready()
            async with server.client(token) as client:
                await ledger.compare(client)
                newest = ledger.highest
                if newest in ledger.kept:
                    assert (await client.delete(f"/items/{newest}")).status_code == 200
                    del ledger.kept[newest]
                    ledger.deleted.add(newest)
            server.kill()

    with serving(env) as server:
        await server.ready()
        async with server.client(token) as client:
            await ledger.compare(client)
            made = await client.post("/items/", json={"title": "The next", "price": 1})
            assert made.json()["id"] > newest
        assert "Traceback" not in server.output
